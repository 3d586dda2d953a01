"""Rescue: it takes as many hands as are said, for as long; nobody is quicker than who knows all;
what is behind something is not seen; and help comes sooner to those who can call for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.robots import play

from agents.behaviours.swarm_rescue import Rescuer, Tracker
from agents.policy import Received
from sim.errors import BoundError
from sim.worlds.swarm.rescue import FOUND, reference
from sim.worlds.swarm.world import make

SMALL = {"task": "rescue", "robots": 3, "width": 20, "height": 20, "victims": 2, "neighbours": 0}
GROUND = {
    "task": "rescue", "robots": 8, "width": 36, "height": 24, "victims": 4, "obstacles": 6,
    "start": "corner", "decide": "500ms", "dt": "250ms", "cell": 2.0,
}  # fmt: skip


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def placed(world: Any, victims: Any, robots: Any) -> Any:
    state = world.reset([(0, 0)])
    at = {"victim": tensor(victims), "position": tensor(robots)}
    return {**state, **at, "found": torch.zeros(1, len(victims), dtype=torch.bool)}


def stay(world: Any, state: Any, steps: int) -> tuple[Any, torch.Tensor]:
    """Everybody stays where it is. Returns: the state, and what each was paid in all."""
    there = {world.group: torch.ones(1, world.agents, dtype=torch.bool)}
    action = {world.group: torch.zeros(1, world.agents, world.groups[0].action.size).double()}
    paid = torch.zeros(world.agents).double()
    for _ in range(steps):
        state, reward = world.advance(state, action, there)
        paid += reward[world.group][0].sum(-1)
    return state, paid


# --- the world ------------------------------------------------------------------------------------


def test_it_takes_so_many_hands_for_so_long() -> None:
    world = make({**SMALL, "care": "2s", "hands": 2, "reach": 1.5})
    two, one = (5.0, 5.0), (15.0, 15.0)
    state = placed(world, [two, one], [(5.0, 6.4), (6.4, 5.0), (15.0, 16.4)])
    almost, _ = stay(world, state, 19)
    assert almost["freed"].tolist() == [[False, False]]
    done, paid = stay(world, state, 20)
    assert done["freed"].tolist() == [[True, False]]
    assert float(done["freed_half"]) == pytest.approx(2.0)
    later, _ = stay(world, done, 60)
    assert later["freed"].tolist() == [[True, False]], "one alone frees nobody"
    assert paid.tolist() == pytest.approx([FOUND / 2 + 0.5, FOUND / 2 + 0.5, FOUND])
    assert not world.terminated(later).any()


def test_who_is_broken_or_too_far_does_not_help() -> None:
    world = make({**SMALL, "care": "1s"})
    state = placed(world, [(5.0, 5.0), (15.0, 15.0)], [(5.0, 6.4), (6.4, 5.0), (15.0, 16.6)])
    broken = world.inject(state, "breakdown", "robot-2", True)
    assert not stay(world, broken, 30)[0]["freed"].any()
    mended = world.inject(stay(world, broken, 30)[0], "breakdown", "robot-2", False)
    assert stay(world, mended, 10)[0]["freed"].tolist() == [[True, False]]


def test_what_is_behind_something_is_not_seen() -> None:
    at = {**SMALL, "sight": 6, "obstacles": [[10, 10, 1.5]], "victims": 3}
    world = make(at)
    state = placed(world, [(13.0, 10.0), (10.0, 13.0), (7.0, 4.0)], [(7.0, 10.0), (2, 2), (18, 2)])
    seen = world.observe(state)[world.group][0, 0]
    index = world.groups[0].observation.index("victim")
    assert seen[index].tolist() == [0.0, 1.0, 1.0], "the first is on the far side of it"
    x = world.groups[0].observation.index("victim_x")
    assert seen[x].tolist() == pytest.approx([0.0, 3.0, 0.0])
    blind = world.inject(state, "blindness", "robot-1", True)
    assert world.observe(blind)[world.group][0, 0][index].tolist() == [0.0, 0.0, 0.0]


def test_marks_are_left_where_they_are_wanted_and_fade() -> None:
    params = {**SMALL, "marks": True, "fade": "10s", "spread": 0, "cell": 1.0}
    world = make(params)
    state = placed(world, [(15.0, 15.0), (18.0, 18.0)], [(5.5, 5.5), (2.5, 2.5), (9.5, 2.5)])
    there = {world.group: torch.ones(1, 3, dtype=torch.bool)}
    action = tensor([[0, 0, 1.0], [0, 0, 0.0], [0, 0, 0.5]])
    state, _ = world.advance(state, {world.group: action}, there)
    state, _ = world.advance(state, {world.group: action}, there)  # a decision is 200 ms
    kept = 0.2 * np.exp(-0.02)
    assert float(state["mark"].sum()) == pytest.approx(1.5 * kept)
    assert float(state["mark"][0, 5, 5]) == pytest.approx(kept)
    state, _ = world.advance(state, {world.group: 0 * action}, there)
    state, _ = world.advance(state, {world.group: 0 * action}, there)
    assert float(state["mark"].sum()) == pytest.approx(1.5 * kept * np.exp(-0.02))
    told = world.observe(state)[world.group][0]
    index = world.groups[0].observation.index("mark")
    assert told[:, index][:, 0].tolist() == pytest.approx(
        [kept * np.exp(-0.02), 0, kept / 2 * np.exp(-0.02)]
    )


def test_rows_do_not_depend_on_the_batch() -> None:
    world, rows = make({**GROUND, "marks": True}), [(3, 0), (4, 0), (4, 1)]

    def outcome(of: list[tuple[int, int]]) -> Any:
        state = world.reset(of)
        there = {world.group: torch.ones(len(of), 8, dtype=torch.bool)}
        for step in range(40):
            draws = [np.random.default_rng([*row, step]).uniform(0, 1, (8, 3)) for row in of]
            action = torch.from_numpy(np.stack(draws))
            state, _ = world.advance(state, {world.group: action}, there)
        return state

    together = outcome(rows)
    assert together["found"].any()
    for i, row in enumerate(rows):
        for name, value in outcome([row]).items():
            assert torch.equal(value[0], together[name][i]), (row, name)


def test_victims_lie_where_robots_can_come() -> None:
    world = make({**GROUND, "victims": 30, "obstacles": 12})
    state = world.reset([(i, 0) for i in range(20)])
    apart = state["victim"][:, :, None] - state["obstacle"][:, None, :, :2]
    assert bool((apart.norm(dim=-1) > state["obstacle"][:, None, :, 2] + 0.2).all())
    assert bool((state["victim"] > 0).all())
    with pytest.raises(BoundError, match="no room for 64"):
        make({**SMALL, "victims": 64, "obstacles": [[10, 10, 11]]}).reset([(0, 0)])


# --- robots ---------------------------------------------------------------------------------------


def told(rule: Any, states: Any, rows: Any) -> dict[str, Any]:
    """An inbox of one robot from rows of (x, y, goal, bid), and one state of victims for all."""
    table = [n for x, y, s in states for n in (x, y, s)]
    values = tensor([[*row, *table] for row in rows])
    there = torch.ones(1, len(rows), dtype=torch.bool)
    return {"at": Received(values, there, torch.zeros(1, len(rows)).double())}


def test_the_nearest_go_as_many_as_it_takes() -> None:
    world = make(SMALL)
    rule = Rescuer("robot-1", world.groups[0], {"hands": 2})
    state = placed(world, [(9.0, 1.0), (19.0, 19.0)], [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)])
    obs = world.observe(state)[world.group][0, :1]
    known = [(9.0, 1.0, 1.0), (0.0, 0.0, 0.0)]

    def goes(*bids: float, table: Any = known) -> float:
        inbox = told(rule, table, [(2.0, 1.0, 1.0 if bid else 0.0, bid) for bid in bids])
        _, said, _ = rule(obs, inbox, rule.memory(torch, 1), None)
        return float(said["at"][0, 2])

    assert goes(0.0, 0.0) == 1.0, "nobody else goes"
    assert goes(7.0, 0.0) == 1.0, "one is nearer, and it takes two"
    assert goes(7.0, 6.0) == 0.0, "two are nearer"
    assert goes(9.0, 6.0) == 1.0, "of those who go it is among the nearest two"
    assert goes(0.0, table=[(9.0, 1.0, 2.0), (0.0, 0.0, 0.0)]) == 0.0, "it is free already"


def test_news_of_victims_is_passed_on() -> None:
    world = make(SMALL)
    rule = Rescuer("robot-1", world.groups[0], {})
    state = placed(world, [(9.0, 1.0), (19.0, 19.0)], [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)])
    obs = world.observe(state)[world.group][0, :1]
    inbox = told(rule, [(9.0, 1.0, 1.0), (19.0, 19.0, 2.0)], [(3.0, 1.0, 0.0, 0.0)])
    _, said, memory = rule(obs, inbox, rule.memory(torch, 1), None)
    assert said["at"][0, 4:].tolist() == [9.0, 1.0, 1.0, 19.0, 19.0, 2.0]
    _, said, _ = rule(obs, {}, memory, None)
    assert said["at"][0, 4:].tolist() == [9.0, 1.0, 1.0, 19.0, 19.0, 2.0], "and kept"


@pytest.mark.parametrize("seed", [0, pytest.param(5, marks=pytest.mark.slow)])
def test_all_are_freed_and_nothing_is_quicker_than_to_know_all(seed: int) -> None:
    world = make(GROUND)
    state = play(world, Rescuer("robot-1", world.groups[0], {"block": 3}), 120, seed=seed)
    found = world.metrics(state)
    known = reference(GROUND, seed, 120 * 10**9)["known"]
    assert found["freed"].value == known["freed"] == 100
    assert found["freed_half"].value >= known["freed_half"]
    assert found["freed_ninety"].value >= known["freed_ninety"]


@pytest.mark.slow
def test_who_hears_nothing_is_slower() -> None:
    """Seconds until 90 % are free, mean of six seeds."""
    world = make(GROUND)
    rule, deaf = Rescuer("robot-1", world.groups[0], {"block": 3}), torch.ones(8, 8).bool()
    mean = [
        np.mean([
            world.metrics(play(world, rule, 150, lost=lost, seed=seed))["freed_ninety"].value
            for seed in range(6)
        ])
        for lost in (None, deaf)
    ]  # fmt: skip
    assert mean[1] > 1.3 * mean[0]


@pytest.mark.slow
def test_marks_keep_robots_from_looking_twice() -> None:
    """Share of the ground seen after a minute, mean of six seeds."""
    world = make({**GROUND, "marks": True, "victims": 1})
    share = []
    for turn in (1.0, 0.0):
        rule = Tracker("robot-1", world.groups[0], {"turn": turn})
        states = [play(world, rule, 60, seed=seed) for seed in range(6)]
        share.append(np.mean([world.metrics(state)["seen"].value for state in states]))
    assert share[0] > share[1] + 3
