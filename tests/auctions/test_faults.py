"""Auctions over links that lose, with bidders, auctioneers and deputies that die in the middle."""

from __future__ import annotations

from typing import Any

import pytest

SOURCE = """
class A(sim.Agent):
    '''Bids its number, after a while, and as often as it is told to.'''
    async def run(self):
        auction = sim.Auction(self, "sale")
        mine = self.params.get(self.name, {})
        async for call in auction.calls():
            await asyncio.sleep(mine.get("after", 0))
            for _ in range(mine.get("times", 1)):
                accepts = mine.get("accepts", True)
                call.bid(mine.get("bid", float(self.name[6:])), accept=lambda award: accepts)
            found = await call.award()
            self.log(repr((found.status, found.pays, found.winners, found.term, self.now)))
            await asyncio.sleep(5)
            for each in auction.results:
                self.log(repr((each.status, each.winners, each.term, each.missing)))

class Market(sim.Agent):
    async def run(self):
        await asyncio.sleep(1)
        auction = sim.Auction(self, "sale")
        found = await auction.hold("lot", **self.params)
        self.log(repr((found.status, found.winners, found.revenue)))
        named = ("late", "missing", "duplicate", "invalid", "withdrawn", "uninformed")
        self.log(repr({name: getattr(found, name) for name in named if getattr(found, name)}))
        self.log(repr((found.spent.resent, self.now)))
        await asyncio.sleep(20)
"""
SALE = {"closes_in": "2s", "confirm": "500ms", "settle": "1s"}


def sell(
    run: Any, scenario: dict[str, Any], players: dict[str, Any], size: int, **sale: Any
) -> Any:
    """The run, in which agent-1 sells and the others bid."""
    base = {
        "duration": "40s",
        "world": {"agents": size},
        "agents": {"agent-*": {"params": players}, "agent-1": {"params": {**SALE, **sale}}},
    }
    outcome = run(SOURCE, {**base, **scenario}, {"agent-1": "Market"})
    assert outcome.result.status == "completed", outcome.result
    return outcome


def result(outcome: Any) -> tuple[Any, Any]:
    """((status, winners, revenue), who is named for what)."""
    return eval(outcome.said()[0]), eval(outcome.said()[1])


def awards(outcome: Any, size: int) -> dict[int, Any]:
    """(status, pays, winners, term, when) of the bidders that came to an end."""
    said = {i: outcome.said(f"agent-{i}") for i in range(2, size + 1)}
    return {i: eval(lines[0]) for i, lines in said.items() if lines}


def test_who_is_late_twice_or_silent_is_named(run: Any) -> None:
    players = {"agent-2": {"after": 2.5}, "agent-3": {"times": 2}, "agent-6": {"after": 9}}
    faults = [{"at": 0.5, "kill": "agent-5"}]
    outcome = sell(run, {"faults": faults}, players, 6)
    sold, named = result(outcome)
    assert sold == ("sold", ("agent-4",), 3.0)
    assert named == {
        "late": ("agent-2",), "missing": ("agent-5", "agent-6"), "duplicate": ("agent-3",),
        "uninformed": ("agent-5",),
    }  # fmt: skip
    found = awards(outcome, 6)
    assert found[4][0] == "won"
    assert {found[i][0] for i in (2, 3, 6)} == {"lost"}


def test_who_is_asked_again_too_early_makes_no_second_bid(run: Any) -> None:
    slow = {"network": {"default": {"latency": "150ms"}}}
    options = {"tries": 12, "closes_in": "3s", "every": "1200ms"}
    for format in ("second_price", "english"):
        sold, named = result(sell(run, slow, {}, 4, format=format, **options))
        assert sold == ("sold", ("agent-4",), 3.0 + (format == "english"))
        assert named == {"duplicate": ("agent-2", "agent-3", "agent-4")}


