"""What is used of what there is: sections of bars side by side, as links and their users."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.console.ink import Row, cut, left, right, width_of
from sim.console.words import short_name, short_number

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_FIGURES: Final = 13
_LEAST: Final = 30
"""Cells that a section needs; below it sections stand one below the other."""
_INKS: Final = ("c1", "c3", "c5", "you")


def figures_of_shares(scene: Mapping[str, Any]) -> dict[str, float]:
    """Of each section, the share that is used of its fullest bar, and of all."""
    found = {}
    for name, bars in scene["shares"].items():
        if bars:
            found[f"fullest of {name}"] = max(share_of(bar) for bar in bars)
            most = sum(bar["most"] for bar in bars)
            found[f"all {name}"] = sum(bar["value"] for bar in bars) / most if most else math.nan
    return found


def draw_shares(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """A section is a heading and a bar for each; those that are fullest where not all fit."""
    sections = list(scene["shares"].items())
    beside = max(min(width // _LEAST, len(sections)), 1)
    each = (width - 2 * (beside - 1)) // beside
    depth = height // -(-len(sections) // beside)
    rows: list[Row] = []
    for start in range(0, len(sections), beside):
        drawn = [
            _section(name, bars, each, depth, _INKS[(start + i) % len(_INKS)])
            for i, (name, bars) in enumerate(sections[start : start + beside])
        ]
        for line in range(max(map(len, drawn), default=0)):
            row: Row = []
            for i, part in enumerate(drawn):
                cells = part[line] if line < len(part) else []
                gap = each - width_of(cells) if i < len(drawn) - 1 else 0
                row += [*cells, (" " * max(gap, 0), ""), ("  " if i < len(drawn) - 1 else "", "")]
            rows.append(row)
    return rows[:height]


def share_of(bar: Mapping[str, Any]) -> float:
    """Of what there is; infinite if there is nothing."""
    if bar["most"] > 0:
        return float(bar["value"] / bar["most"])
    return math.inf if bar["value"] > 0 else 0.0


def _section(
    name: str, bars: Sequence[Mapping[str, Any]], width: int, height: int, ink: str
) -> list[Row]:
    room = max(height - 1, 0)
    shown = list(bars)
    heading: Row = [(cut(name, width), "dim")]
    if len(bars) > room:
        shown = sorted(bars, key=lambda bar: -share_of(bar))[:room]
        heading.append((cut(f", the fullest {room} of {len(bars)}", width - len(name)), "dim"))
    longest = max((len(str(bar["name"])) for bar in shown), default=1)
    notes = max((len(str(bar.get("note", ""))) for bar in shown), default=0)
    label = min(longest, max(width // 3, 6))
    note = notes + 1 if notes and width - label - _FIGURES - notes - 1 >= 10 else 0
    span = max(width - label - 2 - _FIGURES - note, 2)
    return [heading, *(_bar(bar, label, span, note, ink) for bar in shown)][:height]


def _bar(bar: Mapping[str, Any], label: int, span: int, note: int, ink: str) -> Row:
    """`link-1 ██████▌   !  9.4/8.0 drop`: more is asked for than there is."""
    share = share_of(bar)
    eighths = round(min(max(share, 0.0), 1.0) * span * 8) if share == share else 0
    full, part = divmod(eighths, 8)
    filled = "█" * full + (_EIGHTHS[part] if part else "")
    is_over = share > 1 + 1e-9
    said = f"{short_number(bar['value'], 5)}/{short_number(bar['most'], 5)}"
    remark = str(bar.get("note", ""))
    return [
        (left(short_name(str(bar["name"]), label), label), ""),
        (" ", ""),
        (filled, "bad" if is_over else ink),
        ("·" * (span - len(filled)), "faint"),
        ("!" if is_over else " ", "bad"),
        (right(said, _FIGURES), "dim"),
        (left(f" {remark}", note) if note else "", "warn" if remark == "drop" else "dim"),
    ]
