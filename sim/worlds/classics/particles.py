"""The physics that the particle worlds share: round bodies in a plane that push each other away.

Source: Mordatch and Abbeel 2018, "Emergence of Grounded Compositional Language in Multi-Agent
Populations"; Lowe et al. 2017, "Multi-Agent Actor-Critic for Mixed Cooperative-Competitive
Environments"; equal to the MPE2 package (version 1.1.1) to 1e-12. Units are the world's own; one
step is 0.1 of its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import torch

from sim.spaces import Field
from sim.worlds.classics.common import Classic, P, Played, Tensor, Tensors, numbered
from sim.worlds.classics.fields import Placed, choice, chosen
from sim.worlds.noise import uniforms
from sim.worlds.world import State

DT: Final = 0.1
DAMPING: Final = 0.25
CONTACT_FORCE: Final = 100.0
CONTACT_MARGIN: Final = 1e-3
SENSITIVITY: Final = 5.0
"""Force of a full push, where nothing else is said."""
_TINY: Final = 1e-300
"""Bodies in the very same place do not push each other."""


Q = TypeVar("Q", bound=Placed)


@dataclass(frozen=True)
class Bodies:
    """What moves, first, then what stands. One number per body; speed_max and force per mover."""

    sizes: tuple[float, ...]
    speed_max: tuple[float, ...] = ()
    force: tuple[float, ...] = ()

    @property
    def movers(self) -> int:
        return len(self.force)

    def __add__(self, other: Bodies) -> Bodies:
        return Bodies(
            self.sizes + other.sizes, self.speed_max + other.speed_max, self.force + other.force
        )


def moving(
    count: int, size: float, force: float = SENSITIVITY, speed_max: float = float("inf")
) -> Bodies:
    """Bodies of one kind. force: of a full push."""
    return Bodies((size,) * count, (speed_max,) * count, (force,) * count)


def standing(count: int, size: float) -> Bodies:
    """Bodies that are run against."""
    return Bodies((size,) * count)


class Particles(Classic[P]):
    """A world of bodies that move, among things that stand: `still`, by name and number.

    Everything begins anywhere in the square from -1 to 1; nothing moves at first.
    Shapes: position, velocity float64 [B, n, 2], of groups that move, in their order; of what
            stands [B, m, 2], by its name.
    """

    def __init__(
        self, name: str, p: P, groups: Mapping[str, Played], bodies: Bodies, still: tuple[str, int]
    ) -> None:
        super().__init__(name, p, groups)
        self.bodies, (self.still, self.stands) = bodies, still
        self.movers = [g for g in self.groups if g.action.slices.keys() & {"move", "push"}]

    def start(self, state: State) -> State:
        n, m = self.bodies.movers, self.stands
        place = 2 * uniforms(state["key"], state["step"], 2 * (n + m), 0) - 1
        place = batch_last(place.view(-1, n + m, 2))
        here = place[:, :n].clone()
        still = place[:, n:].clone()
        return {"position": here, "velocity": torch.zeros_like(here), self.still: still}

    def moved(self, state: State, actions: Tensors, present: Tensors) -> dict[str, Tensor]:
        """Position and velocity after a step."""
        push = joined([pushes(actions[g.name], present[g.name]) for g in self.movers], 1)
        fixed = state[self.still] if len(self.bodies.sizes) > self.bodies.movers else None
        position, velocity = move(self.bodies, state["position"], state["velocity"], push, fixed)
        return {"position": position, "velocity": velocity}

    def seen(self, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Own velocity and position; what stands and all others, seen from there.

        Shapes: [B, n, 2], [B, n, 2], [B, n, 2m], [B, n, 2(n - 1)].
        """
        here = state["position"]
        return state["velocity"], here, seen_from(here, state[self.still]), others_from(here)

    def marks(self, state: State) -> list[str]:
        """Names of what stands: landmark-1 and so on."""
        return numbered(self.still.removesuffix("s"), self.stands)

    def scene(self, state: State) -> dict[str, Any]:
        roles = ["agent"] if len(self.movers) == 1 else [g.name for g in self.movers]
        names = [(name, "point") for name in self.marks(state)]
        names += [(name, r) for r, g in zip(roles, self.movers, strict=True) for name in g.agents]
        places = joined((state[self.still], state["position"]), 1)[0].tolist()
        points = [
            {"name": name, "at": at, "role": role}
            for (name, role), at in zip(names, places, strict=True)
        ]
        return {"kind": "points", "title": self.title(state), "points": points}


