"""Market makers: each form of the market has one that its literature would recognise.

book:   Avellaneda and Stoikov, High-frequency trading in a limit order book (2008), equations 29
        and 30, around a fair price of news and recent flow; or the same spread without regard to
        inventory (`symmetric`).
dealer: Glosten and Milgrom, Bid, ask and transaction prices in a specialist market with
        heterogeneously informed traders (1985): quotes are the expected value given a sale or a
        purchase; how many are informed it learns from values that are told afterwards.
call:   Kyle, Continuous auctions and insider trading (1985): the price is the expected value given
        the flow, by regression on the calls so far.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

from agents.arguments import one_of
from agents.behaviours.market_trader import NotNegative, Positive, Trader
from sim.units import SECOND, duration_ns

STRATEGIES: Final = ("inventory", "symmetric")


def quotes_of(
    mid: float, inventory: float, gamma: float, sigma: float, k: float, left: float
) -> tuple[float, float]:
    """Bid and ask of Avellaneda and Stoikov around the reservation price.

    Units: gamma per money, sigma money per root of time, k per money, left time to the end.
    """
    risk = gamma * sigma * sigma * left
    centre = mid - inventory * risk
    half = risk / 2 + math.log(1 + gamma / k) / gamma
    return centre - half, centre + half


class Maker(Trader):
    """strategy: `inventory` or `symmetric`, in a book. lots: at each price.
    levels, gap: how many prices on each side, and how many ticks between them.
    gamma: aversion to risk, per tick and lot. k: by which the rate of fills decays, per tick.
    horizon: for which inventory is held. impact: ticks by which a lot of flow moves the fair price,
    as long as it is not in the news (`memory`). most: of the position.
    volatility: in ticks per root of a second; 0: as the news show it.
    informed, range: what it believes before it has seen anything: share of informed traders, and
    how far from the price the value can be, in ticks. start: ticks per lot, before the first call.
    """

    def __init__(
        self, strategy: str = "inventory", lots: int = 5, levels: int = 3, gap: int = 4,
        gamma: Positive = 0.002, k: Positive = 0.25, horizon: str | float = "10s",
        impact: NotNegative = 0.2, memory: str | float = "2s", most: int = 100,
        volatility: NotNegative = 0.0, informed: float = 0.5, range: Positive = 50.0,
        start: Positive = 10.0, venue: str = "",
    ) -> None:  # fmt: skip
        super().__init__(venue)
        self.strategy = one_of("strategy", strategy, STRATEGIES)
        self.lots, self.gamma, self.k, self.most = lots, gamma, k, most
        self.levels, self.gap = levels, gap
        self.horizon_s, self.memory_ns = duration_ns(horizon) / 1e9, duration_ns(memory)
        self.impact, self.volatility = impact, volatility
        self.informed, self.range, self.start = informed, range, start

    async def run(self) -> None:
        form = await self.open()
        if form == "dealer":
            await self._deal()
        elif form == "call":
            await self._answer()
        else:
            await self._make()

    def quote(self, bid: float, ask: float, bid_lots: int, ask_lots: int, levels: int = 1) -> None:
        """Both sides anew, the bid rounded down and the ask up; none of a side with no lots."""
        sides = ("bids", -1, math.floor(bid), bid_lots), ("asks", 1, math.ceil(ask), ask_lots)
        quote: dict[str, Any] = {"number": self.next_number()}
        for name, way, price, lots in sides:
            each = min(self.lots, lots)
            prices = [price + way * self.gap * level for level in range(levels)]
            quote[name] = [[max(p, 1 + (way > 0)), each] for p in prices if each > 0]
        self.send(self.venue, "quote", quote)

    # --- book -----------------------------------------------------------------------------------

    async def _make(self) -> None:
        held: deque[tuple[int, float]] = deque()
        sigma, before, told = _Sigma(self.volatility), None, None
        async for obs in self.observations():
            held.append((obs.time_ns, obs.position))
            while held[0][0] < obs.time_ns - self.memory_ns:
                held.popleft()
            if before is not None:
                sigma.see(obs.news - before[1], obs.time - before[0])
            before = obs.time, obs.news
            fair = obs.news - self.impact * (obs.position - held[0][1])
            inventory = obs.position if self.strategy == "inventory" else 0.0
            bid, ask = quotes_of(
                fair, inventory, self.gamma, sigma.value, self.k, self.horizon_s
            )  # fmt: skip
            room = self.most - int(obs.position), self.most + int(obs.position)
            shown = math.floor(bid), math.ceil(ask), obs.position
            if shown != told or self.now_ns % SECOND == 0:  # once a second, should one be lost
                self.quote(bid, ask, *room, self.levels)
                told = shown

    # --- dealer ---------------------------------------------------------------------------------

    async def _deal(self) -> None:
        belief = Belief(self.informed, self.range)
        price = float((await anext(self.observations())).news)
        self.subscribe("trade")
        self.subscribe("value")
        while True:
            bid, ask = belief.quotes(price)
            self.quote(bid, ask, self.lots, self.lots)
            heard = await self.receive()
            while heard is None or heard.topic not in ("trade", "value"):
                heard = await self.receive()
            if heard.topic == "value":
                belief.learn(float(heard.payload["value"]), price)
            else:
                side = 1 if heard.payload["side"] == "buy" else -1
                belief.trade(side, int(heard.payload["price"]), price)

    # --- call -----------------------------------------------------------------------------------

    async def _answer(self) -> None:
        moves, flows, flow, reference = self.start * 100.0, 100.0, 0, 0
        self.subscribe("imbalance")
        self.subscribe("value")
        while True:
            heard = await self.receive()
            if heard is None or heard.topic not in ("imbalance", "value"):
                continue
            if heard.topic == "value":
                moves += flow * (float(heard.payload["value"]) - reference)
                flows += flow * flow
                continue
            reference = int(heard.payload["reference"])
            flow = int(heard.payload["buy"]) - int(heard.payload["sell"])
            if flow:
                order = {"side": "sell" if flow > 0 else "buy", "lots": abs(flow), "tag": 1}
                price = max(round(reference + moves / flows * flow), 1)
                self.send(heard.sender, "order", {**order, "price": price})


class _Sigma:
    """Volatility of the news, exponentially weighted over a minute. Units: ticks, s."""

    def __init__(self, fixed: float) -> None:
        self._fixed, self._variance = fixed, 16.0

    def see(self, change: float, seconds: float) -> None:
        if seconds > 0:
            weight = min(seconds / 60.0, 1.0)
            self._variance += weight * (change * change / seconds - self._variance)

    @property
    def value(self) -> float:
        return self._fixed or math.sqrt(self._variance)


class Belief:
    """Whether the value is the high or the low one, from the side of the trades of a round.

    informed: the share of traders who know, as their trades have shown: these are on the right
    side, the others half of the time, so that P(right) = informed + (1 - informed) / 2.
    """

    def __init__(self, informed: float, range: float, weight: float = 10.0) -> None:
        """weight: how many trades the first belief counts for."""
        self._right, self._seen = weight * (1 + informed) / 2, weight
        self._range = range
        self._sides: list[int] = []
        self.high = 0.5

    @property
    def informed(self) -> float:
        return min(max(2 * self._right / self._seen - 1, 0.0), 1.0)

    def given(self, side: int) -> float:
        """P(high) if the next trade is a purchase (1) or a sale (-1)."""
        lean = side * self.informed
        up, down = self.high * (1 + lean), (1 - self.high) * (1 - lean)
        return up / (up + down) if up + down else self.high

    def quotes(self, price: float) -> tuple[float, float]:
        """The expected value given a sale, and given a purchase."""
        bid, ask = (
            price + self._range * (2 * self.given(side) - 1) for side in (-1, 1)
        )  # fmt: skip
        return (bid, ask) if ask - bid >= 2 else ((bid + ask) / 2 - 1, (bid + ask) / 2 + 1)

    def trade(self, side: int, at: int, price: float) -> None:
        """A trade; it tells something as long as the informed can still gain."""
        if abs(at - price) < self._range:
            self._sides.append(side)
        self.high = min(max(self.given(side), 1e-6), 1 - 1e-6)

    def learn(self, value: float, price: float) -> None:
        """What the value was; a new round begins."""
        self._range = abs(value - price)
        up = 1 if value > price else -1
        self._right += sum(side == up for side in self._sides)
        self._seen += len(self._sides)
        self._sides.clear()
        self.high = 0.5
