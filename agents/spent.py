"""What an agent spends on the network, and the bucket of tokens that bounds it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

Budget = tuple[int, int, int]
"""Messages and bytes per so many nanoseconds; -1 for no bound."""


class _Clock(Protocol):
    @property
    def now_ns(self) -> int: ...


@dataclass
class Tally:
    messages: int = 0
    bytes: int = 0


class Spent(Tally):
    """What this incarnation of an agent has sent, and what its budget leaves it.

    messages, bytes: handed to the network, of payload. A publication is one message, whoever hears
    it; what one sends to oneself is none. dropped: messages that were over the budget.
    topics:          messages and bytes of each.
    """

    def __init__(self, clock: _Clock, budget: Budget | None) -> None:
        super().__init__()
        self.dropped = 0
        self.topics: dict[str, Tally] = {}
        self._clock, self._filled_ns = clock, clock.now_ns
        self._most, self._per_ns = (budget[:2], budget[2]) if budget else ((-1, -1), 1)
        self._is_bounded = budget is not None
        self._levels = [most * self._per_ns for most in self._most]

    @property
    def messages_left(self) -> float:
        """How many may leave at this instant; infinite without a bound."""
        return self._left(0)

    @property
    def bytes_left(self) -> float:
        """The same of bytes."""
        return self._left(1)

    def take(self, topic: str, size: int) -> bool:
        """Counts a message; False if it is over the budget, and takes nothing of it.

        size: bytes of its payload.
        """
        if self._is_bounded and not self._has_taken(size):
            self.dropped += 1
            return False
        tally = self.topics.get(topic)
        if tally is None:
            tally = self.topics[topic] = Tally()
        self.messages, self.bytes = self.messages + 1, self.bytes + size
        tally.messages, tally.bytes = tally.messages + 1, tally.bytes + size
        return True

    def _left(self, i: int) -> float:
        self._fill()
        return self._levels[i] / self._per_ns if self._most[i] >= 0 else math.inf

    def _has_taken(self, size: int) -> bool:
        self._fill()
        costs = (self._per_ns, size * self._per_ns)
        fits = zip(self._most, self._levels, costs, strict=True)
        if any(0 <= most and level < cost for most, level, cost in fits):
            return False
        self._levels = [level - cost for level, cost in zip(self._levels, costs, strict=True)]
        return True

    def _fill(self) -> None:
        """A token bucket: full at first, filled evenly. Levels count tokens times nanoseconds of
        the period, whole numbers, so that a token is there at the very instant when it is due."""
        now = self._clock.now_ns
        passed, self._filled_ns = now - self._filled_ns, now
        if passed > 0:
            filled = zip(self._levels, self._most, strict=True)
            self._levels = [min(most * self._per_ns, x + passed * most) for x, most in filled]
