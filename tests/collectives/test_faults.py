"""Operations over links that lose and delay, and with members that die in the middle."""

from __future__ import annotations

from typing import Any

import pytest

from agents.collectives.call import PARTS_MAX, Mail, Part

CALLS = {
    "broadcast-star": "team.broadcast(7, 'agent-4', 'star')",
    "broadcast-tree": "team.broadcast(7, 'agent-4', 'tree')",
    "broadcast-flood": "team.broadcast(7, 'agent-4', 'flood')",
    "scatter": "team.scatter([0, 1, 2, 3, 4, 5, 6, 7], 'agent-4')",
    "reduce-star": "team.reduce(1, 'sum', 'agent-4', 'star')",
    "reduce-tree": "team.reduce(1, 'sum', 'agent-4', 'tree')",
    "all_reduce-star": "team.all_reduce(1, 'sum', 'star')",
    "all_reduce-tree": "team.all_reduce(1, 'sum', 'tree')",
    "all_reduce-doubling": "team.all_reduce(1, 'sum', 'doubling')",
    "all_reduce-ring": "team.all_reduce(1, 'sum', 'ring')",
    "all_gather-flat": "team.all_gather(1, 'flat')",
    "all_gather-ring": "team.all_gather(1, 'ring')",
    "barrier": "team.barrier()",
    "gossip": "team.gossip(1, rounds=10)",
    "consensus": "team.consensus(1, rounds=10)",
    "elect": "team.elect()",
}
SOURCE = """
class A(sim.Agent):
    async def run(self):
        team = sim.Communicator(self, timeout="4s", **self.params.get("options", {}))
        await asyncio.sleep(1)
        found = await eval(self.params["call"])
        self.log(repr((found.outcome, found.value, found.missing, self.now)))
        await asyncio.sleep(10)
        self.log(repr(found.spent.resent))
        await asyncio.sleep(10)
"""
SIZE = 8


def answers(run: Any, call: str, scenario: dict[str, Any], **options: Any) -> dict[str, Any]:
    """(outcome, value, missing, when), messages sent again, of every member that came to an end."""
    agents = {"agent-*": {"params": {"call": call, "options": options}}}
    base = {"duration": "20s", "world": {"agents": SIZE}, "agents": agents}
    outcome = run(SOURCE, {**base, **scenario})
    assert outcome.result.status == "completed", outcome.result
    told = {f"agent-{i}": outcome.said(f"agent-{i}") for i in range(1, SIZE + 1)}
    return {name: (*eval(said[0]), *map(eval, said[1:])) for name, said in told.items() if said}


@pytest.mark.parametrize("death", ["500ms", "1005ms"])
@pytest.mark.parametrize("dead", [1, 4, 8])
@pytest.mark.parametrize("name", CALLS)
def test_who_lives_comes_to_a_named_end_in_time(run: Any, name: str, dead: int, death: str) -> None:
    faults = [{"at": death, "kill": f"agent-{dead}"}]
    for reliability in ("none", "acknowledged"):
        found = answers(run, CALLS[name], {"faults": faults}, reliability=reliability)
        found.pop(f"agent-{dead}", None)
        assert len(found) == SIZE - 1
        for outcome, value, missing, ended, *_ in found.values():
            assert outcome in ("complete", "partial", "nothing", "sent", "estimate")
            assert ended <= 5.0
            assert outcome == "sent" or (outcome in ("complete", "estimate")) == (not missing)
            assert (outcome == "estimate") <= (name in ("gossip", "consensus"))
            if outcome == "complete" and name.startswith("all_reduce"):
                assert value == SIZE
            if outcome == "partial" and name.startswith(("all_reduce", "reduce")):
                assert value == SIZE - len(missing)


@pytest.mark.parametrize("algorithm", ["star", "tree", "doubling"])
def test_a_dead_member_is_missing_and_not_counted(run: Any, algorithm: str) -> None:
    found = answers(
        run,
        f"team.all_reduce(1, 'sum', {algorithm!r})",
        {"faults": [{"at": 0.5, "kill": "agent-8"}]},
    )
    for outcome, value, missing, *_ in found.values():
        assert outcome == "partial"
        assert value == SIZE - len(missing)
        assert "agent-8" in missing
    if algorithm != "doubling":
        assert {missing for _, _, missing, *_ in found.values()} == {("agent-8",)}


