"""What a run that learns has come to: a row per group, from what its learner tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sim.console.ink import Row, join
from sim.console.words import number


def learning_rows(learned: Mapping[str, Mapping[str, float]], width: int) -> list[Row]:
    """Version, how old that of the experience was, what of it arrived, losses; as many as fit.

    learned: group -> the figures of its last update, see `sim.online.told_of`.
    """
    return [join(_parts(group, figures), width, "  ") for group, figures in learned.items()]


def _parts(group: str, figures: Mapping[str, float]) -> Sequence[Row]:
    arrived = figures.get("arrived", 1.0)
    behind = figures.get("staleness", 0.0)
    parts: list[Row] = [
        [(f"{group} learns ", "dim"), (f"v{figures['version']:.0f}", "accent")],
        [("behind ", "dim"), (number(behind, 2), "warn" if behind >= 2 else "")],
        [("arrived ", "dim"), (f"{arrived:.0%}", "warn" if arrived < 0.95 else "")],
    ]
    named = {"policy_loss": "loss", "value_loss": "value loss", "reward": "reward"}
    parts += [
        [(f"{word} ", "dim"), (number(figures[name], 3), "")]
        for name, word in named.items()
        if name in figures
    ]
    return parts
