"""What a proof is: a figure with an answer known beforehand, found anew for each of some seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Found:
    """What one seed came to. frames: decisions of copies it was trained on. details: whatever else
    is worth keeping; plain data.
    """

    value: float
    frames: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Proof:
    """One result, `proofs/results/<name>.json`.

    what:    what the figure is, in a few words. unit: its unit.
    play:    seed -> what was found.
    seeds:   those that count; hyperparameters were chosen on others.
    aim:     what the figure must reach; None where the figure is told for what it is.
    better:  "higher" or "lower".
    needs:   how many of the seeds must reach the aim; None: all. The figure is what so many reach,
             or without an aim the median.
    sources: beside this package and `sim.learn`, what the figure depends on: paths in the
             repository, which may have wildcards.
    minutes: of one core of an idle machine, about.
    """

    name: str
    what: str
    unit: str
    play: Callable[[int], Found]
    seeds: tuple[int, ...]
    aim: float | None = None
    better: str = "higher"
    needs: int | None = None
    sources: tuple[str, ...] = ()
    minutes: float = 0.5

    def figure(self, values: list[float]) -> float:
        """What `needs` of the seeds reach. Raises: IndexError without values."""
        ranked = sorted(values, reverse=self.better == "higher")
        if self.aim is None:
            return ranked[len(ranked) // 2]
        return ranked[(len(ranked) if self.needs is None else self.needs) - 1]

    def is_met(self, figure: float) -> bool | None:
        """Whether the figure reaches the aim; None without one."""
        if self.aim is None:
            return None
        return figure >= self.aim if self.better == "higher" else figure <= self.aim
