"""Letters that come too late, of another term, from somebody else, or more often than once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agents.auctions import messages
from agents.auctions.calls import Call
from agents.auctions.messages import Award, Bid, Confirm, Outcome, Plan, Share, Terms
from agents.auctions.session import Session

LOT = Share(["lot"], 1.0, 2.0)


def terms(term: int = 0) -> Terms:
    return Terms(
        "id", ["seller", "deputy"], term, "first_price", ["lot"], 1, 0, 0, 1, 1e-6, 1e-3, 0, 10, 20
    )


@pytest.fixture
def loop() -> Iterator[Any]:
    real = asyncio.new_event_loop()
    yield SimpleNamespace(now_ns=0, create_future=real.create_future)
    real.close()


def session(loop: Any, term: int = 0) -> Session:
    plan = Plan(["a", "b"], 1, 5, 5, 0, 1, 0)
    return Session(terms(term), plan, loop, lambda to, letter: 0, key=1)


def test_a_bid_of_another_term_is_none(loop: Any) -> None:
    held = session(loop, term=1)
    held.receive("a", Bid("id", 0, 0, 5.0))
    held.receive("stranger", Bid("id", 1, 0, 5.0))
    assert held.bids == {}
    held.receive("a", Bid("id", 1, 0, 5.0))
    held.receive("a", Bid("id", 1, 0, 7.0))
    assert held.bids == {"a": 5.0}


def test_a_confirmation_of_an_award_that_was_changed_is_none(loop: Any) -> None:
    held = session(loop)
    held._version, held._pending = 2, {"a": None}
    held.receive("a", Confirm("id", 0, 1, True))
    held.receive("b", Confirm("id", 0, 2, True))
    assert list(held._pending) == ["a"]
    held.receive("a", Confirm("id", 0, 2, True))
    assert not held._pending


class Bidder:
    """A call, and what was posted about it."""

    def __init__(self, loop: Any, term: int = 0) -> None:
        self.loop, self.posted = loop, []  # type: ignore[var-annotated]
        self.call = Call(terms(term), "a", loop, self.post)

    def post(self, to: str, letter: Any) -> int:
        self.posted.append((to, letter))
        return 0


def test_an_award_past_its_deadline_is_not_confirmed(loop: Any) -> None:
    bidder = Bidder(loop)
    loop.now_ns = 16
    bidder.call.receive("seller", Award("id", 0, 1, LOT, 15))
    assert bidder.posted == []
    bidder.call.receive("seller", Award("id", 0, 1, LOT, 16))
    assert bidder.posted == [("seller", Confirm("id", 0, 1, True))]


def test_an_answer_to_an_award_is_the_same_each_time_it_is_asked(loop: Any) -> None:
    bidder, answers = Bidder(loop), iter([False, True])
    bidder.call.bid(3.0, accept=lambda award: next(answers))
    for _ in range(2):
        bidder.call.receive("seller", Award("id", 0, 1, LOT, 15))
    bidder.call.receive("seller", Award("id", 0, 2, LOT, 15))
    assert [letter.accepts for _, letter in bidder.posted[1:]] == [False, False, True]


def test_a_bidder_believes_only_who_holds_the_auction_now(loop: Any) -> None:
    bidder = Bidder(loop)
    bidder.call.bid(3.0)
    bidder.call.receive("deputy", messages.Call(terms(1)))
    bidder.call.receive("seller", messages.Call(terms(0)))
    bidder.call.receive("seller", messages.Call(terms(1)))
    assert bidder.call.auctioneer == "deputy"
    assert bidder.posted == [("seller", Bid("id", 0, 0, 3.0)), ("deputy", Bid("id", 1, 0, 3.0))]
    bidder.call.receive("seller", Outcome("id", 0, "sold", {"a": LOT}))
    bidder.call.receive("seller", Outcome("id", 1, "sold", {"a": LOT}))
    assert bidder.call.is_open
    bidder.call.receive("deputy", Outcome("id", 1, "unsold", {}))
    assert not bidder.call.is_open


@pytest.mark.parametrize("format", ["first_price", "english"])
def test_the_first_answer_counts_in_every_format(loop: Any, format: str) -> None:
    """Whatever comes after it is said as what was answered first, so that it is a duplicate."""
    bidder = Bidder(loop)
    bidder.call._terms = msgspec.structs.replace(terms(), format=format, start=4.0)
    bidder.call.bid(3.0, accept=lambda award: False)
    bidder.call.bid(5.0)
    bidder.call.decline()
    said = 3.0 if format == "first_price" else 3.0 >= bidder.call.price
    assert bidder.posted == [("seller", Bid("id", 0, 0, said))] * 3
    bidder.call.receive("seller", Award("id", 0, 1, LOT, 15))
    assert not bidder.posted[-1][1].accepts


SOURCE = """
import msgspec
from agents.auctions.messages import Outcome, Plan, Terms, Watch

