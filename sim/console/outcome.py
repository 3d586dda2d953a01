"""The outcome so far, beside the columns without which its numbers mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sim.console.board import ScrolledPanel
from sim.console.ink import Picture, Row, cut, join, left, right
from sim.console.learning import learning_rows
from sim.console.state import ENDED, State
from sim.console.words import number, short_number
from sim.outcome import BOUNDS, GAP, NO_CONTROL, RULE, in_order
from sim.wire.live import Frame, Intro, MetricCard

_SHORT: Final = {NO_CONTROL: "nobody", "optimum": "best"}
_GAP_CARD: Final = MetricCard(
    GAP, "", "lower", False, "0 at the bound, 100 % as good as no control at all"
)


def cards_of(intro: Intro, frame: Frame) -> list[MetricCard]:
    """Metrics in the order shown: the objective, the gap, the rest; unknown ones last."""
    cards = sorted(intro.metrics, key=lambda card: not card.objective)
    names = {card.name for card in cards}
    more = [
        _GAP_CARD if name == GAP else MetricCard(name, "", "lower", False, "")
        for name in frame.metrics
        if name not in names
    ]
    objectives = sum(card.objective for card in cards)
    gap = [card for card in more if card.name == GAP]
    rest = [card for card in more if card.name != GAP]
    return [*cards[:objectives], *gap, *cards[objectives:], *rest]


def is_zero(frame: Frame, card: MetricCard) -> bool:
    """Whether a metric is 0 wherever it is known, so that it says nothing yet."""
    values = [frame.metrics.get(card.name, 0.0)]
    values += [column.get(card.name, 0.0) for column in frame.reference.values()]
    return not card.objective and card.name != GAP and not any(values)


def value_text(name: str, value: float | None, digits: int = 4) -> str:
    """A number; the gap in percent."""
    if name == GAP and value is not None and value == value:
        return f"{100 * value:.1f} %"
    return number(value, digits)


def rating(card: MetricCard, own: float | None, other: float | None) -> tuple[str, str]:
    """A sign and its ink: whether the run is better or worse than a column."""
    if own is None or other is None or own != own or other != other:
        return " ", ""
    if abs(own - other) <= 1e-9 + 0.005 * max(abs(own), abs(other)):
        return "=", "dim"
    is_better = own < other if card.better == "lower" else own > other
    return ("✓", "good") if is_better else ("✗", "red")


class Outcome(ScrolledPanel):
    """A row per metric, the objective first."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state

    def draw(self, width: int, height: int) -> Picture:
        """Shapes: one row of headings, one per metric, one of counts."""
        frame = self.state.frame
        title: Row = [("outcome", "title"), (" so far", "dim")]
        if self.state.is_over:
            title = [("outcome", "title")]
        if frame is None:
            return Picture([[("waiting for the first frame", "dim")]], title)
        columns = in_order(frame.reference)
        each = 10 if width >= 48 else 7
        columns = _fitting(columns, (width - 15 - each) // each)
        label = width - each * (1 + len(columns)) - 2
        rows = [_heading(columns, frame, label, each)]
        cards = [card for card in cards_of(self.state.intro, frame) if not is_zero(frame, card)]
        zeros = len(frame.metrics) - len(cards)
        notes = [
            *learning_rows(self.state.learned, width),
            *self._notes(frame, columns, zeros, width),
        ]
        room = max(height - 1 - len(notes), 1)
        seen, hidden = self.seen(len(cards), room)
        for card in cards[seen]:
            rows.append(_metric(card, frame, columns, label, each))
        rows += [[] for _ in range(height - len(rows) - len(notes))]
        return Picture([*rows, *notes][:height], title, hidden)

    def _notes(self, frame: Frame, columns: Sequence[str], zeros: int, width: int) -> list[Row]:
        agents = frame.agents
        in_force = "faults in force" if width >= 44 else "faults now"
        figures = {
            in_force: len(frame.faults), "restarts": sum(agents.restarts), "late": sum(agents.late),
            "missing": sum(agents.missing),
        }  # fmt: skip
        parts: list[Row] = [
            [(f"{name} ", "dim"), (f"{value:,}", "warn" if value else "")]
            for name, value in figures.items()
        ]
        if zeros and width >= 48:
            parts.append([(f"{zeros} metrics at 0", "faint")])
        notes = [join(parts, width, "  ")]
        whole = [name for name in columns if name in frame.whole]
        if whole and not self.state.is_over:
            text = f"* of the whole run: {', '.join(whole)}"
            notes.append([(text[:width], "warn")])
        return notes


def _fitting(columns: list[str], many: int) -> list[str]:
    """The columns that say most, if not all have room: rule, then the bound."""
    if len(columns) <= many:
        return columns
    weight = {RULE: 0, **dict.fromkeys(BOUNDS, 1), NO_CONTROL: 2}
    kept = sorted(columns, key=lambda name: weight.get(name, 3))[: max(many, 0)]
    return [name for name in columns if name in kept]


def _heading(columns: Sequence[str], frame: Frame, label: int, each: int) -> Row:
    row: Row = [(" " * label, ""), (right("run", each), "bold")]
    for name in columns:
        star = star_of(frame, name)
        is_long = len(name) + len(star) >= each
        shown = cut(_SHORT.get(name, name) if is_long else name, each - 1 - len(star)) + star
        row.append((right(shown, each), "warn" if star else "dim"))
    return row


def star_of(frame: Frame, column: str) -> str:
    """Marks a column of the whole run beside a run that is not over."""
    return "*" * (column in frame.whole and frame.status not in ENDED)


def _metric(card: MetricCard, frame: Frame, columns: Sequence[str], label: int, each: int) -> Row:
    own = frame.metrics.get(card.name)
    name, unit = card.name.replace("_", " "), f" {card.unit}" if card.unit else ""
    arrow = "↑" if card.better == "higher" else "↓"
    if len(name) + len(unit) + 2 > label:
        unit = ""
    shown = left(name, min(len(name), label - 2))
    row: Row = [(shown, "bold" if card.objective else ""), (unit, "dim"), (f" {arrow}", "faint")]
    row.append((" " * (label - len(shown) - len(unit) - 2), ""))
    row.append((right(_fitting_text(card.name, own, each), each), "bold"))
    for column in columns:
        other = _fitting_text(card.name, frame.reference[column].get(card.name), each)
        row.append((right(other, each), "dim"))
    if RULE in columns and not star_of(frame, RULE):
        sign, sign_ink = rating(card, own, frame.reference[RULE].get(card.name))
        row.append((f" {sign}", sign_ink))
    return row


def _fitting_text(name: str, value: float | None, each: int) -> str:
    """With as many digits as leave a space before it."""
    text = value_text(name, value)
    if len(text) < each:
        return text
    if name == GAP and value is not None:
        text = f"{100 * value:.0f} %"
        return text if len(text) < each else f"{short_number(100 * value, each - 3)} %"
    return short_number(value, each - 1)
