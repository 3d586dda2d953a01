"""A batched rollout keeps to its device: worlds, rules, roles and messages; shown without a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checkers.elsewhere import GPU, Pretended

from sim.learn.batched import BatchedRollout
from sim.learn.record import Record
from sim.prepare import load, prepare
from sim.worlds.catalogue import world_module

Tensor = torch.Tensor
HUMAN = "agents.behaviours.motorway:Human"
SCENARIOS: list[Any] = [
    "allocation", "coverage", "construction", "flocking", "formation", "microgrid", "penalty",
    "platoon", "platoon_discrete", "quickstart", "request_game", "signalling", "signals", "spread",
    "swarm_rescue", "swarm_search", "traffic_engineering",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("medium_voltage", "smart_grid")),
]  # fmt: skip


class Still:
    """An actor that decides 0."""

    memory_size = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def act(
        self, seen: Tensor, alive: Tensor, memory: Tensor, is_first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        zero = torch.zeros((*alive.shape, self.size), device=seen.device)
        return zero, zero[..., 0], memory


def collected(name: str, learning: list[str], **options: Any) -> dict[str, Record]:
    overrides = ["faults=[]", "network.default={latency: 5ms}"]
    prepared = prepare(load(name, overrides=overrides, **options))
    with Pretended():
        rollout = BatchedRollout(prepared, learning, 2, links="ideal", device=str(GPU))
        actors = {side.group: Still(side.decides.size) for side in rollout.sides}
        found = rollout.collect(actors, 3)
        assert all(record.seen.device == GPU for record in found.values())
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_rules_play_there(name: str) -> None:
    collected(name, [])


@pytest.mark.parametrize("name", SCENARIOS)
def test_roles_learn_there(name: str) -> None:
    world = load(name).world.kind
    roles = getattr(world_module(world), "ROLES", {})
    groups = [group.name for group in prepare(load(name)).world.groups if group.name in roles]
    if not groups:
        pytest.skip("has no role of its own")
    assert set(collected(name, groups)) == set(groups)


@pytest.mark.parametrize("learning", [[], ["ramp"]])
def test_people_drive_there(learning: list[str]) -> None:
    collected("merge", learning, behaviours={"*": HUMAN})
