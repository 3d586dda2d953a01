"""The market's venues: what is conserved, who is first, what is refused, when trading stops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agents.behaviours.market_roles import LEANS, WIDTHS, Quoter
from sim.errors import BoundError, UnknownKeyError
from sim.worlds.market.call import Bid, clear
from sim.worlds.market.orders import Quote, read
from sim.worlds.market.world import Market, make

MS = 1_000_000
NAMES = ("maker-1", "maker-2", "noise-1", "noise-2")


def market(**params: Any) -> Market:
    world = make(
        {"makers": 2, "informed": 1, "noise": 2, "taker_fee": 3, "maker_fee": -2, **params}
    )
    world.reset(1, 0)
    world.said()
    return world


def step(world: Market, steps: int = 1) -> None:
    for _ in range(steps):
        world.advance({}, {})


def order(side: str, lots: int, price: int | None = None, **more: Any) -> dict[str, Any]:
    kind = "market" if price is None else "limit"
    return {"side": side, "lots": lots, "price": price, "kind": kind, **more}


def both(bid: int, ask: int, lots: int = 1) -> dict[str, Any]:
    return {"bids": [[bid, lots]], "asks": [[ask, lots]]}


def positions(world: Market) -> dict[str, int]:
    return {n: a.position for n, a in world.clearing.accounts.items() if a.position}


class Trading(RuleBasedStateMachine):
    """Anything that anybody may say to two venues, and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = market(venues=2, position_max=30, messages_per_second=50, band=0.02, delay=0)
        self.number = 0

    def say(self, venue: int, name: str, verb: str, payload: Any) -> None:
        at = self.world.steps * self.world.dt_ns
        try:
            self.world.venues[f"venue-{venue}"].apply(at, name, verb, payload)
        except ValueError:
            pass

    @rule(
        venue=st.integers(1, 2), name=st.sampled_from(NAMES),
        side=st.sampled_from(["buy", "sell"]), lots=st.integers(0, 20),
        price=st.none() | st.integers(9_700, 10_300),
        kind=st.sampled_from(["limit", "ioc", "market"]), tag=st.integers(0, 3),
    )  # fmt: skip
    def order(self, venue: int, name: str, **payload: Any) -> None:
        self.say(venue, name, "order", payload)

    @rule(
        venue=st.integers(1, 2), name=st.sampled_from(NAMES), bid=st.integers(9_990, 10_010),
        width=st.integers(-1, 9), lots=st.integers(1, 20),
    )  # fmt: skip
    def quote(self, venue: int, name: str, bid: int, width: int, lots: int) -> None:
        self.number += 1
        quote = both(bid, bid + width, lots)
        quote["bids"].append([bid - 2, lots])
        self.say(venue, name, "quote", {**quote, "number": self.number})

    @rule(venue=st.integers(1, 2), name=st.sampled_from(NAMES), tag=st.integers(0, 3))
    def cancel(self, venue: int, name: str, tag: int) -> None:
        self.say(venue, name, "cancel", {"tag": tag})

    @rule(name=st.sampled_from(NAMES), verb=st.text(max_size=6), payload=st.none() | st.integers())
    def nonsense(self, name: str, verb: str, payload: Any) -> None:
        self.say(1, name, verb, payload)

    @rule()
    def time(self) -> None:
        step(self.world, 3)

    @invariant()
    def nothing_is_made_and_nothing_lost(self) -> None:
        accounts = self.world.clearing.accounts
        assert sum(a.position for a in accounts.values()) == 0
        assert sum(a.cash for a in accounts.values()) + self.world.clearing.fees == 0
        assert sum(a.fees for a in accounts.values()) == self.world.clearing.fees

    @invariant()
    def no_book_is_crossed_and_orders_are_accounted_for(self) -> None:
        working = {(n, s): 0 for n in self.world.clearing.accounts for s in (1, -1)}
        for venue in self.world.venues.values():
            bid, ask = venue.book.bid, venue.book.ask
            assert bid is None or ask is None or bid < ask
            for side in (1, -1):
                for resting in venue.book.queue(side):
                    name, tag = resting.owner
                    working[name, side] += resting.left
                    assert venue._live[name][tag] == resting.id
        for (name, side), lots in working.items():
            account = self.world.clearing.accounts[name]
            assert account.working[side] == lots
            assert side * account.position + lots <= 30

    @invariant()
    def nobody_trades_with_itself(self) -> None:
        assert all(t.taker != t.maker for t in self.world.measures.tape)


