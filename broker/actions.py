"""When an action counts.

An action takes effect at the first physics boundary at or after its time stamp, and holds until it
is replaced or its time to live ends. Late and missing actions are counted per agent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.errors import WireError
from sim.worlds.world import Array, Group

_LAST = 2**63 - 1


class Actions:
    """The actions in force of one group. A slot that never acted has none."""

    def __init__(self, group: Group, answers_in_period: bool) -> None:
        n = len(group.agents)
        self.group = group
        self.late = np.zeros(n, dtype=np.int64)
        self.missing = np.zeros(n, dtype=np.int64)
        self._is_counted = answers_in_period
        self._values = np.tile(group.action.default, (n, 1))
        self._until = np.full(n, -1, dtype=np.int64)
        self._decided = 0
        self._is_expected = np.zeros(n, dtype=bool)
        self._held_ns = group.every_ns if group.hold == "default" else group.ttl_ns
        self._coming: list[tuple[NDArray[np.int64], NDArray[np.int64], Array]] = []

    def reset(self) -> None:
        """Forgets all actions, at the start of an episode."""
        self._until[:] = -1
        self._values[:] = self.group.action.default
        self._is_expected[:] = False
        self._coming.clear()

    def expect(self, now: int, is_played: NDArray[np.bool_]) -> None:
        """A decision is due now from the slots played; those still owing the last one missed it."""
        if self._is_counted:
            self.missing += self._is_expected
            self._is_expected = is_played.copy()
        self._decided = now

    def submit(self, times: Sequence[int], slots: Sequence[int], bodies: Sequence[bytes]) -> None:
        """Takes actions with their time stamps, each as the bytes of a float64 vector.

        Raises: WireError if one has not the group's size, or a number that is not finite.
        """
        size = self.group.action.size
        if any(len(body) != 8 * size for body in bodies):
            raise WireError(f"an action that is not of {size} numbers, as {self.group.name} has")
        values = np.frombuffer(b"".join(bodies)).reshape(len(bodies), size)
        if not np.isfinite(values).all():
            raise WireError(f"an action of group {self.group.name} that is not finite")
        when, where = np.array(times, dtype=np.int64), np.array(slots, dtype=np.int64)
        first, index = np.unique(where, return_index=True)
        self.late[first] += self._is_expected[first] & (when[index] > self._decided)
        self._is_expected[where] = False
        self._coming.append((when, where, values))

    def at(self, boundary: int) -> tuple[Array, NDArray[np.bool_]]:
        """What the world applies from `boundary` on. Shapes: [n, a], bool [n]."""
        coming, self._coming = self._coming, []
        for times, slots, values in coming:
            later = times > boundary
            if later.any():
                self._coming.append((times[later], slots[later], values[later]))
                times, slots, values = times[~later], slots[~later], values[~later]
            self._values[slots] = values
            self._until[slots] = times + np.minimum(self._held_ns, _LAST - times)
        return self._values.copy(), self._until > boundary
