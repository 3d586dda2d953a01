"""Every format on ideal links: who wins, what is paid, how many messages; processes as memory."""

from __future__ import annotations

from typing import Any

import pytest

SOURCE = """
def told(award):
    return repr((award.status, award.items, round(award.quantity, 6), round(award.pays, 6)))

class A(sim.Agent):
    async def run(self):
        auction = sim.Auction(self, "sale")
        await asyncio.sleep(0.1)
        async for call in auction.calls():
            bid = self.params["bids"].get(self.name)
            call.decline() if bid is None else call.bid(bid)
            self.log(told(await call.award()))

class Market(sim.Agent):
    async def run(self):
        await asyncio.sleep(0.2)
        auction = sim.Auction(self, "sale")
        found = await auction.hold(**self.params["sale"])
        shares = {n: (s.items, round(s.quantity, 6), round(s.pays, 6))
                  for n, s in found.shares.items()}
        self.log(repr((found.status, shares, round(found.revenue, 6))))
        self.log(repr((found.declined, found.late, found.missing, found.duplicate, found.invalid,
                       found.withdrawn, found.uninformed)))
        self.log(repr((found.bids, found.spent.messages, found.spent.resent, found.seconds)))
        await asyncio.sleep(5)
"""
NOBODY: tuple[Any, ...] = ((),) * 7


def players(sale: dict[str, Any], bids: dict[str, Any]) -> dict[str, Any]:
    return {"agent-*": {"params": {"bids": bids}}, "agent-1": {"params": {"sale": sale}}}


def sell(run: Any, sale: dict[str, Any], bids: dict[str, Any], **more: Any) -> Any:
    """The run, in which agent-1 sells and the others bid."""
    size = max(int(name.removeprefix("agent-")) for name in bids)
    scenario = {
        "duration": "30s",
        "world": {"agents": size},
        "agents": players(sale, bids),
    }
    scenario |= more.pop("scenario", {})
    outcome = run(SOURCE, scenario, {"agent-1": "Market"}, **more)
    assert outcome.result.status == "completed", outcome.result
    return outcome


CASES = {
    "first_price": ({}, {2: 5.0, 3: 7.25, 4: 6.0}, {3: (["lot"], 1, 7.25)}),
    "second_price": ({"reserve": 2}, {2: 5.0, 3: 7.25, 4: 6.0}, {3: (["lot"], 1, 6.0)}),
    "uniform_price": (
        {"units": 3},
        {2: [5.0, 4.0, 1.0], 3: 7.0, 4: [6.0, 2.0]},
        {2: (["lot"], 1, 4.0), 3: (["lot"], 1, 4.0), 4: (["lot"], 1, 4.0)},
    ),
    "pay_as_bid": (
        {"units": 2, "reserve": 3},
        {2: [5.0, 4.0], 3: 2.0, 4: [3.5]},
        {2: (["lot"], 2, 9.0)},
    ),
    "english": ({"start": 1, "increment": 0.5}, {2: 5.1, 3: 7.2, 4: 6.4}, {3: (["lot"], 1, 6.5)}),
    "dutch": ({"start": 9, "increment": 0.5}, {2: 5.1, 3: 7.2, 4: 6.4}, {3: (["lot"], 1, 7.0)}),
    "parallel": (
        {"items": ["a", "b"], "reserve": 1},
        {2: {"a": 5.0}, 3: {"a": 3.0, "b": 2.0}, 4: {"b": 0.5}},
        {2: (["a"], 1, 3.0), 3: (["b"], 1, 1.0)},
    ),
    "vcg": (
        {"items": ["a", "b"]},
        {2: [[["a", "b"], 10]], 3: [[["a"], 8], [["b"], 1]], 4: [[["b"], 8.5]]},
        {3: (["a"], 1, 1.5), 4: (["b"], 1, 2.0)},
    ),
    "double_auction": (
        {},
        {2: [[10, 9], [5, 4]], 3: [[-8, 2]], 4: [[-10, 6]]},
        {2: (["lot"], 10, 60), 3: (["lot"], -8, -48), 4: (["lot"], -2, -12)},
    ),
    "double_pay_as_bid": (
        {},
        {2: [[10, 9], [5, 4]], 3: [[-8, 2]], 4: [[-10, 6]]},
        {2: (["lot"], 10, 90), 3: (["lot"], -8, -16), 4: (["lot"], -2, -12)},
    ),
}


@pytest.mark.parametrize("confirm", [0, "500ms"])
@pytest.mark.parametrize("name", CASES)
def test_who_wins_what_and_everybody_knows(run: Any, name: str, confirm: Any) -> None:
    options, bids, won = CASES[name]
    sale = {"items": "lot", "format": name, "closes_in": "2s", "confirm": confirm, **options}
    outcome = sell(run, sale, {f"agent-{i}": bid for i, bid in bids.items()})
    status, shares, revenue = eval(outcome.said()[0])
    expected = {f"agent-{i}": share for i, share in won.items()}
    assert (status, shares) == ("sold", expected)
    assert revenue == pytest.approx(sum(pays for *_, pays in won.values()))
    assert eval(outcome.said()[1]) == NOBODY
    for i in bids:
        items, quantity, pays = won.get(i, ((), 0, 0))
        status = "won" if items else "lost"
        assert eval(outcome.said(f"agent-{i}")[0]) == (status, tuple(items), quantity, pays)


