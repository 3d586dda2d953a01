"""Flocking: Olfati-Saber's forces hold neighbours at their distance and lose energy, and a flock
goes where a few of it know the way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import torch as xp
from checkers.robots import play

import sim
from agents.behaviours.swarm_flocking import Flock, Seeing
from agents.policy import Received
from sim.worlds.swarm.flocking import reference
from sim.worlds.swarm.lattice import A, E, bump, force, hexagonal, push, s_norm
from sim.worlds.swarm.world import make

D = 2.0
FREE = {
    "task": "flocking", "motion": "double_integrator", "width": 100, "height": 100, "beams": 0,
    "neighbours": 0, "decide": "200ms", "speed": 2, "acceleration": 5, "dt": "100ms", "cell": 10,
}  # fmt: skip


def test_the_force_pushes_nearer_pulls_farther_and_ends_at_its_reach() -> None:
    far = np.array([0.5, D - 0.1, D, D + 0.1, 1.19 * D, 1.2 * D, 3 * D])
    pull, weight = force(np, far**2, D)
    assert (pull[:2] < 0).all()
    assert pull[2] == pytest.approx(0, abs=1e-12)
    assert (pull[3:5] > 0).all()
    assert pull[5:].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert weight[5:].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert bump(np, np.array([0.0, 0.2, 0.6, 1.0, 2.0])).tolist() == pytest.approx(
        [1, 1, 0.5, 0, 0]
    )


def potential(far: float) -> float:
    """The integral of phi from the distance d on, over the s-norm."""
    low, high = s_norm(D * D), s_norm(far * far)
    sizes = np.linspace(low, high, 2001)
    reach = s_norm((1.2 * D) ** 2)
    off = sizes - low
    values = bump(np, sizes / reach) * A * off / np.sqrt(1 + off * off)
    return float(np.trapezoid(values, sizes))


def test_the_energy_of_a_flock_is_never_gained() -> None:
    """Kinetic, and that of the forces (theorem 1 of the source), at steps that are short enough."""
    draw = np.random.default_rng(4)
    n, dt = 8, 0.005
    place, velocity = draw.uniform(0, 5, (n, 2)), draw.uniform(-1, 1, (n, 2))
    velocity -= velocity.mean(0)
    course = []
    for step in range(1000):
        apart = place[None] - place[:, None]
        square = (apart**2).sum(2)
        if step % 50 == 0:
            pairs = np.sqrt(square[np.triu_indices(n, 1)])
            bound = 0.5 * (velocity**2).sum() + sum(potential(far) for far in pairs)
            course.append(bound)
        pull, weight = force(np, square, D)
        push = (pull[..., None] * apart).sum(1)
        push += (weight[..., None] * (velocity[None] - velocity[:, None])).sum(1)
        velocity = velocity + push * dt
        place = place + velocity * dt
    assert (np.diff(course) <= 1e-2).all()
    assert course[-1] < 0.8 * course[0]


@pytest.mark.slow
def test_robots_end_as_a_lattice_with_one_velocity_about_the_goal() -> None:
    world = make({**FREE, "robots": 12, "informed": 12, "leg": "10h", "start": "middle"})
    rule = Flock("robot-1", world.groups[0], {"spacing": D})
    state = play(world, rule, 60)
    assert float(world.task._gaps(state["position"]).min()) > 0.8 * D
    assert float(world.task._gaps(state["position"]).max()) < 1.2 * D
    assert float(world.task._groups(state["position"], torch.ones(1, 12).bool())) == 1
    spread = state["velocity"][0] - state["velocity"][0].mean(0)
    assert float(spread.norm(dim=-1).max()) < 0.05
    middle = state["position"][0].mean(0)
    assert float((middle - world.task.goal(state)[0][0]).norm()) < D


@pytest.mark.slow
def test_a_few_lead_a_flock_that_hears_and_not_one_that_does_not() -> None:
    params = {**FREE, "robots": 12, "informed": 2, "leg": "40s", "width": 60, "height": 60}
    world = make({**params, "start": "middle"})
    rule = Flock("robot-1", world.groups[0], {"spacing": D})
    deaf = torch.ones(12, 12, dtype=torch.bool)
    told, untold = (
        {k: m.value for k, m in world.metrics(play(world, rule, 40, lost=lost)).items()}
        for lost in (None, deaf)
    )
    assert told["away"] < 0.5 * untold["away"]
    assert told["gap_error"] < untold["gap_error"]
    assert told["order"] > 80
    bound = reference(params, 0, 40 * 10**9)["lattice"]
    assert untold["reward"] < told["reward"] < bound["reward"]


@pytest.mark.slow
def test_by_sight_neighbours_are_those_that_are_seen() -> None:
    world = make({**FREE, "robots": 9, "informed": 9, "neighbours": 6, "leg": "10h"})
    rule = Seeing("robot-1", world.groups[0], {"spacing": D})
    state = play(world, rule, 40)
    gaps = world.task._gaps(state["position"])
    assert float(gaps.min()) > 0.7 * D
    assert float(gaps.max()) < 1.2 * D


def test_news_of_the_goal_is_the_newest_that_is_known_and_ends() -> None:
    world = make({**FREE, "robots": 2, "informed": 0})
    rule = Flock("robot-1", world.groups[0], {"forget": 5})
    obs = world.observe(world.reset([(0, 0)]))[world.group][0]
    said = torch.zeros(2, 3, 9, dtype=torch.float64)
    said[:, :, 4:] = torch.tensor([[1.0, 2, 0, 0, 3], [5, 6, 0, 0, 1], [7, 8, 0, 0, -1]])
    age = torch.tensor([[0.5, 1.0, 0.0]]).double().expand(2, 3)
    inbox: dict[str, Any] = {"state": Received(said, torch.ones(2, 3).bool(), age)}
    memory = rule.known(xp, obs, inbox["state"], rule.memory(torch, 2))
    assert memory[0].tolist() == [5, 6, 0, 0, 2]
    for _ in range(20):
        memory = rule.known(xp, obs, None, memory)
    assert memory[0].tolist() == [0, 0, 0, 0, -1]


def test_a_hexagonal_lattice_has_six_neighbours_and_then_twelve() -> None:
    far = hexagonal(19, D)
    assert far[0] == 0
    assert far[1:7] == pytest.approx([D] * 6)
    assert far[7:13] == pytest.approx([math.sqrt(3) * D] * 6)
    assert far[13:] == pytest.approx([2 * D] * 6)
    assert s_norm(0.0) == 0
    assert s_norm(1.0) == pytest.approx((math.sqrt(1 + E) - 1) / E)


def test_plain_numbers_say_what_arrays_say() -> None:
    for far in (0.3, 1.0, D, 2.2, 1.2 * D, 5.0):
        pull, weight = force(np, np.array([far**2]), D)
        assert push(far**2, D) == pytest.approx((pull[0], weight[0]), abs=1e-12)


CROWD = {
    "world.robots": 60, "world.informed": 2, "world.width": 200, "world.height": 200,
    "world.leg": "2h", "duration": "30s",
}  # fmt: skip


@pytest.mark.slow
def test_a_crowd_holds_together_and_goes_where_two_of_it_know_that_they_must() -> None:
    """At the end; the crowd begins at the same places whatever is lost."""
    metrics, heard, deaf = [], CROWD, {**CROWD, "network.default.loss": 1}
    for overrides in (heard, deaf, {**heard, "duration": "1s"}):
        result = sim.run(
            "swarm_thousand", overrides=overrides, inline=True, record=False, compare=False
        )
        metrics.append({name: metric.value for name, metric in result.metrics.items()})
    told, untold, begun = metrics
    assert told["order"] > 90
    assert told["contacts"] == 0
    assert told["gap_error"] < 15
    assert told["groups"] < 6
    assert told["away"] < 0.8 * begun["away"]
    assert untold["away"] > 0.9 * begun["away"]


@pytest.mark.slow
def test_a_thousand_fly_as_one() -> None:
    result = sim.run("swarm_thousand", inline=True, record=False, compare=False)
    found = {name: metric.value for name, metric in result.metrics.items()}
    assert found["order"] > 90
    assert found["gap_error"] < 10
    assert found["contacts"] < 10
    assert found["away"] < 60