class A(sim.Agent):
    async def run(self):
        self.auction = sim.Auction(self, "sale")
        async for call in self.auction.calls():
            call.bid(float(self.name[6:]))
            await call.award()

class Deputy(A):
    async def run(self):
        serving = asyncio.create_task(super().run())
        for _ in range(3):
            await asyncio.sleep(5)
            self.log(repr([(r.status, r.term) for r in self.auction.results]))
        await serving

class Raw(sim.Agent):
    '''Lets agent-2 watch, dies in its way, and says the same again after all is over.'''
    async def run(self):
        second, line = 10**9, ["agent-1", "agent-2"]
        terms = Terms("x", line, 0, "first_price", ["lot"], 1, 0, 0, 1, 1e-6, 1e-3, 0, second,
                      2 * second)
        watch = msgspec.to_builtins(Watch(terms, Plan(["agent-3"], 1, 0, second, 0, 1, 0)))
        for _ in range(2):
            self.send("agent-2", "sale", watch)
            await asyncio.sleep(6)

class Liar(A):
    async def run(self):
        await asyncio.sleep(1.5)
        self.send("agent-2", "sale", msgspec.to_builtins(Outcome("x", 0, "unsold", {})))
        await super().run()

class Market(sim.Agent):
    async def run(self):
        auction = sim.Auction(self, "sale")
        found = await auction.hold(**self.params)
        self.log(repr((found.winners, found.spent.messages)))
        await asyncio.sleep(10)
"""


def play(run: Any, cast: dict[str, str], size: int, **scenario: Any) -> Any:
    base = {"duration": "20s", "world": {"agents": size}}
    outcome = run(SOURCE, {**base, **scenario}, cast)
    assert outcome.result.status == "completed", outcome.result
    return outcome


@pytest.mark.parametrize("third", ["A", "Liar"])
def test_a_deputy_stands_in_once_and_no_stranger_ends_its_watch(run: Any, third: str) -> None:
    outcome = play(run, {"agent-1": "Raw", "agent-2": "Deputy", "agent-3": third}, 3)
    assert {*outcome.said("agent-2")} == {"[('sold', 1)]"}, "before it is told again, and after"


@pytest.mark.parametrize("tries", [1, 12])
def test_a_watch_that_is_lost_is_said_again(run: Any, tries: int) -> None:
    sale = {"items": "lot", "bidders": ["agent-3"], "deputies": ["agent-2"], "closes_in": "3s"}
    agents = {"agent-1": {"params": sale | {"tries": tries}}}
    links = [{"from": "agent-1", "to": "agent-2", "loss": 0.7}, {"from": "agent-3", "loss": 1.0}]
    network = {"default": {"latency": "10ms"}, "links": [links[0], {**links[1], "to": "agent-1"}]}
    faults = [{"at": "2900ms", "kill": "agent-1"}]
    cast = {"agent-1": "Market", "agent-2": "Deputy"}
    held = [
        eval(
            play(run, cast, 3, agents=agents, network=network, faults=faults, seed=seed).said(
                "agent-2"
            )[-1]
        )
        for seed in range(5)
    ]
    assert (held.count([("sold", 1)]) == 5) == (tries == 12)


def messages_of(run: Any, bids: str, **sale: Any) -> tuple[Any, int]:
    """Winners, and messages by the auctioneer, where agent-i bids as `bids` says of i."""
    source = SOURCE.replace("call.bid(float(self.name[6:]))", bids)
    agents = {"agent-1": {"params": {"items": "lot", "closes_in": "3s", **sale}}}
    scenario = {"duration": "10s", "world": {"agents": 4}, "agents": agents}
    outcome = run(source, scenario, {"agent-1": "Market"})
    found: tuple[Any, int] = eval(outcome.said()[0])
    return found


def test_a_winner_whose_award_stays_is_not_asked_to_confirm_again(run: Any) -> None:
    """agent-4 refuses b, which agent-3 gets; agent-2 keeps a."""
    bids = (
        "call.bid({2: {'a': 9}, 3: {'b': 5}, 4: {'b': 8}}[int(self.name[6:])], "
        "accept=lambda award: self.name != 'agent-4')"
    )
    options = {"items": ["a", "b"], "format": "parallel", "confirm": "1s", "reawards": 1}
    found = messages_of(run, bids, **options)
    assert found == (("agent-2", "agent-3"), 3 + 2 + 1 + 3)


def test_a_falling_clock_does_not_ask_who_has_declined(run: Any) -> None:
    bids = "call.decline() if self.name == 'agent-4' else call.bid(float(self.name[6:]))"
    found = messages_of(run, bids, format="dutch", start=5.0)
    assert found == (("agent-3",), 3 + 2 + 2 + 3)
