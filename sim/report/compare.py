"""`sim compare`: several runs side by side on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from sim.errors import CheckpointError
from sim.outcome import GAP
from sim.report import training, training_compare
from sim.report.cells import strip
from sim.report.colours import COLOURS
from sim.report.curves import Curve, Panel, figures, is_still, wide
from sim.report.outcome import metric_label
from sim.report.page import Cell, Raw, figure, join, key, page, save, section, table, tag
from sim.report.settings import settings
from sim.report.strikes import strikes
from sim.report.words import number, percent, plain, span
from sim.store.difference import Difference, differences
from sim.store.rundata import RunData

FILE: Final = "comparison.html"


def compare_runs(runs: Sequence[str | Path | RunData] | Difference, out: str | Path = FILE) -> Path:
    """The page of several runs. Raises: ScenarioError for less than two; SimError."""
    found = runs if isinstance(runs, Difference) else differences(runs)
    is_training = all(run.kind == training.KIND for run in found.runs)
    text = training_compare.comparison(found) if is_training else comparison(found)
    return save(Path(out), text)


def comparison(found: Difference) -> str:
    """The page's text."""
    names = list(dict.fromkeys(run.name for run in found.runs))
    title = f"{len(found.runs)} runs of {' and '.join(names)}"
    head: list[Cell] = [
        tag("p", "comparison of runs", "kicker"),
        tag("h1", title),
        _legend(found),
    ]
    warnings = join(tag("p", words) for words in found.warnings)
    boxes = [tag("div", warnings, "box")] if warnings else []
    sections = [
        section("Runs", _runs(found)),
        section("Outcome", *_outcome(found)),
        section("Metrics over time", *_curves(found)),
        section("What differs", *settings(found)),
        section("Versions", *_versions(found)),
    ]
    paths = "  ·  ".join(str(run.path) for run in found.runs)
    return page(title, join([tag("header", join(head)), *boxes]), sections, paths)


def _legend(found: Difference) -> Raw:
    return key(zip(COLOURS, found.labels, strict=False))


def _dot(number_: int) -> Raw:
    return tag("span", tag("i", "", style=f"background:{COLOURS[number_]}"), "key")


def _runs(found: Difference) -> Raw:
    rows: list[list[Cell]] = []
    for i, (run, label) in enumerate(zip(found.runs, found.labels, strict=True)):
        summary = run.summary
        books = summary.get("messages")
        lost = sum(books["dropped"].values()) / books["sent"] if books and books["sent"] else None
        rows.append(
            [_dot(i), label, run.name, str(run.seed), run.status,
             span(run.reached),
             span(float(summary.get("wall_seconds", float("nan")))),
             f"{summary['agents']:,}" if "agents" in summary else "–",
             f"{books['sent']:,}" if books else "–", percent(lost),
             str(len(strikes(run))), str(len(summary.get("agent_failures", []))),
             tag("code", str(summary.get("digest", ""))[:12])]
        )  # fmt: skip
    heads = ["", "run", "scenario", "seed", "status", "virtual time", "took", "agents", "messages",
             "lost", "faults", "failures", "digest"]  # fmt: skip
    return tag("div", table(heads, rows, [3, *range(5, 12)]), "scroll")