Trading.TestCase.settings = settings(max_examples=tries(40), stateful_step_count=50, deadline=None)
test_trading = Trading.TestCase


def test_fills_are_told_to_both_and_the_tape_to_everybody() -> None:
    world = market()
    venue = world.venues["venue-1"]
    venue.apply(1, "maker-1", "quote", both(9_990, 10_010, 5))
    answer = venue.apply(2, "noise-1", "order", order("buy", 7, tag=4))
    assert answer == {"tag": 4, "side": "buy", "lots": 5, "left": 2, "price": 10_010.0}
    told = [(s.topic, s.to) for s in world.said()]
    assert told == [
        ("quote", ""), ("fill", "maker-1"), ("trade", ""), ("fill", "noise-1"), ("quote", ""),
    ]  # fmt: skip
    maker, taker = world.clearing.accounts["maker-1"], world.clearing.accounts["noise-1"]
    assert (maker.position, maker.cash) == (-5, 5 * 10_010 * 100 + 10)
    assert (taker.position, taker.cash) == (5, -5 * 10_010 * 100 - 15)


def test_an_order_replaces_that_of_its_tag_and_a_late_quote_does_not_count() -> None:
    world = market()
    venue = world.venues["venue-1"]
    for lots, price in ((3, 9_900), (4, 9_901)):
        venue.apply(1, "noise-1", "order", order("buy", lots, price, tag=7))
    assert venue.book.depth(1) == [(9_901, 4)]
    venue.apply(1, "maker-1", "quote", {"bids": [[9_950, 1]], "number": 2})
    venue.apply(1, "maker-1", "quote", {"bids": [[9_999, 1]], "number": 1})
    assert venue.book.bid == 9_950
    venue.apply(1, "maker-1", "cancel", {"number": 3})
    assert venue.book.bid == 9_901


def test_nobody_trades_with_itself() -> None:
    world = market()
    venue = world.venues["venue-1"]
    venue.apply(1, "noise-1", "order", order("sell", 5, 10_000))
    venue.apply(1, "noise-2", "order", order("sell", 5, 10_001))
    venue.apply(2, "noise-1", "order", order("buy", 3, 10_005))
    assert positions(world) == {"noise-1": 3, "noise-2": -3}
    assert venue.book.depth(-1) == [(10_001, 2)]


@pytest.mark.parametrize(
    ("verb", "payload", "why"),
    [
        ("order", order("buy", 11, 9_000), "position limit"),
        ("order", order("buy", 0, 9_000), ">= 1"),
        ("order", {"side": "up", "lots": 1}, "side"),
        ("order", {"side": "buy", "lots": 1}, "a limit order with price None"),
        ("order", order("buy", 1, 9_000, secret=1), "secret"),
        ("quote", both(10, 9), "a bid of 10 with an ask of 9"),
        ("dance", None, "a venue takes order, quote, cancel, kill"),
        ("order", 3, "Expected `object`"),
        ("order", np.array([1.0, 9_990.0]), "expected lots, found"),
        ("order", np.array([np.inf]), "expected lots"),
        ("order", np.array([0.3]), ">= 1"),
        ("quote", np.array([9_990.0, 1.0]), "expected bid bid_lots ask ask_lots"),
        ("cancel", np.array([1.0]), "expected no numbers"),
        ("quote", np.array([-5.0, 1.0, 5.0, 1.0]), ">= 1"),
    ],
)
def test_what_is_refused_is_told(verb: str, payload: Any, why: str) -> None:
    world = market(position_max=10)
    with pytest.raises(ValueError, match=why):
        world.venues["venue-1"].apply(1, "noise-1", verb, payload)
    (said,) = world.said()
    assert (said.topic, said.to) == ("reject", "noise-1")
    assert why.strip("`") in said.payload["why"]


