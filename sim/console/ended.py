"""The outcome as a whole: every metric with its meaning, every column, faults, failures, books."""

from __future__ import annotations

from textwrap import wrap

from sim.console.board import Panel
from sim.console.ink import Picture, Row, cut, left, plain, right, width_of
from sim.console.outcome import cards_of, rating, star_of, value_text
from sim.console.state import State
from sim.console.story import line_row
from sim.console.words import clock, count, end_clock, is_coarse, span, speed
from sim.outcome import RULE, in_order
from sim.units import SECOND, size_text
from sim.wire.live import Frame, MetricCard

_EACH = 12
_LABEL = 30
_LINES_MAX = 200
_FACT_MAX = 12
_FAILED_MAX = 3


class Ended(Panel):
    """A long page to scroll."""

    is_movable = True

    def __init__(self, state: State) -> None:
        self.state = state
        self._first = 0
        self._page = 10

    def move(self, lines: int, pages: int = 0) -> bool:
        """Scrolls."""
        self._first = max(self._first + lines + pages * self._page, 0)
        return True

    def jump(self, is_end: bool) -> bool:
        """Top or bottom."""
        self._first = 1_000_000 if is_end else 0
        return True

    def draw(self, width: int, height: int) -> Picture:
        """All of it, from the line it is scrolled to."""
        state, frame = self.state, self.state.frame
        title: Row = [
            ("outcome", "title"),
            (f"  {state.intro.scenario}, seed {state.intro.seed}", "dim"),
        ]
        if frame is None:
            return Picture([[("no frame was seen", "dim")]], title)
        rows = [
            *self._head(frame, width),
            [],
            *self._metrics(frame, width),
            [],
            *self._story(width),
        ]
        self._page = max(height - 2, 1)
        self._first = min(self._first, max(len(rows) - height, 0))
        below = len(rows) - self._first - height
        note: Row = [(f"↓ {below} more lines ", "dim")] if below > 0 else []
        return Picture(
            rows[self._first : self._first + height], title,
            [*note, ("[Esc]", "key"), (" back", "dim")],
        )  # fmt: skip

    def _head(self, frame: Frame, width: int) -> list[Row]:
        state = self.state
        ink = {"completed": "ended", "failed": "lost"}.get(frame.status, "paused")
        real = frame.wall_seconds
        pace = f" ({speed(frame.now_ns / SECOND / real)})" if real > 0 else ""
        at = end_clock(frame.now_ns, False)
        about = f"  {span(frame.now_ns / SECOND)} in {span(real)}{pace}"
        rows: list[Row] = [[
            (f" {frame.status.upper()} ", ink), (f"  at {at}", "bold"),
            (f"{about}  {len(state.intro.agents)} agents", "dim"),
        ]]  # fmt: skip
        rows += self._why(frame, width)
        rows += _fact("messages", _equation(frame), width)
        rows += _fact("digest", frame.digest, width)
        rows += _fact("run", state.intro.directory, width)
        if frame.decisions:
            rows += _fact("real time", f"{frame.decisions} decisions, in run.log", width)
        return rows

    def _why(self, frame: Frame, width: int) -> list[Row]:
        """Who failed, when and of what: before everything else."""
        if frame.status != "failed":
            return _fact("", frame.text, width) if frame.text else []
        is_short = is_coarse(self.state.intro)
        rows: list[Row] = []
        said = ""
        failures = [
            line for line in reversed(self.state.lines)
            if line.kind == "error" and line.cause != "supervisor"
        ]  # fmt: skip
        for line in failures[:_FAILED_MAX]:
            who = f"{line.agent} at " if line.agent else "at "
            said += line.text
            rows += _fact("failed", f"{who}{clock(line.time_ns, is_short)}: {line.text}", width,
                          "red")  # fmt: skip
        if frame.text and (not rows or frame.text not in said):
            rows += _fact("because", frame.text, width, "red")
        return rows

    def _metrics(self, frame: Frame, width: int) -> list[Row]:
        columns = in_order(frame.reference)
        while columns and _LABEL + _EACH * (len(columns) + 1) > width:
            columns.remove(next((c for c in columns if c != RULE), columns[0]))
        head: Row = [(" " * _LABEL, ""), (right("run", _EACH), "bold")]
        head += [(right(c + star_of(frame, c), _EACH), "dim") for c in columns]
        rows = [head]
        for card in cards_of(self.state.intro, frame):
            rows.append(self._metric(card, frame, columns, width))
        if any(star_of(frame, column) for column in columns):
            rows.append([("* of the whole run, while the run itself is not over", "warn")])
        signs = "✓ better, ✗ worse, = within 0.5 % of rule   ↓ lower is better, ↑ higher"
        rows.append([(signs, "faint")])
        return rows

    def _metric(self, card: MetricCard, frame: Frame, columns: list[str], width: int) -> Row:
        own = frame.metrics.get(card.name)
        arrow = "↑" if card.better == "higher" else "↓"
        name = cut(card.name.replace("_", " "), _LABEL - 4)
        unit = f" {card.unit}" if card.unit else ""
        if len(name) + len(unit) > _LABEL - 3:
            unit = ""
        row: Row = [
            (f"{arrow} ", "faint"), (name, "bold" if card.objective else ""), (unit, "dim"),
            (" " * (_LABEL - 2 - len(name) - len(unit)), ""),
            (right(value_text(card.name, own), _EACH), "bold"),
        ]  # fmt: skip
        for column in columns:
            other = frame.reference[column].get(card.name)
            row.append((right(value_text(card.name, other), _EACH), "dim"))
        sign, ink = " ", ""
        if RULE in columns and not star_of(frame, RULE):
            sign, ink = rating(card, own, frame.reference[RULE].get(card.name))
        row.append((f" {sign} ", ink))
        room = width - width_of(row)
        return [*row, (left(card.help, room), "faint")] if room > 8 else row

    def _story(self, width: int) -> list[Row]:
        rows: list[Row] = []
        lines = list(self.state.lines)
        for title, kinds in (("failures", ("error",)), ("faults struck and lifted", ("fault",)),
                             ("warnings", ("warning", "stall"))):  # fmt: skip
            found = [line for line in lines if line.kind in kinds]
            if found:
                rows.append([(f"{title} ", "accent"), (f"{len(found):,}", "dim")])
                rows += [line_row(line, width, False) for line in found[:_LINES_MAX]]
                if len(found) > _LINES_MAX:
                    rows.append([(f"and {len(found) - _LINES_MAX} more, in events.jsonl", "dim")])
                rows.append([])
        return rows or [[("no faults, no failures", "dim")]]


def _fact(name: str, text: str, width: int, ink: str = "") -> list[Row]:
    """A name and what it is, in as many rows as that takes."""
    lines = [part for line in text.splitlines() for part in wrap(plain(line), max(width - 10, 8))]
    labels = [name, *[""] * len(lines)]
    return [
        [(left(label, 10), "dim"), (line, ink)]
        for label, line in zip(labels, lines[:_FACT_MAX], strict=False)
    ]


def _equation(frame: Frame) -> str:
    books = frame.books
    dropped = {k: int(v) for k, v in books.get("dropped", {}).items() if v}
    reasons = ", ".join(f"{k} {count(v)}" for k, v in dropped.items())
    sent, delivered, flying = (int(books.get(k, 0)) for k in ("sent", "delivered", "in_flight"))
    twice = int(books.get("duplicated", 0))
    copies = f" + duplicated {count(twice)}" if twice else ""
    text = f"sent {count(sent)}{copies} = delivered {count(delivered)}"
    text += f" + dropped {count(sum(dropped.values()))}{f' ({reasons})' if reasons else ''}"
    return f"{text} + in flight {count(flying)}; {size_text(books.get('bytes', 0))}"
