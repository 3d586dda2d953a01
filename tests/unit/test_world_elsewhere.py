"""Every world of the catalogue keeps to the device of its state: on a GPU nothing is mixed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checkers.elsewhere import GPU, Mixed, Pretended

from sim.worlds.catalogue import WORLDS, make_batch

CASES: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in (
        "agreement", "allocation", "commons", "double_integrator", "flows", "junctions", "lqr",
        "matrix", "medium_voltage", "microgrid", "motorway", "predator_prey", "rendezvous",
        "sharing", "signalling", "smart_grid", "speaker_listener", "spread", "traffic", "vehicles",
    )),
    ("vehicles", {"guests": 1}),
    ("junctions", {"control": "vehicles"}),
    *(("swarm", {"task": task, "robots": 4}) for task in (
        "search", "coverage", "formation", "flocking", "rescue", "construction",
    )),
]  # fmt: skip

IN_PYTHON = {"auctions", "blank", "gym", "market", "pettingzoo", "sumo"}
"""Worlds that are no tensors."""


def test_all_are_looked_at() -> None:
    assert {kind for kind, _ in CASES} | IN_PYTHON >= set(WORLDS)


@pytest.mark.parametrize(("kind", "params"), CASES, ids=lambda x: str(x))
def test_a_world_runs_where_its_state_is(kind: str, params: dict[str, Any]) -> None:
    with Pretended():
        world = make_batch(kind, params)
        state = world.reset([(0, 0), (1, 0)], GPU)
        for is_there in (True, False):
            actions, present = {}, {}
            for group in world.groups:
                shape = (2, len(group.agents), group.action.size)
                actions[group.name] = torch.full(shape, 0.5, dtype=torch.float64, device=GPU)
                present[group.name] = torch.full(shape[:2], is_there, device=GPU)
            for _ in range(2):
                state, rewards = world.advance(state, actions, present)
            seen = world.observe(state)
            for more in ("alive", "positions", "central"):
                if hasattr(world, more):
                    getattr(world, more)(state)
            world.metrics(state)
        every = (*state.values(), *rewards.values(), *seen.values())
        assert all(tensor.device == GPU for tensor in every)


def test_what_mixes_is_told() -> None:
    with Pretended():
        there, here = torch.zeros(3, device=GPU), torch.arange(3)
        with pytest.raises(Mixed, match="add"):
            there + here
        with pytest.raises(Mixed, match="numpy"):
            there.numpy()
        assert (there + torch.tensor(1.0)).device == GPU
        assert (there.cpu() + here).device.type == "cpu"
