"""Broken instruments: sensors that misread or lose what agents observe, actuators that are stuck.

What the world is, and what it does with actions, is untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from broker.actions import Actions
from sim.rng import generator
from sim.scenario.schema import Fault
from sim.worlds.world import Array, Group


class Sensors:
    """The faults of sensors in force, by group and slot, in the order in which they began."""

    def __init__(self, seed: int, groups: Iterable[Group]) -> None:
        self._seed = seed
        self._episode = 0
        self._groups = list(groups)
        self._broken: dict[str, dict[int, dict[int, Fault]]] = {}

    def switch(self, fault: Fault) -> None:
        """Begins or lifts a fault of kind sensor."""
        for group in self._groups:
            for slot, name in enumerate(group.agents):
                if name in fault.targets:
                    faults = self._broken.setdefault(group.name, {}).setdefault(slot, {})
                    if fault.is_on:
                        faults[fault.id] = fault
                    else:
                        faults.pop(fault.id, None)

    def begin_episode(self, episode: int) -> None:
        """Everything whole, and new random numbers."""
        self._episode = episode
        self._broken.clear()

    def read(
        self, group: Group, instant: int, values: Array, before: Array | None
    ) -> tuple[Array, NDArray[np.bool_] | None]:
        """What the sensors of a group report, and whose report gets lost (None: nobody's).

        Shapes: values, before (the last report, if any) [n, observation.size]; bool [n].
        """
        broken = self._broken.get(group.name)
        if not broken:
            return values, None
        values, lost = values.copy(), np.zeros(len(values), dtype=np.bool_)
        for slot, faults in broken.items():
            last = None if before is None else before[slot]
            names = ("sensor", group.agents[slot], self._episode, instant)
            self._misread(values[slot], last, group, faults.values(), names)
            arrives = 1.0
            for fault in faults.values():
                arrives *= 1.0 - fault.number if fault.mode == "drop" else 1.0
            if arrives < 1.0:
                draw = generator(self._seed, *names, "drop")
                lost[slot] = draw.random() < 1.0 - arrives
        return values, lost

    def _misread(
        self,
        reading: Array,
        last: Array | None,
        group: Group,
        faults: Iterable[Fault],
        names: tuple[str, str, int, int],
    ) -> None:
        """Changes one reading in place. What is frozen repeats the last one, noise included."""
        noise = np.zeros(len(reading))
        is_frozen = np.zeros(len(reading), dtype=np.bool_)
        for fault in faults:
            where = _where(fault, group)
            if fault.mode == "freeze":
                is_frozen |= where
            elif fault.mode == "noise":
                noise[where] = np.hypot(noise[where], fault.number)
        if last is not None:
            reading[is_frozen] = last[is_frozen]
        noise[is_frozen] = 0.0
        noisy = noise > 0
        if noisy.any():
            draws = generator(self._seed, *names).normal(size=len(reading))
            reading[noisy] += np.abs(reading[noisy]) * noise[noisy] * draws[noisy]


def _where(fault: Fault, group: Group) -> NDArray[np.bool_]:
    """The numbers of an observation that a fault is about."""
    space = group.observation
    where = np.full(space.size, not fault.fields)
    for field in fault.fields:
        if isinstance(field, int):
            where[field : field + 1] = True
        elif field in space.slices:
            where[space.slices[field]] = True
    return where


class Actuators:
    """Who is stuck, and by which faults: several may hold one actuator."""

    def __init__(self, actions: Mapping[str, Actions]) -> None:
        self._actions = list(actions.values())
        self._stuck: dict[str, set[int]] = {}

    def switch(self, fault: Fault, boundary: int) -> None:
        """Begins or lifts a fault of kind actuator; `boundary` is the world's last before it."""
        for actions in self._actions:
            for slot, name in enumerate(actions.group.agents):
                if name in fault.targets:
                    holding = self._stuck.setdefault(name, set())
                    was_stuck = bool(holding)
                    (holding.add if fault.is_on else holding.discard)(fault.id)
                    if bool(holding) != was_stuck:
                        actions.stick(slot, not was_stuck, fault.time_ns, boundary)

    def heal(self) -> None:
        """All free; their actions are forgotten anyway."""
        self._stuck.clear()
