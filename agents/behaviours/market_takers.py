"""Traders that take what is quoted: for reasons of their own, or because they know more.

In calls noise is one order of normal size per call, and who is informed trades as Kyle's insider:
beta (v - p0) with beta = 1 / (2 lambda), lambda as it finds the price to move with the flow.
Source: Kyle, Continuous auctions and insider trading (1985).
"""

from __future__ import annotations

import asyncio
from typing import Any

from agents.behaviours.market_trader import NotNegative, Positive, Trader


class Noise(Trader):
    """Buys and sells at random. rate: orders per second. size: the most lots of an order; in calls
    the standard deviation of its one order per call.

    reach: how far from the news it accepts a price, exponentially distributed with this mean, so
    that fewer trade the more it costs; 0: at any price. Units: ticks.
    """

    def __init__(
        self, rate: Positive = 0.5, size: Positive = 4, reach: NotNegative = 0.0, venue: str = ""
    ) -> None:
        super().__init__(venue)
        self.rate, self.size, self.reach = rate, size, reach
        self.news = 0.0

    async def run(self) -> None:
        if await self.open() == "call":
            self.trade(round(self.size * float(self.rng.standard_normal())))
            while True:
                await self.receive("call")
                self.trade(round(self.size * float(self.rng.standard_normal())))
        if not self.reach:
            await self._trade_now_and_then()
        sees = self.observations()
        self.news = float((await anext(sees)).news)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._trade_now_and_then())
            async for obs in sees:
                self.news = float(obs.news)

    async def _trade_now_and_then(self) -> None:
        while True:
            await self.pause(self.rate)
            lots = int(self.rng.integers(1, int(self.size) + 1))
            side, price = (1 if self.rng.random() < 0.5 else -1), None
            if self.reach:
                price = max(round(self.news + side * float(self.rng.exponential(self.reach))), 1)
            self.trade(side * lots, price)


class Informed(Trader):
    """Knows what a share is worth, and takes every quote that is further from it than `edge`.

    rate:  of its looks at the market, per second; 0: at each observation.
    size:  lots of an order. most: of its position; in calls, of an order.
    start: how the price moves with the flow before it has seen any call. Units: ticks per lot.
    """

    def __init__(
        self, edge: float = 1.0, size: int = 4, most: int = 40, rate: NotNegative = 0.0,
        start: Positive = 10.0, venue: str = "",
    ) -> None:  # fmt: skip
        super().__init__(venue)
        self.edge, self.size, self.most, self.rate = edge, size, most, rate
        self.moves, self.flows = start * 100.0, 100.0
        self.seen: Any = None

    async def run(self) -> None:
        if await self.open() == "call":
            await self._insider()
        if not self.rate:
            async for obs in self.observations():
                self._take(obs)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_now_and_then())
            async for obs in self.observations():
                self.seen = obs

    async def _look_now_and_then(self) -> None:
        while True:
            await self.pause(self.rate)
            if self.seen is not None:
                self._take(self.seen)

    def worth(self, obs: Any) -> float:
        """What it takes a share to be worth. Units: ticks."""
        return float(obs.value)

    def _take(self, obs: Any) -> None:
        """One order at each venue whose quote is off."""
        worth = self.worth(obs)
        for venue, quote in self.look().items():
            if quote["halted"]:
                continue
            ask, bid, position = quote["ask"], quote["bid"], int(obs.position)
            if ask is not None and worth - ask >= self.edge and position < self.most:
                self.trade(min(self.size, self.most - position), int(ask), venue)
            elif bid is not None and bid - worth >= self.edge and position > -self.most:
                self.trade(-min(self.size, self.most + position), int(bid), venue)

    async def _insider(self) -> None:
        self.subscribe("call")
        sees = self.observations()
        while True:
            obs = await anext(sees)
            beta = self.flows / (2 * self.moves)
            lots = round(beta * (self.worth(obs) - obs.news))
            self.trade(min(max(lots, -self.most), self.most))
            heard = await self.receive("call")
            assert heard is not None
            call = heard.payload
            if call["price"] is not None:
                self.moves += (call["price"] - call["reference"]) * call["flow"]
                self.flows += call["flow"] ** 2
            self.moves = max(self.moves, 1e-9 * self.flows)


class Fundamentalist(Informed):
    """Trades likewise, by what the news say: it holds the price to a value that everybody may know,
    and is late where news are."""

    def worth(self, obs: Any) -> float:
        return float(obs.news)
