"""Predators and prey: slow predators hunt faster prey among obstacles, as MPE2's `simple_tag_v3`.

Each predator earns 10 for every pair of predator and prey that touch; prey loses 10 for each
predator that it touches, and for leaving the square of side 2, softly from 0.9 on. In the order of
the literature, predators come first.
Source: Lowe et al. 2017; equal to mpe2 1.1.1 to 1e-12, see `particles`.
"""

from __future__ import annotations

from typing import Final

import torch

from sim.worlds.classics import particles
from sim.worlds.classics.common import RULE, Stepped, Tensors, figure, maker, unknown
from sim.worlds.classics.fields import Count, CountOrNone, Placed, sized
from sim.worlds.noise import ordered_sum
from sim.worlds.world import Metric, State

RULES: Final = {"predator": f"{RULE}:PredatorRule", "prey": f"{RULE}:PreyRule"}
PREDATOR, PREY, OBSTACLE = 0.075, 0.05, 0.2
"""Sizes."""
CATCH: Final = 10.0


class Params(Placed, frozen=True):
    """How many there are of each; continuous: pushes of any strength; dt: of a step; metres: a
    unit of the plane, whose square goes from -1 to 1, for links by radio."""

    predators: Count = 3
    prey: Count = 1
    obstacles: CountOrNone = 2
    continuous: bool = False


class PredatorPrey(particles.PlacedParticles[Params]):
    """Shapes: position, velocity [B, n, 2] of predators, then prey; obstacles [B, m, 2]; caught
    [B], pairs that touched, summed over steps."""

    def __init__(self, p: Params) -> None:
        n, m, act = p.predators, p.prey, [particles.moves(p.continuous)]
        sees = sized(velocity=2, position=2, obstacles=2 * p.obstacles, others=2 * (n + m - 1))
        groups = {
            "predator": (n, sees + sized(prey_velocity=2 * m), act),
            "prey": (m, sees + sized(prey_velocity=2 * m - 2), act),
        }
        predators = particles.moving(n, PREDATOR, force=3.0, speed_max=1.0)
        prey = particles.moving(m, PREY, force=4.0, speed_max=1.3)
        bodies = predators + prey + particles.standing(p.obstacles, OBSTACLE)
        super().__init__("predator_prey", p, groups, bodies, ("obstacles", p.obstacles))

    def start(self, state: State) -> State:
        start = super().start(state)
        start["obstacles"] *= 0.9
        return {**start, "caught": torch.zeros_like(state["return"])}

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        moved, n = self.moved(state, actions, present), self.params.predators
        predators, prey = moved["position"][:, :n], moved["position"][:, n:]
        touch = particles.hits(predators, prey, PREDATOR + PREY).to(torch.float64)
        pairs = touch.sum((1, 2))
        rewards = {
            "predator": (CATCH * pairs)[:, None].expand(-1, n),
            "prey": -CATCH * touch.sum(1) - ordered_sum(_outside(prey.abs()), 2),
        }
        return self.paid(state, {**moved, "caught": state["caught"] + pairs}, rewards)

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        n, m, seen = self.params.predators, self.params.prey, self.seen(state)
        prey = state["velocity"][:, n:]
        told = prey.flatten(1)[:, None].expand(-1, n, -1)
        rest = prey[:, particles.others(m, prey.device)].flatten(2)
        return {
            "predator": particles.rows([*(part[:, :n] for part in seen), told]),
            "prey": particles.rows([*(part[:, n:] for part in seen), rest]),
        }

    def metrics(self, state: State) -> dict[str, Metric]:
        return super().metrics(state) | figure(state, "caught", "touching pairs, summed over steps")


def _outside(x: torch.Tensor) -> torch.Tensor:
    """What leaving the square costs, per coordinate."""
    beyond = torch.clamp(torch.exp(2 * x - 2), max=10.0)
    return torch.where(x < 0.9, 0.0, torch.where(x < 1.0, (x - 0.9) * 10, beyond))


make = maker(PredatorPrey, Params, "predator_prey")
reference = unknown
