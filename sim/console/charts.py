"""Figures over virtual time, one below the other on one time axis, faults marked in each."""

from __future__ import annotations

import math
from typing import Final

from sim.console.board import Panel
from sim.console.braille import Canvas, scale
from sim.console.history import DELIVERED, UP
from sim.console.ink import Picture, Row, left, right
from sim.console.state import State
from sim.console.words import clock, is_coarse, number

SPANS: Final = (1.0, 0.25, 1 / 24)
_LABEL: Final = 16
_SCALE: Final = 7


class Charts(Panel):
    """As many charts as fit; the others by moving down. Left and right change the time shown."""

    is_movable = True

    def __init__(self, state: State) -> None:
        self.state = state
        self._first = 0
        self._span = 0
        self._many = 1

    def names(self) -> list[str]:
        """What can be drawn, the most telling first."""
        samples = self.state.history.samples
        known = samples[-1].values if samples else {}
        cards = self.state.intro.metrics
        objective = [card.name for card in cards if card.objective]
        scene = [n for n in known if n not in {c.name for c in cards} and n not in (DELIVERED, UP)]
        rest = [card.name for card in cards if not card.objective]
        order = [*objective, *scene[:2], DELIVERED, *scene[2:], UP, *rest]
        return [name for name in order if name in known or name in (DELIVERED, UP)]

    def move(self, lines: int, pages: int = 0) -> bool:
        """Other figures."""
        last = max(len(self.names()) - self._many, 0)
        self._first = min(max(self._first + lines + pages * self._many, 0), last)
        return True

    def next_page(self) -> None:
        """The figures after these, or the first again."""
        is_last = self._first >= len(self.names()) - self._many
        self._first = 0 if is_last else self._first + self._many

    def turn(self, columns: int) -> bool:
        """A shorter or longer time."""
        self._span = min(max(self._span + columns, 0), len(SPANS) - 1)
        return True

    def draw(self, width: int, height: int) -> Picture:
        """Shapes: charts of equal height, then the axis."""
        state = self.state
        names = self.names()
        many = (height - 1) // 3 if height > 13 else min((height - 1) // 2, 4)
        many = min(max(many, 1), len(names))
        self._many = max(many, 1)
        self._first = min(self._first, max(len(names) - self._many, 0))
        shown = names[self._first : self._first + many]
        until = max(state.now_ns, 1)
        length = round(state.total_ns * SPANS[self._span])
        first = self._first_known(until)
        since = max(until - length, 0) if self._span else first
        until = max(until, since + length // 50) if self._span else until
        plot = max(width - _LABEL - _SCALE, 8)
        marks = self._marks(since, until, plot)
        each = max((height - 1) // max(many, 1), 1)
        rows: list[Row] = []
        for name in shown:
            rows += self._chart(name, (since, until), (plot, each), marks)
        rows += [[] for _ in range(height - 1 - len(rows))]
        rows = [*rows[: height - 1], self._axis(since, until, plot, marks)]
        said = f"last 1/{round(1 / SPANS[self._span])}" if self._span else self._whole(first)
        title: Row = [("charts", "title"), (f"  {said}  ", "dim"), ("▲", "mark"), (" fault", "dim")]
        above, below = self._first, len(names) - self._first - many
        note: Row = [(f"{above + below} more ", "dim"), ("[c]", "key")] if above + below else []
        return Picture(rows, title, note)

    def _first_known(self, until: int) -> int:
        """Since when figures are known: a console that came late has not seen the beginning."""
        samples = self.state.history.samples
        first = samples[0].now_ns if samples else 0
        is_late = max(self.state.total_ns // 100, 2 * self.state.intro.dt_ns) < first < until
        return first if is_late else 0

    def _whole(self, first: int) -> str:
        if not first:
            return "whole run so far"
        return f"since {clock(first, is_coarse(self.state.intro))}"

    def _marks(self, since: int, until: int, plot: int) -> dict[int, str]:
        found = {}
        for time, is_own in self.state.fault_times():
            if since <= time <= min(until, self.state.now_ns):
                place = min(int((time - since) / max(until - since, 1) * plot), plot - 1)
                found[place] = "you" if is_own else "warn"
        return found

    def _chart(
        self, name: str, span: tuple[int, int], size: tuple[int, int], marks: dict[int, str]
    ) -> list[Row]:
        (since, until), (plot, each) = span, size
        times, values = self.state.history.series(name, since)
        values = [v if math.isfinite(v) else math.nan for v in values]
        low, high = scale(values)
        if name == DELIVERED:
            high = 100.0
            low = min(low, 90.0)
        if name == UP:
            low, high = min(low, 0.0), max(high, float(len(self.state.intro.agents)))
        canvas = Canvas(plot, each)
        length, rise = max(until - since, 1), (high - low) or 1.0
        canvas.line([(t - since) / length for t in times], [(v - low) / rise for v in values])
        card = next((c for c in self.state.intro.metrics if c.name == name), None)
        last = next((v for v in reversed(values) if v == v), math.nan)
        unit = card.unit if card else ""
        ink = "c3" if card and card.objective else "c1" if card is None else "c2"
        labels = _labels(name, unit, last, each)
        rows = []
        for y, line in enumerate(canvas.rows()):
            tick = number(high, 3) if y == 0 else number(low, 3) if y == each - 1 > 0 else ""
            text, label_ink = labels[y]
            row: Row = [
                (left(text, _LABEL), label_ink),
                (right(tick, _SCALE - 1), "faint"),
                (" ", ""),
            ]
            rows.append([*row, *_marked(line, ink, marks)])
        return rows

    def _axis(self, since: int, until: int, plot: int, marks: dict[int, str]) -> Row:
        is_short = is_coarse(self.state.intro)
        start, end = clock(since, is_short), clock(until, is_short)
        cells: Row = [(" ", "")] * plot
        for place, ink in marks.items():
            cells[place] = ("▲", ink)
        for i, char in enumerate(start):
            if i < plot:
                cells[i] = (char, "faint")
        for i, char in enumerate(end):
            if plot - len(end) + i >= 0:
                cells[plot - len(end) + i] = (char, "faint")
        return [(" " * (_LABEL + _SCALE), ""), *cells]


def _labels(name: str, unit: str, last: float, each: int) -> list[tuple[str, str]]:
    """Name and present value, in the rows beside a chart."""
    head, value = name.replace("_", " "), number(last)
    if each == 1:
        room = _LABEL - len(value) - 2
        return [(f"{head[:room]} {value}", "")]
    return [(head, "dim"), (f"{value} {unit}".strip(), "bold"), *[("", "")] * (each - 2)]


def _marked(line: str, ink: str, marks: dict[int, str]) -> Row:
    """Dots in runs of one ink, with a thin line where a fault was and no dots are."""
    row: Row = []
    for x, char in enumerate(line):
        piece = ("┊", f"{marks[x]} dim") if char == " " and x in marks else (char, ink)
        if row and row[-1][1] == piece[1]:
            row[-1] = (row[-1][0] + piece[0], ink if piece[1] == ink else piece[1])
        else:
            row.append(piece)
    return row