class PlacedParticles(Particles[Q]):
    """Those that say where they are, so that links can reach by radio."""

    def positions(self, state: State) -> dict[str, Tensor]:
        """Of the movers. Shapes: -> [B, 2] each. Units: m."""
        names = [name for group in self.movers for name in group.agents]
        here = self.params.metres * state["position"]
        return {name: here[:, i] for i, name in enumerate(names)}


def moves(continuous: bool) -> Field:
    """The action of one body: nothing, left, right, down, up."""
    if continuous:
        told = "strength of: nothing, left, right, down, up"
        return Field("push", low=0.0, high=1.0, size=5, help=told)
    return choice("move", 5, "0 nothing, 1 left, 2 right, 3 down, 4 up")


def pushes(action: Tensor, present: Tensor) -> Tensor:
    """Direction of each push. Shapes: action [B, n, 1 or 5], present [B, n] -> [B, n, 2]."""
    if action.shape[-1] == 5:
        strength = batch_last(torch.clamp(action, 0.0, 1.0) * present[..., None])
        return strength[..., 2::2] - strength[..., 1::2]
    move = batch_last(chosen(action[..., 0] * present, 5))
    return _directions(action.device)[:, move.T].permute(2, 1, 0)


@lru_cache(maxsize=8)
def _directions(device: torch.device) -> Tensor:
    """Of each move. Shapes: [2, 5]."""
    x, y = [0.0, -1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, -1.0, 1.0]
    return torch.tensor([x, y], dtype=torch.float64, device=device)


