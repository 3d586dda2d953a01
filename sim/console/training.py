"""Training and evaluation for people: what is trained by what, one live line, what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sim.clock import monotonic
from sim.console.summary import number
from sim.learn.evaluate import SELFISH, Evaluation
from sim.learn.plan import Plan
from sim.learn.play import OWN, REFERENCE, SILENT
from sim.learn.presets import PRESETS
from sim.learn.record import Rollout
from sim.learn.statistics import Estimate
from sim.learn.sweep import Series, Sweep
from sim.learn.train import Outcome, Progress
from sim.outcome import RULE

_PLAIN_SECONDS: Final = 10.0
_WIDEST: Final = 1000
_SHOWN: Final = ("policy_loss", "value_loss", "q_loss", "entropy", "approx_kl")
"""Figures of a learner that fit a line, as far as it has them."""
_STYLES: Final = {"completed": "bold green", "failed": "bold red"}
_HEADS: Final = {
    OWN: "policies", RULE: "rule", REFERENCE: "reference", SILENT: "silent", SELFISH: "selfish",
}  # fmt: skip


def span(seconds: float | None) -> str:
    """A duration for people: 42 s, 7 min 20 s, 3 h 05 min."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 90:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def print_plan(console: Console, plan: Plan, rollout: Rollout, device: str, run: str) -> None:
    """What is trained by what, on which rollout and why."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for preset in dict.fromkeys(plan.groups.values()):
        sides = [side for side in rollout.sides if plan.groups[side.group] == preset]
        who = ", ".join(f"{side.group} ({len(side.agents)})" for side in sides)
        grid.add_row("trains", f"{who} by {preset}: {PRESETS[preset]}")
    many = "copies" if rollout.copies != 1 else "copy"
    grid.add_row("rollout", f"{rollout.kind}, {rollout.copies:,} {many}: {rollout.reason}")
    grid.add_row("on", device)
    grid.add_row("frames", f"{plan.spec.frames:,}")
    if plan.spec.train_days is not None:
        grid.add_row("days", " to ".join(plan.spec.train_days))
    grid.add_row("run", run)
    console.print(grid)


class _Line:
    """A place on the terminal that changes, if it can. Use as a context manager."""

    def __init__(self, console: Console, is_live: bool) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.update(Text(""), refresh=True)
            self._live.stop()


class TrainingDisplay(_Line):
    """Shows the progress it is called with. Use as a context manager.

    is_live: lines that change; otherwise a plain line about every ten seconds.
    """

    def __init__(self, name: str, console: Console, is_live: bool) -> None:
        super().__init__(console, is_live)
        self._name = name
        self._due = 0.0
        self._is_stopping = False
        self._has_rate = False

    def __call__(self, progress: Progress) -> None:
        """Takes news."""
        if not self._has_rate:
            self._has_rate = True
            words = f"{progress.rate:,.0f} frames per second, {span(progress.left)} to go"
            self._console.print(Text(words, style="dim"))
        if progress.is_stopping and not self._is_stopping:
            self._is_stopping = True
            self._console.print("Ctrl-C: keeps a checkpoint and ends; again ends at once")
        if self._live:
            self._live.update(self._lines(progress), refresh=True)
        elif monotonic() >= self._due:
            self._due = monotonic() + _PLAIN_SECONDS
            self._console.print(self._words(progress), soft_wrap=True)

    def _words(self, progress: Progress) -> Text:
        share = min(progress.frames / progress.total, 1.0)
        text = Text(f"{self._name} ", style="bold")
        text.append(f" {progress.frames:,} frames {share:.0%}", style="none")
        text.append(f"  {progress.rate:,.0f}/s", style="cyan")
        if progress.returns is not None:
            text.append(f"  return {number(progress.returns)}", style="green")
        if progress.score is not None:
            text.append(f"  score {progress.score:.2f}", style="bold green")
        text.append(f"  left {span(progress.left)}", style="dim")
        text.append(f"  reward {number(progress.reward)}", style="dim")
        return text

    def _lines(self, progress: Progress) -> Group:
        bar = ProgressBar(total=progress.total, completed=progress.frames, width=40)
        figures = [
            f"{name} {number(value)}"
            for name, value in progress.figures.items()
            if name.rpartition("/")[2] in _SHOWN
        ]
        kept = f"checkpoint at {progress.checkpoint:,}" if progress.checkpoint > 0 else ""
        below = Text("   ".join([*figures[:6], kept]), style="dim", overflow="ellipsis")
        below.no_wrap = True
        rows = Table.grid()
        for row in (bar, below):
            rows.add_row(row)
        words = self._words(progress)
        words.no_wrap, words.overflow = True, "ellipsis"
        return Group(words, rows)


def print_outcome(console: Console, outcome: Outcome, commands: Sequence[Sequence[str]]) -> None:
    """How training ended, and what to type next."""
    text = Text(f"{outcome.scenario} ", style="bold")
    text.append(f" {outcome.status}", style=_STYLES.get(outcome.status, "bold yellow"))
    text.append(f"  {outcome.reason}", style="none")
    console.print(text)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if outcome.error:
        grid.add_row("error", Text(outcome.error, style="red"))
    rate = f", {outcome.frames / outcome.seconds:,.0f} per second" if outcome.seconds else ""
    grid.add_row(
        "frames", f"{outcome.frames:,} of {outcome.total:,} in {span(outcome.seconds)}{rate}"
    )
    if outcome.returns is not None:
        grid.add_row("return", f"{number(outcome.returns)} of the newest episodes")
    kept = f"at frame {outcome.checkpoint:,}" if outcome.checkpoint >= 0 else "none yet"
    grid.add_row("checkpoint", kept)
    grid.add_row("run", str(outcome.run_dir))
    console.print(grid)
    for i, words in enumerate(commands):
        _print_next(console, "next" if i == 0 else "", words)


def _print_next(console: Console, label: str, words: Sequence[str]) -> None:
    """A command to type, on one line however long, so that it can be copied."""
    text = Text.assemble((f"{label:12}", "dim"), (shlex.join(words), "bold cyan"))
    console.print(text, soft_wrap=True)


# --- evaluation ---------------------------------------------------------------------------------


class Counting(_Line):
    """A line that counts what is done. Use as a context manager."""

    def __init__(self, what: str, console: Console, is_live: bool) -> None:
        super().__init__(console, is_live)
        self._what = what
        self._began = monotonic()

    def __call__(self, done: float, total: int) -> None:
        """Takes news."""
        if self._live:
            left = (monotonic() - self._began) / done * (total - done) if done else None
            text = Text(f"{self._what} {int(done):,} of {total:,}  left {span(left)}")
            self._live.update(text, refresh=True)


def print_evaluation(
    console: Console, found: Evaluation, cards: Mapping[str, str], command: Sequence[str]
) -> None:
    """The figures of an evaluation. cards: per metric its unit and direction, for people."""
    head = Text(f"{found.scenario} ", style="bold")
    days = f", days {' to '.join(found.days)}" if found.days else ""
    where = "in processes" if found.processes else "in memory"
    head.append(f" {found.episodes} held-out episodes {where}{days}", style="none")
    console.print(head)
    if found.score is not None:
        console.print(
            Text.assemble(
                ("score ", "bold"), (_interval(found.score), "bold green"),
                ("   0 is the rule, 1 the reference; interquartile mean, 95 %", "dim"),
            )
        )  # fmt: skip
    table = _metrics(found, cards)
    if (
        console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
        > console.width
    ):
        table = _metrics(found, cards, is_short=True)
    console.print(table)
    zeros = [
        name.replace("_", " ")
        for name in found.metrics[OWN]
        if not any(each[name].value for each in found.metrics.values() if name in each)
    ]
    if zeros:
        console.print(Text(f"0 in every column: {', '.join(zeros)}", style="dim"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _rows(found):
        grid.add_row(label, value)
    console.print(grid)
    _print_next(console, "next", command)


def _metrics(found: Evaluation, cards: Mapping[str, str], is_short: bool = False) -> Table:
    """Metrics per column. is_short: without intervals."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    columns = [name for name in _HEADS if name in found.metrics]
    table.add_column("")
    for column in columns:
        table.add_column(_HEADS[column], justify="right", no_wrap=True)
    if found.gain:
        table.add_column("policies - rule", justify="right", no_wrap=True)
    for name in found.metrics[OWN]:
        if not any(found.metrics[c][name].value for c in columns if name in found.metrics[c]):
            continue
        cells = [_interval(found.metrics[c].get(name), is_short or c != OWN) for c in columns]
        gain = [_interval(found.gain.get(name), is_short)] if found.gain else []
        table.add_row(f"{name} {cards.get(name, '')}".rstrip(), *cells, *gain)
    return table