def _outcome(found: Difference) -> list[Cell]:
    if not found.metrics:
        return [tag("p", "No run has metrics.", "note")]
    rows: list[list[Cell]] = []
    css, zeros, classes = [], [], {}
    for name, values in found.metrics.items():
        card = found.cards.get(name)
        is_objective = card is not None and card.objective
        if not is_objective and name != GAP and not any(values):
            zeros.append(plain(name))
            continue
        show = percent if name == GAP else number
        cells: list[Cell] = [
            metric_label(name, card.unit if card else "", card.better if card else "")
        ]
        for i, value in enumerate(values):
            shown: list[Cell] = [show(value)]
            by, share = found.change(name, i)
            if i and by is not None:
                is_better = found.is_better(name, i)
                if is_better is not None:
                    classes[len(rows), i + 1] = "better" if is_better else "worse"
                shown.append(tag("small", _change(name, by, share)))
            cells.append(join(shown, ""))
        dots = [(value, COLOURS[i]) for i, value in enumerate(values)]
        rows.append([*cells, strip(dots)])
        css.append("first" if is_objective else "")
    width = len(found.runs) + 1
    classes |= {(row, width): "strip" for row in range(len(rows))}
    heads: list[Cell] = ["", *found.labels, ""]
    body = table(heads, rows, range(1, width), row_css=css, cell_css=classes)
    words = "Below each value its difference to the first run; green is better, red is worse, "
    words += "where the two can be compared."
    parts: list[Cell] = [_verdict(found), tag("div", body, "scroll"), tag("p", words, "note")]
    if zeros:
        parts.append(tag("p", f"Zero everywhere: {', '.join(zeros)}.", "note"))
    return parts


def _change(name: str, by: float, share: float | None) -> str:
    if by == 0:
        return "="
    if name == GAP:
        return f"{100 * by:+.3g} points".replace("-", "−")
    sign = "+" if by > 0 else ""
    return f"{sign}{number(by)}" + (
        f" ({'+' if share > 0 else ''}{percent(share)})" if share is not None else ""
    )


def _verdict(found: Difference) -> Cell:
    name = next((n for n in found.metrics if n in found.cards and found.cards[n].objective), None)
    if name is None:
        return ""
    values = found.metrics[name]
    known = [(v, i) for i, v in enumerate(values) if v is not None and found.is_comparable(i)]
    if len(known) < 2 or len({v for v, _ in known}) < 2:
        return ""
    best = (max if found.cards[name].better == "higher" else min)(known)[1]
    label = found.labels[best]
    return tag("p", f"Best by the objective, {plain(name)}: {label}.")


# --- over time ----------------------------------------------------------------------------------


def _curves(found: Difference) -> list[Cell]:
    tables: list[Any] = []
    missing = []
    for run, label in zip(found.runs, found.labels, strict=True):
        try:
            metrics = run.metrics
        except CheckpointError:
            metrics = None
        if metrics is None or not len(metrics):
            missing.append(label)
            metrics = None
        tables.append(metrics)
    if all(each is None for each in tables):
        return [tag("p", "No run kept a recording: there are no curves.", "note")]
    end = max(float(each.index[-1]) for each in tables if each is not None)
    big: list[Panel] = []
    small: list[Panel] = []
    still = []
    for name in found.metrics:
        curves = [
            Curve(label, each.index.to_numpy(dtype=float), each[name].to_numpy(dtype=float), colour)
            for label, each, colour in zip(found.labels, tables, COLOURS, strict=False)
            if each is not None and name in each
        ]
        if not curves:
            continue
        if is_still(np.concatenate([curve.y for curve in curves])):
            still.append(plain(name))
            continue
        card = found.cards.get(name)
        last = max(float(curve.x[-1]) for curve in curves)
        panel = Panel(plain(name), curves, card.unit if card else "", end=last)
        (big if card and card.objective else small).append(panel)
    parts: list[Cell] = [_legend(found)]
    parts += [figure(wide(f"objective{i}", panel, end)) for i, panel in enumerate(big)]
    parts += figures("metrics", small, end)
    if missing:
        parts.append(tag("p", f"Without a recording: {', '.join(missing)}.", "note"))
    if still:
        parts.append(tag("p", f"Constant and equal: {', '.join(still)}.", "note"))
    return parts


def _versions(found: Difference) -> list[Cell]:
    if not found.versions:
        return [tag("p", "All ran with the same versions on the same kind of machine.")]
    words = "Digests are promised to be equal only for equal versions and processors."
    rows = [[name, *values] for name, values in found.versions.items()]
    return [table(["", *found.labels], rows), tag("p", words, "note")]