NONSENSE = [
    "nonsense", 7, None, [], ["bid"], ["bid", "ID", 0, 0], ["bid", "ID", "x", 0, 5.0],
    ["bid", "ID", 0, 0, "much"], ["bid", "ID", 0, 0, float("nan")], ["bid", "ID", 0, 0, [1.0]],
    ["bid", "ID", 0, 0, 1e300], ["bid", "ID", 0, 99, 5.0], ["bid", "ID", 0, -1, 5.0],
    ["confirm", "ID", 0, 1, True], ["heard", "ID", 0], ["outcome", "ID", 0, "sold", {}],
    ["price", "ID", 0, 3, 1.0], ["award", "ID", 0, 1, [["lot"], 1, 0], 2**62],
    ["call", ["ID", ["agent-3"], 0, "x", [], 1, 0, 0, 1, 1e-6, 1, 0, 2**60, 2**61]],
    ["call", ["own", ["agent-3"], 0, "x", [], 1, 0, 0, 1, 1e-6, 1, 0, 2**60, 2**61]],
    ["call", ["own", ["agent-3"], 0, "dutch", [], 1, 1e308, 0, 1, 1e-6, 1, 0, 2**60, 2**61]],
    ["watch", ["ID", ["agent-3"], 0], []], {"a": 1}, [["bid"]], [[[[]]]],
]  # fmt: skip
LIAR = """
import numpy as np

class Liar(sim.Agent):
    async def run(self):
        message = await self.receive("sale")
        id = message.payload[1][0]
        def with_id(body):
            return [with_id(each) for each in body] if isinstance(body, list) else (
                id if body == "ID" else body)
        for body in [*map(with_id, NONSENSE), np.ones(3), ["bid", id, 0, 0, np.ones(3)]]:
            for name in self.names:
                if name != self.name:
                    self.send(name, "sale", body)
        await asyncio.sleep(20)
"""


@pytest.mark.parametrize("format", ["second_price", "english", "vcg", "double_auction"])
def test_nonsense_hurts_nobody_and_is_named(run: Any, format: str) -> None:
    source = SOURCE + LIAR.replace("NONSENSE", repr(NONSENSE).replace("nan", "float('nan')"))
    players: dict[str, Any] = {}
    if format == "vcg":
        players = {f"agent-{i}": {"bid": [[["lot"], 2.0 * i]]} for i in (2, 4)}
    elif format == "double_auction":
        players = {"agent-2": {"bid": [[-1, 2.0]]}, "agent-4": {"bid": [[1, 2.0]]}}
    scenario = {
        "duration": "20s",
        "world": {"agents": 4},
        "agents": {
            "agent-*": {"params": players},
            "agent-1": {"params": SALE | {"format": format}},
        },
    }
    outcome = run(source, scenario, {"agent-1": "Market", "agent-3": "Liar"})
    assert outcome.result.status == "completed", outcome.result
    assert not outcome.lines("agent-1", "error")
    sold, named = result(outcome)
    assert "agent-3" in named["invalid"]
    assert set(awards(outcome, 4)) == {2, 4}
    won = ("agent-2", "agent-4") if format == "double_auction" else ("agent-4",)
    assert sold[:2] == ("sold", won)


@pytest.mark.parametrize("mode", ["random", "stale", "sign-flip", "inflate:1e9"])
def test_lies_of_a_fault_hurt_nobody(run: Any, mode: str) -> None:
    for who in ("agent-1", "agent-3"):
        faults = [{"at": 0, "byzantine": who, "mode": mode, "topic": "sale"}]
        outcome = sell(run, {"faults": faults}, {}, 4, tries=2)
        assert outcome.said()
        assert {i for i in awards(outcome, 4)} <= {2, 3, 4}
        for i in (2, 3, 4):
            assert not outcome.lines(f"agent-{i}", "error")


def test_what_is_sent_again_gets_through_what_loses_a_third(run: Any) -> None:
    for format in ("second_price", "english"):
        lossy = {"network": {"default": {"latency": "10ms", "loss": 0.3}}}
        options = {"format": format, "closes_in": "20s", "every": "2s", "confirm": "2s"}
        sold, named = result(outcome := sell(run, lossy, {}, 5, tries=12, settle="5s", **options))
        assert sold == ("sold", ("agent-5",), 4.0 + (format == "english"))
        assert set(named) <= {"duplicate"}
        assert eval(outcome.said()[2])[0] > 0
        assert [a[0] for a in awards(outcome, 5).values()] == ["lost", "lost", "lost", "won"]
        _, named = result(sell(run, lossy, {}, 5, **options))
        assert named.keys() & {"missing", "withdrawn", "uninformed"}


