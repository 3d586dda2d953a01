"""Numbers that are too large, calls that are refused, members who do not make the same call."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import sim.runner
from agents.collectives.kinds import KINDS
from agents.collectives.operators import finished, operator, taken
from sim.errors import AgentError, ScenarioError
from sim.scenario.load import load_scenario

SOURCE = """
import numpy as np

class A(sim.Agent):
    async def run(self):
        calls = self.params["calls"]
        teams = [sim.Communicator(self, tag=name, timeout="1s") for name, _ in calls]
        for team, (_, call) in zip(teams, calls):
            rank = team.rank
            try:
                found = await eval(call)
                value = found.value
                self.log(repr((value.tolist() if isinstance(value, np.ndarray) else value,
                               found.outcome, found.contributed, found.missing)))
            except sim.SimError as error:
                self.log(repr(str(error)))
        await asyncio.sleep(0.5)
"""


def answers(run: Any, calls: list[str], size: int = 4, **scenario: Any) -> dict[str, list[Any]]:
    """What every member has of each call, each by a communicator of its own."""
    named = [(f"team-{i}", call) for i, call in enumerate(calls)]
    agents = {"agent-*": {"params": {"calls": named}}}
    base = {"duration": "30s", "world": {"agents": size}, "agents": agents}
    outcome = run(SOURCE, {**base, **scenario})
    assert outcome.result.status == "completed", outcome.result
    names = [f"agent-{i}" for i in range(1, size + 1)]
    return {name: [eval(line) for line in outcome.said(name)] for name in names}


def reckoned(op: str, values: list[Any]) -> Any:
    first, *others = (taken(value, op) for value in values)
    for other in others:
        first = np.asarray(operator(op)(first, other))
    return finished(op, first, len(values))


@pytest.mark.parametrize(
    ("op", "values", "right"),
    [
        ("product", list(range(1, 26)), float(math.factorial(25))),
        ("product", list(range(1, 21)), math.factorial(20)),
        ("sum", [2**62] * 4, 2.0**64),
        ("sum", [2**62, 2**62 - 1], 2**63 - 1),
        ("sum", [2**62 + 511, 2**62 - 510], 2.0**63),
        ("sum", [-(2**63), -1], -(2.0**63)),
        ("mean", [2**62] * 5, 2.0**62),
        ("mean", [2**63 - 1, 2**70], (2.0**63 + 2.0**70) / 2),
        ("max", [2**64, 1], 2.0**64),
        ("sum", [True, True], 2),
    ],
)
def test_whole_numbers_are_exact_or_floats(op: str, values: list[Any], right: Any) -> None:
    found = reckoned(op, values).item()
    assert type(found) is type(right)
    assert found == pytest.approx(right, rel=1e-15) if isinstance(right, float) else found == right


def test_narrow_arrays_do_not_wrap_around() -> None:
    found = reckoned("sum", [np.full(3, 100, np.int8)] * 2)
    assert found.tolist() == [200, 200, 200]
    found = reckoned("sum", [np.array([2**63, 1], np.uint64)] * 2)
    assert found.tolist() == [2.0**64, 2.0]


@pytest.mark.parametrize("value", ["a", None, [[1], [1, 2]], 10**400, {"a": 1}])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(AgentError, match="contribution"):
        taken(value)


def test_large_numbers_come_through_every_algorithm(run: Any) -> None:
    ways = ("star", "tree", "doubling", "ring")
    calls = [f"team.all_reduce(2**62 + rank, 'sum', {way!r})" for way in ways]
    for found in answers(run, calls).values():
        assert [(value, outcome) for value, outcome, *_ in found] == [(2.0**64, "complete")] * 4


def test_bytes_are_counted_when_messages_are_acknowledged(run: Any) -> None:
    source = """
class A(sim.Agent):
    async def run(self):
        for reliability in ("none", "acknowledged"):
            team = sim.Communicator(self, tag=reliability, reliability=reliability, timeout="1s")
            found = await team.all_gather(1.5)
            await asyncio.sleep(1)
            self.log(repr((found.spent.messages, found.spent.resent, found.spent.bytes)))
