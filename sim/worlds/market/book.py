"""A limit order book with price-time priority, in integer ticks and lots.

Better prices first; at one price, who came first. An order trades at the price of the one that
rests. Plain Python on purpose: an order costs about two microseconds here, and a hundred in a
batch of tensors.
Source: Gould, Porter, Williams, McDonald, Fenn and Howison, Limit order books (2013).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any, Final, NamedTuple

BUY: Final = 1
SELL: Final = -1


class Order:
    """A resting order. `left` lots of it are still to trade."""

    __slots__ = ("id", "left", "owner", "price", "side")

    def __init__(self, id: int, owner: Any, side: int, price: int, left: int) -> None:
        self.id, self.owner, self.side, self.price, self.left = id, owner, side, price, left

    def __repr__(self) -> str:
        way = "buy" if self.side == BUY else "sell"
        return f"Order({self.id}: {self.owner!r} {way} {self.left} at {self.price})"


class Trade(NamedTuple):
    """side: of the taker. left: of the maker's order, afterwards."""

    price: int
    lots: int
    side: int
    taker: Any
    maker: Any
    maker_id: int
    left: int


class _Side:
    """The resting orders of one side, by price and then by id in order of arrival.

    Keys are prices, negative for buyers, so that the least is the best. A price without orders
    stays until it comes to the top of the heap, so that each is there once.
    """

    __slots__ = ("heap", "levels")

    def __init__(self) -> None:
        self.levels: dict[int, dict[int, Order]] = {}
        self.heap: list[int] = []

    def best(self) -> int | None:
        while self.heap and not self.levels[self.heap[0]]:
            del self.levels[heappop(self.heap)]
        return self.heap[0] if self.heap else None


class Book:
    """Buyers and sellers that wait. Owners are whatever the caller tells participants apart by."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self._buyers, self._sellers = _Side(), _Side()

    @property
    def bid(self) -> int | None:
        """The best price somebody buys at."""
        best = self._buyers.best()
        return None if best is None else -best

    @property
    def ask(self) -> int | None:
        """The best price somebody sells at."""
        return self._sellers.best()

    def submit(
        self, id: int, owner: Any, side: int, lots: int, price: int | None, keeps: bool = True
    ) -> list[Trade]:
        """Trades what can be traded; what is left rests if `keeps` and there is a price.

        id:    unlike that of any resting order.
        price: the worst that is accepted; None for a market order, which never rests.
        """
        trades: list[Trade] = []
        own, other = self._buyers, self._sellers
        if side == SELL:
            own, other = other, own
        levels, heap = other.levels, other.heap
        while lots and heap:
            best = heap[0]
            level = levels[best]
            if level and price is not None and best > side * price:
                break
            at = side * best
            while level and lots:
                order = next(iter(level.values()))
                part = order.left if order.left < lots else lots
                lots -= part
                order.left -= part
                trades.append(Trade(at, part, side, owner, order.owner, order.id, order.left))
                if not order.left:
                    del level[order.id], self.orders[order.id]
            if not level:
                del levels[best]
                heappop(heap)
        if lots and keeps and price is not None:
            key = -side * price
            self.orders[id] = order = Order(id, owner, side, price, lots)
            if key in own.levels:
                own.levels[key][id] = order
            else:
                own.levels[key] = {id: order}
                heappush(own.heap, key)
        return trades

    def cancel(self, id: int) -> int:
        """Takes an order out; how many lots of it were left, 0 if it is not there."""
        order = self.orders.pop(id, None)
        if order is None:
            return 0
        levels = (self._buyers if order.side == BUY else self._sellers).levels
        del levels[-order.side * order.price][id]
        return order.left

    def depth(self, side: int, most: int | None = None) -> list[tuple[int, int]]:
        """(price, lots) of the best `most` prices of a side, or of all; best first."""
        levels = (self._buyers if side == BUY else self._sellers).levels
        return [
            (-side * key, sum(order.left for order in levels[key].values()))
            for key in sorted(key for key, level in levels.items() if level)[:most]
        ]

    def queue(self, side: int) -> list[Order]:
        """All orders of a side in the order in which they would trade."""
        levels = (self._buyers if side == BUY else self._sellers).levels
        return [order for key in sorted(levels) for order in levels[key].values()]
