"""Construction: blocks lie where the plan says, touch, and come one by one; nobody is quicker than
who only carries; and what stands is in the way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from checkers.robots import play

from agents.behaviours.swarm_construction import Builder
from sim.errors import BoundError
from sim.worlds.swarm.construction import places, reference
from sim.worlds.swarm.motion import norm
from sim.worlds.swarm.world import make, parse, task_module

ROW = {
    "task": "construction", "robots": 3, "width": 20, "height": 20, "neighbours": 0,
    "depot": [1, 5], "plan": [[10, 5], [11, 5], [12, 5]],
}  # fmt: skip


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def grip(world: Any, state: Any, grips: Any = 1.0) -> Any:
    """One step in which everybody stands and grips."""
    action = torch.zeros(1, world.agents, 3).double()
    action[..., 2] = tensor(grips) if isinstance(grips, float) else tensor(*grips)
    there = torch.ones(1, world.agents, dtype=torch.bool)
    return world.advance(state, {world.group: action}, {world.group: there})


def placed(world: Any, *robots: Any, loaded: Any = (True, True, True), laid: Any = ()) -> Any:
    state = world.reset([(0, 0)])
    is_laid = torch.tensor([[i in laid for i in range(world.task.blocks)]])
    return {
        **state, "position": tensor(*robots)[None], "loaded": torch.tensor([list(loaded)]),
        "laid": is_laid,
    }  # fmt: skip


def test_plans_have_the_geometry_that_they_are_said_to_have() -> None:
    for plan, closes in (("ring", True), ("wall", False)):
        p = parse(task_module({"task": "construction"}).Params, {"plan": plan, "places": 12}, "w")
        at = places(p)
        steps = norm(at - at.roll(-1, 0))
        assert steps[:-1].tolist() == pytest.approx([1.0] * 11)
        assert (abs(float(steps[-1]) - 1.0) < 1e-9) is closes
        assert at.mean(0).tolist() == pytest.approx([20.0, 15.0])
    ring = places(parse(task_module({"task": "construction"}).Params, {"places": 12}, "w"))
    assert norm(ring - tensor(20.0, 15.0)).tolist() == pytest.approx(
        [0.5 / math.sin(math.pi / 12)] * 12
    )


def test_the_first_is_the_farthest_and_each_touches_one_that_lies() -> None:
    world = make(ROW)
    at = [(10.0, 6.0), (11.0, 6.0), (12.0, 6.0)]
    one, _ = grip(world, placed(world, *at))
    assert one["laid"].tolist() == [[False, False, True]]
    assert one["loaded"].tolist() == [[True, True, False]]
    two, _ = grip(world, one)
    assert two["laid"].tolist() == [[False, True, True]]
    three, reward = grip(world, two)
    assert three["laid"].all()
    assert world.terminated(three).all()
    assert reward[world.group][0, :, 0].tolist() == [1.0, 0.0, 0.0]
    assert three["obstacle"][0].tolist() == [[10, 5, 0.5], [11, 5, 0.5], [12, 5, 0.5]]


def test_one_block_for_one_place_and_the_nearest_lays_it() -> None:
    world = make(ROW)
    state, _ = grip(world, placed(world, (12.0, 6.1), (12.0, 3.95), (12.9, 5.6)))
    assert state["loaded"].tolist() == [[True, False, True]]
    far, _ = grip(world, placed(world, (12.0, 6.3), (12.0, 3.7), (15.0, 5.0)))
    assert not far["laid"].any(), "out of reach"
    limp, _ = grip(world, placed(world, (12.0, 6.0), (2, 2), (4, 4)), (0.4, 1.0, 1.0))
    assert not limp["laid"].any(), "does not grip"
    empty, _ = grip(world, placed(world, (12.0, 6.0), (2, 2), (4, 4), loaded=(False, True, True)))
    assert not empty["laid"].any(), "has none"


def test_nothing_is_laid_where_somebody_stands_and_what_lies_is_in_the_way() -> None:
    world = make(ROW)
    crowded, _ = grip(world, placed(world, (12.0, 6.0), (12.5, 5.3), (4, 4)))
    assert not crowded["laid"].any()
    state, _ = grip(world, placed(world, (12.0, 6.0), (2, 2), (4, 4)))
    there = torch.ones(1, 3, dtype=torch.bool)
    state["heading"] = tensor((0.0, -1.0)).expand(1, 3, 2).clone()
    for _ in range(60):
        action = tensor((1.0, 0.0, 0.0)).expand(1, 3, 3)
        state, _ = world.advance(state, {world.group: action}, {world.group: there})
        assert float(norm(state["position"][0, 0] - tensor(12.0, 5.0))) >= 0.7


def test_a_block_lies_once_one_robot_has_held_it_for_its_time_without_a_break() -> None:
    world = make({**ROW, "setting": "300ms"})
    state = placed(world, (12.0, 6.1), (12.0, 3.95), (2, 2))
    course = []
    for grips in ((1.0, 1.0, 1.0), (1.0, 1.0, 0.0), (0.0, 0.0, 0.0), *[(1.0, 1.0, 1.0)] * 3):
        state, _ = grip(world, state, grips)
        course.append(int(state["laid"].sum()))
    assert course == [0, 0, 0, 0, 0, 1]
    assert state["loaded"].tolist() == [[True, False, True]], "the nearest held it"
    quick, slow = (
        reference({**ROW, "setting": time}, 0, 10**12)["haul"]["makespan"] for time in ("0s", "9s")
    )
    assert slow == pytest.approx(quick + 9), "three blocks, three robots"


def test_blocks_are_taken_at_the_depot_by_empty_hands() -> None:
    world = make(ROW)
    state = placed(world, (1.0, 6.0), (1.0, 3.0), (2.0, 5.0), loaded=(False, False, True))
    state, _ = grip(world, state)
    assert state["loaded"].tolist() == [[True, False, True]]


def test_rows_do_not_depend_on_the_batch() -> None:
    world = make({**ROW, "robots": 6, "plan": "ring", "places": 8, "start": "anywhere"})
    rows = [(3, 0), (4, 0), (4, 1)]

    def outcome(of: list[tuple[int, int]]) -> Any:
        state = world.reset(of)
        state["loaded"] = torch.ones_like(state["loaded"])
        there = {world.group: torch.ones(len(of), 6, dtype=torch.bool)}
        for step in range(60):
            draws = [np.random.default_rng([*row, step]).uniform(-1, 1, (6, 3)) for row in of]
            action = torch.from_numpy(np.stack(draws)) + tensor(0.5, 0, 0.5)
            state, _ = world.advance(state, {world.group: action}, there)
        return state

    together = outcome(rows)
    for i, row in enumerate(rows):
        for name, value in outcome([row]).items():
            assert torch.equal(value[0], together[name][i]), (row, name)


@pytest.mark.parametrize("plan", ["ring", pytest.param("wall", marks=pytest.mark.slow)])
def test_all_is_built_and_nothing_is_quicker_than_to_carry(plan: str) -> None:
    params = {
        "task": "construction", "robots": 4, "width": 16, "height": 16, "depot": [2, 8],
        "places": 8, "plan": plan, "sight": 2, "decide": "500ms", "dt": "250ms", "cell": 2.0,
    }  # fmt: skip
    world = make(params)
    state = play(world, Builder("robot-1", world.groups[0], {}), 150, seed=2)
    found = world.metrics(state)
    assert found["built"].value == 100
    assert found["makespan"].value >= reference(params, 2, 10**12)["haul"]["makespan"] > 4
    lying = state["obstacle"][0, :, :2]
    assert torch.allclose(lying, world.task.plan)


@pytest.mark.slow
def test_who_hears_nobody_gets_in_others_way_where_blocks_must_be_held() -> None:
    params = {
        "task": "construction", "robots": 8, "width": 24, "height": 24, "depot": [2, 12],
        "places": 16, "plan": "ring", "sight": 1, "setting": "6s", "decide": "500ms",
        "dt": "250ms", "cell": 4.0,
    }  # fmt: skip
    world = make(params)
    rule = Builder("robot-1", world.groups[0], {"setting": 6})
    deaf = torch.ones(8, 8, dtype=torch.bool)
    told, alone = (
        world.metrics(play(world, rule, 300, lost=lost, seed=4)) for lost in (None, deaf)
    )
    assert told["built"].value == 100
    assert alone["makespan"].value > 1.3 * told["makespan"].value
    assert alone["haul"].value > 1.3 * told["haul"].value


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"plan": [[10, 5], [10.5, 5]]}, "nearer than two radii"),
        ({"plan": [[10, 5], [12, 5]]}, "must touch another"),
        ({"plan": [[10, 5], [11, 5], [30, 5]]}, "do not lie within"),
        ({"plan": "ring", "places": 64, "width": 12, "height": 12}, "do not lie within"),
        ({"plan": "tower"}, "wall, ring"),
    ],
)
def test_plans_that_cannot_be_are_refused(params: Any, words: str) -> None:
    with pytest.raises(BoundError, match=words):
        make({**ROW, **params})
