"""An institution that sells, or buys, more than the market holds, in parts over time.

Equal parts are TWAP; with urgency the first are larger: what is left then falls as
sinh(kappa (T - t)) / sinh(kappa T), which is the least cost at a given risk.
Sources: Almgren and Chriss, Optimal execution of portfolio transactions (2000), equation 17;
SEC, In the matter of Knight Capital Americas LLC, release 34-70694 (2013), for who does not count.
"""

from __future__ import annotations

import asyncio
import math

from agents.behaviours.market_trader import Count, Positive, Trader
from sim.units import duration_ns


def left_after(share: float, urgency: float) -> float:
    """What is still to be done when a share of the time has passed. urgency: kappa T; 0 is TWAP."""
    if urgency <= 0:
        return 1 - share
    return math.sinh(urgency * (1 - share)) / math.sinh(urgency)


class Institution(Trader):
    """lots: negative to sell. at, over: when it begins, how long it takes. parts: how many orders.
    urgency: kappa T of Almgren and Chriss; 0 is TWAP.
    rests: whether a part waits at the best price of its own side, as a limit order that the next
    part replaces, and only the last takes what is there.
    """

    def __init__(
        self, lots: int = -200, at: str | float = "20s", over: str | float = "60s",
        parts: Count = 60, urgency: float = 0.0, rests: bool = False, venue: str = "",
    ) -> None:  # fmt: skip
        super().__init__(venue)
        self.lots, self.parts, self.urgency, self.rests = lots, parts, urgency, rests
        self.at_s, self.over_s = duration_ns(at) / 1e9, duration_ns(over) / 1e9

    async def run(self) -> None:
        await self.open()
        arrival = self.mid
        await asyncio.sleep(max(self.at_s - self.now, 0))
        arrival = self.mid or arrival
        sees = self.observations()
        begun = await anext(sees)
        for part in range(1, self.parts + 1):
            due = round(self.lots * (1 - left_after(part / self.parts, self.urgency)))
            done = int((await anext(sees)).position - begun.position)
            self._do(due - done, self.rests and part < self.parts)
            await asyncio.sleep(self.over_s / self.parts)
        end = await anext(sees)
        lots = int(end.position - begun.position)
        if lots and arrival is not None:
            self.log(f"{lots} lots of {self.lots}, begun at a mid price of {arrival:.1f} ticks")

    def _do(self, lots: int, waits: bool) -> None:
        best = self.look()[self.venue]["bid" if lots > 0 else "ask"]
        if waits and lots and best is not None:
            order = {"side": "buy" if lots > 0 else "sell", "lots": abs(lots), "price": best}
            self.send(self.venue, "order", {**order, "tag": 1})
            return
        if self.rests:
            self.send(self.venue, "cancel", {"tag": 1})
        self.trade(lots)


class Runaway(Trader):
    """Sends the same order again and again, for nobody counts what was filled.

    lots: of each; negative to sell. rate: orders per second. at: when it begins.
    """

    def __init__(
        self, lots: int = 20, rate: Positive = 20.0, at: str | float = "20s", venue: str = ""
    ) -> None:
        super().__init__(venue)
        self.lots, self.rate, self.at_s = lots, rate, duration_ns(at) / 1e9

    async def run(self) -> None:
        await self.open()
        await asyncio.sleep(max(self.at_s - self.now, 0))
        async for _ in self.every(1 / self.rate):
            self.trade(self.lots)
