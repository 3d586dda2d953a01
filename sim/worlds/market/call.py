"""A call auction: everybody trades at one price, that at which most is traded.

Of several such prices it is the one that leaves least over, then the nearest to a reference, then
the lower. Market orders come first, then better prices, then who came first.
Source: Economides and Schwartz, Electronic call market trading (1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sim.worlds.market.book import BUY, SELL


class Bid(NamedTuple):
    """An order of a call, of a buyer or of a seller; price None: at any."""

    owner: Any
    side: int
    lots: int
    price: int | None
    tag: int


class Cleared(NamedTuple):
    """price: None if nothing trades. shares: lots per order, in the order given."""

    price: int | None
    lots: int
    shares: list[int]


def clear(bids: Sequence[Bid], reference: int) -> Cleared:
    """The one price, and what each order, given in order of arrival, gets at it."""
    prices = sorted({reference, *(b.price for b in bids if b.price is not None)})

    def wanted(side: int, price: int) -> int:
        return sum(b.lots for b in bids if b.side == side and accepts(b, price))

    def merit(price: int) -> tuple[int, int, int, int]:
        bought, sold = wanted(BUY, price), wanted(SELL, price)
        return -min(bought, sold), abs(bought - sold), abs(price - reference), price

    price = min(prices, key=merit)
    lots = min(wanted(BUY, price), wanted(SELL, price))
    shares = [0] * len(bids)
    for side in (BUY, SELL):
        left = lots
        for i in sorted(range(len(bids)), key=lambda i: _rank(bids[i])):
            if bids[i].side == side and accepts(bids[i], price):
                shares[i] = min(bids[i].lots, left)
                left -= shares[i]
    return Cleared(price if lots else None, lots, shares)


def accepts(bid: Bid, price: int) -> bool:
    """Whether an order may trade at a price."""
    return bid.price is None or bid.side * bid.price >= bid.side * price


def _rank(bid: Bid) -> tuple[bool, int]:
    """Market orders first, then the best prices; sorting keeps the order of arrival."""
    return bid.price is not None, -bid.side * (bid.price or 0)