def test_a_sealed_auction_takes_a_call_and_an_outcome_for_each_bidder(run: Any) -> None:
    bids = {f"agent-{i}": float(i) for i in range(2, 7)}
    outcome = sell(run, {"items": "lot", "closes_in": "2s"}, bids)
    assert eval(outcome.said()[2]) == (bids, 10, 0, 0.04), "closed when all have answered"
    outcome = sell(run, {"items": "lot", "closes_in": "2s", "confirm": "1s"}, bids)
    assert eval(outcome.said()[2])[1:] == (11, 0, 0.06)


def test_a_clock_asks_only_who_is_still_in(run: Any) -> None:
    bids = {"agent-2": 1.0, "agent-3": 3.0, "agent-4": 2.0}
    outcome = sell(run, {"items": "lot", "format": "english", "closes_in": "2s"}, bids)
    stops, messages, _, _ = eval(outcome.said()[2])
    assert stops == bids
    assert messages == 3 + 3 + 3 + 2 + 3, "prices 0 and 1, 2, 3, and the outcome"


def test_nobody_who_bids_and_nobody_who_bids_enough(run: Any) -> None:
    sale = {"items": "lot", "closes_in": "1s", "reserve": 5}
    outcome = sell(run, sale, {"agent-2": 4.0, "agent-3": None})
    assert eval(outcome.said()[0]) == ("unsold", {}, 0)
    assert eval(outcome.said()[1])[0] == ("agent-3",)
    assert eval(outcome.said("agent-2")[0])[0] == "lost"
    outcome = sell(run, {**sale, "quorum": 2}, {"agent-2": 9.0, "agent-3": None})
    assert eval(outcome.said()[0]) == ("void", {}, 0)
    assert eval(outcome.said("agent-2")[0])[0] == "void"
    for name in CASES:
        options = CASES[name][0]
        sale = {"items": "lot", "format": name, "closes_in": "1s", **options}
        assert eval(sell(run, sale, {"agent-2": None}).said()[0])[0] == "unsold"


def test_equal_bids_go_by_lot_and_the_lots_by_the_seed(run: Any) -> None:
    bids = {f"agent-{i}": 5.0 for i in range(2, 5)}
    sale = {"items": "lot", "closes_in": "1s"}
    winners = set()
    for seed in range(12):
        found = [sell(run, sale, bids, scenario={"seed": seed}).said()[0] for _ in range(2)]
        assert found[0] == found[1]
        winners |= set(eval(found[0])[1])
    assert winners == set(bids)


@pytest.mark.process
def test_processes_and_memory_agree(run: Any) -> None:
    bids = {"agent-2": [[["a", "b"], 10]], "agent-3": [[["a"], 8]], "agent-4": [[["b"], 8.5]]}
    sale = {
        "items": ["a", "b"], "format": "vcg", "closes_in": "2s", "confirm": "1s", "tries": 3,
        "deputies": ["agent-4"],
    }  # fmt: skip
    lossy = {
        "network": {"default": {"latency": "10ms", "loss": 0.2, "jitter": {"exponential": "5ms"}}},
        "faults": [{"at": "1200ms", "kill": "agent-2"}],
    }
    runs = [sell(run, sale, bids, scenario=lossy, inline=inline) for inline in (True, False)]
    assert runs[0].result.digest == runs[1].result.digest
    assert runs[0].said() == runs[1].said()


WRONG = {
    "format='secnd_price'": "second_price",
    "items=['a', 'b']": "sells one item",
    "items=[]": "1 to 64",
    "bidders='nobody'": "bidders: there is no agent 'nobody'; there is: agent-1, agent-2",
    "bidders=['agent-9']": "bidders: there is no agent 'agent-9'; did you mean",
    "bidders='agent-1'": "nobody but 'agent-1' itself",
    "bidders=[]": "bidders: expected at least one",
    "units=2": "only uniform_price",
    "units=1.5": "units: expected a whole number from 1 to 1024, found 1.5",
    "tries=0": "tries: expected a whole number from 1 to 64, found 0",
    "deputies=['agent-1']": "deputies: 'agent-1' holds it already",
    "deputies=['agnet-2']": "deputies: there is no agent 'agnet-2'; did you mean 'agent-2'?",
    "deputies='agnet-2'": "deputies: there is no agent 'agnet-2'; did you mean 'agent-2'?",
    "quorum=2": "quorum: expected a whole number from 0 to 1, found 2",
    "reawards=1": "reawards: without `confirm` nobody can withdraw",
    "closes_in=0": "closes_in: expected a duration above 0",
    "confirm='soon'": "confirm: expected a duration",
    "settle=-1": "settle: expected a duration",
    "every='often'": "every: expected a duration",
    "tick=0.0": "tick: expected a number from 1e-12",
    "grain=0": "grain: expected a number from 1e-12",
    "reserve='low'": "reserve: expected a number",
    "increment=float('nan')": "increment: expected a number",
    "format='english', increment=0": "at least a tick",
    "format='english', every='6s'": "closes_in: a clock of 1 price, each for at most 6s",
    "format='dutch'": "start: expected the price at which a dutch clock begins",
    "format='dutch', start=1, reserve=2": "at its reserve or above",
    "format='dutch', start=200, every='100ms'": "a clock of 201 prices, each for at most 100ms",
}


