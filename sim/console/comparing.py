"""Several runs side by side in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.console.summary import number
from sim.outcome import GAP
from sim.store.difference import Difference

_KEYS_MAX = 20


def print_comparison(console: Console, found: Difference) -> None:
    """Outcome per run with its difference to the first, then what differs, then warnings."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    for label in found.labels:
        table.add_column(label, justify="right", overflow="fold")
    table.add_row("status", *(run.status for run in found.runs))
    table.add_row("seed", *(str(run.seed) for run in found.runs))
    zeros = []
    for name, values in found.metrics.items():
        card = found.cards.get(name)
        if not any(values) and not (card and card.objective):
            zeros.append(name.replace("_", " "))
            continue
        words = Text(name.replace("_", " "), style="bold" if card and card.objective else "none")
        if card:
            words.append(f" ({card.unit})" if card.unit else "", style="dim")
            words.append(" ↑" if card.better == "higher" else " ↓", style="dim")
        table.add_row(words, *(_cell(found, name, i) for i in range(len(values))))
    console.print(table)
    if zeros:
        console.print(Text(f"0 in every run: {', '.join(zeros)}", style="dim"))
    _print_settings(console, found)
    _print_commands(console, found)
    for warning in found.warnings:
        console.print(Text(f"! {warning}", style="yellow"))


def _cell(found: Difference, name: str, run: int) -> Text:
    value = found.metrics[name][run]
    shown = f"{value:.1%}" if name == GAP and value is not None else number(value)
    by, share = found.change(name, run)
    if not run or not by:
        return Text(shown)
    is_better = found.is_better(name, run)
    style = "dim" if is_better is None else "green" if is_better else "red"
    change = f"{share:+.1%}" if share is not None else f"{by:+.4g}"
    return Text.assemble(shown, (f" {change}", style))


def _print_settings(console: Console, found: Difference) -> None:
    if not found.settings:
        console.print(Text("the scenarios are equal", style="dim"))
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("what differs", overflow="fold")
    for label in found.labels:
        table.add_column(label, overflow="fold")
    for name, values in list(found.settings.items())[:_KEYS_MAX]:
        table.add_row(name, *values)
    console.print()
    console.print(table)
    more = len(found.settings) - _KEYS_MAX
    if more > 0:
        console.print(Text(f"and {more} more keys, on the page", style="dim"))


def _print_commands(console: Console, found: Difference) -> None:
    if not any(found.commands):
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("by hand in", overflow="fold")
    table.add_column("when and what", overflow="fold")
    for label, commands in zip(found.labels, found.commands, strict=True):
        more = len(commands) - _KEYS_MAX
        lines = [*commands[:_KEYS_MAX], *([f"and {more} more, on the page"] if more > 0 else [])]
        table.add_row(label, Text("\n".join(lines) or "none"))
    console.print()
    console.print(table)
