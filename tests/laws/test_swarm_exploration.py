"""Exploration: maps say what is there, the surest word counts, and who hears others has seen
the ground sooner; whose battery is low goes to a charger."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from array_api_compat import torch as xp
from checkers.robots import play

from agents.behaviours.swarm_exploration import HIT, Explorer, merged
from agents.behaviours.swarm_search import Wander
from agents.policy import Received
from sim.errors import BoundError
from sim.worlds.swarm.motion import norm
from sim.worlds.swarm.world import make

GROUND = {
    "width": 30, "height": 20, "beams": 16, "neighbours": 0, "decide": "500ms", "dt": "500ms",
    "cell": 2, "targets": 1, "find": 0.1,
}  # fmt: skip
DISCS = [[10, 10, 2], [20, 6, 1.5], [22, 15, 1.5]]


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def explored(world: Any, rule: Explorer, seconds: float) -> torch.Tensor:
    """The map of the only robot after so long. Shapes: -> [g]."""
    state, memory = world.reset([(2, 0)]), rule.memory(torch, 1)
    there = {world.group: torch.ones(1, 1, dtype=torch.bool)}
    for step in range(round(seconds / world.dt)):
        if step % world.every == 0:
            action, _, memory = rule(world.observe(state)[world.group][0], {}, memory, None)
        state, _ = world.advance(state, {world.group: action[None]}, there)
    return memory[0, :-1]


def test_the_map_of_one_robot_says_what_is_free_and_what_is_not() -> None:
    world = make({**GROUND, "robots": 1, "obstacles": DISCS})
    rule = Explorer("robot-1", world.groups[0], {"block": 1})
    odds = explored(world, rule, 120)
    squares = tensor(*rule.squares)
    gap = (norm(squares[:, None] - tensor(*DISCS)[:, :2]) - tensor(*DISCS)[:, 2]).amin(1)
    known = odds != 0
    assert known[gap > 1].double().mean() > 0.95, "nearly all has been looked at"
    assert (odds[(gap > 0.7) & known] < 0).double().mean() > 0.97, "what is free"
    assert not (odds[gap < 0] < 0).any(), "what is not"
    assert (odds > 0).sum() > 20
    assert gap[odds > 0].abs().max() < 0.5, "only rims are seen, and nobody sees into things"


def test_of_each_square_the_surest_counts() -> None:
    own = tensor([0.0, 1.0, -2.0, 3.0])
    theirs = tensor([[-0.4, -3.0, 1.0, -3.5], [0.85, 2.0, 4.0, 0.0]])
    both = torch.ones(1, 2, dtype=torch.bool)
    heard = Received(theirs, both, torch.zeros(1, 2))
    assert merged(xp, own, heard).tolist() == [[0.85, -3.0, 4.0, -3.5]]
    one = Received(theirs, tensor([1, 0]).bool(), torch.zeros(1, 2))
    assert merged(xp, own, one).tolist() == [[-0.4, -3.0, -2.0, -3.5]]


def test_a_beam_frees_what_it_passes_and_marks_where_it_ends() -> None:
    world = make({**GROUND, "robots": 1, "beams": 4, "obstacles": [[10.2, 5.5, 1]]})
    rule = Explorer("robot-1", world.groups[0], {"block": 1})
    state = {**world.reset([(0, 0)]), "position": tensor([[6.5, 5.5]])}
    obs = world.observe(state)[world.group][0]
    said = rule.evidence(xp, obs, tensor(*rule.squares)).view(rule.up, rule.across)
    assert said[5, 7:9].lt(0).all(), "east, before it"
    assert said[5, 9] == HIT
    assert not said[5, 10:].any()
    assert said[5, 1:6].lt(0).all(), "west, up to its sight"
    assert said[1:5, 6].lt(0).all(), "the wall in the south is no obstacle"
    assert not (said[:5, 6] > 0).any()


@pytest.mark.slow
def test_robots_that_hear_one_another_have_seen_the_ground_sooner() -> None:
    world = make({**GROUND, "robots": 6, "start": "corner", "obstacles": DISCS, "width": 60})
    rule = Explorer("robot-1", world.groups[0], {})
    deaf = torch.ones(6, 6, dtype=torch.bool)
    told, alone = (world.metrics(play(world, rule, 100, lost=lost)) for lost in (None, deaf))
    assert told["ninety_time"].value < 0.8 * alone["ninety_time"].value
    assert told["contacts"].value < 30


@pytest.mark.parametrize("chargers", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_whose_battery_is_low_goes_to_a_charger_and_goes_on_when_it_is_full(chargers: bool) -> None:
    params = {**GROUND, "robots": 4, "battery": 0.1, "charge": 60, "dock": 1.5}
    if chargers:
        params["chargers"] = [[5, 5], [25, 15]]
    world = make(params)
    rule = Wander("robot-1", world.groups[0], {"low": 0.4, "dock": 1.5})
    state = play(world, rule, 80)
    found = world.metrics(state)
    if chargers:
        assert found["working"].value == 100
        assert found["energy"].value > 4 * 0.1, "more than they had at first"
    else:
        assert found["working"].value == 0


def test_the_nearest_charger_is_seen_from_where_one_is() -> None:
    world = make({**GROUND, "robots": 1, "chargers": [[5, 5], [25, 15]]})
    where = world.groups[0].observation.index
    for at, wanted in (((6, 6), (-1, -1)), ((20, 10), (5, 5))):
        state = {**world.reset([(0, 0)]), "position": tensor([at])}
        obs = world.observe(state)[world.group][0, 0]
        assert (*obs[where("charger_x")], *obs[where("charger_y")]) == wanted


@pytest.mark.parametrize(("world", "params"), [({"beams": 0}, {}), ({}, {"block": 0})])
def test_who_cannot_explore_is_told_so(world: Any, params: Any) -> None:
    with pytest.raises(BoundError, match="beams" if world else "block"):
        Explorer("robot-1", make({**GROUND, **world}).groups[0], params)
