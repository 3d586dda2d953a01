"""When an action counts.

An action takes effect at the first physics boundary at or after its time stamp, and holds until it
is replaced or its time to live ends. Late and missing actions are counted per agent.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from broker.processing import Processing
from sim.scenario.roster import AgentPlan
from sim.wire.messages import Act, Done
from sim.worlds.world import Array, Group

_FIRST, _LAST = -(2**63), 2**63 - 1


class Actions:
    """The actions in force of one group. A slot that never acted has none."""

    def __init__(self, group: Group, answers_in_period: bool) -> None:
        n = len(group.agents)
        self.group = group
        self.late = np.zeros(n, dtype=np.int64)
        self.missing = np.zeros(n, dtype=np.int64)
        self._is_counted = answers_in_period
        self._values = np.tile(group.action.default, (n, 1))
        self._until = np.full(n, _FIRST, dtype=np.int64)
        self._decided = 0
        self._is_expected = np.zeros(n, dtype=bool)
        self._held_ns = group.every_ns if group.hold == "default" else group.ttl_ns
        self._coming: list[tuple[NDArray[np.int64], NDArray[np.int64], Array]] = []
        self._is_stuck = np.zeros(n, dtype=bool)
        self._stuck_in_force = np.zeros(n, dtype=bool)
        self._settled: tuple[int, Array, NDArray[np.bool_]] | None = None

    def reset(self) -> None:
        """Forgets all actions, at the start of an episode."""
        self._until[:] = _FIRST
        self._values[:] = self.group.action.default
        self._is_expected[:] = False
        self._coming.clear()
        self._is_stuck[:] = False
        self._settled = None

    def expect(self, now: int, is_played: NDArray[np.bool_]) -> None:
        """A decision is due now from the slots played; those still owing the last one missed it."""
        if self._is_counted:
            self.missing += self._is_expected
            self._is_expected = is_played.copy()
        self._decided = now

    def accepts(self, body: bytes) -> bool:
        """Whether bytes are an action of this group: float64, of its size, all finite."""
        if len(body) != 8 * self.group.action.size:
            return False
        numbers = array("d", body)
        return isfinite(sum(numbers)) or all(map(isfinite, numbers))

    def submit(self, times: Sequence[int], slots: Sequence[int], bodies: Sequence[bytes]) -> None:
        """Takes accepted actions with their time stamps."""
        values = np.frombuffer(b"".join(bodies)).reshape(len(bodies), self.group.action.size)
        when, where = np.array(times, dtype=np.int64), np.array(slots, dtype=np.int64)
        if max(times) > self._decided and self._is_expected[where].any():
            first, index = np.unique(where, return_index=True)
            self.late[first] += self._is_expected[first] & (when[index] > self._decided)
        self._is_expected[where] = False
        self._coming.append((when, where, values))

    def at(self, boundary: int) -> tuple[Array, NDArray[np.bool_]]:
        """What the world applies from `boundary` on. Shapes: [n, a], bool [n]."""
        if self._settled is not None and self._settled[0] == boundary:
            return self._settled[1:]
        coming, self._coming = self._coming, []
        for times, slots, values in coming:
            later = times > boundary
            if later.any():
                self._coming.append((times[later], slots[later], values[later]))
                times, slots, values = times[~later], slots[~later], values[~later]
            if self._is_stuck.any():
                free = ~self._is_stuck[slots]
                times, slots, values = times[free], slots[free], values[free]
            self._values[slots] = values
            self._until[slots] = times + np.minimum(self._held_ns, _LAST - times)
        in_force = np.where(self._is_stuck, self._stuck_in_force, self._until > boundary)
        return self._values.copy(), in_force

    def stick(self, slot: int, is_on: bool, now: int, boundary: int) -> None:
        """From now on the action in force since `boundary`, the world's last one, stays as it is,
        or takes its course again. What is due while it is stuck is lost; its time to live goes on.
        """
        self._settled = (boundary, *self.at(boundary))
        if not is_on:
            waits = [(where != slot) | (when >= now) for when, where, _ in self._coming]
            self._coming = [
                (when[w], where[w], values[w])
                for (when, where, values), w in zip(self._coming, waits, strict=True)
            ]
        self._is_stuck[slot] = is_on
        self._stuck_in_force[slot] = self._settled[2][slot]

    def in_force(self, now: int) -> tuple[Array, NDArray[np.bool_]]:
        """What holds, or held until now, for onlookers. Shapes: [n, a], bool [n]."""
        return self._values, np.where(self._is_stuck, self._stuck_in_force, self._until >= now)


def take_actions(
    reports: Iterable[Done],
    plans: Sequence[AgentPlan],
    pace: Processing,
    groups: Mapping[str, Actions],
) -> list[tuple[int, int, int, Act]]:
    """Gives actions to their groups, by agent and then by time.

    Returns the verbs, which wait for their time: (time, agent, number, verb).
    """
    verbs = []
    taken: dict[str, tuple[list[int], list[int], list[bytes]]] = {}
    for done in reports:
        plan = plans[done.agent]
        for number, act in enumerate(done.acts):
            time = pace.acting(done.agent, act.time)
            if act.verb:
                verbs.append((time, done.agent, number, act))
            elif plan.group is not None and plan.slot is not None:
                times, slots, bodies = taken.setdefault(plan.group, ([], [], []))
                times.append(time)
                slots.append(plan.slot)
                bodies.append(act.body)
    for group, columns in taken.items():
        groups[group].submit(*columns)
    return verbs
