"""Traders that believe in the course of the price: that it goes on, or that it comes back.

Both hold a position as long as they believe, and none otherwise.
Sources: Brock, Lakonishok and LeBaron, Simple technical trading rules (1992), for moving averages;
Poterba and Summers, Mean reversion in stock prices (1988).
"""

from __future__ import annotations

import asyncio

from agents.behaviours.market_trader import Trader
from sim.units import duration_ns


class _Averages(Trader):
    """fast, slow: time constants of two moving averages of the mid price. threshold: ticks by which
    they must differ. lots: of the position.
    """

    way = 1

    def __init__(
        self, fast: str | float = "2s", slow: str | float = "15s", threshold: float = 4.0,
        lots: int = 10, venue: str = "",
    ) -> None:  # fmt: skip
        super().__init__(venue)
        self.fast_s, self.slow_s = duration_ns(fast) / 1e9, duration_ns(slow) / 1e9
        self.threshold, self.lots = threshold, lots

    async def run(self) -> None:
        await self.open()
        before, fast, slow = self.now, self.mid, self.mid
        async for obs in self.observations():
            mid, quote = self.mid, self.quotes.get(self.venue)
            if mid is None or quote is None:
                continue
            passed, before = obs.time - before, obs.time
            fast = mid if fast is None else fast + min(passed / self.fast_s, 1.0) * (mid - fast)
            slow = mid if slow is None else slow + min(passed / self.slow_s, 1.0) * (mid - slow)
            signal = self.way * (fast - slow)
            wanted = self.lots * ((signal > self.threshold) - (signal < -self.threshold))
            lots = wanted - int(obs.position)
            is_out = obs.position * signal <= 0
            if lots and (wanted or is_out) and not quote["halted"]:
                self.trade(lots)


class Trend(_Averages):
    """Follows the trend: holds what has risen, owes what has fallen."""


class Reverter(_Averages):
    """Holds what has fallen until it is back, and owes what has risen."""

    way = -1

    def __init__(
        self, fast: str | float = "500ms", slow: str | float = "30s", threshold: float = 8.0,
        lots: int = 10, venue: str = "",
    ) -> None:  # fmt: skip
        super().__init__(fast, slow, threshold, lots, venue)


class Patient(Trader):
    """Waits for a bargain: orders far below and above a slow average, which rest for long.

    first, gap: ticks from the average to the nearest price, and between prices. lots: at each.
    every: how often the orders are placed anew. slow: time constant of the average.
    """

    def __init__(
        self, first: int = 40, gap: int = 30, levels: int = 12, lots: int = 8,
        every: str | float = "20s", slow: str | float = "60s", venue: str = "",
    ) -> None:  # fmt: skip
        super().__init__(venue)
        self.first, self.gap, self.levels, self.lots = first, gap, levels, lots
        self.every_s, self.slow_s = duration_ns(every) / 1e9, duration_ns(slow) / 1e9

    async def run(self) -> None:
        await self.open()
        average = self.mid
        while True:
            mid = self.mid
            if average is not None and mid is not None:
                average += min(self.every_s / self.slow_s, 1.0) * (mid - average)
                ways = [self.first + self.gap * level for level in range(self.levels)]
                sides = {
                    "bids": [[max(round(average) - way, 1), self.lots] for way in ways],
                    "asks": [[round(average) + way, self.lots] for way in ways],
                }
                self.send(self.venue, "quote", {**sides, "number": self.next_number()})
            await asyncio.sleep(self.every_s)
