"""Spread: N agents cover N landmarks and avoid each other, as MPE2's `simple_spread_v3`.

Everybody earns, in parts of `1 - local_ratio`, minus the sum over landmarks of the distance to the
nearest agent and, in parts of `local_ratio`, minus 1 for each other agent it touches. An episode of
the literature lasts 25 steps and is cut, not ended: that is the scenario's duration. Its score is
mostly the sum of all agents' returns, our metric `return`.
Source: Lowe et al. 2017; equal to mpe2 1.1.1 to 1e-12, see `particles`.
"""

from __future__ import annotations

from typing import Final

import torch

from sim.spaces import Field
from sim.worlds.classics import particles
from sim.worlds.classics.common import RULE, Stepped, Tensors, maker, unknown
from sim.worlds.classics.fields import Count, Placed, Share, sized
from sim.worlds.noise import ordered_sum
from sim.worlds.world import State

RULES: Final = {"agent": f"{RULE}:SpreadRule"}
SIZE: Final = 0.15


class Params(Placed, frozen=True):
    """agents: how many, and how many landmarks. local_ratio: weight of the own collisions.
    continuous: pushes of any strength. dt: virtual time of a step. metres: a unit of the plane,
    which starts from -1 to 1, for links by radio."""

    agents: Count = 3
    local_ratio: Share = 0.5
    continuous: bool = False


class Spread(particles.PlacedParticles[Params]):
    """Shapes: position, velocity, landmarks float64 [B, N, 2]."""

    def __init__(self, p: Params) -> None:
        n = p.agents
        marks = Field("landmarks", size=2 * n, help="seen from the agent, x and y of each")
        rest = sized(others=2 * n - 2, silence=2 * n - 2)
        sees = [*sized(velocity=2, position=2), marks, *rest]
        groups = {"agent": (n, sees, [particles.moves(p.continuous)])}
        bodies = particles.moving(n, SIZE)
        super().__init__("spread", p, groups, bodies, ("landmarks", n))

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        moved, ratio = self.moved(state, actions, present), self.params.local_ratio
        here = moved["position"]
        far = ordered_sum(particles.nearest(state["landmarks"], here), 1)
        reward = -far[:, None] * (1 - ratio) - particles.touched(self.bodies, here) * ratio
        return self.paid(state, moved, {"agent": reward})

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        *seen, others = self.seen(state)
        return {"agent": particles.rows((*seen, others, torch.zeros_like(others)))}


make = maker(Spread, Params, "spread")
reference = unknown
