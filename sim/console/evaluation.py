"""An evaluation for people: score, metrics per column with intervals, returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.console.line import print_next
from sim.console.summary import number
from sim.learn.evaluate import SELFISH, Evaluation
from sim.learn.play import OWN, REFERENCE, SILENT
from sim.learn.statistics import NO_SCORE, Estimate
from sim.outcome import RULE

_WIDEST: Final = 1000
_HEADS: Final = {
    OWN: "policies", RULE: "rule", REFERENCE: "reference", SILENT: "silent", SELFISH: "selfish",
}  # fmt: skip
_LEAST: Final = (SILENT, SELFISH, REFERENCE, RULE)
"""Columns that go first where there is no room: what they come to is told below the table too."""


def print_evaluation(
    console: Console, found: Evaluation, cards: Mapping[str, str], command: Sequence[str]
) -> None:
    """The figures of an evaluation. cards: per metric its unit and direction, for people."""
    where = "in processes" if found.processes else "in memory"
    told = f" {found.episodes:,} episodes {where}, seed {found.seed}; held out: {found.held_out}"
    console.print(Text.assemble((f"{found.scenario} ", "bold"), told))
    if found.score is not None:
        console.print(
            Text.assemble(
                ("score ", "bold"), (_interval(found.score), "bold green"),
                ("  0 the rule, 1 the reference; interquartile mean", "dim"),
            )
        )  # fmt: skip
    elif all(found.objective in found.metrics.get(column, {}) for column in (RULE, REFERENCE)):
        console.print(Text(NO_SCORE, style="yellow"))
    console.print()
    table, left_out = _fitting(console, found, cards)
    console.print(table)
    if left_out:
        heads = ", ".join(_HEADS[column] for column in left_out)
        told = f"no room for {heads}: a wider terminal or `sim report` shows them"
        console.print(Text(told, style="dim"))
    if found.gain and not found.policies and not any(e.value for e in found.gain.values()):
        told = "everybody plays by the rule: --as 'PATTERN=policy:last' says who plays otherwise"
        console.print(Text(told, style="yellow"))
    zeros = [name.replace("_", " ") for name in found.metrics[OWN] if _is_zero(found, name)]
    if zeros:
        console.print(Text(f"0 in every column: {', '.join(zeros)}", style="dim"))
    rows = list(_returns(found))
    if rows:
        console.print(Text("\nreturns: what the agents were rewarded with", style="dim"))
    _print_rows(console, rows)
    rows = list(_further(found))
    if rows:
        console.print()
    _print_rows(console, rows)
    print_next(console, "next", command)


def _print_rows(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    console.print(grid)


def _is_zero(found: Evaluation, name: str) -> bool:
    return not any(each[name].value for each in found.metrics.values() if name in each)


def _fitting(
    console: Console, found: Evaluation, cards: Mapping[str, str]
) -> tuple[Table, list[str]]:
    """The table that fits the terminal, and the columns left out for it. Intervals stand beside
    their figures, or below them, but they always stand there.
    """
    options = console.options.update(max_width=_WIDEST)
    columns = [name for name in _HEADS if found.metrics.get(name)]
    table = _metrics(found, cards, columns, " ")
    for column in ("", *_LEAST):
        if console.measure(table, options=options).maximum <= console.width:
            break
        columns = [name for name in columns if name != column]
        table = _metrics(found, cards, columns, "\n")
    return table, [name for name in _HEADS if found.metrics.get(name) and name not in columns]


def _metrics(
    found: Evaluation, cards: Mapping[str, str], columns: Sequence[str], between: str
) -> Table:
    """Metrics per column. between: a figure and its interval."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("metrics of the world")
    for column in columns:
        table.add_column(_HEADS[column], justify="right", no_wrap=True)
    if found.gain:
        table.add_column("policies - rule", justify="right", no_wrap=True)
    for name in found.metrics[OWN]:
        if _is_zero(found, name):
            continue
        cells = [
            _interval(found.metrics[c].get(name), between if c == OWN else None) for c in columns
        ]
        gain = [_interval(found.gain.get(name), between)] if found.gain else []
        words = f"{name.replace('_', ' ')} {cards.get(name, '')}".rstrip()
        table.add_row(words, *cells, *gain)
    return table


def _returns(found: Evaluation) -> Iterator[tuple[str, str]]:
    """What the agents were paid, beside the rule's."""
    if not found.groups.get(OWN):
        return
    rule = found.groups.get(RULE, {})
    each = [
        f"{group} {number(value)}" + (f" (rule {number(rule[group])})" if group in rule else "")
        for group, value in found.groups[OWN].items()
    ]
    yield "return per agent", ", ".join(each)
    other = found.return_sum.get(RULE)
    beside = f" (rule {number(other.value)})" if other else ""
    yield found.sum_name, _interval(found.return_sum[OWN]) + beside
    if found.fairness_of_gains is not None:
        losers = f"; {len(found.losers)} earn less" if found.losers else ""
        told = f"{found.fairness_of_gains:.3f}, Jain's index of returns above the rule's{losers}"
        yield "fairness of gains", told


def _further(found: Evaluation) -> Iterator[tuple[str, str]]:
    """What else is known of the whole."""
    if found.cooperation is not None:
        yield "cooperation", f"{found.cooperation:.3f}"
    if found.communication is not None and found.communication_per_byte is not None:
        worth = f"{_interval(found.communication)} of {found.objective.replace('_', ' ')}"
        per_byte = f"{found.communication_per_byte:.3g} per byte, {number(found.bytes)} bytes"
        yield "messages", f"worth {worth}: {per_byte}"
    if found.run:
        yield "run", found.run


def _interval(estimate: Estimate | None, between: str | None = " ") -> str:
    """A figure and its interval. between: the two; None leaves the interval out."""
    if estimate is None:
        return "-"
    if between is None or estimate.low == estimate.high:
        return number(estimate.value)
    return f"{number(estimate.value)}{between}[{number(estimate.low)}, {number(estimate.high)}]"