@pytest.mark.parametrize("how", ["dies", "refuses"])
@pytest.mark.parametrize("reawards", [0, 1, 2])
def test_an_award_that_is_not_confirmed_is_withdrawn(run: Any, how: str, reawards: int) -> None:
    """agent-5 and agent-4 fail; the third best is agent-3."""
    players, faults = {}, []
    if how == "refuses":
        players = {name: {"accepts": False} for name in ("agent-5", "agent-4")}
    else:
        late = {"agent-2": {"after": 1}}  # keeps it open while two of them die
        players, faults = late, [{"at": 1.5, "kill": name} for name in ("agent-5", "agent-4")]
    outcome = sell(run, {"faults": faults}, players, 5, reawards=reawards)
    sold, named = result(outcome)
    failed = ("agent-5", "agent-4")[: reawards + 1]
    assert named["withdrawn"] == tuple(sorted(failed))
    if reawards < 2:
        assert sold == ("unsold", (), 0)
    else:
        assert sold == ("sold", ("agent-3",), 2.0)
        assert awards(outcome, 5)[3][:2] == ("won", 2.0)
    assert {a[0] for i, a in awards(outcome, 5).items() if i > 3} <= {"lost"}


def test_a_double_auction_stands_or_falls_as_a_whole(run: Any) -> None:
    players = {
        "agent-2": {"bid": [[10, 9.0]]}, "agent-3": {"bid": [[-4, 2.0]], "accepts": False},
        "agent-4": {"bid": [[-6, 3.0]]},
    }  # fmt: skip
    sold, named = result(sell(run, {}, players, 4, format="double_auction"))
    assert (sold, named) == (("void", (), 0), {"withdrawn": ("agent-3",)})
    sold, _ = result(outcome := sell(run, {}, players, 4, format="double_auction", reawards=1))
    assert sold == ("sold", ("agent-2", "agent-4"), 0)
    assert awards(outcome, 4)[3][0] == "lost"


@pytest.mark.parametrize("death", ["1005ms", "1500ms", "2s"])
def test_bidders_of_an_auctioneer_that_died_time_out(run: Any, death: str) -> None:
    players = {"agent-2": {"after": 1.5}}
    outcome = sell(run, {"faults": [{"at": death, "kill": "agent-1"}]}, players, 4)
    assert not outcome.said()
    assert {(a[0], a[4]) for a in awards(outcome, 4).values()} == {("void", 1 + 2 + 0.5 + 1)}


DEPUTIES = {"deputies": ["agent-4", "agent-5"]}


@pytest.mark.parametrize("dead", [["agent-1"], ["agent-1", "agent-4"]])
@pytest.mark.parametrize("death", ["1005ms", "1500ms", "2515ms"])
def test_a_deputy_holds_it_anew(run: Any, dead: list[str], death: str) -> None:
    """Bids that were made stand; who died meanwhile is missing."""
    players = {"agent-2": {"after": 1.5}}
    faults = [{"at": death, "kill": name} for name in dead]
    outcome = sell(run, {"faults": faults}, players, 5, **DEPUTIES)
    assert not outcome.said()
    found = awards(outcome, 5)
    term = len(dead)
    pays = {1: 4.0, 2: 3.0}[term]
    assert {a[3] for a in found.values()} == {term}
    assert found[5][:3] == ("won", pays, ("agent-5",))
    assert {a[0] for i, a in found.items() if i < 5} == {"lost"}
    held = eval(outcome.said(f"agent-{3 + term}")[-1])
    assert held == ("sold", ("agent-5",), term, ("agent-4",) * (term - 1))


def test_a_deputy_adopts_an_outcome_that_others_have_heard(run: Any) -> None:
    """The deputy is cut off from the auctioneer, which dies after it has told the others."""
    faults = [
        {"at": "1015ms", "partition": ["agent-1", "agent-4"], "for": "30s"},
        {"at": "5s", "kill": "agent-1"},
    ]
    outcome = sell(run, {"faults": faults}, {}, 5, deputies=["agent-4"])
    sold, named = result(outcome)
    assert sold == ("sold", ("agent-5",), 4.0)
    assert named == {"uninformed": ("agent-4",)}
    found = awards(outcome, 5)
    assert found[5][:4] == ("won", 4.0, ("agent-5",), 0)
    assert found[4][:4] == ("lost", 0.0, ("agent-5",), 1)


def test_an_auctioneer_that_stood_still_learns_that_it_is_superseded(run: Any) -> None:
    players = {"agent-2": {"after": 1}}
    faults = [{"at": "1500ms", "hang": "agent-1", "for": "12s"}]
    outcome = sell(run, {"faults": faults}, players, 5, deputies=["agent-4"])
    assert result(outcome)[0] == ("superseded", (), 0)
    found = awards(outcome, 5)
    assert found[5][:4] == ("won", 4.0, ("agent-5",), 1)


