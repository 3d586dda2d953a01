"""Spread: N agents cover N landmarks and avoid each other, as MPE2's `simple_spread_v3`.

Everybody earns, in parts of `1 - local_ratio`, minus the sum over landmarks of the distance to the
nearest agent and, in parts of `local_ratio`, minus 1 for each other agent it touches. An episode of
the literature lasts 25 steps and is cut, not ended: that is the scenario's duration. Its score is
mostly the sum of all agents' returns, our metric `return`.
Source: Lowe et al. 2017; equal to mpe2 1.1.1 to 1e-12, see `particles`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import torch

from sim.spaces import Field
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Classic, Tensor, group, step_ns, unknown
from sim.worlds.classics.particles import (
    Bodies,
    distances,
    hits,
    move,
    moves,
    others_from,
    placed,
    points,
    pushes,
    seen_from,
)
from sim.worlds.noise import ordered_sum, uniforms
from sim.worlds.world import State

RULES: Final = {"agent": "agents.behaviours.classics:SpreadRule"}
SIZE: Final = 0.15


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """agents: how many, and how many landmarks. local_ratio: weight of the own collisions.
    continuous: pushes of any strength. dt: virtual time of a step. metres: a unit of the plane,
    which starts from -1 to 1, for links by radio."""

    agents: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    local_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    continuous: bool = False
    dt: str | float = "100ms"
    metres: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 100.0


class Spread(Classic):
    """Shapes: position, velocity, landmarks float64 [B, N, 2]."""

    def __init__(self, p: Params) -> None:
        n, self.params, dt_ns = p.agents, p, step_ns(p.dt)
        inf = float("inf")
        self.bodies = Bodies((SIZE,) * n, (inf,) * n, (5.0,) * n)
        sees = (
            Field("velocity", size=2),
            Field("position", size=2),
            Field("landmarks", size=2 * n, help="seen from the agent, x and y of each"),
            *(Field(name, size=2 * n - 2) for name in ("others", "silence") if n > 1),
        )
        super().__init__("spread", [group("agent", n, dt_ns, sees, [moves(p.continuous)])], dt_ns)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        state, n = self.begin(seeds, device), self.params.agents
        place = 2 * uniforms(state["key"], state["step"], 4 * n, 0).reshape(-1, 2 * n, 2) - 1
        here, there = place[:, :n].clone(), place[:, n:].clone()
        return {**state, "position": here, "velocity": torch.zeros_like(here), "landmarks": there}

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        push = pushes(actions["agent"], present["agent"])
        position, velocity = move(self.bodies, state["position"], state["velocity"], push)
        ratio, n = self.params.local_ratio, self.params.agents
        far = -ordered_sum(distances(position, state["landmarks"]).amin(1), 1)
        touched = 1.0 - hits(position, position, 2 * SIZE).sum(2).to(torch.float64)
        reward = far[:, None].expand(-1, n) * (1 - ratio) + touched * ratio
        return self.paid(state, {"position": position, "velocity": velocity}, {"agent": reward})

    def observe(self, state: State) -> dict[str, Tensor]:
        here = state["position"]
        other = others_from(here)
        marks = seen_from(here, state["landmarks"])
        seen = (state["velocity"], here, marks, other, torch.zeros_like(other))
        return {"agent": torch.cat(seen, -1)}

    def positions(self, state: State) -> dict[str, Tensor]:
        return placed(self.groups[0].agents, state["position"], self.params.metres)

    def scene(self, state: State) -> dict[str, Any]:
        names = {
            "point": [f"landmark-{i + 1}" for i in range(self.params.agents)],
            "agent": self.groups[0].agents,
        }
        at = {"point": state["landmarks"], "agent": state["position"]}
        return {"kind": "points", "title": self.title(state), "points": points(names, at)}


def make(params: Mapping[str, Any]) -> Spread:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return Spread(parse(Params, params, "spread"))


reference = unknown
