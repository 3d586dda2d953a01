"""What a run that learns has come to: a row per group, from what its learner tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sim.console.ink import Row, join
from sim.console.words import number

_ROWS_MAX: Final = 6
_BEHIND: Final = 2.0
"""Versions behind from which it is said aloud; ..."""
_ARRIVED: Final = 0.95
"""... and share of the experience that arrives."""


def learning_rows(learned: Mapping[str, Mapping[str, float]], width: int) -> list[Row]:
    """Version, how old that of the experience was, what of it arrived; then losses; two rows each.

    learned: group -> the figures of its last update, see `sim.online.told_of`.
    """
    rows = []
    for group, figures in learned.items():
        rows += [join(_course(group, figures), width, "  "), join(_losses(figures), width, "  ")]
    return rows[:_ROWS_MAX]


def _course(group: str, figures: Mapping[str, float]) -> list[Row]:
    arrived, behind = figures.get("arrived", 1.0), figures.get("staleness", 0.0)
    return [
        [(f"{group} learns ", "dim"), (f"v{figures['version']:.0f}", "accent")],
        [("behind ", "dim"), (f"{behind:.1f}", "warn" if behind >= _BEHIND else "")],
        [("arrived ", "dim"), (f"{arrived:.0%}", "warn" if arrived < _ARRIVED else "")],
    ]


def _losses(figures: Mapping[str, float]) -> list[Row]:
    named = {"reward": "reward", "policy_loss": "loss", "value_loss": "critic"}
    return [
        [(f"  {word} " if word == "reward" else f"{word} ", "dim"), (number(figures[name], 3), "")]
        for name, word in named.items()
        if name in figures
    ]
