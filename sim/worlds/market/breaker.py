"""A circuit breaker: nothing is bought above, or sold below, a band around the price of late, and
an order that would halts the venue for a while. A limit order from beyond rests at the edge.

The reference is the mean price of the trades of the last `window`.
Source: Plan to Address Extraordinary Market Volatility ("limit up, limit down"), SEC 2012.
"""

from __future__ import annotations

from collections import deque

from sim.worlds.market.book import BUY


class Breaker:
    """band: share of the reference; 0 never halts."""

    def __init__(self, band: float, window_ns: int, pause_ns: int) -> None:
        self.band, self.window_ns, self.pause_ns = band, window_ns, pause_ns
        self.reset(0)

    def reset(self, price: int) -> None:
        """Opens at a price."""
        self.reference = float(price)
        self.halted_until = -1
        self.halts = 0
        self._trades: deque[tuple[int, int]] = deque()
        self._sum = 0

    def see(self, time_ns: int, price: int) -> None:
        """A trade took place."""
        self._trades.append((time_ns, price))
        self._sum += price
        while self._trades[0][0] < time_ns - self.window_ns:
            self._sum -= self._trades.popleft()[1]
        self.reference = self._sum / len(self._trades)

    def worst(self, side: int) -> int | None:
        """The worst price at which an order may trade, or rest."""
        if not self.band:
            return None
        if side == BUY:
            return int(self.reference * (1 + self.band))
        return -int(-self.reference * (1 - self.band) // 1)

    def halt(self, time_ns: int, pause_ns: int | None = None) -> None:
        """Stops trading for the pause; the price then begins where it ended."""
        self.halted_until = time_ns + (self.pause_ns if pause_ns is None else pause_ns)
        self.halts += 1
        if self._trades:
            last = self._trades[-1]
            self._trades, self._sum = deque([last]), last[1]
            self.reference = float(last[1])

    def is_halted(self, time_ns: int) -> bool:
        return time_ns < self.halted_until
