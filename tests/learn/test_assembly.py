"""What agents tell, put together: in any order, with losses, nothing twice, chains cut at gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.roles import Layout, PlainRole
from sim.learn.assembly import Assembly
from sim.learn.record import Record, Side
from sim.learn.witness import Witness
from sim.spaces import Field, Space
from sim.worlds.world import Group

pytestmark = pytest.mark.torch

EVERY, AGENTS = 100, ("a", "b", "c")
GROUP = Group("agent", AGENTS, Space((Field("s", size=2),)), Space((Field("u"),)), EVERY)
SIDE = Side("agent", AGENTS, PlainRole("a", GROUP, {}), Layout(2), EVERY)


def message(agent: str, instants: list[int], **changes: Any) -> dict[str, Any]:
    """What an agent tells of its decisions at so many instants; every number says whose it is."""
    time = EVERY * np.array(instants, dtype=np.int64)
    mark = np.array(instants, dtype=np.float32) + 0.25 * AGENTS.index(agent)
    wide = np.stack((mark, -mark), axis=1)
    told = {
        "seen": wide, "next_seen": wide + 1, "decision": mark[:, None], "log_prob": -mark,
        "reward": 10 * mark, "duration": np.ones_like(mark), "time": time,
        "version": np.full(len(time), 2), "episode": 0,
    }  # fmt: skip
    return told | changes


def assembly(decisions: int = 4, wait: int = 300, **options: Any) -> Assembly:
    return Assembly(SIDE, decisions, wait, **options)


def told_in(record: Record) -> dict[tuple[int, int], float]:
    """(row, slot) -> the mark of what was used there."""
    rows, _, slots = torch.nonzero(record.alive, as_tuple=True)
    return {
        (int(k), int(slot)): float(record.decision[k, 0, slot, 0])
        for k, slot in zip(rows, slots, strict=True)
    }


def test_a_record_is_what_the_agents_told() -> None:
    made = assembly()
    for agent in AGENTS:
        assert made.add(agent, message(agent, [0, 1, 2, 3]), 400) == 4
    found = made.take(400)
    assert found is not None
    record, figures = found
    assert figures == pytest.approx({"arrived": 1.0, "reward": 17.5, "version": 2.0})
    assert told_in(record) == {(k, i): k + 0.25 * i for k in range(4) for i in range(3)}
    assert record.team[:, 0].tolist() == pytest.approx([10 * k + 2.5 for k in range(4)])
    assert record.is_first[:, 0].tolist() == [True, False, False, False]
    assert not record.truncated.any()
    assert not record.terminated.any()
    assert record.next_seen[1, 0, 2].tolist() == [2.5, -0.5]
    assert made.take(400) is None


events = st.lists(st.tuples(st.sampled_from(AGENTS), st.integers(0, 3), st.booleans()), max_size=60)


@given(events, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=tries(60))
def test_nothing_is_used_twice_or_invented_whatever_arrives(
    order: list[tuple[str, int, bool]], seed: int
) -> None:
    """Messages of four decisions, some lost, some twice, in any order: a row counts at most once,
    at its own place, and records go forward in time."""
    rng = np.random.default_rng(seed)
    made = assembly(decisions=3, wait=int(rng.integers(0, 900)))
    sent, used, now = set(), [], 1600
    last = -1.0
    for agent, part, is_lost in order:
        if not is_lost:
            instants = [4 * part + i for i in range(4)]
            made.add(agent, message(agent, instants), now)
            sent |= {k + 0.25 * AGENTS.index(agent) for k in instants}
        now += int(rng.integers(0, 300))
        while (found := made.take(now)) is not None:
            record = found[0]
            assert record.alive.any(dim=2).all()
            times = []
            for (row, slot), mark in told_in(record).items():
                assert mark - 0.25 * slot == int(mark)
                times.append((row, int(mark)))
                used.append(mark)
            assert sorted(times) == sorted(times, key=lambda each: each[1])
            assert min(t for _, t in times) > last
            last = max(t for _, t in times)
    assert len(used) == len(set(used))
    assert set(used) <= sent


@given(st.permutations([(agent, part) for agent in AGENTS for part in range(3)]))
@settings(deadline=None, max_examples=tries(30))
def test_the_order_of_arrival_changes_nothing_while_nothing_is_late(
    order: list[tuple[str, int]],
) -> None:
    made = assembly(decisions=12, wait=10_000)
    for agent, part in order:
        made.add(agent, message(agent, [4 * part + i for i in range(4)]), 1200)
    found = made.take(1200)
    assert found is not None
    assert told_in(found[0]) == {(k, i): k + 0.25 * i for k in range(12) for i in range(3)}


def test_order_of_arrival_does_matter_once_something_is_late() -> None:
    """The control: with no patience, who comes first is used without the others."""
    made = assembly(decisions=4, wait=0)
    made.add("a", message("a", [0, 1, 2, 3]), 500)
    found = made.take(500)
    assert found is not None
    assert set(told_in(found[0])) == {(k, 0) for k in range(4)}
    assert made.add("b", message("b", [0, 1, 2, 3, 4]), 600) == 1
    assert made.late == 4


def test_what_is_missing_is_waited_for_and_then_not_there() -> None:
    made = assembly(decisions=2, wait=300)
    made.add("a", message("a", [0, 1]), 200)
    made.add("b", message("b", [0, 1]), 200)
    assert made.take(400) is None  # the second instant is not yet older than the wait
    found = made.take(401)
    assert found is not None
    record, figures = found
    assert record.alive[:, 0].tolist() == [[True, True, False]] * 2
    assert figures["arrived"] == pytest.approx(2 / 3)
    assert record.team[1, 0] == pytest.approx(11.25)  # the mean of those who told


def test_the_chain_is_cut_where_nobody_told_anything() -> None:
    made = assembly(decisions=4, wait=300)
    for agent in AGENTS:
        made.add(agent, message(agent, [0, 1, 3, 4]), 500)
    found = made.take(500)
    assert found is not None
    assert found[0].truncated[:, 0].tolist() == [False, True, False, False]
    assert found[0].is_first[:, 0].tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    "payload",
    [
        None, 3, "experience", {}, {"seen": 1},
        message("a", [0], seen=np.zeros((1, 3))),
        message("a", [0], decision=np.full((1, 1), np.nan)),
        message("a", [0], log_prob=np.full(1, np.inf)),
        message("a", [0, 1], reward=np.zeros(1)),
        message("a", [0], time=np.array([0.0])),
        message("a", [0], time=np.array([[0]])),
        message("a", [0], reward=np.array(["x"])),
        message("a", [0], duration=np.zeros(1)),
        message("a", [0], version=np.array([-1])),
        message("a", [0], episode=1),
        message("a", [0], episode="one"),
        message("a", [9]),  # of the future
    ],
)  # fmt: skip
def test_what_no_agent_would_tell_is_none(payload: Any) -> None:
    made = assembly()
    assert made.add("a", payload, 500) == 0
    assert made.add("stranger", message("a", [0]), 500) == 0
    assert made.add("a", message("a", [0]), 500) == 1


def test_choices_that_there_are_not_are_none() -> None:
    group = Group("agent", AGENTS, SIDE.role.sees, Space((Field("gear", choices=3),)), EVERY)
    side = Side("agent", AGENTS, PlainRole("a", group, {}), Layout(2), EVERY)
    made = Assembly(side, 4, 300)
    for wrong in (3.0, -1.0, 0.5):
        assert made.add("a", message("a", [0], decision=np.array([[wrong]])), 500) == 0
    assert made.add("a", message("a", [0], decision=np.array([[2.0]])), 500) == 1


# --- a privileged learner -----------------------------------------------------------------------


def witness(instants: list[int], missed: Mapping[int, int] | None = None) -> Witness:
    """State k at instant k; since the last instant the team earned 100 k, agent i k + i."""
    made = Witness([2, 0, 1])
    for k in instants:
        rewards = np.array([100.0 * k, k, k + 1.0, k + 2.0])
        made.see(EVERY * k, np.array([k, -k]), rewards, (missed or {}).get(k, 0))
    return made


def test_state_and_rewards_are_the_brokers() -> None:
    made = assembly(decisions=3, witness=witness([0, 1, 2, 3]), state_size=2)
    for agent in AGENTS:
        made.add(agent, message(agent, [0, 1, 2]), 300)
    found = made.take(300)
    assert found is not None
    record = found[0]
    assert record.state[:, 0, 0].tolist() == [0, 1, 2]
    assert record.next_state[:, 0, 0].tolist() == [1, 2, 3]
    assert record.team[:, 0].tolist() == [100, 200, 300]
    assert record.reward[0, 0].tolist() == [3, 1, 2]  # in the order of the side's agents


def test_a_decision_that_the_broker_did_not_see_whole_is_not_learned_from() -> None:
    made = assembly(decisions=4, witness=witness([0, 1, 2, 4, 5, 6, 7], {4: 1}), state_size=2)
    for agent in AGENTS:
        made.add(agent, message(agent, [0, 1, 2, 3, 4, 5, 6]), 700)
    assert made.take(700) is None
    assert made.unseen == 4  # those before the gap, and the one that began in it
    for agent in AGENTS:
        made.add(agent, message(agent, [7]), 800)
    assert made.take(800) is None  # the broker has not yet shown how the last one ended
    assert made._witness is not None
    made._witness.see(800, np.zeros(2), np.zeros(4), 0)
    found = made.take(800)
    assert found is not None
    assert found[0].decision[:, 0, 0, 0].tolist() == [4, 5, 6, 7]


def test_rewards_of_a_long_decision_add_up() -> None:
    found = witness([0, 1, 2, 3]).find(0, 3 * EVERY)
    assert found is not None
    assert (found.team, found.own.tolist()) == (600.0, [12.0, 6.0, 9.0])
    assert witness([0, 1]).find(0, 3 * EVERY) is None
    assert witness([1, 2, 3]).find(0, 3 * EVERY) is None
