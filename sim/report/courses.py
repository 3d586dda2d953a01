"""Metrics and rewards over the time of a run."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sim.report.colours import COLOURS, PALE, REFERENCES, RUN
from sim.report.curves import Curve, Panel, figures, is_still, wide
from sim.report.evidence import Evidence
from sim.report.page import Cell, figure, tag
from sim.report.words import plain
from sim.units import SECOND

_CURVES_MAX: Final = 6
_BINS: Final = 96


def metrics(run: Evidence) -> list[Cell]:
    """The objective large, beside its columns; the other metrics small."""
    if not run.has_frames:
        return []
    table_ = run.data.metrics
    x = table_.index.to_numpy(dtype=float)
    reference = run.data.summary.get("reference", {})
    curves, still = [], []
    for name in table_.columns:
        y = table_[name].to_numpy(dtype=float)
        if is_still(y):
            still.append(plain(name))
            continue
        curves.append((name, y))
    parts: list[Cell] = []
    for name, y in curves:
        if name == run.objective:
            courses = [
                Curve(
                    column, course.index.to_numpy(dtype=float), course[name].to_numpy(),
                    REFERENCES.get(column, PALE),
                )
                for column, course in run.data.courses.items() if name in course
            ]  # fmt: skip
            drawn = {curve.label for curve in courses}
            levels = [
                (reference[c][name], f"{c}, at the end", REFERENCES.get(c, PALE))
                for c in reference
                if reference[c].get(name) is not None and c not in drawn
            ]
            all_curves = [*courses, Curve("this run", x, y, RUN)]
            panel = Panel(plain(name), all_curves, run.units.get(name, ""), levels)
            parts.append(figure(wide("objective", panel, run.end, run.marks)))
    small = [
        Panel(plain(name), [Curve("", x, y, RUN)], run.units.get(name, ""))
        for name, y in curves
        if name != run.objective
    ]
    parts += figures("metrics", small, run.end, run.marks)
    words = []
    if run.marks:
        words.append("Orange: faults, as numbered in the list of faults.")
    if still:
        words.append(f"Constant: {', '.join(still)}.")
    parts.append(tag("p", " ".join(words), "note") if words else "")
    return parts


def rewards(run: Evidence) -> list[Cell]:
    """What agents were paid; by role, if they are many."""
    if not run.has_frames:
        return []
    cards = [(i, c) for i, c in enumerate(run.intro.agents) if c.role in run.intro.actions]
    size_ = len(run.intro.agents)
    reward = run.data.agents["reward"].to_numpy(dtype=float).reshape(-1, size_)
    x = np.array(run.data.recording.times) / SECOND
    acting = [i for i, _ in cards if np.ptp(reward[:, i]) > 0]
    if not acting:
        return [tag("p", "Nobody was given a reward.", "note")]
    x, binned = _binned(x, reward)
    roles: dict[str, list[int]] = {}
    for i, card in cards:
        if i in acting:
            roles.setdefault(card.role, []).append(i)
    if len(acting) <= _CURVES_MAX:
        alike: dict[bytes, list[int]] = {}
        for i in acting:
            alike.setdefault(binned[:, i].tobytes(), []).append(i)
        curves = [
            Curve(
                ", ".join(run.intro.agents[i].name for i in same),
                x, binned[:, same[0]], COLOURS[k],
            )
            for k, same in enumerate(alike.values())
        ]  # fmt: skip
        made = wide("rewards", Panel("reward of a decision", curves), run.end, run.marks)
        return [figure(made)]
    small = []
    for role, members in roles.items():
        group = binned[:, members]
        low, high = np.quantile(group, [0.1, 0.9], axis=1)
        is_one = len(members) == 1
        small.append(
            Panel(
                f"{role}" if is_one else f"{role}, mean of {len(members)}",
                [Curve("", x, group.mean(axis=1), RUN, None if is_one else low,
                       None if is_one else high)],
            )
        )  # fmt: skip
    words = "Reward of a decision. The band holds the middle 80 % of the agents of a role."
    return [*figures("rewards", small, run.end, run.marks), tag("p", words, "note")]


def _binned(x: Any, values: Any) -> tuple[Any, Any]:
    """Means over at most so many spans of time. Shapes: x [n], values [n, m]."""
    width = max(-(-len(x) // _BINS), 1)
    starts = np.arange(0, max(len(x) - width, 0) + 1, width)
    counts = np.diff([*starts, len(x)])
    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    return np.add.reduceat(x, starts) / counts, means
