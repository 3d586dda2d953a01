"""A house that sells the same things to the same bidders by every format, and what came of it.

What an item is worth to a bidder is drawn by the names of both, so that all formats see the same
values and the house can say how good an allocation is; nobody else looks at another's values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from agents.agent import Agent
from agents.auctions.auction import Auction
from agents.auctions.formats import FORMATS
from agents.auctions.messages import Share, Terms
from agents.auctions.records import Result
from sim.errors import AgentError
from sim.ids import did_you_mean, matching
from sim.rng import generator
from sim.units import duration_ns

TOPIC: Final = "auction"
UNITS: Final = 3
ITEMS: Final = ("a", "b", "c")
SYNERGY: Final = 0.2
"""What each further item adds to the value of a bundle, as a share of the sum of its items."""
QUANTITY: Final = 10.0
SALES: Final[Mapping[str, Mapping[str, Any]]] = {
    "first_price": {},
    "second_price": {},
    "english": {"start": 0.0, "increment": 5.0},
    "dutch": {"start": 100.0, "increment": 5.0},
    "pay_as_bid": {"units": UNITS},
    "uniform_price": {"units": UNITS},
    "parallel": {},
    "vcg": {},
    "double_pay_as_bid": {},
    "double_auction": {},
}


class Values:
    """What things are worth to one bidder. Units: money, from 0 to 100 for one item.

    A second unit is worth half of the first; every other bidder sells in double auctions, and what
    it sells is worth that much to itself.
    """

    def __init__(self, draw: int, name: str) -> None:
        self.draw, self.name = draw, name
        self.sells = int(name.rpartition("-")[2]) % 2 == 1

    def of(self, item: str) -> float:
        return (
            float(generator(self.draw, "auction house", self.name, item).integers(0, 10_000)) / 100
        )

    def of_bundle(self, items: Sequence[str]) -> float:
        return sum(map(self.of, items)) * (1 + SYNERGY * (len(items) - 1))

    def bid(self, format: str, items: Sequence[str], shade: float = 1.0) -> Any:
        """What one bids that says the truth, or a share of it where one pays what one bids."""
        value = self.of(items[0])
        if format == "parallel":
            return {item: self.of(item) for item in items}
        if format == "vcg":
            bundles = [c for k in range(1, len(items) + 1) for c in combinations(items, k)]
            return [[list(bundle), self.of_bundle(bundle)] for bundle in bundles]
        if format.startswith("double"):
            return [[-QUANTITY if self.sells else QUANTITY, value]]
        if format in ("first_price", "dutch"):
            return value * shade
        if format == "pay_as_bid":
            return [value * shade, value / 2 * shade]
        return [value, value / 2] if format == "uniform_price" else value

    def gain(self, format: str, share: Share) -> float:
        """What a share is worth, before what is paid for it."""
        if format == "vcg":
            return self.of_bundle(share.items)
        if format == "parallel":
            return sum(map(self.of, share.items))
        whole = self.of(share.items[0])
        if format.startswith("double"):
            return whole * share.quantity
        return whole + whole / 2 * (share.quantity - 1)


class Bidder(Agent):
    """Says the truth where that is best, and in double auctions; shades by (n - 1) / n where it
    pays what it bids: the equilibrium of n bidders with uniform values and one item (Vickrey 1961).

    draw: of the values, as the house's. rivals: n.
    """

    def __init__(self, draw: int = 1, rivals: int = 8) -> None:
        self.draw, self.shade = draw, (rivals - 1) / rivals

    async def run(self) -> None:
        values = Values(self.draw, self.name)
        async for call in Auction(self, TOPIC).calls():
            call.bid(values.bid(call.format, call.items, self.shade))


@dataclass
class Account:
    """What came of one format, over all its auctions."""

    gained: float = 0.0
    greatest: float = 0.0
    revenue: float = 0.0
    messages: int = 0
    unheard: int = 0
    sales: int = 0

    def add(self, result: Result, gained: float, greatest: float) -> None:
        self.gained += gained
        self.greatest += greatest
        self.revenue += result.revenue
        self.messages += result.spent.messages
        self.unheard += len(result.missing) + len(result.late)
        self.sales += 1

    def shares(self) -> tuple[float, float]:
        """What was gained, and what the house earned, as shares of the greatest gain."""
        if not self.greatest:
            return 1.0, 0.0
        return self.gained / self.greatest, self.revenue / self.greatest

    def line(self, name: str) -> str:
        each = 1 / max(self.sales, 1)
        return (
            f"{name:<18} {100 * self.shares()[0]:>7.1f} %  {self.revenue * each:>8.2f}  "
            f"{self.messages * each:>8.1f}  {self.unheard * each:>8.2f}"
        )


class House(Agent):
    """Sells `lots` times by every format, then says what each was worth.

    As its action it states, after each sale, `efficiency` and `revenue` so far, as shares of the
    greatest gain: means over the formats.
    formats, bidders: by pattern. tries, closes_in, confirm: see `sim.Auction.hold`.
    Raises: AgentError if there is no such format.
    """

    def __init__(
        self, draw: int = 1, lots: int = 10, formats: str = "*", bidders: str = "*", tries: int = 2,
        closes_in: float | str = "2s", confirm: float | str = "500ms",
    ) -> None:  # fmt: skip
        self.draw, self.lots, self.bidders = draw, lots, bidders
        self.formats = matching(formats, SALES)
        if not self.formats:
            raise AgentError(f"formats: there is no {formats!r}; {did_you_mean(formats, SALES)}")
        self.options: dict[str, Any] = {
            "tries": tries, "closes_in": closes_in, "confirm": confirm,
            "reawards": 1 if duration_ns(confirm) else 0,
        }  # fmt: skip

    async def run(self) -> None:
        auction, accounts = Auction(self, TOPIC), {name: Account() for name in self.formats}
        await asyncio.sleep(1)
        for lot in range(self.lots):
            for name in self.formats:
                options = SALES[name]
                count = len(ITEMS) if name in ("parallel", "vcg") else 1
                items = [f"{item}{lot}" for item in ITEMS[:count]]
                result = await auction.hold(
                    items, self.bidders, format=name, **self.options, **options
                )
                gained, greatest = self._gains(name, items, result)
                accounts[name].add(result, gained, greatest)
                self._state([account for account in accounts.values() if account.sales])
        self.log(f"{'format':<18} efficiency   revenue  messages   unheard   (per auction)")
        for name, account in accounts.items():
            self.log(account.line(name))

    def _state(self, accounts: Sequence[Account]) -> None:
        efficiency, revenue = np.mean([account.shares() for account in accounts], axis=0)
        self.act(efficiency=float(efficiency), revenue=float(revenue))

    def _gains(self, name: str, items: list[str], result: Result) -> tuple[float, float]:
        """Of the allocation, and of the best one if everybody had said the truth in time."""
        others = [n for n in self.names if n != self.name]
        values = {n: Values(self.draw, n) for n in others}
        rule = "second_price" if name in ("english", "dutch") else name
        terms = Terms(
            "", [self.name], 0, rule, items, SALES[name].get("units", 1), 0, 0, 1,
            FORMATS[rule].tick, 1e-3, 0, 0, 0,
        )  # fmt: skip
        bids = {n: FORMATS[rule].read(v.bid(rule, items), terms) for n, v in values.items()}
        best = FORMATS[rule].clear(bids, terms, 0)
        gained, greatest = (
            sum(values[n].gain(name, share) for n, share in shares.items())
            for shares in (result.shares, best)
        )
        return gained, greatest