def test_policies_say_numbers() -> None:
    world = market()
    venue = world.venues["venue-1"]
    venue.apply(1, "maker-1", "quote", np.array([9_990.2, 4.0, 10_010.0, 5.0]))
    venue.apply(2, "maker-2", "quote", np.array([0.0, 0.0, 10_005.0, 1.0]))
    assert (venue.book.depth(1), venue.book.depth(-1)) == (
        [(9_990, 4)], [(10_005, 1), (10_010, 5)],
    )  # fmt: skip
    venue.apply(3, "noise-1", "order", np.array([3.0]))
    venue.apply(4, "noise-2", "order", np.array([-4.0]))
    assert positions(world) == {"maker-1": 2, "maker-2": -1, "noise-1": 3, "noise-2": -4}


def test_too_many_messages_in_a_second_are_refused() -> None:
    world = market(messages_per_second=3)
    venue = world.venues["venue-1"]
    for i in range(3):
        venue.apply(i, "noise-1", "cancel", None)
    with pytest.raises(ValueError, match="more than 3 messages"):
        venue.apply(900 * MS, "noise-1", "cancel", None)
    venue.apply(1000 * MS, "noise-1", "cancel", None)
    venue.apply(1, "noise-2", "cancel", None)


def test_the_kill_switch_takes_everything_out_at_every_venue() -> None:
    world = market(venues=2)
    for venue in world.venues.values():
        venue.apply(1, "maker-1", "quote", both(9_990, 10_010))
    world.inject("kill_switch", "maker-1", True)
    assert all(v.book.bid is None and v.book.ask is None for v in world.venues.values())
    with pytest.raises(ValueError, match="kill switch"):
        world.venues["venue-1"].apply(2, "maker-1", "quote", {"bids": [[1, 1]]})
    world.inject("kill_switch", "maker-1", False)
    for venue in world.venues.values():
        venue.apply(3, "maker-1", "quote", both(9_990, 10_010))
    assert world.venues["venue-1"].apply(4, "maker-1", "kill", None) == {"cancelled": 4}
    assert world.clearing.accounts["maker-1"].is_killed
    assert world.venues["venue-2"].book.bid is None


def test_who_loses_too_much_is_cut_off() -> None:
    world = market(drawdown_max=50_000, band=0)
    venue = world.venues["venue-1"]
    venue.apply(1, "maker-1", "quote", both(9_990, 10_010, 9))
    venue.apply(2, "noise-1", "order", order("buy", 9))
    step(world)
    venue.apply(3, "maker-1", "quote", both(9_800, 9_820))
    step(world)
    killed = [n for n, a in world.clearing.accounts.items() if a.is_killed]
    assert killed == ["noise-1"]


def test_the_breaker_lets_no_trade_through_and_halts() -> None:
    world = market(band=0.01, pause="1s")
    venue = world.venues["venue-1"]
    for price in (9_950, 9_910, 9_880, 9_500):
        venue.apply(1, "maker-1", "order", order("buy", 1, price))
    venue.apply(2, "noise-1", "order", order("sell", 4))
    assert [t.price for t in world.measures.tape] == [9_950, 9_910]
    assert venue.book.depth(1) == [(9_880, 1), (9_500, 1)]
    assert positions(world) == {"maker-1": 2, "noise-1": -2}
    with pytest.raises(ValueError, match="halted"):
        venue.apply(3, "noise-2", "order", order("sell", 1))
    venue.apply(3, "maker-1", "cancel", {"tag": 0})  # one may leave
    world.said()
    step(world, 11)
    assert [s.payload["halted"] for s in world.said() if s.topic == "quote"][-1] is False
    venue.apply(11 * 100 * MS, "noise-2", "order", order("buy", 1, 9_900))
    assert venue.book.bid == 9_900


