"""The outcome: a row per metric beside the columns it is read against, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.outcome import GAP, NO_CONTROL, RULE, bound_of, in_order
from sim.report.cells import strip
from sim.report.colours import PALE, REFERENCES, RUN
from sim.report.evidence import Evidence
from sim.report.page import Cell, Raw, join, key, table, tag
from sim.report.words import number, percent, plain


def outcome(run: Evidence) -> list[Cell]:
    """The metrics at the end; so far, if the run has not ended."""
    summary = run.data.summary
    metrics: dict[str, Any] = summary.get("metrics") or {}
    if not metrics and run.has_frames:
        last = run.data.metrics.iloc[-1]
        metrics = {str(name): float(value) for name, value in last.items()}
    if not metrics:
        return [tag("p", "The world has no metrics, or none was written.", "note")]
    reference = summary.get("reference", {})
    order = in_order(reference)
    colours = {**{name: PALE for name in order}, **REFERENCES, "run": RUN}
    names = sorted(metrics, key=lambda n: (n != run.objective, n != GAP))
    rows, css, zeros = [], [], []
    for name in names:
        values = [reference[column].get(name) for column in order]
        known = [metrics[name], *values]
        if name not in (run.objective, GAP) and not any(known):
            zeros.append(plain(name))
            continue
        dots = [(metrics[name], RUN)]
        dots += [(v, colours[c]) for c, v in zip(order, values, strict=True)]
        show = percent if name == GAP else number
        label = metric_label(name, run.units.get(name, ""), run.better.get(name, ""))
        shown = [show(value) for value in (metrics[name], *values)]
        rows.append([label, *shown, *([strip(dots)] if order else [])])
        css.append("first" if name == run.objective else "")
    width = len(order) + 2
    body = table(
        ["", "this run", *order, *([""] if order else [])],
        rows,
        range(1, width),
        css="full" if order else "",
        row_css=css,
        cell_css={
            **{(row, 1): "own" for row in range(len(rows))},
            **{(row, width): "strip" for row in range(len(rows))},
        },
    )
    legend = key([(RUN, "this run"), *((colours[name], name) for name in order)])
    parts: list[Cell] = [_verdict(run, metrics, reference), legend if order else "", body]
    if zeros:
        parts.append(tag("p", f"Zero everywhere: {', '.join(zeros)}.", "note"))
    if not order and run.data.status == "completed":
        parts.append(tag("p", "It was run without columns to compare with.", "note"))
    return parts


def metric_label(name: str, unit: str, better: str) -> Raw:
    """`cost EUR ↓`: the arrow says which way is better, if that is known."""
    arrow = {"lower": " ↓", "higher": " ↑"}.get(better, "")
    return join([plain(name), tag("small", f" {unit}{arrow}")], "")


def _verdict(run: Evidence, metrics: Mapping[str, Any], reference: Mapping[str, Any]) -> Cell:
    name = run.objective
    if not name or metrics.get(name) is None:
        return ""
    unit = run.units.get(name, "")
    words = f"The objective, {plain(name)}, came to {number(metrics[name])} {unit}".rstrip()
    others = []
    for column, verb in ((NO_CONTROL, "with nobody acting"), (RULE, "by the world's rules")):
        value = reference.get(column, {}).get(name)
        if value is not None:
            others.append(f"{number(value)} {verb}")
    bound = bound_of(reference)
    if bound and reference[bound].get(name) is not None:
        others.append(f"{number(reference[bound][name])} at the {bound}")
    words += f", against {', '.join(others)}." if others else "."
    gap = metrics.get(GAP)
    if gap is not None and bound:
        words += f" The gap is {percent(gap)}: 0 % is the {bound}, 100 % is doing nothing."
    return tag("p", words)
