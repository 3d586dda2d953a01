"""What a file of vehicles comes to if nobody has anything to say, or nothing is ever late or lost.

Both are simulations of the same road with the same noise and the same leader: `acc`, everybody by
radar alone; and `instant`, everybody by CACC with what the vehicle
ahead intends known at the very instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from sim.units import SECOND
from sim.worlds.classics.common import Columns
from sim.worlds.vehicles.laws import ALONE_S, Gains, command, cruise, towards
from sim.worlds.vehicles.world import Vehicles, make

COLUMNS: Final = ("acc", "instant")
RAMP: Final = 0.04
"""s per s, by which a headway changes."""


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """Metrics of both; none for a ring, where nobody leads."""
    world = make({**params, "guests": 0})
    if world.params.ring:
        return {}
    state = world.reset([(seed, 0)] * len(COLUMNS))
    group = world.groups[1]
    every = group.every_ns // world.dt_ns
    present = {
        g.name: torch.ones(len(COLUMNS), len(g.agents), dtype=torch.bool) for g in world.groups
    }
    memory = torch.zeros(len(COLUMNS), world.params.vehicles, 2, dtype=torch.float64)
    for step in range(duration_ns // world.dt_ns):
        if step % every == 0:
            actions, memory = _decided(world, state, memory, group.every_ns / SECOND)
        state, _ = world.advance(state, actions, present)
    rows = [{k: v[i : i + 1] for k, v in state.items()} for i in range(len(COLUMNS))]
    found = [{k: m.value for k, m in world.metrics(row).items()} for row in rows]
    return dict(zip(COLUMNS, found, strict=True))


def _decided(
    world: Vehicles, state: Mapping[str, Any], memory: torch.Tensor, period: float
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Actions by group, and what is intended with which headway [2, n, 2]."""
    p, seen = world.params, world.observe(dict(state))
    leader, vehicle = (
        {field.name: seen[g.name][..., i] for i, field in enumerate(g.observation.fields)}
        for g in world.groups
    )
    lead = cruise(leader["wanted_speed"], leader["speed"])
    intended, headway = memory.unbind(-1)
    there = (vehicle["gap"] - p.standstill) / torch.clamp(vehicle["speed"], min=1.0)
    wanted = torch.tensor([[ALONE_S], [p.headway]], dtype=torch.float64)
    headway = torch.where(headway > 0, headway, torch.maximum(there, wanted))
    headway = towards(headway, wanted.expand_as(headway), RAMP, period)
    told = torch.cat((lead, intended[:, :-1]), 1)
    ahead = told * torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    own = (vehicle["speed"], vehicle["acceleration"])
    gains = Gains(standstill=p.standstill)
    after = command(
        gains, intended, (vehicle["gap"], vehicle["closing"]), own, ahead, headway, period
    )
    after = torch.clamp(after, -p.brake, p.accelerate)
    actions = {"leader": lead[..., None], "vehicle": after[..., None]}
    return actions, torch.stack((after, headway), -1)