def test_an_order_from_beyond_the_band_rests_at_its_edge() -> None:
    world = market(band=0.01)
    venue = world.venues["venue-1"]
    venue.apply(1, "maker-1", "order", order("buy", 2, 10_500))
    assert (venue.book.bid, venue.breaker.halts) == (10_100, 0)
    venue.apply(2, "maker-2", "order", order("sell", 1, 10_300))
    venue.apply(3, "noise-1", "order", order("buy", 1, 10_400))
    assert venue.breaker.halts == 1
    assert not positions(world)


def test_among_dealers_nobody_else_rests() -> None:
    world = market(form="dealer", volatility=50)
    venue = world.venues["venue-1"]
    venue.apply(1, "noise-1", "order", order("buy", 1, 10_000))
    assert venue.book.bid is None
    venue.apply(1, "maker-1", "quote", both(9_990, 10_010))
    venue.apply(2, "noise-1", "order", order("buy", 3, 10_020))
    assert positions(world) == {"noise-1": 1, "maker-1": -1}


def test_at_the_end_of_a_round_shares_turn_into_cash() -> None:
    world = market(form="dealer", volatility=50, round="1s", taker_fee=0, maker_fee=0)
    value = world.value
    assert abs(value - 10_000) == 50
    world.venues["venue-1"].apply(1, "maker-1", "quote", both(9_990, 10_010))
    world.venues["venue-1"].apply(2, "noise-1", "order", order("buy", 1))
    step(world, 10)
    assert positions(world) == {}
    assert world.clearing.accounts["noise-1"].cash == (value - 10_010) * 100
    assert [s.payload for s in world.said() if s.topic == "value"] == [{"round": 0, "value": value}]
    assert world.venues["venue-1"].book.bid is None


def test_a_call_has_one_price_and_the_imbalance_comes_first() -> None:
    world = market(form="call", volatility=200, round="1s", lead="200ms")
    venue = world.venues["venue-1"]
    venue.apply(1, "noise-1", "order", order("buy", 12))
    venue.apply(1, "noise-2", "order", order("sell", 5))
    step(world, 8)
    (imbalance,) = [s.payload for s in world.said() if s.topic == "imbalance"]
    assert imbalance == {"buy": 12, "sell": 5, "reference": 10_000}
    venue.apply(810 * MS, "maker-1", "order", order("sell", 7, 10_070))
    venue.apply(820 * MS, "maker-2", "order", order("sell", 7, 10_080))
    venue.apply(830 * MS, "informed-1", "order", order("buy", 100))  # too late for this call
    step(world, 2)
    said = world.said()
    assert [s.payload for s in said if s.topic == "call"] == [
        {"price": 10_070, "lots": 12, "flow": 7, "reference": 10_000}
    ]
    fills = {s.to: (s.payload["side"], s.payload["lots"]) for s in said if s.topic == "fill"}
    assert fills == {"noise-1": ("buy", 12), "noise-2": ("sell", 5), "maker-1": ("sell", 7)}
    assert venue.resting() == [(0, 100)]
    step(world, 8)
    (imbalance,) = [s.payload for s in world.said() if s.topic == "imbalance"]
    assert imbalance["buy"] == 100


def test_while_a_call_is_halted_orders_wait() -> None:
    world = market(form="call", volatility=200, round="1s", lead="200ms")
    venue = world.venues["venue-1"]
    venue.apply(1, "noise-1", "order", order("buy", 5))
    venue.apply(1, "maker-1", "order", order("sell", 5, 10_010))
    world.inject("halt", "venue-1", True)
    with pytest.raises(ValueError, match="halted"):
        venue.apply(2, "noise-2", "order", order("sell", 5))
    step(world, 10)
    assert not positions(world)
    world.inject("halt", "venue-1", False)
    step(world, 10)
    assert [t.lots for t in world.measures.tape] == [5]


