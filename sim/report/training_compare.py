"""Several training runs on one page: their courses over each other, and what they were given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sim.learn.judged import best_known, evaluations_of
from sim.learn.logs import read_logs
from sim.report.colours import COLOURS
from sim.report.curves import Panel, figures, is_still, wide
from sim.report.evaluation import interval
from sim.report.page import Cell, Raw, figure, join, key, page, section, table, tag
from sim.report.settings import settings
from sim.report.training import COUNTS, course, end_of, names_of
from sim.report.words import number, plain, span
from sim.store.difference import Difference


def comparison(found: Difference) -> str:
    """The page's text. Raises: CheckpointError if a course cannot be read."""
    tables = [read_logs(run.path) for run in found.runs]
    title = f"{len(tables)} training runs of {' and '.join({run.name: 0 for run in found.runs})}"
    head = [
        tag("p", "comparison of training runs", "kicker"),
        tag("h1", title),
        key(zip(COLOURS, found.labels, strict=False)),
    ]
    sections = [
        section("Runs", _runs(found)),
        section("Learning curves", *_curves(found.labels, tables, ("team_return", "reward"))),
        section("Everything else", *_curves(found.labels, tables, ())),
        section("What differs", *settings(found)),
    ]
    paths = "  ·  ".join(str(run.path) for run in found.runs)
    return page(title, tag("header", join(head)), sections, paths)


def _runs(found: Difference) -> Raw:
    rows: list[list[Cell]] = []
    for i, (run, label) in enumerate(zip(found.runs, found.labels, strict=True)):
        summary, dot = run.summary, tag("i", "", style=f"background:{COLOURS[i]}")
        groups = summary.get("groups") or run.manifest.get("groups", {})
        score: dict[str, Any] | None = best_known(evaluations_of(run.path)).get("score")
        rows.append(
            [tag("span", dot, "key"), label, run.name, str(run.seed), run.status,
             ", ".join(f"{group}: {who}" for group, who in groups.items()),
             f"{summary.get('frames', 0):,}", span(float(summary.get("wall_seconds", 0.0))),
             number(summary.get("team_return")), interval(score)]
        )  # fmt: skip
    heads = ["", "run", "scenario", "seed", "status", "trains", "frames", "took", "team return",
             "score"]  # fmt: skip
    return tag("div", table(heads, rows, [3, 6, 7, 8, 9]), "scroll")


def _curves(
    labels: Sequence[str], tables: Sequence[pd.DataFrame], large: Sequence[str]
) -> list[Cell]:
    """Pictures of the figures named in `large`; or, if none is, of all others that any run has."""
    end = max(end_of(table) for table in tables)
    known = dict.fromkeys(name for table in tables for name in names_of(table))
    wanted = large or [n for n in known if n not in ("team_return", "reward", "seconds")]
    panels = []
    for name in wanted:
        curves = [
            curve
            for label, table, colour in zip(labels, tables, COLOURS, strict=False)
            for curve in course(table, name, label if large else "", colour, raw=False)
        ]
        values = [table[name].dropna() for table in tables if name in table]
        if curves and not is_still(pd.concat(values).to_numpy(dtype=float)):
            panels.append(Panel(plain(name), curves))
    if large:
        return [
            figure(wide(f"large{i}", panel, end, counts=COUNTS)) for i, panel in enumerate(panels)
        ]
    return [*figures("small", panels, end, counts=COUNTS)]
