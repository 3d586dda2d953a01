"""How long agents take: the virtual time from an activation to what they send and do.

An agent does one thing after another. What it begins never overtakes what it began before, also
when a fault that made it slow is lifted in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.limits import SLOW_BASE_SECONDS
from sim.scenario.schema import Fault
from sim.units import NEVER, SECOND

_LONGEST_NS: Final = NEVER // 4


class Processing:
    """Shapes: one column per agent, [agents]."""

    def __init__(self, processing_ns: Sequence[int]) -> None:
        self._own = np.array(processing_ns, dtype=np.int64)
        self._delay = self._own
        self._slow: dict[int, tuple[list[int], float]] = {}
        self._sent = np.zeros_like(self._own)
        self._acted = np.zeros_like(self._own)
        self.is_instant = not self._own.any()

    def switch(self, fault: Fault, agents: list[int]) -> None:
        """Begins or lifts a fault of kind slow; of several, the factors multiply."""
        if fault.is_on:
            self._slow[fault.id] = (agents, fault.number)
            self.is_instant = False
        else:
            self._slow.pop(fault.id, None)
        factors = np.ones(len(self._own))
        is_slow = np.zeros(len(self._own), dtype=np.bool_)
        for slowed, factor in self._slow.values():
            factors[slowed] *= factor
            is_slow[slowed] = True
        base = np.where(self._own > 0, self._own, round(SLOW_BASE_SECONDS * SECOND))
        slow = np.rint(np.minimum(base * factors, _LONGEST_NS)).astype(np.int64)
        self._delay = np.where(is_slow, slow, self._own)

    def heal(self) -> None:
        """Everybody as fast as the scenario says, with nothing under way."""
        self._slow.clear()
        self._delay = self._own
        self._sent[:] = self._acted[:] = 0
        self.is_instant = not self._own.any()

    def forget(self, agent: int) -> None:
        """What comes from an agent that starts anew waits for nothing."""
        self._sent[agent] = self._acted[agent] = 0

    def sending(self, agents: NDArray[np.int32], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """When messages leave that are sent at `times`, in order. Shapes: [n] each."""
        if self.is_instant:
            return times
        leaving: NDArray[np.int64] = np.maximum(times + self._delay[agents], self._sent[agents])
        np.maximum.at(self._sent, agents, leaving)
        return leaving

    def acting(self, agent: int, time: int) -> int:
        """When something done at `time` counts."""
        if self.is_instant:
            return time
        counting = max(time + int(self._delay[agent]), int(self._acted[agent]))
        self._acted[agent] = counting
        return counting
