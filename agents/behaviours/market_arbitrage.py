"""Buys where it is cheap and sells where it is dear, at the same time; who is first has it.

Source: Wah and Wellman, Latency arbitrage, market fragmentation, and efficiency (2013).
"""

from __future__ import annotations

import asyncio

from agents.behaviours.market_trader import Trader


class Arbitrageur(Trader):
    """gain: the least that two quotes must differ by, in ticks. most: lots of an attempt.
    patience: seconds after which what one leg left behind is sold off.
    """

    def __init__(self, gain: float = 1.0, most: int = 10, patience: float = 0.5) -> None:
        super().__init__()
        self.gain, self.most, self.patience = gain, most, patience

    async def run(self) -> None:
        await self.open()
        sees, since = self.observations(), self.now
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell())
            while True:
                await self.receive("quote", timeout=self.patience)
                if self._cross():
                    since = self.now
                if self.now - since >= self.patience:
                    since = self.now
                    self.trade(-int((await anext(sees)).position))

    async def _tell(self) -> None:
        sees = self.observations()
        async for _ in self.every("30s"):
            obs = await anext(sees)
            self.log(f"{obs.cash + obs.position * obs.news:,.0f} USD with {obs.position:.0f} lots")

    def _cross(self) -> bool:
        """Takes the best bid and the best ask, if they are at two venues and far enough apart."""
        quotes = {venue: q for venue, q in self.look().items() if not q["halted"]}
        bids = [(q["bid"], venue) for venue, q in quotes.items() if q["bid"] is not None]
        asks = [(q["ask"], venue) for venue, q in quotes.items() if q["ask"] is not None]
        if not bids or not asks:
            return False
        (bid, dear), (ask, cheap) = max(bids), min(asks)
        if dear == cheap or bid - ask < self.gain:
            return False
        lots = min(quotes[dear]["bid_lots"], quotes[cheap]["ask_lots"], self.most)
        self.trade(lots, int(ask), cheap)
        self.trade(-lots, int(bid), dear)
        # What was taken is gone, whether or not it was had: not again before the next quote.
        self.quotes[dear] = {**quotes[dear], "bid": None}
        self.quotes[cheap] = {**quotes[cheap], "ask": None}
        return True
