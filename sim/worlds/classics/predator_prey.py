"""Predators and prey: slow predators hunt faster prey among obstacles, as MPE2's `simple_tag_v3`.

Each predator earns 10 for every pair of predator and prey that touch; prey loses 10 for each
predator that it touches, and for leaving the square of side 2, softly from 0.9 on. In the order of
the literature, predators come first.
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
    hits,
    move,
    moves,
    others,
    others_from,
    placed,
    points,
    pushes,
    seen_from,
)
from sim.worlds.noise import ordered_sum, uniforms
from sim.worlds.world import Metric, State

RULES: Final = {
    "predator": "agents.behaviours.classics:PredatorRule",
    "prey": "agents.behaviours.classics:PreyRule",
}
PREDATOR_SIZE, PREY_SIZE, OBSTACLE_SIZE = 0.075, 0.05, 0.2
CATCH: Final = 10.0


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many there are of each; continuous: pushes of any strength; dt: of a step; metres: a
    unit of the plane, whose square goes from -1 to 1, for links by radio."""

    predators: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    prey: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    obstacles: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2
    continuous: bool = False
    dt: str | float = "100ms"
    metres: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 100.0


class PredatorPrey(Classic):
    """Shapes: position, velocity [B, n, 2] of predators, then prey; obstacles [B, m, 2]; caught
    [B], pairs that touched, summed over steps."""

    def __init__(self, p: Params) -> None:
        self.params, dt_ns = p, step_ns(p.dt)
        n, m = p.predators, p.prey
        sizes = (PREDATOR_SIZE,) * n + (PREY_SIZE,) * m + (OBSTACLE_SIZE,) * p.obstacles
        self.bodies = Bodies(sizes, (1.0,) * n + (1.3,) * m, (3.0,) * n + (4.0,) * m)

        def sees(prey: int) -> list[Field]:
            sizes = {
                "velocity": 2,
                "position": 2,
                "obstacles": 2 * p.obstacles,
                "others": 2 * (n + m - 1),
                "prey_velocity": 2 * prey,
            }
            return [Field(name, size=size) for name, size in sizes.items() if size]

        act = [moves(p.continuous)]
        groups = [
            group("predator", n, dt_ns, sees(m), act),
            group("prey", m, dt_ns, sees(m - 1), act),
        ]
        super().__init__("predator_prey", groups, dt_ns)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        state, p = self.begin(seeds, device), self.params
        count = p.predators + p.prey
        place = 2 * uniforms(state["key"], state["step"], 2 * (count + p.obstacles), 0) - 1
        place = place.reshape(len(seeds), -1, 2)
        here = place[:, :count].clone()
        still = {"velocity": torch.zeros_like(here), "obstacles": 0.9 * place[:, count:]}
        return {**state, "position": here, **still, "caught": torch.zeros_like(state["return"])}

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        n = self.params.predators
        push = torch.cat([pushes(actions[g.name], present[g.name]) for g in self.groups], 1)
        here, velocity = move(
            self.bodies, state["position"], state["velocity"], push, state["obstacles"]
        )
        touch = hits(here[:, :n], here[:, n:], PREDATOR_SIZE + PREY_SIZE).to(torch.float64)
        pairs = touch.sum((1, 2))
        rewards = {
            "predator": (CATCH * pairs)[:, None].expand(-1, n),
            "prey": -CATCH * touch.sum(1) - ordered_sum(_outside(here[:, n:].abs()), 2),
        }
        changes = {"position": here, "velocity": velocity, "caught": state["caught"] + pairs}
        return self.paid(state, changes, rewards)

    def observe(self, state: State) -> dict[str, Tensor]:
        here, velocity, n = state["position"], state["velocity"], self.params.predators
        seen = (velocity, here, seen_from(here, state["obstacles"]), others_from(here))
        common, prey = torch.cat(seen, -1), velocity[:, n:]
        told = prey.flatten(1)[:, None].expand(-1, n, -1)
        rest = prey[:, others(self.params.prey).to(prey.device)].flatten(2)
        return {
            "predator": torch.cat((common[:, :n], told), -1),
            "prey": torch.cat((common[:, n:], rest), -1),
        }

    def metrics(self, state: State) -> dict[str, Metric]:
        metrics = super().metrics(state)
        return metrics | {
            "caught": Metric(
                float(state["caught"][0]), "", "higher", False, "touching pairs, summed over steps"
            )
        }

    def positions(self, state: State) -> dict[str, Tensor]:
        names = [name for group in self.groups for name in group.agents]
        return placed(names, state["position"], self.params.metres)

    def scene(self, state: State) -> dict[str, Any]:
        n = self.params.predators
        names = {
            "point": [f"obstacle-{i + 1}" for i in range(self.params.obstacles)],
            "predator": self.groups[0].agents,
            "prey": self.groups[1].agents,
        }
        here = state["position"]
        at = {"point": state["obstacles"], "predator": here[:, :n], "prey": here[:, n:]}
        return {"kind": "points", "title": self.title(state), "points": points(names, at)}


def _outside(x: Tensor) -> Tensor:
    """What leaving the square costs, per coordinate."""
    beyond = torch.clamp(torch.exp(2 * x - 2), max=10.0)
    return torch.where(x < 0.9, 0.0, torch.where(x < 1.0, (x - 0.9) * 10, beyond))


def make(params: Mapping[str, Any]) -> PredatorPrey:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return PredatorPrey(parse(Params, params, "predator_prey"))


reference = unknown
