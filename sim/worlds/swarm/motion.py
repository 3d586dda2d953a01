"""How robots move within a step of physics, before anything is in their way.

unicycle            turns at the rate asked for and goes where it points, at a speed that approaches
                    the one asked for; in a step it goes along its mean heading
double integrator   accelerates as asked for, whatever the direction
Speed, acceleration and turning rate have limits. Who is asked for nothing brakes.
Headings are unit vectors: a turn by an angle a is a rotation with t = tan(a / 2), and without
sines, whose bits may depend on the size of a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from sim.worlds.swarm.params import Params
from sim.worlds.world import State

Tensor = torch.Tensor


class Moved(NamedTuple):
    """After a step in free space. Shapes: [B, n, 2]. Units: m, m/s."""

    way: Tensor
    velocity: Tensor
    heading: Tensor


def move(p: Params, state: State, action: Tensor, is_driven: Tensor, dt: float) -> Moved:
    """One step of dt seconds. Shapes: action [B, n, 2], is_driven bool [B, n]."""
    asked = torch.where(is_driven[..., None], action, 0.0)
    if p.motion == "unicycle":
        return _unicycle(p, state, asked, dt)
    return _double_integrator(p, state, asked, is_driven, dt)


def _unicycle(p: Params, state: State, asked: Tensor, dt: float) -> Moved:
    heading, velocity, most = state["heading"], state["velocity"], p.acceleration * dt
    speed = dot(heading, velocity)
    wanted = torch.clamp(asked[..., 0], 0.0, p.speed)
    after = speed + torch.clamp(wanted - speed, -most, most)
    angle = torch.clamp(asked[..., 1], -p.turn, p.turn) * dt
    middle, end = turned(heading, angle / 2), turned(heading, angle)
    way = middle * ((speed + after) * (dt / 2))[..., None]
    return Moved(way, end * after[..., None], end)


def _double_integrator(
    p: Params, state: State, asked: Tensor, is_driven: Tensor, dt: float
) -> Moved:
    velocity, heading = state["velocity"], state["heading"]
    push = torch.where(is_driven[..., None], limited(asked, p.acceleration), -velocity / dt)
    after = limited(velocity + limited(push, p.acceleration) * dt, p.speed)
    size = norm(after)
    is_moving = (size > 1e-6)[..., None]
    heading = torch.where(is_moving, after / torch.clamp(size, min=1e-6)[..., None], heading)
    return Moved((velocity + after) * (dt / 2), after, heading)


def turned(heading: Tensor, angle: Tensor) -> Tensor:
    """Unit vectors turned anticlockwise, exact to 1e-6 rad up to half a radian.

    Shapes: [..., 2], [...] rad -> [..., 2].
    """
    half = angle / 2
    square = half * half
    t = half * (1 + square * (1 / 3 + square * (2 / 15 + square * (17 / 315))))
    scale = 1 / (1 + t * t)
    cosine, sine = (1 - t * t) * scale, 2 * t * scale
    x, y = heading[..., 0], heading[..., 1]
    return torch.stack((x * cosine - y * sine, x * sine + y * cosine), -1)


def limited(vector: Tensor, most: float) -> Tensor:
    """The same, no longer than `most`. Shapes: [..., 2]."""
    size = norm(vector)
    is_over = size > most
    shrink = torch.where(is_over, most / torch.where(is_over, size, 1.0), 1.0)
    return vector * shrink[..., None]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Shapes: [..., 2] -> [...]."""
    product = a * b
    return product[..., 0] + product[..., 1]


def norm(vector: Tensor) -> Tensor:
    """Shapes: [..., 2] -> [...]."""
    return torch.sqrt(dot(vector, vector))


def total(values: Tensor) -> Tensor:
    """The sum over robots, one after another, so that no bit depends on the batch; for thousands
    quicker than `ordered_sum`. Shapes: [B, n, ...] -> [B, ...]."""
    return torch.cumsum(values, 1)[:, -1]
