"""Vehicles in single file: lag, limits, motion and contact within one step of physics.

    a' = (u(t - delay) - a) / lag,  |a'| <= jerk;   v' = a, never below 0;   x' = v
Within a step each vehicle moves at its mean acceleration, so speeds are linear and gaps quadratic;
with gap g, closing speed c and relative acceleration r, two touch at a closing speed of
sqrt(c^2 - 2 r g). Counted without the lengths of those ahead (place + number x length) nobody may
be beyond who is ahead, which one running minimum over the file sees to.
What has touched shares its momentum (equal masses, no rebound), and is a wreck that brakes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp

import torch

from sim.worlds.world import State

Tensor = torch.Tensor
FREE_M = 1e4
"""The gap of who has nobody ahead."""


@dataclass(frozen=True)
class Body:
    """What all vehicles are like, and where they go. ring: circumference in m, 0 for a road.
    Units: m, s, m/s2, m/s3."""

    length: float
    lag: float
    accelerate: float
    brake: float
    jerk: float
    ring: float = 0.0


def ahead(body: Body, place: Tensor, speed: Tensor) -> tuple[Tensor, Tensor]:
    """Gap in m and closing speed in m/s of each vehicle; index 0 is the foremost of a road.

    Shapes: [B, n], [B, n] -> [B, n], [B, n].
    """
    gap = torch.roll(place, 1, 1) - place - body.length
    closing = speed - torch.roll(speed, 1, 1)
    if body.ring:
        gap[:, 0] += body.ring
    else:
        gap[:, 0].fill_(FREE_M)
        closing[:, 0].zero_()
    return gap, closing


@dataclass(frozen=True)
class Moved:
    """After a step. Shapes: [B, n].

    gap, closing: of `ahead`. way: what was driven, m. touched: ran into who is ahead, at `impact`
    m/s, else 0. struck: was run into.
    """

    place: Tensor
    speed: Tensor
    acceleration: Tensor
    gap: Tensor
    closing: Tensor
    way: Tensor
    touched: Tensor
    impact: Tensor
    struck: Tensor


def move(body: Body, state: State, target: Tensor, dt: float) -> Moved:
    """One step of dt seconds. state: place, speed, acceleration, gap and closing before it.
    target: acceleration that reaches the actuators. Shapes: [B, n]."""
    place, speed, acceleration = state["place"], state["speed"], state["acceleration"]
    gap, closing = state["gap"], state["closing"]
    most = body.jerk * dt
    target = torch.clamp(target, -body.brake, body.accelerate)
    share, part = _lag(body.lag, dt)
    change = torch.clamp(share * (target - acceleration), -most, most)
    mean = acceleration + part * change
    after = torch.clamp(speed + mean * dt, min=0.0)
    way, is_still = (speed + after) * (dt / 2), after == 0
    acceleration = acceleration + change
    if bool(is_still.any()):
        # Who comes to a stop within the step has gone v^2 / 2a, and for the rest of it nowhere.
        to_rest = speed * speed / torch.clamp(-2 * mean, min=1e-9)
        way = torch.where(is_still, torch.minimum(to_rest, speed * dt), way)
        acceleration = torch.where(is_still, torch.clamp(acceleration, min=0.0), acceleration)

    there = place + way
    gap_after, closing_after = ahead(body, there, after)
    # A gap that closes and opens again within the step is below its end by r dt^2 / 2 at most.
    touched = gap_after < (body.accelerate + body.brake) * dt * dt / 2
    if not bool(touched.any()):
        none = torch.zeros_like(way)
        return Moved(
            there, after, acceleration, gap_after, closing_after, way, touched, none, touched
        )
    square = closing * closing - (closing - closing_after) * (2 / dt) * gap
    is_dip = (closing > 0) & (closing_after < 0) & (square > 0)
    touched = (gap_after < 0) | is_dip
    kept = _in_file(body, there)
    touched = touched | (kept < there)
    impact = torch.sqrt(torch.clamp(square, min=0.0)) * touched
    push = touched * torch.clamp(closing_after, min=0.0) / 2
    after = after - push + behind(body, push)
    gap, closing = ahead(body, kept, after)
    way = torch.where(kept < there, kept - place, way)
    struck = behind(body, touched)
    return Moved(kept, after, acceleration, gap, closing, way, touched, impact, struck)


def behind(body: Body, values: Tensor) -> Tensor:
    """What belongs to who is behind; 0 for the last of a road. Shapes: [B, n] -> [B, n]."""
    found = torch.roll(values, -1, 1)
    if not body.ring:
        found[:, -1].zero_()
    return found


@lru_cache(maxsize=16)
def _lag(lag: float, dt: float) -> tuple[float, float]:
    """Of a lag under a held target: the share of the way that it comes in a step, and which part
    of that it is ahead of its beginning on average."""
    share = 1 - exp(-dt / lag) if lag else 1.0
    return share, (1 - share * lag / dt) / share


def _in_file(body: Body, place: Tensor) -> Tensor:
    """The nearest places, backwards, at which no gap is below 0. Shapes: [B, n] -> [B, n]."""
    n = place.shape[1]
    taken = body.length * torch.arange(n, dtype=place.dtype, device=place.device)
    free = place + taken
    if not body.ring:
        least = torch.cummin(free, 1).values
    else:
        lap = torch.cat((free + (body.ring - n * body.length), free), 1)
        least = torch.cummin(lap, 1).values[:, n:]
    return torch.where(least < free, least - taken, place)
