"""Coverage: Lloyd's algorithm among robots comes near the hexagonal bound, finds the closed form in
one dimension, and follows what it hears of a plume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.robots import play

from agents.behaviours.swarm_coverage import Lloyd
from agents.policy import Received
from sim.worlds.swarm.coverage import lloyd, reference
from sim.worlds.swarm.voronoi import HEXAGONS, bell, cell, centroid, squared
from sim.worlds.swarm.world import make

EVEN = {"task": "coverage", "plume": 0, "neighbours": 0, "beams": 0}


def middles(count: int) -> torch.Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


def square(count: int) -> torch.Tensor:
    """The middles of squares that the unit square is made of."""
    return torch.stack(torch.meshgrid(middles(count), middles(count), indexing="xy"), -1).reshape(
        -1, 2
    )


def cost(points: torch.Tensor, at: torch.Tensor) -> float:
    """n H, with what the squares themselves have."""
    own = points.shape[1] / 12 / round(len(points) ** (1 / points.shape[1])) ** 2
    return len(at) * (float(squared(points, at).amin(0).mean()) + own)


@pytest.mark.parametrize("robots", [16, 40])
def test_lloyds_cost_in_the_unit_square_is_near_the_hexagonal_bound_and_never_below(
    robots: int,
) -> None:
    points = square(60)
    begin = torch.from_numpy(np.random.default_rng(robots).uniform(0, 1, (robots, 2)))
    assert cost(points, begin) > 1.3 * HEXAGONS
    found = cost(points, lloyd(points, torch.ones(len(points)).double(), begin, 100))
    assert HEXAGONS <= found <= 1.08 * HEXAGONS


@pytest.mark.parametrize("robots", [1, 2, 5])
def test_in_one_dimension_places_and_cost_are_the_closed_form(robots: int) -> None:
    points = middles(5000)[:, None]
    begin = torch.sort(torch.from_numpy(np.random.default_rng(2).uniform(0, 1, (robots, 1))), 0)
    found = lloyd(points, torch.ones(5000).double(), begin.values, 400)
    wanted = (2 * np.arange(1, robots + 1) - 1) / (2 * robots)
    assert found[:, 0].tolist() == pytest.approx(wanted, abs=5e-3)
    assert cost(points, found) / robots == pytest.approx(1 / (12 * robots**2), rel=5e-3)


def test_a_cell_is_what_is_nearest_and_its_centre_is_that_of_the_mass() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    others, there = np.array([[[3.0, 0.0], [0.1, 0.0]]]), np.array([[True, False]])
    mine = cell(np, points, np.array([[0.5, 0.0]]), others, there)
    assert mine.tolist() == [[True, True, False, False]]
    weight = mine * np.array([[1.0, 3.0, 9.0, 9.0]])
    assert centroid(np, points, weight, np.zeros((1, 2))).tolist() == [[0.75, 0.0]]
    nobody = centroid(np, points, 0 * weight, np.array([[7.0, 8.0]]))
    assert nobody.tolist() == [[7.0, 8.0]]


def test_the_plume_has_its_height_in_the_middle_and_ends_at_its_radius() -> None:
    assert bell(np.array([0.0, 4.0, 8.0, 16.0, 17.0]), 4.0, np).tolist() == pytest.approx(
        [1.0, 0.5625, 0.25, 0.0, 0.0]
    )


# --- robots ---------------------------------------------------------------------------------------


def heard(values: torch.Tensor, lost: Any = None) -> dict[str, Any]:
    """What everybody said is with everybody at once, but for `lost` [receivers, senders]."""
    n = len(values)
    there = ~torch.eye(n, dtype=torch.bool)
    if lost is not None:
        there &= ~lost
    return {"at": Received(values.expand(n, -1, -1), there, torch.zeros(n, n).double())}


@pytest.mark.slow
def test_robots_in_a_square_end_near_the_bound() -> None:
    sides = {"width": 30, "height": 30, "robots": 16, "start": "corner", "decide": "500ms"}
    world = make({**EVEN, **sides, "dt": "500ms"})
    rule = Lloyd("robot-1", world.groups[0], {"points": 30})
    state = play(world, rule, 100)
    assert HEXAGONS <= world.metrics(state)["cost_now"].value <= 1.15 * HEXAGONS
    assert world.metrics(state)["contacts"].value < 10


def test_robots_on_a_line_stand_where_the_closed_form_says() -> None:
    world = make({
        **EVEN, "width": 40, "height": 1, "cell": 0.5, "robots": 4, "motion": "double_integrator",
        "decide": "500ms", "dt": "500ms",
    })  # fmt: skip
    rule = Lloyd("robot-1", world.groups[0], {"points": 160})
    state = play(world, rule, 120)
    found = sorted(state["position"][0, :, 0].tolist())
    assert found == pytest.approx([5.0, 15.0, 25.0, 35.0], abs=0.3)


@pytest.mark.slow
def test_robots_that_hear_nobody_crowd_and_cost_more() -> None:
    world = make({"task": "coverage", "decide": "500ms", "cell": 2})
    rule = Lloyd("robot-1", world.groups[0], {"points": 20})
    deaf = torch.ones(12, 12, dtype=torch.bool)
    told, untold = (
        world.metrics(play(world, rule, 30, lost=lost, seed=3))["cost"].value
        for lost in (None, deaf)
    )
    jump = reference({"task": "coverage"}, 3, 30 * 10**9)["jump"]["cost"]
    assert jump < told < 1.5 * jump, "nobody is better than robots that can jump"
    assert told < 0.4 * untold


def test_news_of_the_plume_goes_from_one_to_the_next_and_grows_old() -> None:
    world = make({"task": "coverage", "robots": 3, "decide": "500ms"})
    rule = Lloyd("robot-1", world.groups[0], {"forget": 10})
    obs = world.observe(world.reset([(0, 0)]))[world.group][0].clone()
    where = world.groups[0].observation.index
    for name in ("plume", "plume_x", "plume_y"):
        obs[:, where(name)] = 0.0
    obs[0, where("plume")] = 1.0
    obs[0, where("plume_x")] = 2.0
    memory, inbox = rule.memory(torch, 3), {}
    chain = torch.tensor([[0, 1, 1], [0, 0, 1], [1, 0, 0]], dtype=torch.bool)  # 1 -> 2 -> 3
    ages = []
    for _ in range(4):
        _, said, memory = rule(obs, inbox, memory, None)
        inbox = heard(said["at"], chain)
        ages.append(memory[:, 2].tolist())
    assert ages[0] == [0.0, -1.0, -1.0]
    assert ages[1] == [0.0, 0.0, -1.0]
    assert ages[2] == [0.0, 0.0, 0.0], "said without delay here"
    middle = obs[0, :2] + torch.tensor([2.0, 0.0])
    assert torch.allclose(memory[:, :2], middle.expand(3, 2))
    obs[0, where("plume")] = 0.0
    for _ in range(22):
        _, said, memory = rule(obs, {}, memory, None)
    assert memory[:, 2].tolist() == [-1.0] * 3


def test_the_plume_is_on_its_way_and_who_is_in_it_knows_the_middle() -> None:
    world = make({"task": "coverage", "leg": "10s", "robots": 40, "width": 30, "height": 30})
    state = world.reset([(0, 0), (0, 1)])
    task = world.task
    steps = torch.arange(0, 301, 10)
    course = torch.stack([task.middle(state["key"], step.expand(2)) for step in steps])
    assert not torch.equal(course[:, 0], course[:, 1])
    leaps = course.diff(dim=0).norm(dim=-1)
    assert float(leaps.max()) < 30 * 2**0.5 / 10 + 1e-9
    seen = world.observe(state)[world.group]
    at = {f: seen[..., world.groups[0].observation.index(f)] for f in ("plume", "plume_x")}
    middle = task.middle(state["key"], state["step"])
    near = (state["position"] - middle[:, None]).norm(dim=-1, keepdim=True) <= 12
    assert torch.equal(at["plume"] > 0, near)
    told = at["plume_x"] + state["position"][..., :1]
    assert torch.allclose(told[near], middle[:, None, :1].expand(2, 40, 1)[near])


def test_who_is_broken_covers_nothing() -> None:
    world = make({**EVEN, "robots": 2, "width": 20, "height": 10})
    state = world.reset([(0, 0)])
    at = torch.tensor([[[5.0, 5.0], [15.0, 5.0]]], dtype=torch.float64)
    whole = float(world.task.cost({**state, "position": at}))
    # Two squares of 10 m: n / A (10^2 / 6).
    assert whole == pytest.approx(2 / 200 * 100 / 6, rel=1e-6)
    state = world.inject({**state, "position": at}, "breakdown", "robot-2", True)
    assert float(world.task.cost(state)) > 3 * whole