"""
    once, kept = map(eval, run(source, {"duration": "5s", "world": {"agents": 3}}).said())
    assert once[2] > 0
    assert kept == once
    lossy = {"default": {"latency": "10ms", "loss": 0.4}}
    scenario = {"duration": "5s", "world": {"agents": 3}, "network": lossy}
    outcome = run(source, scenario)
    each = once[2] // once[0]
    told = [eval(outcome.said(f"agent-{i}")[1]) for i in (1, 2, 3)]
    assert sum(resent for _, resent, _ in told) > 0
    assert all(size == each * (count + resent) for count, resent, size in told)


@pytest.mark.parametrize(
    "slip",
    [
        "team.all_reduce('a')", "team.all_reduce(1, 'summ')", "team.all_reduce(1, timeout='x')",
        "team.scatter([1])", "team.broadcast(1, 'nobody')",
    ],
)  # fmt: skip
def test_a_refused_call_has_used_its_number_up(run: Any, slip: str) -> None:
    source = f"""
class A(sim.Agent):
    async def run(self):
        team = sim.Communicator(self, timeout="1s")
        try:
            if team.rank == 0:
                await {slip}
            else:
                await team.all_reduce(100)
        except sim.SimError as error:
            pass
        await asyncio.sleep(3 - self.now)
        found = await team.all_reduce(team.rank)
        self.log(repr((found.value, found.outcome)))
        await asyncio.sleep(0.5)
"""
    outcome = run(source, {"duration": "9s", "world": {"agents": 3}})
    assert outcome.result.status == "completed", outcome.result
    assert [outcome.said(f"agent-{i}") for i in (1, 2, 3)] == [["(3, 'complete')"]] * 3


@pytest.mark.parametrize("reliability", ["none", "acknowledged"])
def test_what_came_before_a_communicator_was_made_counts(run: Any, reliability: str) -> None:
    source = f"""
class A(sim.Agent):
    async def run(self):
        await asyncio.sleep(0.5 if self.name == "agent-1" else 0)
        team = sim.Communicator(self, timeout="4s", reliability={reliability!r})
        found = await team.all_reduce(team.rank)
        self.log(repr((found.value, found.outcome)))
        await asyncio.sleep(0.5)
"""
    outcome = run(source, {"duration": "9s", "world": {"agents": 4}})
    assert outcome.result.status == "completed", outcome.result
    assert [outcome.said(f"agent-{i}") for i in (1, 2, 3, 4)] == [["(6, 'complete')"]] * 4


def test_only_the_root_of_a_reduce_says_that_it_is_complete(run: Any) -> None:
    calls = [f"team.reduce(1, 'sum', 'agent-1', {way!r})" for way in ("star", "tree")]
    found = answers(run, calls, 5)
    assert all(told[:2] == (5, "complete") for told in found.pop("agent-1"))
    assert all(told[:2] == (None, "sent") for each in found.values() for told in each)
    dead = answers(run, calls, 5, faults=[{"at": 0, "kill": "agent-1"}])
    assert all(told[:2] == (None, "sent") for name in found for told in dead[name])


def test_gossip_that_lost_mass_does_not_say_that_it_is_complete(run: Any) -> None:
    lossy = {"default": {"latency": "10ms", "loss": 0.2}}
    found = answers(run, ["team.gossip(rank)", "team.consensus(rank)"], 6, network=lossy)
    assert {told[1] for each in found.values() for told in each} == {"estimate"}


def test_scatter_takes_values_by_name(run: Any) -> None:
    calls = [
        "team.scatter({name: len(name) + i for i, name in enumerate(team.members)})",
        "team.scatter({'agent-1': 1, 'agent-2': 2, 'agnet-3': 3})",
        "team.scatter({'agent-1': 1, 'agent-2': 2})",
        "team.scatter('abc')",
    ]
    found = answers(run, calls, 3)
    assert [each[0][0] for each in found.values()] == [7, 8, 9]
    _, typo, lacking, text = found["agent-1"]
    assert "did you mean 'agent-3'" in typo
    assert "found none for agent-3" in lacking
    assert "found 'abc'" in text


def test_members_who_make_different_calls_are_not_mixed_up(run: Any) -> None:
    agents = {"agent-*": {"params": {"calls": [
        ("team", "team.all_reduce(rank + 1, ('sum', 'sum', 'max')[rank], 'star')")]}}}  # fmt: skip
    outcome = run(SOURCE, {"duration": "9s", "world": {"agents": 3}, "agents": agents})
    told = eval(outcome.said("agent-1")[0])
    assert told == (3, "partial", ("agent-1", "agent-2"), ("agent-3",))
    (warning,) = [text for _, text in outcome.lines("agent-1", "warning")]
    assert warning.endswith(
        "left out 'agent-3': it calls all_reduce star max, here it is all_reduce star sum"
    )
    assert len(KINDS) < 128  # one byte of each message


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("timeout=0", "timeout: expected a duration above 0"),
        ("timeout='5 parsecs'", "timeout: "),
        ("retry='soon'", "retry: "),
        ("tag='my team'", "tag: expected a name"),
        ("graph={'agent-1': ['agnet-2']}", "did you mean 'agent-2'"),
        ("graph='ring'", "graph: expected the neighbours"),
    ],
)
def test_a_communicator_says_what_is_wrong_with_it(run: Any, given: str, problem: str) -> None:
    source = f"""
