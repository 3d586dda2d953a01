"""The outcome of a run on one screen: figures beside their columns, faults, books, what next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.console.words import speed
from sim.outcome import GAP, Result, in_order
from sim.units import SECOND, clock_text, duration_text, number_text, size_text
from sim.worlds.world import Metric

_FAULTS_MAX: Final = 8
_FAILURES_MAX: Final = 5
_STATUS_STYLES: Final = {"completed": "bold green", "failed": "bold red"}


def number(value: float | None) -> str:
    """About four digits: `41.2`, `18,204`, `0.0031`; a dash where there is none."""
    return "-" if value is None or value != value else number_text(value)


def print_result(console: Console, result: Result, command: Sequence[str] = ()) -> None:
    """Prints everything about a run that has ended. command: words of the next one to type."""
    console.print(_headline(result))
    if result.metrics:
        if not all(_is_zero(result, name) for name in result.metrics):
            console.print(_outcome(result))
        zeros = [name.replace("_", " ") for name in result.metrics if _is_zero(result, name)]
        if zeros:
            console.print(Text(f"0 in every column: {', '.join(zeros)}", style="dim"))
    details = Table.grid(padding=(0, 2))
    details.add_column(style="dim", no_wrap=True)
    details.add_column(overflow="fold")
    _add_failures(details, result)
    _add_faults(details, result)
    details.add_row("books", books(result))
    gains = result.bytes_per_gains()
    if any(gains.values()):
        name, unit = next((n, m.unit) for n, m in result.metrics.items() if m.objective)
        over = [f"{number(v)} than {column}" for column, v in gains.items()]
        one = "unit" if not unit or unit.startswith("per ") else unit
        details.add_row("bytes sent", f"per {one} of {name} better: {', '.join(over)}")
    if result.actions:
        details.add_row("actions", _unpunctual(result.actions))
    if result.learning:
        made = result.learning["versions"]
        told = ", ".join(f"{group} up to version {version}" for group, version in made.items())
        where = "; `policy:RUN` plays it, without exploration" if told and result.run_dir else ""
        details.add_row("learned", (told or "nothing: no update came about") + where)
    if result.real_time_decisions:
        many = "s" * (result.real_time_decisions != 1)
        details.add_row("real time", f"{result.real_time_decisions} decision{many}, in run.log")
    details.add_row("digest", result.digest)
    if result.run_dir is not None:
        details.add_row("run", str(result.run_dir))
    console.print(details)
    if command:
        width = max(len(str(label)) for label in details.columns[0].cells)
        words = Text.assemble((f"{'next':{width}}  ", "dim"), (shlex.join(command), "bold cyan"))
        console.print(words, soft_wrap=True)


def _unpunctual(actions: Mapping[str, Mapping[str, int]]) -> str:
    """Whose decisions the world did not hear of in time, or not at all."""
    late, missing = (sum(counts[k] for counts in actions.values()) for k in ("late", "missing"))
    parts = [
        f"{late:,} came after the instant of their decision" if late else "",
        f"{missing:,} decision{'s' * (missing != 1)} without any" if missing else "",
    ]
    who = ", ".join(list(actions)[:3]) + ", ..." * (len(actions) > 3)
    return f"{', '.join(filter(None, parts))}: {who}"


def _headline(result: Result) -> Text:
    text = Text()
    text.append(f"{result.scenario}", style="bold")
    text.append(f"  seed {result.seed}  ")
    text.append(result.status, style=_STATUS_STYLES.get(result.status, "bold yellow"))
    seconds = result.virtual_seconds
    virtual = f"{seconds:g} s" if seconds < 60 else duration_text(round(seconds) * SECOND)
    pace = speed(result.virtual_seconds / max(result.wall_seconds, 1e-9))
    many = "es" * (result.processes != 1)
    where = f"{result.processes} process{many}" if result.processes else "this process"
    agents = f"{result.agents} agent{'s' * (result.agents != 1)}"
    text.append(f"  {virtual} in {result.wall_seconds:.1f} s ({pace})  {agents} in {where}")
    return text


def _outcome(result: Result) -> Table:
    """A row per metric, the objective first; the columns to read it against."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    table.add_column("run", justify="right", no_wrap=True, style="bold")
    columns = in_order(result.reference)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for name, metric in sorted(result.metrics.items(), key=_rank):
        if _is_zero(result, name):
            continue
        values = [result.reference[column].get(name) for column in columns]
        shown = [f"{v:.1%}" if name == GAP and v is not None else number(v) for v in values]
        own = f"{metric.value:.1%}" if name == GAP else number(metric.value)
        table.add_row(_label(name, metric), own, *shown)
    return table


def _is_zero(result: Result, name: str) -> bool:
    """Whether a metric is 0 wherever it is known: such rows become one line."""
    metric = result.metrics[name]
    values = [metric.value, *(c[name] for c in result.reference.values() if name in c)]
    return not metric.objective and name != GAP and not any(values)


def _rank(item: tuple[str, Metric]) -> int:
    name, metric = item
    return 0 if metric.objective else 1 if name == GAP else 2


def _label(name: str, metric: Metric) -> Text:
    """`cost (EUR) ↓`: the arrow says which way is better."""
    text = Text(name.replace("_", " "), style="bold" if metric.objective else "none")
    if metric.unit:
        text.append(f" ({metric.unit})", style="dim")
    text.append(" ↑" if metric.better == "higher" else " ↓", style="dim")
    return text


def _add_failures(details: Table, result: Result) -> None:
    label = "failed"
    for failure in result.agent_failures[:_FAILURES_MAX]:
        time = clock_text(round(failure["time"] * SECOND))
        text = Text(f"{failure['agent']} at {time}: {failure['cause']}", style="red")
        if failure["frames"]:
            text.append(f"\n{failure['frames']}", style="none")
        details.add_row(label, text)
        label = ""
    more = len(result.agent_failures) - _FAILURES_MAX
    if more > 0:
        details.add_row("", f"and {more} more, in summary.json")
    if result.error and not result.agent_failures:
        details.add_row("failed", Text(result.error, style="red"))


def _add_faults(details: Table, result: Result) -> None:
    label = "faults"
    for fault in result.faults[:_FAULTS_MAX]:
        time = clock_text(round(fault["time"] * SECOND))
        text = Text(f"{time}  {fault['text']}")
        if fault.get("cause", "scenario") != "scenario":
            text.append(f"  ({fault['cause']})", style="bold")
        details.add_row(label, text)
        label = ""
    more = len(result.faults) - _FAULTS_MAX
    if more > 0:
        details.add_row("", f"and {more} more, in summary.json")


def books(result: Result) -> str:
    """Where every message ended, as one equation."""
    m = result.messages
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in m["dropped"].items())
    dropped = f"{sum(m['dropped'].values()):,}" + (f" ({reasons})" if reasons else "")
    copies = f"+ duplicated {m['duplicated']:,} " if m.get("duplicated") else ""
    return (
        f"sent {m['sent']:,} {copies}= delivered {m['delivered']:,} + dropped {dropped} "
        f"+ in flight {m['in_flight']:,}   {size_text(m['bytes'])}"
    )
