"""What moving costs, and what chargers give.

    P = idle + m (c g v + max(a v, 0))      rolling resistance c, nothing is recovered in braking
A charger fills at `charge` W whoever is within `dock` of it. A robot with an empty battery stands,
and its sensors are off.
"""

from __future__ import annotations

from typing import Final

import torch

from sim.worlds.swarm.motion import dot, norm
from sim.worlds.swarm.params import Params

Tensor = torch.Tensor
GRAVITY: Final = 9.81
JOULES: Final = 3600.0
"""Of a watt hour."""


def drawn(p: Params, before: Tensor, after: Tensor, way: Tensor, dt: float) -> Tensor:
    """Joules that a step of dt seconds takes. before, after: velocities. Shapes: [B, n, 2]."""
    gained = torch.clamp(dot(after, after) - dot(before, before), min=0.0) / 2
    return p.idle * dt + p.mass * (p.rolling * GRAVITY * norm(way) + gained)


def docked(p: Params, position: Tensor) -> Tensor:
    """Who is at a charger. Shapes: [B, n, 2] -> bool [B, n]."""
    if not p.chargers:
        return torch.zeros(position.shape[:2], dtype=torch.bool, device=position.device)
    at = torch.tensor(p.chargers, dtype=position.dtype, device=position.device)
    return norm(position[:, :, None] - at).amin(-1) <= p.dock


def charged(p: Params, charge: Tensor, taken: Tensor, is_docked: Tensor, dt: float) -> Tensor:
    """Joules left. Shapes: [B, n]."""
    if not p.battery:
        return charge
    given = torch.where(is_docked, p.charge * dt, 0.0)
    return torch.clamp(charge - taken + given, 0.0, p.battery * JOULES)
