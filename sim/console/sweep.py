"""A sweep for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.console.line import print_next
from sim.console.summary import number
from sim.learn.sweep import Series, Sweep
from sim.store.rundir import run_name


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
            table.add_column(line.label or "mean", justify="right")
        for i, value in enumerate(first.values):
            cells = [f"{number(line.mean[i])} ± {number(line.half[i])}" for line in each]
            table.add_row(value, *cells)
        words = f"{metric} {card.unit}".rstrip()
        told = "± 95 % within seeds, which compares settings and bounds no values"
        seeds = f"mean of {len(sweep.seeds):,} seeds {told}"
        if len(sweep.seeds) == 1:
            seeds = "of one seed, so without an interval"
        head = Text.assemble((f"{words}, {card.better} is better", "bold"), (f"  {seeds}", "dim"))
        console.print(head)
        console.print(table)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if figure is not None:
        grid.add_row("figure", str(figure))
    grid.add_row("run", str(folder))
    console.print(grid)
    print_next(console, "next", ["sim", "report", str(run_name(folder))])
