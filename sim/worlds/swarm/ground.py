"""Where obstacles and robots are at first: on places of a lattice, drawn by the seed.

Lattices are as wide as it takes for nothing to overlap, and each thing is moved a little within its
place. Robots begin outside obstacles.
"""

from __future__ import annotations

import math

import torch

from sim.errors import BoundError
from sim.worlds.noise import uniforms
from sim.worlds.swarm.contact import SKIN
from sim.worlds.swarm.params import Params

Tensor = torch.Tensor
_OBSTACLE, _ROBOT = 100, 101
"""Streams of draws; those of the core are from 100 on, a task's are below."""


def on_ground(p: Params, name: str, at: tuple[float, float]) -> None:
    """Raises: BoundError if a place lies outside."""
    if not (0 <= at[0] <= p.width and 0 <= at[1] <= p.height):
        told = f"expected a place on {p.width:g} x {p.height:g} m"
        raise BoundError(f"world.{name}: {told}, found {list(at)}")


def obstacles(p: Params, key: Tensor) -> Tensor:
    """x, y and radius of each. Shapes: [B] -> [B, m, 3]. Units: m.

    Raises: BoundError if there is no room for so many.
    """
    if not isinstance(p.obstacles, int):
        given = torch.tensor(p.obstacles, dtype=torch.float64, device=key.device)
        return given.reshape(-1, 3).expand(len(key), -1, -1)
    if not p.obstacles:
        return torch.zeros(len(key), 0, 3, dtype=torch.float64, device=key.device)
    # A robot fits between any two, and between them and the walls.
    pitch = 2 * p.obstacle_size + 6 * p.radius
    places = lattice(p, pitch, key)
    if len(places) < p.obstacles:
        raise BoundError(
            f"world.obstacles: there is room for {len(places)} of up to {p.obstacle_size:g} m "
            f"on {p.width:g} x {p.height:g} m, found {p.obstacles}"
        )
    drawn = uniforms(key, torch.zeros_like(key), len(places), _OBSTACLE)
    at = places[torch.argsort(drawn, dim=1, stable=True)[:, : p.obstacles]]
    more = uniforms(key, torch.ones_like(key), 3 * p.obstacles, _OBSTACLE)
    more = more.view(len(key), p.obstacles, 3)
    size = p.obstacle_size * (0.4 + 0.6 * more[..., 2:])
    return torch.cat((at + (more[..., :2] - 0.5) * 2 * (p.obstacle_size - size), size), -1)


def lattice(p: Params, pitch: float, like: Tensor) -> Tensor:
    """Places that are at least `pitch` apart and half of it from the walls. Shapes: -> [k, 2]."""
    across, up = int(p.width / pitch), int(p.height / pitch)
    x = (torch.arange(across, dtype=torch.float64, device=like.device) + 0.5) * (p.width / across)
    y = (torch.arange(up, dtype=torch.float64, device=like.device) + 0.5) * (p.height / up)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def begin(p: Params, key: Tensor, obstacle: Tensor) -> Tensor:
    """Where robots are. Shapes: -> [B, n, 2]. Raises: BoundError if there is no room."""
    least = 2 * p.radius + 4 * SKIN
    if p.start == "anywhere":
        pitch = max(math.sqrt(p.width * p.height / max(4 * p.robots, 100)), 1.05 * least)
    else:
        pitch = least + p.gap
    places = lattice(p, pitch, key)
    count = len(places)
    slack = (pitch - least) / 2
    shift = uniforms(key, torch.ones_like(key), 2 * count, _ROBOT).view(-1, count, 2)
    at = places + (2 * shift - 1) * slack * (p.start == "anywhere")
    apart = at[:, :, None] - obstacle[:, None, :, :2]
    square = apart * apart
    clear = torch.sqrt(square[..., 0] + square[..., 1]) - obstacle[:, None, :, 2]
    is_free = (clear > p.radius + 2 * SKIN).all(-1)
    if bool((is_free.sum(1) < p.robots).any()):
        raise BoundError(
            f"world.robots: there is no room for {p.robots} of {p.radius:g} m on "
            f"{p.width:g} x {p.height:g} m, start: {p.start}"
        )
    order = torch.where(is_free, _rank(p, key, places), float("inf"))
    chosen = torch.argsort(order, dim=1, stable=True)[:, : p.robots]
    return torch.gather(at, 1, chosen[..., None].expand(-1, -1, 2))


def _rank(p: Params, key: Tensor, places: Tensor) -> Tensor:
    """Which places are taken first. Shapes: [k, 2] -> [B, k]."""
    if p.start == "anywhere":
        return uniforms(key, torch.zeros_like(key), len(places), _ROBOT)
    base = (0.0, 0.0) if p.start == "corner" else (p.width / 2, p.height / 2)
    apart = places - torch.tensor(base, dtype=places.dtype, device=places.device)
    square = apart * apart
    return (square[:, 0] + square[:, 1]).expand(len(key), -1)
