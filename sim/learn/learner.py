"""All that learns in one run: families side by side, as if they were one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from sim.errors import BoundError, CheckpointError
from sim.learn.family import Family
from sim.learn.record import Actor, Record, Side


class Learner:
    """Families that train different groups of one rollout. A `sim.learn.family.Family` itself.

    decisions: the most that any of them wants; one that wants fewer makes more of each record.
    """

    def __init__(self, families: Sequence[Family]) -> None:
        """Raises: BoundError if there is none, or a group would be trained twice."""
        self._families = tuple(families)
        self.sides: Sequence[Side] = tuple(chain.from_iterable(f.sides for f in families))
        groups = [side.group for side in self.sides]
        twice = sorted({g for g in groups if groups.count(g) > 1})
        if twice or not groups:
            raise BoundError(f"{', '.join(twice)}: trained twice" if twice else "no group learns")
        self.decisions = max(f.decisions for f in self._families)

    def actors(self) -> Mapping[str, Actor]:
        return {g: actor for f in self._families for g, actor in f.actors().items()}

    def greedy(self) -> Mapping[str, Actor]:
        return {g: actor for f in self._families for g, actor in f.greedy().items()}

    def update(self, records: Mapping[str, Record]) -> dict[str, float]:
        figures: dict[str, float] = {}
        for family in self._families:
            figures |= family.update({s.group: records[s.group] for s in family.sides})
        return figures

    def state(self) -> dict[str, Any]:
        return {_name(family): family.state() for family in self._families}

    def load(self, state: Mapping[str, Any]) -> None:
        """Raises: CheckpointError if the state is of other groups."""
        names = [_name(family) for family in self._families]
        if sorted(names) != sorted(state):
            raise CheckpointError(
                f"the checkpoint trains {', '.join(state)}; this run {', '.join(names)}"
            )
        for family, name in zip(self._families, names, strict=True):
            family.load(state[name])

    def policies(self) -> Mapping[str, tuple[dict[str, Any], dict[str, Any]]]:
        return {g: policy for f in self._families for g, policy in f.policies().items()}


def _name(family: Family) -> str:
    return "+".join(side.group for side in family.sides)