def test_a_topic_in_use_is_told_by_its_argument(run: Any) -> None:
    source = """
class A(sim.Agent):
    async def run(self):
        sim.Auction(self), sim.Auction(self)
"""
    outcome = run(source, {"world": {"agents": 1}})
    told = str(outcome.result.agent_failures[0])
    assert "the topic 'auction' is in use" in told
    assert "another Auction another `topic`" in told
    assert "another `topic`" in told


CLOCKS = {
    "english": ("void", "closes_in cut the clock before"),
    "dutch": ("unsold", "3 of 3 bidders did not answer in time within"),
}


@pytest.mark.parametrize("format", CLOCKS)
def test_a_clock_without_the_time_for_its_prices_does_not_sell_and_says_why(
    run: Any, format: str
) -> None:
    """Defaults, on links of 100 ms."""
    source = SOURCE.replace("await asyncio.sleep(5)", "self.log(found.reason)")
    bids = {"agent-2": 80.0, "agent-3": 90.0, "agent-4": 70.0}
    sale = {"items": "lot", "format": format, "start": 200.0 if format == "dutch" else 0.0}
    scenario = {
        "world": {"agents": 4}, "duration": "30s", "agents": players(sale, bids),
        "network": {"default": {"latency": "100ms"}},
    }  # fmt: skip
    outcome = run(source, scenario, {"agent-1": "Market"})
    status, why = CLOCKS[format]
    assert eval(outcome.said()[0]) == (status, {}, 0)
    assert outcome.said()[3].startswith(why)
    scenario |= {"duration": "90s", "agents": players(sale | {"closes_in": "1min"}, bids)}
    spent = run(SOURCE, scenario, {"agent-1": "Market"})
    sold = {"agent-3": (["lot"], 1.0, 81.0 if format == "english" else 90.0)}
    assert eval(spent.said()[0]) == ("sold", sold, sold["agent-3"][2])


def test_a_price_that_is_answered_too_late_is_named(run: Any) -> None:
    source = SOURCE.replace("await asyncio.sleep(5)", "self.log(found.reason)")
    bids = {"agent-2": 80.0, "agent-3": 90.0}
    scenario = {
        "world": {"agents": 3}, "agents": players({"items": "lot", "format": "english"}, bids),
        "network": {"default": {"latency": "130ms"}}, "duration": "20s",
    }  # fmt: skip
    outcome = run(source, scenario, {"agent-1": "Market"})
    assert eval(outcome.said()[0])[0] == "unsold"
    assert eval(outcome.said()[1])[1] == ("agent-2", "agent-3"), "late"
    why = "2 of 2 bidders did not answer in time within 250ms of a price"
    assert outcome.said()[3] == why


def test_deputies_by_a_pattern_leave_oneself_out(run: Any) -> None:
    sale = {"items": "lot", "closes_in": "1s", "deputies": "agent-[12]"}
    outcome = sell(run, sale, {"agent-2": 1.0, "agent-3": 2.0})
    assert eval(outcome.said()[0])[:1] == ("sold",)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_auction_is_told(run: Any, wrong: str) -> None:
    source = f"""
class A(sim.Agent):
    async def run(self):
        if self.name == "agent-1":
            await sim.Auction(self).hold(**{{"items": "lot", **dict({wrong})}})
"""
    outcome = run(source, {"world": {"agents": 2}})
    assert WRONG[wrong] in str(outcome.result.agent_failures[0])


@pytest.mark.parametrize(
    ("options", "bid", "word"),
    [
        ({"format": "first_price"}, "much", "a number"),
        ({"format": "first_price"}, float("nan"), "a number"),
        ({"format": "first_price"}, 1e300, "a number up to"),
        ({"format": "uniform_price", "units": 2}, [3, 2, 1], "1 to 2 units"),
        ({"format": "parallel", "items": ["a"]}, {"b": 1}, "by item: a"),
        ({"format": "vcg", "items": ["a"]}, [[["b"], 1]], "a bundle of items: a"),
        ({"format": "vcg", "items": ["a"]}, [[["a"], -1]], "a value from 0"),
        ({"format": "double_auction"}, [[1, 2, 3]], "pairs of quantity and price"),
        ({"format": "dutch", "start": 1}, True, "a number"),
    ],
)
def test_a_wrong_bid_is_told_to_who_makes_it(run: Any, options: Any, bid: Any, word: str) -> None:
    sale = {"items": "lot", "closes_in": "1s", **options}
    scenario = {
        "duration": "3s",
        "world": {"agents": 2},
        "agents": players(sale, {"agent-2": bid}),
    }
    outcome = run(SOURCE, scenario, {"agent-1": "Market"})
    assert word in str(outcome.result.agent_failures[0])
