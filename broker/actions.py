"""When an action counts.

An action takes effect at the first physics boundary at or after its time stamp, and holds until it
is replaced or its time to live ends. Late and missing actions are counted per agent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.worlds.world import Array, Group


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
        self._coming: list[tuple[int, int, Array]] = []

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

    def submit(self, time: int, slot: int, action: Array) -> None:
        """Takes an action stamped `time`. Shapes: action [a]."""
        if self._is_expected[slot]:
            self._is_expected[slot] = False
            self.late[slot] += time > self._decided
        self._coming.append((time, slot, action))

    def at(self, boundary: int) -> tuple[Array, NDArray[np.bool_]]:
        """What the world applies from `boundary` on. Shapes: [n, a], bool [n]."""
        if self._coming:
            later = []
            for entry in self._coming:
                time, slot, action = entry
                if time > boundary:
                    later.append(entry)
                    continue
                self._values[slot] = action
                held = self.group.every_ns if self.group.hold == "default" else self.group.ttl_ns
                self._until[slot] = min(time + held, 2**63 - 1)
            self._coming = later
        return self._values.copy(), self._until > boundary
