"""The same traffic under signals that nobody has to be asked about.

`plan`      fixed time, with the greens of Webster for this demand
`pressure`  max-pressure that knows all queues at the very instant
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import array_api_compat.torch as xp
import torch

from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns
from sim.worlds.junctions.params import Params
from sim.worlds.junctions.pressure import best_phase, beyond
from sim.worlds.junctions.world import Junctions
from sim.worlds.world import State

COLUMNS: Final = ("plan", "pressure")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """Metrics of both."""
    given = {**params, "control": "signals", "greens": (), "decide": "1s"}
    world = Junctions(parse(Params, given, "junctions"))
    state = world.reset([(seed, 0)] * len(COLUMNS))
    group = world.groups[0]
    every = group.every_ns // world.dt_ns
    present = {"signal": torch.tensor([[False], [True]]).expand(-1, len(group.agents))}
    actions: dict[str, torch.Tensor] = {}
    for step in range(duration_ns // world.dt_ns):
        if step % every == 0:
            actions = {"signal": instant(world, state)}
        state, _ = world.advance(state, actions, present)
    rows = [{k: v[i : i + 1] for k, v in state.items()} for i in range(len(COLUMNS))]
    found = [{k: m.value for k, m in world.metrics(row).items()} for row in rows]
    return dict(zip(COLUMNS, found, strict=True))


def instant(world: Junctions, state: State) -> torch.Tensor:
    """Phases by max-pressure with all that waits now. Shapes: -> [B, J, 1]."""
    at, seen = world.groups[0].observation, world.observe(state)["signal"]
    sides, phase, shares = (seen[..., at.index(k)] for k in ("neighbours", "phase", "shares"))
    counts = seen[..., at.index("queue")] + seen[..., at.index("arriving")]
    number = seen[..., at.index("number")]
    told = (number.transpose(1, 2), counts[:, None], torch.ones_like(number.transpose(1, 2)).bool())
    phases: torch.Tensor = best_phase(xp, counts, beyond(xp, sides, *told), shares, phase)
    return phases
