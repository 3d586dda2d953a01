"""The outcome as a whole: every metric with its meaning, every column, faults, failures, books."""

from __future__ import annotations

from sim.console.board import Panel
from sim.console.ink import Picture, Row, cut, left, plain, right
from sim.console.outcome import cards_of, columns_of, rating, value_text
from sim.console.state import State
from sim.console.story import line_row
from sim.console.words import bytes_text, clock, count, span, speed
from sim.outcome import RULE
from sim.units import SECOND
from sim.wire.live import Frame, MetricCard

_EACH = 12
_LINES_MAX = 200


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
        rows = [*self._head(frame), [], *self._metrics(frame, width), [], *self._story(width)]
        self._page = max(height - 2, 1)
        self._first = min(self._first, max(len(rows) - height, 0))
        below = len(rows) - self._first - height
        note: Row = [(f"↓ {below} more lines ", "dim")] if below > 0 else []
        return Picture(
            rows[self._first : self._first + height], title,
            [*note, ("[Esc]", "key"), (" back", "dim")],
        )  # fmt: skip

    def _head(self, frame: Frame) -> list[Row]:
        state = self.state
        ink = {"completed": "ended", "failed": "lost"}.get(frame.status, "paused")
        real = frame.wall_seconds
        pace = f" ({speed(frame.now_ns / SECOND / real)})" if real > 0 else ""
        first: Row = [
            (f" {frame.status.upper()} ", ink), (f"  at {clock(frame.now_ns)}", "bold"),
            (f"  {span(frame.now_ns / SECOND)} of virtual time in {span(real)}{pace}", "dim"),
            (f"  {len(state.intro.agents)} agents", "dim"),
        ]  # fmt: skip
        rows: list[Row] = [first]
        if frame.text:
            rows.append(
                [(plain(frame.text.partition("\n")[0]), "red" if frame.status == "failed" else "")]
            )
        books = frame.books
        dropped = {k: int(v) for k, v in books.get("dropped", {}).items() if v}
        reasons = ", ".join(f"{k} {count(v)}" for k, v in dropped.items())
        sent, delivered, flying = (int(books.get(k, 0)) for k in ("sent", "delivered", "in_flight"))
        text = f"sent {count(sent)} = delivered {count(delivered)}"
        text += f" + dropped {count(sum(dropped.values()))}{f' ({reasons})' if reasons else ''}"
        text += f" + in flight {count(flying)}   {bytes_text(books.get('bytes', 0))}"
        rows.append([("messages  ", "dim"), (text, "")])
        rows.append([("digest    ", "dim"), (frame.digest, "")])
        if state.intro.directory:
            rows.append([("run       ", "dim"), (state.intro.directory, "")])
        if frame.decisions:
            rows.append([("real time ", "dim"), (f"{frame.decisions} decisions, in run.log", "")])
        return rows

    def _metrics(self, frame: Frame, width: int) -> list[Row]:
        columns = columns_of(frame)
        while columns and 30 + _EACH * (len(columns) + 1) > width:
            columns.remove(next((c for c in columns if c != RULE), columns[0]))
        label = 30
        head: Row = [(" " * label, ""), (right("run", _EACH), "bold")]
        head += [(right(c + "*" * (c in frame.whole), _EACH), "dim") for c in columns]
        rows = [head]
        for card in cards_of(self.state.intro, frame):
            rows.append(self._metric(card, frame, columns, (label, width)))
        if frame.whole and not self.state.is_over:
            rows.append([("* of the whole run, while the run itself is not over", "warn")])
        rows.append(
            [("✓ better, ✗ worse, = within 0.5 % of rule   ↓ lower is better, ↑ higher", "faint")]
        )
        return rows

    def _metric(
        self, card: MetricCard, frame: Frame, columns: list[str], size: tuple[int, int]
    ) -> Row:
        label, width = size
        own = frame.metrics.get(card.name)
        arrow = "↑" if card.better == "higher" else "↓"
        name = card.name.replace("_", " ")
        unit = f" {card.unit}" if card.unit else ""
        row: Row = [
            (f"{arrow} ", "faint"), (cut(name, label - 4), "bold" if card.objective else ""),
            (unit if len(name) + len(unit) <= label - 3 else "", "dim"),
        ]  # fmt: skip
        row.append((" " * (label - sum(len(text) for text, _ in row)), ""))
        row.append((right(value_text(card.name, own), _EACH), "bold"))
        for column in columns:
            other = frame.reference[column].get(card.name)
            row.append((right(value_text(card.name, other), _EACH), "dim"))
        if RULE in columns and (self.state.is_over or RULE not in frame.whole):
            sign, ink = rating(card, own, frame.reference[RULE].get(card.name))
            row.append((f" {sign} ", ink))
        else:
            row.append(("   ", ""))
        room = width - sum(len(text) for text, _ in row)
        if room > 8:
            row.append((left(card.help, room), "faint"))
        return row

    def _story(self, width: int) -> list[Row]:
        rows: list[Row] = []
        lines = list(self.state.lines)
        for title, kinds in (("failures", ("error",)), ("faults", ("fault",)),
                             ("warnings", ("warning", "stall"))):  # fmt: skip
            found = [line for line in lines if line.kind in kinds]
            if found:
                rows.append([(f"{title} ", "accent"), (f"{len(found):,}", "dim")])
                rows += [line_row(line, width, False) for line in found[:_LINES_MAX]]
                if len(found) > _LINES_MAX:
                    rows.append([(f"and {len(found) - _LINES_MAX} more, in events.jsonl", "dim")])
                rows.append([])
        return rows or [[("no faults, no failures", "dim")]]
