"""What every operation returns on ideal links, for every size, and how many messages it takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

SIZES = (1, 2, 3, 6, 8, 13, 64)
SOURCE = """
import numpy as np

class A(sim.Agent):
    async def run(self):
        team = sim.Communicator(self, timeout="10s", **self.params.get("options", {}))
        rank = team.rank
        found = await eval(self.params["call"])
        value = found.value
        self.log(repr(value.tolist() if isinstance(value, np.ndarray) else value))
        self.log(repr((found.outcome, found.contributed, found.missing)))
        self.log(repr((found.spent.messages, found.spent.resent, found.spent.bytes > 0)))
        await asyncio.sleep(0.1)
"""


def answers(run: Any, call: str, size: int, **options: Any) -> list[tuple[Any, Any, Any]]:
    """(value, (outcome, contributed, missing), spent) of every member."""
    agents = {"agent-*": {"params": {"call": call, "options": options}}}
    outcome = run(SOURCE, {"duration": "30s", "world": {"agents": size}, "agents": agents})
    assert outcome.result.status == "completed", outcome.result
    members = [f"agent-{i}" for i in range(1, size + 1)]
    return [tuple(eval(line) for line in outcome.said(name)) for name in members]  # type: ignore[misc]


def messages(found: list[tuple[Any, Any, Any]]) -> int:
    return sum(spent[0] for *_, spent in found)


def doubling_messages(size: int) -> int:
    power = 2 ** int(math.log2(size))
    return power * int(math.log2(power)) + 2 * (size - power)


COUNTS = {
    "star": lambda n: 2 * (n - 1),
    "tree": lambda n: 2 * (n - 1),
    "doubling": doubling_messages,
    "ring": lambda n: 2 * n * (n - 1),
}


@pytest.mark.parametrize("algorithm", COUNTS)
@pytest.mark.parametrize("size", SIZES)
def test_all_reduce_sums_everywhere_with_the_messages_of_the_textbook(
    run: Any, size: int, algorithm: str
) -> None:
    found = answers(run, f"team.all_reduce(rank + 1, 'sum', {algorithm!r})", size)
    everybody = tuple(f"agent-{i}" for i in range(1, size + 1))
    for value, end, _ in found:
        assert value == size * (size + 1) // 2
        assert end == ("complete", everybody, ())
    assert messages(found) == COUNTS[algorithm](size)


OPERATORS = {"sum": np.sum, "mean": np.mean, "min": np.min, "max": np.max, "product": np.prod}


@pytest.mark.parametrize("algorithm", COUNTS)
@pytest.mark.parametrize("op", OPERATORS)
def test_all_reduce_of_arrays_is_numpys(run: Any, op: str, algorithm: str) -> None:
    size = 6
    call = f"team.all_reduce(np.arange(8.0).reshape(2, 4) / 3 - rank, {op!r}, {algorithm!r})"
    values = np.stack([np.arange(8.0).reshape(2, 4) / 3 - rank for rank in range(size)])
    for value, *_ in answers(run, call, size):
        assert np.allclose(value, OPERATORS[op](values, axis=0), rtol=1e-12)


@pytest.mark.parametrize("algorithm", ["star", "tree", "doubling"])
def test_floats_come_out_the_same_to_the_bit_for_all(run: Any, algorithm: str) -> None:
    found = answers(run, f"team.all_reduce(0.1 * 3.7**rank, 'sum', {algorithm!r})", 13)
    assert len({value for value, *_ in found}) == 1


@pytest.mark.parametrize("algorithm", ["star", "tree"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("root", [1, "last"])
def test_reduce_and_broadcast_have_any_root(
    run: Any, size: int, algorithm: str, root: int | str
) -> None:
    at = size if root == "last" else int(root)
    call = f"team.reduce(2.0**rank, 'sum', 'agent-{at}', {algorithm!r})"
    found = answers(run, call, size)
    assert math.isclose(found[at - 1][0], 2.0**size - 1)
    assert messages(found) == size - 1
    call = f"team.broadcast([rank, 'word'], 'agent-{at}', {algorithm!r})"
    found = answers(run, call, size)
    assert all(value == [at - 1, "word"] and end[0] == "complete" for value, end, _ in found)
    assert messages(found) == size - 1


@pytest.mark.parametrize("size", SIZES[:-1])
def test_flooding_a_complete_graph_and_a_ring(run: Any, size: int) -> None:
    found = answers(run, "team.broadcast(7, algorithm='flood')", size)
    links = size * (size - 1) // 2
    assert all(value == 7 for value, *_ in found)
    assert messages(found) == 2 * links - size + 1
    names = [f"agent-{i}" for i in range(1, size + 1)]
    graph = {name: [names[i - 1], names[(i + 1) % size]] for i, name in enumerate(names)}
    found = answers(run, "team.broadcast(7, algorithm='flood')", size, graph=graph)
    links = size if size > 2 else size - 1
    assert all(value == 7 for value, *_ in found)
    assert size < 2 or messages(found) <= 2 * links - size + 1


@pytest.mark.parametrize("algorithm", ["flat", "ring"])
@pytest.mark.parametrize("size", SIZES)
def test_all_gather_has_every_value_by_name(run: Any, size: int, algorithm: str) -> None:
    found = answers(run, f"team.all_gather([rank], {algorithm!r})", size)
    everything = {f"agent-{i + 1}": [i] for i in range(size)}
    assert all(value == everything and end[0] == "complete" for value, end, _ in found)
    assert messages(found) == size * (size - 1)


@pytest.mark.parametrize("size", SIZES)
def test_scatter_and_barrier(run: Any, size: int) -> None:
    found = answers(run, f"team.scatter([i * i for i in range({size})])", size)
    assert [value for value, *_ in found] == [i * i for i in range(size)]
    assert messages(found) == size - 1
    found = answers(run, "team.barrier()", size)
    assert all(end[0] == "complete" for _, end, _ in found)
    assert messages(found) == size * math.ceil(math.log2(size))


@pytest.mark.parametrize("size", SIZES)
def test_the_first_member_is_elected(run: Any, size: int) -> None:
    found = answers(run, "team.elect()", size)
    assert {value for value, *_ in found} == {"agent-1"}
    assert messages(found) == size * (size - 1) // 2 + size - 1


@pytest.mark.parametrize("call", ["gossip", "consensus"])
def test_averages_come_close_to_the_mean(run: Any, call: str) -> None:
    for value, end, _ in answers(run, f"team.{call}([rank, -2.0 * rank], rounds=60)", 9):
        assert np.allclose(value, [4.0, -8.0], atol=1e-3)
        assert end[0] == "estimate"


def test_a_wrong_call_is_told(run: Any) -> None:
    for call, word in {
        "team.all_reduce('a')": "a number or an array",
        "team.all_reduce(1, 'summ')": "sum",
        "team.all_reduce(1, algorithm='rign')": "ring",
        "team.broadcast(1, 'agent-9')": "no member",
        "team.scatter([1])": "expected 2 values",
    }.items():
        agents = {"agent-*": {"params": {"call": call}}}
        outcome = run(SOURCE, {"world": {"agents": 2}, "agents": agents})
        assert word in str(outcome.result.agent_failures[0]), call