def move(
    bodies: Bodies, position: Tensor, velocity: Tensor, push: Tensor, fixed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One step: forces from where all are now, then positions, then velocities.

    fixed: bodies [B, m, 2] that stand still and are run against.
    Shapes: [B, n, 2] -> positions and velocities [B, n, 2].
    """
    position, velocity = batch_last(position), batch_last(velocity)
    everybody = position if fixed is None else joined((position, fixed), 1)
    c = _constants(bodies, everybody.shape[1], position.device)
    force = push * c.force
    if len(c.reach):
        apart = _mixed(c.differences, everybody)
        distance = torch.sqrt(_square(apart))
        overlap = (c.reach - distance) / CONTACT_MARGIN
        depth = torch.logaddexp(overlap, torch.zeros_like(overlap)) * CONTACT_MARGIN
        strength = CONTACT_FORCE * depth / torch.clamp(distance, min=_TINY)
        # Each pair's force goes to one body and, reversed, to the other; only movers feel it.
        force = force + _mixed(c.signs, apart * strength[..., None])
    after = velocity * (1 - DAMPING) + force * DT
    if min(bodies.speed_max) < float("inf"):
        speed = torch.sqrt(_square(after))
        over = speed > c.speed_max
        slower = after / torch.where(over, speed, 1.0)[..., None] * c.speed_max[:, None]
        after = torch.where(over[..., None], slower, after)
    return position + velocity * DT, after


@dataclass(frozen=True)
class _Constants:
    """On one device: force [n, 1], speed_max [n]; of pairs with a mover the distance at which they
    touch [P], their difference as a matrix on all bodies [P, n + m], and on movers as it is [n, P]
    and without its sign [n, P]."""

    force: Tensor
    speed_max: Tensor
    reach: Tensor
    differences: Tensor
    signs: Tensor
    ends: Tensor


@lru_cache(maxsize=64)
def _constants(bodies: Bodies, count: int, device: torch.device) -> _Constants:
    n = bodies.movers
    ends = torch.triu_indices(count, count, 1)
    first, second = ends[:, ends[0] < n]
    index = torch.arange(count)[:, None]
    signs = (second == index).double() - (first == index).double()
    sizes, force, speed_max = (
        torch.tensor(numbers, dtype=torch.float64)
        for numbers in (bodies.sizes, bodies.force, bodies.speed_max)
    )
    reach = sizes[first] + sizes[second]
    made = (force[:, None], speed_max, reach, signs.T.contiguous(), signs[:n], signs[:n].abs())
    return _Constants(*(tensor.to(device) for tensor in made))


def _mixed(weights: Tensor, x: Tensor) -> Tensor:
    """Sums of bodies with the weights 0, 1 and -1. Shapes: [k, n], [B, n, 2] -> [B, k, 2]."""
    flat = x.permute(1, 2, 0).flatten(1)
    return (weights @ flat).view(len(weights), 2, len(x)).permute(2, 0, 1)


def _square(x: Tensor) -> Tensor:
    """Shapes: [..., 2] -> [...]."""
    square = x * x
    return square[..., 0] + square[..., 1]


def touched(bodies: Bodies, position: Tensor) -> Tensor:
    """How many other movers each mover touches. Shapes: [B, n, 2] -> float64 [B, n]."""
    c = _constants(bodies, bodies.movers, position.device)
    touch = torch.sqrt(_square(_mixed(c.differences, position))) < c.reach
    return (c.ends @ touch.T.to(torch.float64)).T


def nearest(things: Tensor, bodies: Tensor) -> Tensor:
    """Distance of each thing to the nearest body. Shapes: [B, m, 2], [B, n, 2] -> [B, m]."""
    return torch.sqrt(_square(bodies[:, :, None] - things[:, None]).amin(1))


def hits(a: Tensor, b: Tensor, reach: float) -> Tensor:
    """Which of the one touch which of the other. Shapes: [B, n, 2], [B, m, 2] -> bool [B, n, m]."""
    return torch.sqrt(_square(b[:, None] - a[:, :, None])) < reach


def seen_from(position: Tensor, things: Tensor) -> Tensor:
    """Where things are, seen from each body. Shapes: [B, n, 2], [B, m, 2] -> [B, n, 2m]."""
    return (things[:, None] - position[:, :, None]).flatten(2)


def others_from(position: Tensor) -> Tensor:
    """Where all others are, seen from each body. Shapes: [B, n, 2] -> [B, n, 2(n - 1)]."""
    n, first = position.shape[1], position.permute(1, 2, 0)
    rest = first.index_select(0, others(n, position.device).flatten()).permute(2, 0, 1)
    return (rest.view(len(position), n, n - 1, 2) - position[:, :, None]).flatten(2)


@lru_cache(maxsize=64)
def others(n: int, device: torch.device) -> Tensor:
    """For each of n the places of all others, in order. Shapes: int64 [n, n - 1]."""
    index = torch.arange(n - 1, device=device).expand(n, -1)
    return index + (index >= torch.arange(n, device=device)[:, None])


def batch_last(x: Tensor) -> Tensor:
    """The same tensor [B, ...] with the batch innermost in memory, where all arithmetic on it, and
    on what is made of it, is several times quicker: rows of a pair of numbers are short."""
    return x if x.stride(0) == 1 else x.movedim(0, -1).contiguous().movedim(-1, 0)


def joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    """`torch.cat` of tensors with the batch innermost, and so is the result's."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.movedim(0, -1) for part in parts], dim - 1).movedim(-1, 0)


def rows(parts: Sequence[Tensor]) -> Tensor:
    """What each body sees, side by side, in the usual order of memory. Shapes: [B, n, k] each."""
    seen = joined(parts, 2)
    # A matrix is transposed in blocks, other tensors number by number.
    return seen.flatten(1).contiguous().view(seen.shape)
