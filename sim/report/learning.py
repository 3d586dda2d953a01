"""What a run learned while it went on: curves of its updates, and from what it was told."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sim.online import LEARNED, figures_of
from sim.report.colours import RUN
from sim.report.curves import Curve, Panel, figures
from sim.report.evidence import Evidence
from sim.report.page import Cell, table, tag
from sim.report.words import number

_DRAWN: Final = {
    "reward": "reward of a decision", "staleness": "versions behind", "arrived": "share arrived",
    "value_loss": "loss of the critic", "policy_loss": "loss of the policy",
    "approx_kl": "step of the policy, nats",
}  # fmt: skip


def learning(run: Evidence) -> list[Cell]:
    """Nothing, if the run did not learn."""
    told = updates(run)
    if not told:
        return []
    known = run.data.summary.get("learning", {})
    parts: list[Cell] = [
        tag(
            "p",
            "Agents acted while a learner, one more host on the network, learned from what they "
            "told it and sent weights back. Reward: mean over what it learned from, exploration "
            "included. Versions behind: how much older the weights were that acted than those that "
            "learned.",
            "note",
        )
    ]
    if known.get("is_privileged"):
        words = "The learner also had state and rewards from the broker, which no agent has."
        parts.append(tag("div", tag("p", tag("b", f"Privileged. {words}")), "box"))
    rows: list[list[Cell]] = []
    for group, (times, columns) in told.items():
        last = {name: column[-1] for name, column in columns.items()}
        rows.append(
            [group, f"{last['version']:.0f}", len(times),
             *(number(float(np.mean(columns[n]))) for n in ("staleness", "arrived")),
             f"{last['late']:.0f}", number(columns["reward"][0]), number(last["reward"])]
        )  # fmt: skip
        panels = [
            Panel(words, [Curve("", times, columns[name], RUN)])
            for name, words in _DRAWN.items()
            if name in columns
        ]
        parts += [tag("h3", group), *figures(f"learning-{group}", panels, run.end, run.marks)]
    heads: list[Cell] = [
        "group", "version", "updates", "behind, mean", "arrived, mean", "rows too late",
        "reward, first", "reward, last",
    ]  # fmt: skip
    return [*parts, table(heads, rows, range(1, len(heads)))]


def updates(run: Evidence) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Per group, times of its updates and the figures told of them. Shapes: [n] each."""
    events = run.data.events
    lines = events[events["kind"] == LEARNED]
    found: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for time, line in zip(lines["time"], lines["text"], strict=True):
        told = figures_of(str(line))
        if told is not None:
            found.setdefault(told[0], []).append((float(time), told[1]))
    return {
        group: (
            np.array([time for time, _ in each]),
            {name: np.array([f.get(name, np.nan) for _, f in each]) for name in each[0][1]},
        )
        for group, each in found.items()
    }
