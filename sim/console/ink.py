"""What a panel is made of before it is a widget: rows of (text, ink), and the inks by name.

An ink is a few words, as `bad` or `dim sel`; unknown words are read as styles of rich. Colour is
never the only sign: whatever has an ink of its own also has a letter, a word or a glyph.
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple, TypeAlias

from rich.cells import cell_len
from rich.style import Style

Row: TypeAlias = list[tuple[str, str]]

GROUND: Final = "#10151b"
RAISED: Final = "#18202a"
TEXT: Final = "#d3d9e0"
ACCENT: Final = "#56c8e0"
LINE: Final = "#3a4654"
WARN: Final = "#f2b84b"
BAD: Final = "#ff7070"

INKS: Final = {
    "dim": "#7f8b99",
    "faint": "#4c5866",
    "line": LINE,
    "focus": ACCENT,
    "title": f"bold {TEXT}",
    "bold": "bold",
    "accent": ACCENT,
    "good": "#8fce72",
    "warn": WARN,
    "bad": f"bold {BAD}",
    "red": BAD,
    "you": "#d0a2f7",
    "market": "#7fb4ff",
    "sel": "on #26384a",
    "key": f"bold {ACCENT}",
    "mark": f"bold {WARN}",
    "running": "bold #10151b on #8fce72",
    "paused": "bold #10151b on #f2b84b",
    "ended": "bold #10151b on #7fb4ff",
    "lost": "bold #10151b on #ff7070",
    "c0": "#4f8ff0",
    "c1": "#46b5d1",
    "c2": "#56c596",
    "c3": "#8fce72",
    "c4": "#d3cf5e",
    "c5": "#f2b84b",
    "c6": "#f28c4b",
    "c7": "#ff7070",
}


_BASE: Final = Style.parse(f"{TEXT} on {GROUND}")


class Picture(NamedTuple):
    """A panel as drawn. title and note stand in the frame, left and right."""

    rows: list[Row]
    title: Row = []  # noqa: RUF012 - never changed
    note: Row = []  # noqa: RUF012


@functools.lru_cache(maxsize=512)
def style_of(ink: str) -> Style:
    """The style that the words of an ink add up to."""
    return _BASE + over(ink)


def over(ink: str) -> Style:
    """The same on whatever it stands on."""
    style = Style.null()
    for word in ink.split():
        style += Style.parse(INKS.get(word, word))
    return style


def plain(text: str) -> str:
    """The same without anything that a terminal obeys instead of showing."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def width_of(row: Row) -> int:
    """Cells that a row takes."""
    return sum(len(text) if text.isascii() else cell_len(text) for text, _ in row)


def cut(text: str, width: int) -> str:
    """At most `width` characters, the last an ellipsis if some are missing."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"[:width]


def left(text: str, width: int) -> str:
    """Exactly `width` characters, text first."""
    return cut(text, width).ljust(width)


def right(text: str, width: int) -> str:
    """Exactly `width` characters, text last."""
    return cut(text, width).rjust(width)


def spread(first: Row, last: Row, width: int) -> Row:
    """Both ends of a row, with what is between them empty."""
    gap = width - width_of(first) - width_of(last)
    return [*first, (" " * gap, ""), *last] if gap > 0 else first


def selected(row: Row, width: int) -> Row:
    """The row as one that the cursor is on."""
    gap = max(width - width_of(row), 0)
    return [(text, f"{ink} sel") for text, ink in row] + [(" " * gap, "sel")]


def join(parts: list[Row], width: int, gap: str = "   ") -> Row:
    """As many whole parts as fit, with a gap between them."""
    row: Row = []
    used = 0
    for part in parts:
        need = width_of(part) + (len(gap) if row else 0)
        if used + need > width:
            break
        row += [(gap, ""), *part] if row else part
        used += need
    return row