class A(sim.Agent):
    async def run(self):
        sim.Communicator(self, {given})
"""
    outcome = run(source, {"world": {"agents": 2}})
    assert problem in str(outcome.result.agent_failures[0])


def test_a_call_says_what_is_wrong_with_it(run: Any) -> None:
    calls = {
        "team.all_reduce(1, algorithm=None)": "algorithm: there is no None",
        "team.all_reduce(1, op=None)": "op: there is no None",
        "team.barrier(timeout=0)": "timeout: expected a duration above 0",
        "team.barrier(timeout='soon')": "timeout: ",
        "team.barrier(timout=1)": "did you mean 'timeout'",
        "team.barrier(number='a')": "number: ",
        "team.gossip(1, rounds=0)": "rounds: ",
        "sim.Communicator(self, tag=team.tag)": "the topic 'team-7' is in use",
    }
    found = answers(run, list(calls), 1)["agent-1"]
    assert len(found) == len(calls)
    for told, problem in zip(found, calls.values(), strict=True):
        assert problem in told


def test_a_graph_may_have_agents_who_are_no_members(run: Any) -> None:
    source = """
class A(sim.Agent):
    async def run(self):
        if self.name == "agent-3":
            return
        graph = {"agent-1": ["agent-2", "agent-3"], "agent-2": ["agent-3"]}
        team = sim.Communicator(self, "agent-[12]", graph=graph)
        self.log(repr(team.neighbours))
"""
    assert run(source, {"world": {"agents": 3}}).said() == ["{0: [1], 1: [0]}"]


@pytest.mark.parametrize(
    ("name", "pattern", "params", "problem"),
    [
        ("all_reduce", "member-*", {"algoritm": "star"}, "did you mean 'algorithm'"),
        ("all_reduce", "member-*", {"algorithm": "rign"}, "did you mean 'ring'"),
        ("hierarchy", "*", {"tree": "centrl"}, "did you mean 'central'"),
        ("hierarchy", "*", {"peroid": "5s"}, "did you mean 'period'"),
        ("consensus", "member-*", {"grahp": "ring"}, "did you mean 'graph'"),
    ],
)
def test_params_of_the_scenarios_are_checked(
    name: str, pattern: str, params: dict[str, Any], problem: str
) -> None:
    sets = [f"agents.{pattern}.params.{key}={value}" for key, value in params.items()]
    scenario = load_scenario(f"scenarios/{name}.yaml", [*sets, "duration=2s"])
    with pytest.raises(ScenarioError, match=problem):
        sim.runner.run(scenario, inline=True, record=False, compare=False)


def test_all_reduce_by_gossip_runs() -> None:
    sets = ["agents.member-*.params.algorithm=gossip", "duration=8s"]
    scenario = load_scenario("scenarios/all_reduce.yaml", sets)
    result = sim.runner.run(scenario, inline=True, record=False, compare=False)
    assert result.status == "completed"
    assert not result.agent_failures
