"""What a privileged learner was handed by the broker: states and true rewards, by instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class Seen:
    """One decision as the broker saw it.

    Shapes: state, next_state [S]; own [n], of one side's agents, summed over the decision.
    """

    state: Array
    next_state: Array
    team: float
    own: Array


class Witness:
    """States and rewards until somebody asks for them.

    slots: places of one side's agents among all agents that earn. A decision that begins or ends at
    an instant that was missed was not seen.
    """

    def __init__(self, slots: list[int]) -> None:
        self._slots = np.array(slots, dtype=np.int64)
        self._times: list[int] = []
        self._states: list[Array] = []
        self._rewards: list[Array] = []

    @property
    def newest_ns(self) -> int:
        """The last instant that was seen; -1 for none."""
        return self._times[-1] if self._times else -1

    def see(self, time_ns: int, state: Array, rewards: Array, missed: int) -> None:
        """One observation of `broker.joint`. missed: that were not handed over before it."""
        if missed:
            self._times, self._states, self._rewards = [], [], []
        self._times.append(time_ns)
        self._states.append(np.asarray(state, dtype=np.float32))
        self._rewards.append(rewards)

    def find(self, begin_ns: int, end_ns: int) -> Seen | None:
        """A decision from its first to its last instant, if both and all between were seen."""
        first, last = (int(np.searchsorted(self._times, t)) for t in (begin_ns, end_ns))
        if last >= len(self._times) or self._times[last] != end_ns:
            return None
        if self._times[first] != begin_ns:
            return None
        earned = np.sum(self._rewards[first + 1 : last + 1], axis=0)
        own = earned[1:][self._slots]
        return Seen(self._states[first], self._states[last], float(earned[0]), own)

    def forget(self, before_ns: int) -> None:
        """Drops what nobody will ask for."""
        at = int(np.searchsorted(self._times, before_ns))
        self._times, self._states = self._times[at:], self._states[at:]
        self._rewards = self._rewards[at:]