def test_an_auctioneer_that_stood_still_for_too_long_has_sold_nothing(run: Any) -> None:
    players = {"agent-2": {"after": 1}}
    faults = [{"at": "1500ms", "hang": "agent-1", "for": "12s"}]
    outcome = sell(run, {"faults": faults}, players, 5, confirm=0)
    assert result(outcome)[0] == ("void", (), 0)
    assert {award[0] for award in awards(outcome, 5).values()} == {"void"}


@pytest.mark.parametrize("deputies", [[], ["agent-3"]])
@pytest.mark.parametrize("format", ["second_price", "dutch"])
def test_whoever_dies_whenever_one_at_most_has_won_and_all_come_to_an_end(
    run: Any, format: str, deputies: list[str]
) -> None:
    sale = {"format": format, "start": 6, "deputies": deputies, "reawards": 1}
    for dead in (1, 3, 5):
        for at in ("1015ms", "1025ms", "1045ms", "1065ms", "1105ms", "1165ms"):
            faults = [{"at": at, "kill": f"agent-{dead}"}]
            outcome = sell(run, {"faults": faults}, {}, 5, **sale)
            found = awards(outcome, 5)
            assert set(found) >= {2, 3, 4, 5} - {dead}
            won = [i for i, a in found.items() if a[0] == "won"]
            assert len(won) <= 1
            assert deputies == [] or dead != 1 or won, "a deputy has sold it"


@pytest.mark.parametrize("format", ["second_price", "english"])
def test_a_second_bid_changes_nothing_and_is_a_duplicate(run: Any, format: str) -> None:
    source = SOURCE.replace(
        "float(self.name[6:])), accept", "float(self.name[6:])) + 9 * _, accept"
    )
    params = {"agent-*": {"params": {"agent-3": {"times": 2}}}}
    scenario = {
        "duration": "40s", "world": {"agents": 4},
        "agents": params | {"agent-1": {"params": SALE | {"format": format}}},
    }  # fmt: skip
    sold, named = result(run(source, scenario, {"agent-1": "Market"}))
    assert sold == ("sold", ("agent-4",), 3.0 + (format == "english"))
    assert named == {"duplicate": ("agent-3",)}


@pytest.mark.parametrize("quorum", [2, 3])
def test_only_a_quorum_of_all_keeps_a_partition_from_selling_twice(run: Any, quorum: int) -> None:
    """The auctioneer and the winner are cut off, once all bids are in, from a deputy."""
    players = {"agent-2": {"bid": 9.0}}
    faults = [{"at": "1015ms", "partition": [["agent-1", "agent-2"], "*"], "for": "30s"}]
    sale = {"deputies": ["agent-4"], "quorum": quorum, "confirm": 0}
    outcome = sell(run, {"faults": faults}, players, 4, **sale)
    assert result(outcome)[0] == ("sold", ("agent-2",), 4.0)
    won = [i for i, award in awards(outcome, 4).items() if award[0] == "won"]
    assert won == ([2, 4] if quorum == 2 else [2])


@pytest.mark.parametrize("seed", range(12))
def test_the_result_and_what_bidders_believe_agree(run: Any, seed: int) -> None:
    """Over links that lose, with a bidder that dies: only who is `uninformed` may believe less."""
    sale = {
        "format": ("second_price", "english", "first_price")[seed % 3],
        "tries": 1 + seed % 4, "reawards": seed % 3, "every": "300ms", "closes_in": "4s",
    }  # fmt: skip
    scenario = {
        "seed": seed,
        "network": {"default": {"latency": "10ms", "loss": 0.25, "jitter": {"uniform": "40ms"}}},
        "faults": [{"at": f"{1000 + 37 * seed}ms", "kill": f"agent-{2 + seed % 4}"}],
    }
    outcome = sell(run, scenario, {}, 6, **sale)
    (status, winners, _), named = result(outcome)
    believed = {f"agent-{i}": award for i, award in awards(outcome, 6).items()}
    uninformed = named.get("uninformed", ())
    for name, (says, _, told, _, _) in believed.items():
        assert (says == "won") <= (name in winners)
        assert says != "void" or name in uninformed
        if name not in uninformed:
            assert says == ("won" if name in winners else "lost")
            assert told == winners
    assert status == ("sold" if winners else "unsold")
    assert not set(winners) & set(named.get("withdrawn", ()))