BIDS = st.tuples(st.sampled_from([1, -1]), st.integers(1, 9), st.none() | st.integers(95, 105))


@settings(max_examples=tries(200), deadline=None)
@given(bids=st.lists(BIDS, max_size=8))
def test_a_call_trades_the_most_that_it_can(bids: list[tuple[int, int, int | None]]) -> None:
    orders = [Bid(i, side, lots, price, 0) for i, (side, lots, price) in enumerate(bids)]
    cleared = clear(orders, 100)

    def crossing(price: float) -> int:
        willing = [b for b in orders if b.price is None or b.side * b.price >= b.side * price]
        return min(sum(b.lots for b in willing if b.side == s) for s in (1, -1))

    assert cleared.lots == max(crossing(p) for p in np.arange(94, 106.5, 0.5))
    for side in (1, -1):
        shares = [n for b, n in zip(orders, cleared.shares, strict=True) if b.side == side]
        assert sum(shares) == cleared.lots
    for b, n in zip(orders, cleared.shares, strict=True):
        if n and b.price is not None and cleared.price is not None:
            assert b.side * b.price >= b.side * cleared.price


def test_the_same_seed_is_the_same_value() -> None:
    def course(seed: int, episode: int) -> list[float]:
        world = market()
        world.reset(seed, episode)
        step(world, 20)
        return [value for _, value in world.course]

    assert course(1, 0) == course(1, 0) != course(1, 1)
    assert course(1, 0) != course(2, 0)


def test_news_come_late_and_the_informed_know() -> None:
    world = market(delay="1s", volatility=10)
    values = [world.value]
    for _ in range(30):
        step(world)
        values.append(world.value)
        seen = world.observe()
        assert seen["informed"][0][3] == world.value
        assert seen["maker"][0][2] == values[max(len(values) - 11, 0)]


@pytest.mark.parametrize(
    ("params", "error", "why"),
    [
        ({"form": "call", "value": "walk"}, BoundError, "a value per round"),
        ({"form": "auction"}, BoundError, "expected one of book, dealer, call"),
        ({"dt": "0s"}, BoundError, "longer than 0"),
        ({"delay": "150ms"}, BoundError, "world.delay: expected a whole number"),
        ({"makers": 0, "informed": 0, "noise": 0}, BoundError, "needs participants"),
        ({"bands": 1}, UnknownKeyError, "band"),
        ({"form": "call", "round": "1s", "lead": "1s"}, BoundError, "less than world.round"),
    ],
)
def test_mistakes_are_named(params: dict[str, Any], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        make(params)


def test_what_is_refused_is_counted_and_who_is_cut_off() -> None:
    world = market(position_max=5)
    venue = world.venues["venue-1"]
    venue.apply(1, "maker-1", "kill", None)
    for lots in (3, 30):
        try:
            venue.apply(2, "noise-1", "order", order("buy", lots, 9_990))
        except ValueError:
            pass
    figures = world.metrics()
    assert (figures["refused"].value, figures["cut off"].value) == (1, 1)


def test_a_learning_maker_quotes_around_the_news_and_no_more_than_it_may_hold() -> None:
    world = market()
    role = Quoter("maker-1", world.groups[0], {"lots": 5, "most": 20})
    obs = np.array([[0.0, 0.0, 9_999.5], [18.0, 0.0, 10_000.0], [-30.0, 0.0, 10_000.0]])
    assert role.see(obs, {}, None)[:, 0].tolist() == [0.0, 0.9, -1.0]
    widest, level = len(WIDTHS) - 1, LEANS.index(0.0)
    decision = np.array([[0.0, level], [widest, 0.0], [1.0, level]])
    _, said, _ = role.act(decision, obs, {}, None, None)
    assert said["quote"].tolist() == [
        [9_998, 5, 10_001, 5], [9_984, 2, 10_008, 5], [9_998, 5, 10_002, 0],
    ]  # fmt: skip
    answer = read("quote", said["quote"][1])
    assert answer == Quote(bids=[(9_984, 2)], asks=[(10_008, 5)])
