"""The page of a sweep: its curves, and their numbers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from sim.errors import CheckpointError
from sim.report.colours import COLOURS
from sim.report.drawing import WIDTH, draw
from sim.report.page import Cell, Raw, facts, figure, join, page, section, table, tag
from sim.report.words import number, plain
from sim.store.rundata import RunData

KIND: Final = "sweep"


def report(data: RunData) -> str:
    """The page's text. Raises: CheckpointError if the sweep did not come to its end."""
    found = data.summary
    if not found:
        raise CheckpointError(
            f"{data.path} did not come to its end; `sim sweep --resume {data.path.name}` goes on"
        )
    axes: dict[str, list[str]] = found["axes"]
    first = next(iter(axes))
    sections = [
        section(plain(metric).capitalize(), *_metric(metric, lines, first, axes[first]))
        for metric, lines in found["metrics"].items()
    ]
    known = data.manifest.get("sweep", {})
    seeds, metrics = int(known.get("seeds", 0)), list(found["metrics"])
    pairs: list[tuple[str, Cell, str]] = [
        ("scenario", data.name, ""),
        ("runs", f"{found['runs']:,}", ""),
        ("settings", f"{found['runs'] // seeds:,}" if seeds else "", ""),
        ("seeds of each", f"{seeds:,}, held out, of seed {data.seed}" if seeds else "", ""),
        (f"metric{'s' * (len(metrics) > 1)}", ", ".join(map(plain, metrics)), ""),
        *((path, ", ".join(values), "wide") for path, values in axes.items()),
    ]
    if known:
        sections.append(section("Repeat", *_commands(data, known, metrics)))
    parts = [tag("p", "sweep", "kicker"), tag("h1", data.name), facts(pairs)]
    return page(f"{data.name}, swept", tag("header", join(parts)), sections, str(data.path))


def _commands(data: RunData, known: Mapping[str, Any], metrics: Sequence[str]) -> list[Cell]:
    """What runs it once more, and what draws it again from its table."""
    again = ["sim", "sweep", str(data.path / "scenario.yaml"), "--seeds", str(known["seeds"])]
    again += [word for text in known["vary"] for word in ("--vary", text)]
    drawn = ["sim", "sweep", "--resume", str(data.path)]
    shown = ["--metric", ",".join(metrics)]
    lines = [shlex.join([*again, *shown]), shlex.join([*drawn, *shown, "--figure", "sweep.pdf"])]
    return [tag("pre", "\n".join(lines), "commands")]


def _metric(metric: str, lines: list[dict[str, Any]], path: str, values: list[str]) -> list[Cell]:
    rows: list[list[Cell]] = [
        [value, *(f"{number(line['mean'][i])} ± {number(line['half'][i])}" for line in lines)]
        for i, value in enumerate(values)
    ]
    heads: list[Cell] = [path, *(line["label"] or "mean, 95 % within seeds" for line in lines)]
    return [figure(_curve(metric, lines, path)), table(heads, rows, range(1, len(heads)))]


def _curve(metric: str, lines: list[dict[str, Any]], path: str) -> Raw:
    def make() -> Figure:
        drawn = Figure((WIDTH, 3.6))
        axes = drawn.add_axes((0.06, 0.14, 0.92, 0.8))
        for line, colour in zip(lines, COLOURS, strict=False):
            x, mean, half = (np.asarray(line[key], dtype=float) for key in ("x", "mean", "half"))
            axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.16, lw=0)
            axes.plot(x, mean, color=colour, marker="o", ms=4, label=line["label"])
        axes.set_xlabel(path, loc="right")
        axes.margins(x=0.03)
        if len(lines) > 1:
            axes.legend(frameon=False)
        return drawn

    return draw(f"sweep-{metric}", f"{plain(metric)} by {path}", make)
