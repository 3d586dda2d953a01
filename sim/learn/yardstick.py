"""What the score of a training run is read against while it goes on: rule and reference.

A worker process of low priority plays a few episodes by the world's rules and finds their
bounds. Until it has, there is no score. Nothing of it enters what is learned or kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from sim.errors import SimError
from sim.launch.jobs import Pool
from sim.learn.evaluate import seeds_of
from sim.learn.plan import Plan
from sim.learn.play import REFERENCE, TARGET
from sim.outcome import RULE
from sim.scenario.learning import Ranges
from sim.scenario.load import dump

_EPISODES: Final = 3
_NICE: Final = 5


class Yardstick:
    """Rule and reference of what training sees. Use as a context manager. There is none where a few
    episodes say little of all: where days or links are drawn anew for each.

    levels: the objective of either, mean over episodes; None until they are known.
    """

    def __init__(self, plan: Plan) -> None:
        cards = plan.prepared.world.metrics()
        self._objective = next((name for name, card in cards.items() if card.objective), "")
        scenario = plan.scenario
        self._jobs = [
            {"scenario": dump(scenario), "source": scenario.source, "seed": seed,
             "column": column}
            for seed in seeds_of(plan.seed, _EPISODES)
            for column in (RULE, REFERENCE)
        ]  # fmt: skip
        if plan.spec.train_days or isinstance(plan.spec.links, Ranges):
            self._objective = ""
        self._pool = Pool(TARGET, 1, nice=_NICE)
        self.levels: tuple[float, float] | None = None
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Yardstick:
        if self._objective:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.end()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.__exit__()

    def wait(self) -> None:
        """Until both are known, or known to be unknown."""
        if self._objective:
            self._thread.join()

    def score(self, figures: Mapping[str, float]) -> float | None:
        """(J - J_rule) / (J_reference - J_rule) of the newest episodes, explored as they are; None
        if it is not known. figures: as logged, `metric/<objective>` among them.
        """
        value = figures.get(f"metric/{self._objective}")
        if value is None or self.levels is None:
            return None
        rule, reference = self.levels
        return (value - rule) / (reference - rule) if reference != rule else None

    def _measure(self) -> None:
        """Fills the levels; leaves them unknown in a world without a reference."""
        sums = {RULE: 0.0, REFERENCE: 0.0}
        try:
            for index, result in self._pool.run(self._jobs):
                sums[str(self._jobs[index]["column"])] += result["metrics"][self._objective]
        except (SimError, KeyError, OSError, ValueError):
            return
        self.levels = sums[RULE] / _EPISODES, sums[REFERENCE] / _EPISODES
