"""The order book against a matcher that is too simple to be wrong."""

from __future__ import annotations

from typing import Any

from checkers.effort import tries
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sim.worlds.market.book import BUY, SELL, Book

SIDES = st.sampled_from([BUY, SELL])
PRICES = st.integers(95, 105)
LOTS = st.integers(1, 12)


class Simple:
    """A list of resting orders in order of arrival, searched anew for every trade."""

    def __init__(self) -> None:
        self.resting: list[list[Any]] = []  # id, owner, side, price, left

    def submit(
        self, id: int, owner: str, side: int, lots: int, price: int | None, keeps: bool
    ) -> list[tuple[Any, ...]]:
        trades = []
        while lots:
            others = [o for o in self.resting if o[2] == -side]
            if price is not None:
                others = [o for o in others if side * o[3] <= side * price]
            if not others:
                break
            best = min(others, key=lambda o: side * o[3])  # the first of the best
            part = min(lots, best[4])
            lots, best[4] = lots - part, best[4] - part
            trades.append((best[3], part, side, owner, best[1], best[0], best[4]))
            self.resting = [o for o in self.resting if o[4]]
        if lots and keeps and price is not None:
            self.resting.append([id, owner, side, price, lots])
        return trades

    def cancel(self, id: int) -> int:
        left = sum(o[4] for o in self.resting if o[0] == id)
        self.resting = [o for o in self.resting if o[0] != id]
        return left

    def queue(self, side: int) -> list[tuple[Any, ...]]:
        own = [o for o in self.resting if o[2] == side]
        return [tuple(o) for o in sorted(own, key=lambda o: -side * o[3])]


class Matching(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.book, self.simple, self.number = Book(), Simple(), 0
        self.position: dict[str, int] = {}
        self.cash: dict[str, int] = {}

    @rule(
        side=SIDES, lots=LOTS, price=st.none() | PRICES, keeps=st.booleans(),
        owner=st.sampled_from("abc"),
    )  # fmt: skip
    def submit(self, side: int, lots: int, price: int | None, keeps: bool, owner: str) -> None:
        self.number += 1
        order = (self.number, owner, side, lots, price, keeps)
        trades = self.book.submit(*order)
        assert trades == self.simple.submit(*order)
        for trade in trades:
            for who, way in ((trade.taker, side), (trade.maker, -side)):
                self.position[who] = self.position.get(who, 0) + way * trade.lots
                self.cash[who] = self.cash.get(who, 0) - way * trade.lots * trade.price

    @precondition(lambda self: self.number)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = data.draw(st.integers(1, self.number))
        assert self.book.cancel(id) == self.simple.cancel(id)

    @invariant()
    def same_queues_and_never_crossed(self) -> None:
        for side in (BUY, SELL):
            queue = [(o.id, o.owner, o.side, o.price, o.left) for o in self.book.queue(side)]
            assert queue == self.simple.queue(side)
            depth: dict[int, int] = {}
            for _, _, _, price, left in queue:
                assert left > 0
                depth[price] = depth.get(price, 0) + left
            assert self.book.depth(side) == list(depth.items())
            assert self.book.depth(side, 2) == list(depth.items())[:2]
            best = self.book.bid if side == BUY else self.book.ask
            assert best == (queue[0][3] if queue else None)
        if self.book.bid is not None and self.book.ask is not None:
            assert self.book.bid < self.book.ask

    @invariant()
    def cash_and_shares_are_conserved(self) -> None:
        assert sum(self.position.values()) == 0
        assert sum(self.cash.values()) == 0


Matching.TestCase.settings = settings(max_examples=tries(60), stateful_step_count=60, deadline=None)
test_matching = Matching.TestCase


def test_who_came_first_at_the_best_price_trades_first() -> None:
    book = Book()
    book.submit(1, "late price", SELL, 5, 101)
    book.submit(2, "first", SELL, 5, 100)
    book.submit(3, "second", SELL, 5, 100)
    trades = book.submit(4, "taker", BUY, 12, 101)
    assert [(t.maker, t.price, t.lots) for t in trades] == [
        ("first", 100, 5), ("second", 100, 5), ("late price", 101, 2),
    ]  # fmt: skip


def test_a_price_that_empties_again_and_again_takes_no_room() -> None:
    book = Book()
    book.submit(1, "a", BUY, 1, 100)
    for id in range(2, 1000):
        book.submit(id, "a", BUY, 1, 90)
        assert book.cancel(id) == 1
    assert len(book._buyers.heap) == 2
