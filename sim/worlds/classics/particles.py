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
from typing import Any, Final

import torch

from sim.spaces import Field
from sim.worlds.classics.common import Tensor, choice, chosen

DT: Final = 0.1
DAMPING: Final = 0.25
CONTACT_FORCE: Final = 100.0
CONTACT_MARGIN: Final = 1e-3
SENSITIVITY: Final = 5.0
"""Force of a full push, of a body without an acceleration of its own."""
_TINY: Final = 1e-300
"""Bodies in the very same place do not push each other."""


Ends = tuple[Tensor, Tensor]
"""Where in flat vectors of coordinates two sides of many differences lie."""


@dataclass(frozen=True)
class Bodies:
    """What moves, first, then what stands. One number per body; speed_max and force per mover."""

    sizes: tuple[float, ...]
    speed_max: tuple[float, ...]
    force: tuple[float, ...]

    @property
    def movers(self) -> int:
        return len(self.force)


def placed(names: Sequence[str], position: Tensor, metres: float) -> dict[str, Tensor]:
    """Where agents are, for radio. Shapes: position [B, n, 2] -> [B, 2] each. Units: m."""
    return {name: metres * position[:, i] for i, name in enumerate(names)}


def moves(continuous: bool) -> Field:
    """The action of one body: nothing, left, right, down, up."""
    if continuous:
        told = "strength of: nothing, left, right, down, up"
        return Field("push", low=0.0, high=1.0, size=5, help=told)
    return choice("move", 5, "0 nothing, 1 left, 2 right, 3 down, 4 up")


def pushes(action: Tensor, present: Tensor) -> Tensor:
    """Direction of each push. Shapes: action [B, n, 1 or 5], present [B, n] -> [B, n, 2]."""
    if action.shape[-1] == 5:
        strength = torch.clamp(action, 0.0, 1.0)
        push = strength[..., 2::2] - strength[..., 1::2]
    else:
        move = chosen(action[..., 0], 5)
        x = (move == 2).to(action) - (move == 1).to(action)
        y = (move == 4).to(action) - (move == 3).to(action)
        push = torch.stack((x, y), -1)
    return push * present[..., None]


def move(
    bodies: Bodies, position: Tensor, velocity: Tensor, push: Tensor, fixed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One step: forces from where all are now, then positions, then velocities.

    fixed: bodies [B, m, 2] that stand still and are run against.
    Shapes: [B, n, 2] -> positions and velocities [B, n, 2].
    """
    everybody = position if fixed is None else torch.cat((position, fixed), 1)
    c = _constants(bodies, everybody.shape[1], position.device)
    force = push * c.force
    if len(c.reach):
        apart = _apart(everybody, everybody, c.ends).reshape(len(position), -1, 2)
        distance = torch.sqrt(_square(apart))
        overlap = (c.reach - distance) / CONTACT_MARGIN
        depth = torch.logaddexp(overlap, torch.zeros_like(overlap)) * CONTACT_MARGIN
        strength = CONTACT_FORCE * depth / torch.clamp(distance, min=_TINY)
        # Each pair's force goes to one body and, reversed, to the other; only movers feel it.
        contact = [(apart[..., k] * strength) @ c.signs for k in (0, 1)]
        force = force + torch.stack(contact, -1)
    after = velocity * (1 - DAMPING) + force * DT
    if min(bodies.speed_max) < float("inf"):
        speed = torch.sqrt(_square(after))
        over = speed > c.speed_max
        slower = after / torch.where(over, speed, 1.0)[..., None] * c.speed_max[:, None]
        after = torch.where(over[..., None], slower, after)
    return position + velocity * DT, after


@dataclass(frozen=True)
class _Constants:
    """On one device: force [n, 1], speed_max [n]; per pair with a mover the distance at which they
    touch [P], its sign on each mover [P, n], and its ends."""

    force: Tensor
    speed_max: Tensor
    reach: Tensor
    signs: Tensor
    ends: Ends


@lru_cache(maxsize=64)
def _constants(bodies: Bodies, count: int, device: torch.device) -> _Constants:
    n = bodies.movers
    ends = torch.triu_indices(count, count, 1)
    first, second = ends[:, ends[0] < n]
    index = torch.arange(n)
    sizes = torch.tensor(bodies.sizes, dtype=torch.float64)
    signs = (second[:, None] == index).double() - (first[:, None] == index).double()
    numbers = (bodies.force, bodies.speed_max)
    force, speed_max = (torch.tensor(n, dtype=torch.float64, device=device) for n in numbers)
    reach = (sizes[first] + sizes[second]).to(device)
    ends_of = _flat(first, second, device)
    return _Constants(force[:, None], speed_max, reach, signs.to(device), ends_of)


def _square(x: Tensor) -> Tensor:
    return x[..., 0] * x[..., 0] + x[..., 1] * x[..., 1]


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Shapes: [B, n, 2], [B, m, 2] -> [B, n, m]."""
    n, m = a.shape[1], b.shape[1]
    return torch.sqrt(_square(_apart(a, b, _all(n, m, a.device)).reshape(len(a), n, m, 2)))


def hits(a: Tensor, b: Tensor, reach: float) -> Tensor:
    """Which of the one touch which of the other. Shapes: as `distances`, bool."""
    return distances(a, b) < reach


def seen_from(position: Tensor, things: Tensor) -> Tensor:
    """Where things are, seen from each body. Shapes: [B, n, 2], [B, m, 2] -> [B, n, 2m]."""
    n, m = position.shape[1], things.shape[1]
    return _apart(position, things, _all(n, m, position.device)).reshape(len(position), n, 2 * m)


def others_from(position: Tensor) -> Tensor:
    """Where all others are, seen from each body. Shapes: [B, n, 2] -> [B, n, 2(n - 1)]."""
    n = position.shape[1]
    return _apart(position, position, _rest(n, position.device)).reshape(
        len(position), n, 2 * (n - 1)
    )


def _apart(a: Tensor, b: Tensor, ends: Ends) -> Tensor:
    """Differences b - a of single coordinates. Flat vectors are some times quicker than pairs of
    numbers that are broadcast. Shapes: [B, n, 2], [B, m, 2] -> [B, length of ends]."""
    here, there = ends
    return b.flatten(1)[:, there] - a.flatten(1)[:, here]


@lru_cache(maxsize=64)
def _all(n: int, m: int, device: torch.device) -> Ends:
    """Coordinates of every body with those of every thing."""
    return _flat(torch.arange(n)[:, None].expand(n, m), torch.arange(m).expand(n, m), device)


@lru_cache(maxsize=64)
def _rest(n: int, device: torch.device) -> Ends:
    """Coordinates of every body with those of all others."""
    return _flat(torch.arange(n)[:, None].expand(n, n - 1), others(n), device)


def others(n: int) -> Tensor:
    """For each of n the places of all others, in order. Shapes: int64 [n, n - 1]."""
    index = torch.arange(n - 1).expand(n, -1)
    return index + (index >= torch.arange(n)[:, None])


def _flat(here: Tensor, there: Tensor, device: torch.device) -> Ends:
    """Places of bodies as those of their two coordinates."""
    axis = torch.arange(2)
    first, second = ((2 * end[..., None] + axis).flatten().to(device) for end in (here, there))
    return first, second


def points(
    names: Mapping[str, Sequence[str]], places: Mapping[str, Tensor]
) -> list[dict[str, Any]]:
    """Points of a scene; names and places [1, n, 2] by role."""
    return [
        {"name": name, "at": at, "role": role}
        for role, group in names.items()
        for name, at in zip(group, places[role][0].tolist(), strict=True)
    ]
