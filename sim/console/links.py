"""The links as a matrix: what is lost lately, how long the slow ones take, how much is sent and
comes through.
"""

from __future__ import annotations

from typing import Final

from sim.console.board import Panel
from sim.console.ink import Picture, Row, left, right
from sim.console.state import State
from sim.console.words import delay, short_name
from sim.units import SECOND, size_text
from sim.wire.live import LinkMatrix

MODES: Final = ("loss", "delay", "sent", "goodput")
TITLES: Final = {
    "loss": "loss % lately", "delay": "delay p95 in ms", "sent": "messages sent",
    "goodput": "goodput in bytes/s",
}  # fmt: skip
_EACH: Final = (4, 6)
"""Narrowest and widest of a cell."""


class Links(Panel):
    """Rows send to columns. The cell under the cursor is a link to inspect or degrade."""

    is_movable = True

    def __init__(self, state: State) -> None:
        self.state = state
        self.mode = MODES[0]
        self.at = (0, 0)
        self._is_placed = False
        self._first = (0, 0)
        self._view = (1, 1)
        self._label = 10
        self._each = _EACH[0]

    def next_mode(self) -> str:
        """The next figure in the cells."""
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]
        return self.mode

    @property
    def ends(self) -> tuple[str, str] | None:
        """Sender and receiver under the cursor."""
        if self.state.frame is None or not self.state.frame.links.ends:
            return None
        ends = self.state.frame.links.ends
        row, column = (min(i, len(ends) - 1) for i in self.at)
        return ends[row], ends[column]

    def move(self, lines: int, pages: int = 0) -> bool:
        """The cursor down."""
        self._go(lines + pages * self._view[0], 0)
        return True

    def turn(self, columns: int) -> bool:
        """The cursor to the right."""
        self._go(0, columns)
        return True

    def _go(self, down: int, across: int) -> None:
        size = len(self.state.frame.links.ends) if self.state.frame else 1
        self._is_placed = True
        row, column = self.at
        self.at = (min(max(row + down, 0), size - 1), min(max(column + across, 0), size - 1))

    def point(self, x: int, y: int, width: int) -> bool:
        """A click on a cell."""
        row, column = y - 1 + self._first[0], (x - self._label) // self._each + self._first[1]
        size = len(self.state.frame.links.ends) if self.state.frame else 0
        if x < self._label or not (0 <= row < size and 0 <= column < size) or y < 1:
            return False
        self.at = (row, column)
        return True

    def draw(self, width: int, height: int) -> Picture:
        """A heading and a row per sending end."""
        frame = self.state.frame
        title: Row = [("links", "title"), (f"  {TITLES[self.mode]}", "dim")]
        if frame is None or not frame.links.ends:
            return Picture([], title)
        links, size = frame.links, len(frame.links.ends)
        self._place_cursor(links)
        self._label = min(max(len(end) for end in links.ends) + 1, 12, width - _EACH[1])
        self._each = min(max((width - self._label) // size, _EACH[0]), _EACH[1])
        across = max(min((width - self._label) // self._each, size), 1)
        down = max(min(height - 2, size), 1)
        self._view = (down, across)
        self._first = (
            _scrolled(self._first[0], self.at[0], down, size),
            _scrolled(self._first[1], self.at[1], across, size),
        )
        first_row, first_column = self._first
        columns = range(first_column, first_column + across)
        head: Row = [(left("from  to", self._label), "faint")]
        head += [
            (right(short_name(links.ends[j], self._each - 1), self._each), "dim") for j in columns
        ]
        rows = [head]
        before = self.state.history.links_before()
        if before is not None and before.ends != links.ends:
            before = None
        for i in range(first_row, first_row + down):
            row: Row = [(left(links.ends[i], self._label), "")]
            for j in columns:
                text, ink = self._cell(links, before, i, j)
                mark = " sel" if (i, j) == self.at else ""
                row.append((right(text, self._each), ink + mark))
            rows.append(row)
        rows += [[] for _ in range(height - len(rows) - 1)]
        rows.append(self._foot(links, width))
        hidden = size - down, size - across
        more = "".join(f" {s}{n}" for s, n in zip("↕↔", hidden, strict=True) if n > 0)
        note: Row = [(more.strip() + " ", "dim")] if more else []
        return Picture(rows[:height], title, [*note, ("[m]", "key"), (" figure", "dim")])

    def _place_cursor(self, links: LinkMatrix) -> None:
        """First on a link that is used."""
        if self._is_placed:
            return
        for i, row in enumerate(links.sent):
            for j, many in enumerate(row):
                if many:
                    self.at, self._is_placed = (i, j), True
                    return

    def _cell(
        self, links: LinkMatrix, before: LinkMatrix | None, i: int, j: int
    ) -> tuple[str, str]:
        if links.is_cut[i][j] and self.mode == "loss":
            lost, share = _recent(links, before, i, j)
            if not lost and links.sent[i][j] == 0:
                return "·", "faint"
            return (
                ("╳", "bad") if share is None or share > 0.999 else (f"╳{share * 100:.0f}", "bad")
            )
        if not links.sent[i][j]:
            return "·", "faint"
        if self.mode == "sent":
            return _short(links.sent[i][j]), ""
        if self.mode == "goodput":
            goodput = self._goodput(links, i, j)
            return ("-" if goodput is None else _short(goodput)), ""
        if self.mode == "delay":
            ms = links.p95_ns[i][j] / 1e6
            return ("-" if ms < 0 else f"{ms:.0f}" if ms < 999.5 else f"{ms / 1000:.2g}s"), ""
        _, share = _recent(links, before, i, j)
        if share is None:
            return "-", "dim"
        text = f"{100 * share:.0f}" if share >= 0.0995 or share == 0 else f"{100 * share:.1f}"
        return (
            text,
            "bad" if share > 0.2 else "warn" if share > 0.05 else "good" if share else "dim",
        )

    def _goodput(self, links: LinkMatrix, i: int, j: int) -> float | None:
        """Delivered bytes per virtual second; None before time has passed, or if not recorded."""
        now = self.state.frame.now_ns if self.state.frame else 0
        if not links.delivered_bytes or not now:
            return None
        return links.delivered_bytes[i][j] * SECOND / now

    def _foot(self, links: LinkMatrix, width: int) -> Row:
        ends, frame = self.ends, self.state.frame
        if ends is None or frame is None:
            return []
        i, j = (links.ends.index(end) for end in ends)
        if links.sent[i][j]:
            text = f"{ends[0]} > {ends[1]}: {links.sent[i][j]:,} sent, {links.lost[i][j]:,} lost"
            why = [f"{r} {n[i][j]:,}" for r, n in links.reasons.items() if n[i][j]]
            text += f" ({', '.join(why)})" if why else ""
            if links.is_cut[i][j]:
                text += ", cut"
            text += f", half in {delay(links.p50_ns[i][j])}, 95 % in {delay(links.p95_ns[i][j])}"
            if links.p99_ns:
                text += f", 99 % in {delay(links.p99_ns[i][j])}"
            goodput = self._goodput(links, i, j)
            text += f", {size_text(goodput)}/s" if goodput else ""
        else:
            total = int(frame.books.get("bytes", 0))
            text = f"{ends[0]} > {ends[1]}: nothing sent; {size_text(total)} in all"
        return [(text[:width], "dim")]


def _recent(
    links: LinkMatrix, before: LinkMatrix | None, i: int, j: int
) -> tuple[int, float | None]:
    """What was lost lately, and its share of what ended; of all where nothing is recent."""
    lost, delivered = links.lost[i][j], links.delivered[i][j]
    if before is not None:
        recent_lost = lost - before.lost[i][j]
        recent = recent_lost + delivered - before.delivered[i][j]
        if recent > 0:
            return recent_lost, recent_lost / recent
    total = lost + delivered
    return lost, lost / total if total else None


def _short(value: float) -> str:
    """At most four characters: `3`, `412`, `1.2k`, `87M`."""
    for unit in ("", "k", "M"):
        if value < 999.5:
            is_whole = value >= 9.95 or (not unit and value == int(value))
            return f"{value:.{0 if is_whole else 1}f}{unit}"
        value /= 1000
    return f"{value:.0f}G"


def _scrolled(first: int, at: int, view: int, size: int) -> int:
    return min(max(first, at - view + 1, 0), at, max(size - view, 0))