def _rows(found: Evaluation) -> list[tuple[str, str]]:
    rows = []
    if found.groups.get(OWN):
        rule = found.groups.get(RULE, {})
        words = [
            f"{group} {number(value)}" + (f" (rule {number(rule[group])})" if group in rule else "")
            for group, value in found.groups[OWN].items()
        ]
        rows.append(("returns", ", ".join(words)))
        welfare = f"{_interval(found.welfare[OWN])}"
        other = found.welfare.get(RULE)
        rows.append(("welfare", welfare + (f", rule {number(other.value)}" if other else "")))
    if found.fairness is not None:
        losers = f"; {len(found.losers)} lose" if found.losers else ""
        rows.append(("fairness", f"{found.fairness:.3f} of the gains over the rule{losers}"))
    if found.cooperation is not None:
        rows.append(("cooperation", f"{found.cooperation:.3f}"))
    if found.communication is not None and found.communication_per_byte is not None:
        worth = f"{_interval(found.communication)} of {found.objective.replace('_', ' ')}"
        per_byte = f"{found.communication_per_byte:.3g} per byte, {number(found.bytes)} bytes"
        rows.append(("messages", f"worth {worth}: {per_byte}"))
    if found.run:
        rows.append(("run", found.run))
    return rows


def _interval(estimate: Estimate | None, is_short: bool = False) -> str:
    if estimate is None:
        return "-"
    if is_short or estimate.low == estimate.high:
        return number(estimate.value)
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


# --- sweep --------------------------------------------------------------------------------------


def print_sweep(
    console: Console,
    sweep: Sweep,
    lines: Mapping[str, Sequence[Series]],
    folder: Path,
    figure: Path | None,
) -> None:
    """Per metric a row per value of the first axis, a column per line: mean and half interval."""
    first = sweep.axes[0]
    for metric, each in lines.items():
        card = sweep.cards[metric]
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column(first.path)
        for line in each:
            table.add_column(line.label or "mean, 95 %", justify="right")
        for i, value in enumerate(first.values):
            cells = [f"{number(line.mean[i])} ± {number(line.half[i])}" for line in each]
            table.add_row(value, *cells)
        console.print(Text(f"{metric} {card.unit}, {card.better} is better", style="bold"))
        console.print(table)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if figure is not None:
        grid.add_row("figure", str(figure))
    grid.add_row("run", str(folder))
    console.print(grid)