def test_a_ring_with_a_dead_member_has_no_value(run: Any) -> None:
    call = "team.all_reduce(1, 'sum', 'ring')"
    found = answers(run, call, {"faults": [{"at": 0.5, "kill": "agent-3"}]})
    assert {outcome for outcome, *_ in found.values()} == {"nothing"}


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("gossip", "consensus")])
def test_acknowledged_messages_get_through_what_loses_a_third(run: Any, name: str) -> None:
    lossy = {"network": {"default": {"latency": "10ms", "loss": 0.3}}}
    options = {"reliability": "acknowledged", "retry": "50ms"}
    found = answers(run, CALLS[name], lossy, **options)
    right = {"complete", "sent"} if name.startswith("reduce") else {"complete"}
    assert {outcome for outcome, *_ in found.values()} == right
    assert sum(resent for *_, resent in found.values()) > 0
    found = answers(run, CALLS[name], lossy)
    if "flood" not in name and "elect" not in name:
        assert {outcome for outcome, *_ in found.values()} != right


def test_push_sum_keeps_its_mass_where_messages_are_acknowledged(run: Any) -> None:
    lossy = {"network": {"default": {"latency": "1ms", "loss": 0.3}}}
    call = "team.gossip(float(team.rank), rounds=40, timeout='15s')"
    options = {"reliability": "acknowledged", "retry": "20ms"}
    kept = answers(run, call, lossy, **options)
    assert all(abs(value - 3.5) < 0.05 for _, value, *_ in kept.values())


def test_a_new_leader_is_found_when_the_first_dies(run: Any) -> None:
    found = answers(run, "team.elect()", {"faults": [{"at": 0.5, "kill": "agent-1"}]})
    assert {value for _, value, *_ in found.values()} == {"agent-2"}


def test_what_does_not_fit_is_left_out_and_said(run: Any) -> None:
    odd = (
        "from agents.collectives.kinds import kind_of\n"
        + SOURCE
        + """
class B(sim.Agent):
    async def run(self):
        await asyncio.sleep(1)
        kind = kind_of("all_reduce", "star", "sum")
        odd = [
            [0, kind, 0, 2, [1, 2]], [0, kind, 0, 2, "x"], "nonsense", [0, kind, 0, 0, 1],
            [0, kind, 0, 1 << 60, 1], [0, 99, 0, 2, 1],
        ]
        for body in odd:
            self.send("agent-1", "team", body)
            self.send("agent-1", "team", body)
        await asyncio.sleep(20)
"""
    )
    agents = {
        "agent-*": {"params": {"call": "team.all_reduce(1, 'sum', 'star')"}},
    }
    outcome = run(
        odd,
        {"duration": "20s", "world": {"agents": 3}, "agents": agents},
        {"agent-2": "B"},
    )
    assert outcome.result.status == "completed"
    assert eval(outcome.said("agent-1")[0])[:3] == ("partial", 2, ("agent-2",))
    assert any("left out" in text for _, text in outcome.lines("agent-1", "warning"))


@pytest.mark.process
def test_processes_and_memory_agree(run: Any) -> None:
    agents = {
        "agent-*": {
            "params": {
                "call": "team.all_reduce([1.0, rank / 3], 'mean', 'tree')".replace(
                    "rank", "team.rank"
                ),
                "options": {"reliability": "acknowledged", "retry": "50ms"},
            }
        }
    }
    scenario = {
        "duration": "8s",
        "world": {"agents": 5},
        "agents": agents,
        "network": {"default": {"latency": "10ms", "loss": 0.2, "jitter": {"exponential": "5ms"}}},
        "faults": [{"at": "1015ms", "kill": "agent-4"}],
    }
    digests = {run(SOURCE, scenario, inline=inline).result.digest for inline in (True, False)}
    assert len(digests) == 1


def test_a_member_that_says_too_much_fills_no_memory() -> None:
    mail = Mail()
    for number in range(PARTS_MAX + 1000):
        mail.put((number, 0, 0, 1), Part(0.0, 2))
    assert len(mail.parts) == PARTS_MAX
    mail.forget(999)
    mail.put((PARTS_MAX, 0, 0, 1), Part(0.0, 2))
    assert len(mail.parts) == PARTS_MAX - 999
