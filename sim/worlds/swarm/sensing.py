"""What robots see: those near them, and how far the way is free, within sight.

Obstacles do not hide other robots. A robot whose sensors have failed sees nobody, and its beams
tell nothing: they read 0. Positions, its own and those of others, are noisy. Where the nearest
charger is everybody knows, as by a beacon.
"""

from __future__ import annotations

import math

import torch

from sim.worlds.noise import normals
from sim.worlds.swarm.energy import JOULES
from sim.worlds.swarm.motion import dot, norm
from sim.worlds.swarm.near import near, nearest
from sim.worlds.swarm.params import Params
from sim.worlds.world import State

Tensor = torch.Tensor
_NOISE = 102


def observe(p: Params, state: State, is_sighted: Tensor) -> Tensor:
    """The fields of `params.sees`. Shapes: bool [B, n] -> [B, n, size]."""
    position, velocity = state["position"], state["velocity"]
    rows, n, _ = position.shape
    left = state["charge"] / (p.battery * JOULES) if p.battery else torch.ones_like(state["charge"])
    told = [position, state["heading"], velocity, left[..., None], is_sighted[..., None].double()]
    if p.noise:
        count = 2 * n * (1 + p.neighbours)
        error = p.noise * normals(state["key"], state["step"], count, _NOISE)
        own, others = torch.split(error, [2 * n, 2 * n * p.neighbours], 1)
        told[0] = position + own.view(rows, n, 2)
    if p.neighbours:
        apart, relative, number = _neighbours(p, position, velocity, is_sighted)
        there = number > 0
        if p.noise:
            apart = apart + others.view(rows, n, p.neighbours, 2) * there[..., None]
        told += [there.double(), number]
        told += [of[..., axis] for of in (apart, relative) for axis in range(2)]
    if p.beams:
        told.append(free_way(p, position, state["obstacle"]) * is_sighted[..., None])
    if p.chargers:
        told.append(to_charger(p, position))
    return torch.cat(told, -1)


def _neighbours(
    p: Params, position: Tensor, velocity: Tensor, is_sighted: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the nearest where they are, how they move, and which they are, from 1 on; else 0.

    Shapes: -> [B, n, k, 2], [B, n, k, 2], [B, n, k].
    """
    rows, n, _ = position.shape
    index, there = nearest(near(position, p.sight), rows * n, p.neighbours)
    there = there & is_sighted.reshape(-1, 1)
    shape = (rows, n, p.neighbours, 2)
    found = []
    for of in (position, velocity):
        flat = of.reshape(-1, 2)
        relative = torch.where(there[..., None], flat[index] - flat[:, None], 0.0)
        found.append(relative.view(shape))
    number = torch.where(there, index % n + 1, 0).to(position.dtype)
    return found[0], found[1], number.view(shape[:3])


def to_charger(p: Params, position: Tensor) -> Tensor:
    """The way to the nearest charger. Shapes: -> [B, n, 2]. Units: m."""
    at = torch.tensor(p.chargers, dtype=position.dtype, device=position.device)
    apart = at - position[:, :, None]
    nearest = norm(apart).argmin(-1)[..., None, None].expand(-1, -1, 1, 2)
    return torch.gather(apart, 2, nearest)[:, :, 0]


def free_way(p: Params, position: Tensor, obstacle: Tensor) -> Tensor:
    """How far a robot could go in each of the directions, up to `sight`. Shapes: -> [B, n, k]."""
    angle = [2 * math.pi * i / p.beams for i in range(p.beams)]
    beam = torch.tensor([[math.cos(a), math.sin(a)] for a in angle], dtype=position.dtype)
    beam = beam.to(position.device)
    far = torch.tensor([p.width, p.height], dtype=position.dtype, device=position.device)
    ahead = torch.where(beam > 0, far - p.radius - position[:, :, None], 0.0)
    back = torch.where(beam < 0, position[:, :, None] - p.radius, 0.0)
    size = torch.abs(beam)
    is_straight = size < 1e-9
    by_axis = torch.where(
        is_straight, p.sight, (ahead + back) / torch.where(is_straight, 1.0, size)
    )
    way = torch.clamp(by_axis.amin(-1), 0.0, p.sight)
    if not obstacle.shape[1]:
        return way
    apart = (obstacle[:, None, :, :2] - position[:, :, None])[:, :, None]
    reach = (obstacle[..., 2] + p.radius)[:, None, None]
    along = dot(apart, beam[None, None, :, None].expand_as(apart[..., :1, :, :].expand(
        -1, -1, p.beams, -1, -1)))  # fmt: skip
    inside = reach * reach - (dot(apart, apart) - along * along)
    hit = along - torch.sqrt(torch.clamp(inside, min=0.0))
    is_hit = (inside > 0) & (along > 0)
    return torch.minimum(way, torch.clamp(torch.where(is_hit, hit, p.sight), 0.0).amin(-1))
