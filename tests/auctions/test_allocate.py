"""CBBA among agents: agreement on lossy links, after a partition, and without the dead."""

from __future__ import annotations

from typing import Any

import pytest

SIZE, TASKS = 6, 8
SOURCE = """
from sim.mechanisms.cbba import discounted_route

class A(sim.Agent):
    async def run(self):
        a = list(self.names)
        line = {name: a[max(i - 1, 0) : i] + a[i + 1 : i + 2] for i, name in enumerate(a)}
        team = sim.Communicator(self, "*", graph=line)
        places = [(j * 7 % 8, j * 5 % 8) for j in range(8)]
        score = discounted_route((team.rank, team.rank * 5 % 6), places, [3.0] * 8, 2.0, 0.8)
        await asyncio.sleep(1)
        found = await sim.allocate(team, score, 8, **self.params)
        self.log(repr((found.path, found.winners, found.is_agreed, found.missing, found.settled)))
        self.log(repr((found.seconds, found.spent.messages)))
        await asyncio.sleep(20)

class Liar(sim.Agent):
    async def run(self):
        await asyncio.sleep(1.05)
        bodies = (7, None, [], [[1]], [[9] * 8, [0] * 8, [1] * 5], [[9] * 8, [99] * 8, [1] * 6],
                  [[9] * 8, ["x"] * 8, [1] * 6], [[9] * 8, [-1] * 8, [1] * 6], {"a": []})
        for step, body in enumerate(bodies):
            self.send("agent-2", "team", [0, step, 1, body])
        await asyncio.sleep(20)
"""


def members(outcome: Any) -> dict[int, Any]:
    """(path, winners, whether agreed, missing, settled) of each member that came to an end."""
    assert outcome.result.status == "completed", outcome.result
    said = {i: outcome.said(f"agent-{i}") for i in range(1, SIZE + 1)}
    return {i: eval(lines[0]) for i, lines in said.items() if lines}


def started(run: Any, scenario: dict[str, Any], cast: Any = None, **options: Any) -> Any:
    inline = options.pop("inline", True)
    params = {"rounds": 40, "timeout": "4s", **options}
    base = {"duration": "20s", "world": {"agents": SIZE}, "agents": {"agent-*": {"params": params}}}
    return run(SOURCE, {**base, **scenario}, cast, inline=inline)


def play(run: Any, scenario: dict[str, Any], cast: Any = None, **options: Any) -> dict[int, Any]:
    return members(started(run, scenario, cast, **options))


def check(found: dict[int, Any]) -> tuple[Any, ...]:
    """All name the same winners, and do what is said of them; returns the winners."""
    (winners,) = {f[1] for f in found.values()}
    for i, (path, _, is_agreed, _, _) in found.items():
        assert sorted(path) == [j for j, who in enumerate(winners) if who == f"agent-{i}"]
        assert is_agreed
    return winners


def test_members_of_a_line_agree_within_the_bound_of_rounds(run: Any) -> None:
    found = play(run, {})
    winners = check(found)
    assert None not in winners
    assert len(set(winners)) > 2
    assert {f[3] for f in found.values()} == {()}
    assert max(f[4] for f in found.values()) <= TASKS * (SIZE - 1)


def test_what_loses_a_third_comes_to_the_same_only_later(run: Any) -> None:
    ideal = play(run, {})
    lossy = play(run, {"network": {"default": {"latency": "10ms", "loss": 0.33}}})
    assert check(lossy) == check(ideal)
    assert max(f[4] for f in lossy.values()) > max(f[4] for f in ideal.values())


CUT = {"partition": [["agent-1", "agent-2", "agent-3"], ["agent-4", "agent-5", "agent-6"]]}


def test_after_a_partition_there_is_one_allocation_again(run: Any) -> None:
    faults = [{"at": "500ms", "for": "3s", **CUT}]
    found = play(run, {"faults": faults}, rounds=80, timeout="8s")
    winners = check(found)
    assert winners == check(play(run, {}))
    assert max(f[4] for f in found.values()) > 25, "it changed once more when it was whole"
    cut = play(run, {"faults": [{"at": "500ms", "for": "10s", **CUT}]}, patience=10)
    assert len({f[1] for f in cut.values()}) == 2
    assert {f[3] for i, f in cut.items() if i < 4} == {("agent-4", "agent-5", "agent-6")}
    assert {f[3] for i, f in cut.items() if i > 3} == {("agent-1", "agent-2", "agent-3")}


@pytest.mark.parametrize("patience", [None, 8])
def test_tasks_of_the_dead_go_to_others_if_patience_ends(run: Any, patience: int | None) -> None:
    faults = [{"at": "2500ms", "kill": "agent-6"}]
    found = play(run, {"faults": faults}, patience=patience, rounds=60, timeout="6s")
    winners = check(found)
    assert ("agent-6" in winners) == (patience is None)
    assert {f[3] for f in found.values()} == {() if patience is None else ("agent-6",)}


def test_nonsense_from_a_neighbour_changes_nothing(run: Any) -> None:
    found = play(run, {}, {"agent-1": "Liar"})
    assert check({i: f for i, f in found.items() if i > 1})
    assert all("agent-1" in f[3] and "agent-1" not in f[1] for f in found.values())


@pytest.mark.process
def test_processes_and_memory_agree(run: Any) -> None:
    lossy = {"network": {"default": {"latency": "10ms", "loss": 0.3}}, "duration": "8s"}
    inline, apart = (started(run, lossy, inline=inline) for inline in (True, False))
    assert members(inline) == members(apart)
    assert inline.result.digest == apart.result.digest
