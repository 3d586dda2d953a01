"""The story of the run: faults and who caused them, failures, markets, what agents print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.console.board import Panel
from sim.console.ink import Picture, Row, cut, plain, selected
from sim.console.state import State, is_own
from sim.console.words import clock, is_coarse
from sim.wire.live import Line

SIGNS: Final = {
    "fault": ("▲", "mark"),
    "error": ("!", "bad"),
    "warning": ("!", "warn"),
    "stall": ("…", "you"),
    "market": ("●", "market"),
    "print": ("›", "dim"),
    "info": ("i", "dim"),
    "learn": ("↗", "accent"),
}
FILTERS: Final[dict[str, Callable[[Line], bool]]] = {
    "all": lambda line: True,
    "faults": lambda line: line.kind == "fault",
    "trouble": lambda line: line.kind in ("error", "warning", "stall"),
    "market": lambda line: line.kind == "market",
    "learning": lambda line: line.kind == "learn",
    "said by agents": lambda line: line.kind in ("print", "info"),
    "yours": is_own,
}


def line_row(line: Line, width: int, is_short: bool) -> Row:
    """When, what, who, and the cause in brackets."""
    sign, ink = SIGNS.get(line.kind, ("·", "dim"))
    cause = f"({line.cause})" if line.cause else ""
    who = f"{line.agent} " if line.agent and not line.text.startswith(line.agent) else ""
    time = clock(line.time_ns, is_short)
    room = width - len(time) - 3 - (len(cause) + 1 if cause else 0)
    text = plain(line.text.replace("\n", " "))
    row: Row = [(f"{time} ", "dim"), (f"{sign} ", ink)]
    shown = cut(f"{who}{text}", max(room, 8))
    head, rest = (who, shown[len(who) :]) if who and shown.startswith(who) else ("", shown)
    body = {"error": "red", "warning": "warn"}.get(line.kind, "")
    row += [(head, "bold"), (rest, body)]
    if cause:
        row.append((f" {cause}", "you" if is_own(line) else "faint"))
    return row


class Story(Panel):
    """Newest first. Follows what happens until it is moved away from the top."""

    is_movable = True

    def __init__(self, state: State) -> None:
        self.state = state
        self.filter = "all"
        self._at = 0
        self._first = 0
        self._page = 5

    def next_filter(self) -> str:
        """Shows only another kind."""
        names = list(FILTERS)
        self.filter = names[(names.index(self.filter) + 1) % len(names)]
        self._at = self._first = 0
        return self.filter

    def lines(self) -> list[Line]:
        """What passes the filter, newest first."""
        passes = FILTERS[self.filter]
        return [line for line in reversed(self.state.lines) if passes(line)]

    @property
    def selected(self) -> Line | None:
        """The line under the cursor."""
        lines = self.lines()
        return lines[min(self._at, len(lines) - 1)] if lines else None

    def move(self, lines: int, pages: int = 0) -> bool:
        """The cursor down, to what is older."""
        last = max(len(self.lines()) - 1, 0)
        self._at = min(max(self._at + lines + pages * self._page, 0), last)
        return True

    def point(self, x: int, y: int, width: int) -> bool:
        """A click on a line."""
        if y < 0 or self._first + y >= len(self.lines()):
            return False
        self._at = self._first + y
        return True

    def draw(self, width: int, height: int) -> Picture:
        """A row per line."""
        lines = self.lines() if self.filter != "all" or self._at else self._newest(height)
        self._page = max(height, 1)
        self._at = min(self._at, max(len(lines) - 1, 0))
        self._first = min(max(self._first, self._at - height + 1, 0), self._at)
        is_short = is_coarse(self.state.intro) and width < 90
        rows = []
        for i, line in enumerate(lines[self._first : self._first + height], self._first):
            row = line_row(line, width, is_short)
            rows.append(selected(row, width) if i == self._at and self._at else row)
        if not rows:
            rows.append([("nothing has happened yet", "dim")])
        title: Row = [("events", "title")]
        if self.filter != "all":
            title.append((f"  only {self.filter}", "accent"))
        if width >= 70:
            for kind, word in (("fault", "fault"), ("market", "market"), ("error", "trouble")):
                title += [(f"  {SIGNS[kind][0]}", SIGNS[kind][1]), (f" {word}", "dim")]
        return Picture(rows, title, [("[f]", "key"), (" filter", "dim")])

    def _newest(self, many: int) -> list[Line]:
        lines = self.state.lines
        return [lines[-1 - i] for i in range(min(many, len(lines)))]
