"""Random search: 1 - 1/e of what there is to find is found in the time A / (v w N)."""

from __future__ import annotations

import math

import pytest
import torch

from agents.behaviours.swarm_search import Wander
from sim.worlds.swarm.search import reference
from sim.worlds.swarm.world import make

SIZES = {
    "task": "search", "robots": 6, "targets": 80, "width": 40, "height": 40, "speed": 2,
    "find": 1.5, "motion": "double_integrator", "acceleration": 40, "neighbours": 0, "beams": 0,
    "dt": "250ms", "decide": "250ms", "cell": 20,
}  # fmt: skip


def test_random_search_finds_all_but_one_in_e_in_the_time_of_one_sweep() -> None:
    world = make(SIZES)
    rule = Wander("robot-1", world.groups[0], {})
    rows, n = 40, 6
    state = world.reset([(5, i) for i in range(rows)])
    begin = float(state["found"].double().mean())
    there = {world.group: torch.ones(rows, n, dtype=torch.bool)}
    memory = rule.memory(torch, rows * n)
    once = 40 * 40 / (2 * 3 * n)  # A / (v w N) = 44 s
    course = {}
    for step in range(1, round(2 * once / world.dt) + 1):
        obs = world.observe(state)[world.group].flatten(0, 1)
        action, _, memory = rule(obs, {}, memory, None)
        state, _ = world.advance(state, {world.group: action.view(rows, n, 2)}, there)
        course[step] = float(state["found"].double().mean())
    assert begin == pytest.approx(n * math.pi * 1.5**2 / 1600, abs=0.01)
    for times in (0.5, 1.0, 2.0):
        wanted = 1 - (1 - begin) * math.exp(-times)
        assert course[round(times * once / world.dt)] == pytest.approx(wanted, abs=0.04)


def test_what_is_found_is_paid_to_who_found_it_and_ends_the_episode() -> None:
    world = make({"robots": 2, "targets": 2, "find": 1})
    state = world.reset([(0, 0)])
    target = torch.tensor([[[10.0, 10.0], [20.0, 10.0]]], dtype=torch.float64)
    at = torch.tensor([[[10.5, 10.0], [9.5, 10.0]]], dtype=torch.float64)
    state = {**state, "target": target, "found": torch.zeros(1, 2).bool(), "position": at}
    still = {world.group: torch.zeros(1, 2, 2, dtype=torch.float64)}
    there = {world.group: torch.ones(1, 2, dtype=torch.bool)}
    state, paid = world.advance(state, still, there)
    assert paid[world.group][0, :, 0].tolist() == [0.5, 0.5]
    assert world.metrics(state)["found"].value == 50
    assert world.metrics(state)["found_half"].value == pytest.approx(0.1)
    assert not world.terminated(state)
    state["position"] = torch.tensor([[[20.0, 10.9], [5.0, 5.0]]], dtype=torch.float64)
    state, paid = world.advance(state, still, there)
    assert paid[world.group][0, :, 0].tolist() == [1.0, 0.0]
    assert world.terminated(state)


def test_the_references_are_those_of_a_sweep_and_of_random_search() -> None:
    params = {"robots": 6, "width": 40, "height": 40, "find": 1.5, "speed": 2}
    columns = reference(params, 0, round(1600 / 36 * 1e9))
    assert columns["random"]["found"] == pytest.approx(100 * (1 - 1 / math.e), rel=1e-6)
    assert columns["sweep"]["found"] == pytest.approx(100)
    assert columns["random"]["found_half"] == pytest.approx(math.log(2) * 1600 / 36)
