"""Something that goes from one drawn place to the next, at a steady speed for each leg."""

from __future__ import annotations

import torch

from sim.errors import BoundError
from sim.units import SECOND, duration_ns
from sim.worlds.noise import uniforms
from sim.worlds.swarm.params import Params

Tensor = torch.Tensor


def seconds_of(p: Params, name: str, can_be_zero: bool = False) -> float:
    """A duration, above 0 unless it can be that. Raises: BoundError."""
    try:
        found = duration_ns(getattr(p, name)) / SECOND
    except ValueError as error:
        raise BoundError(f"world.{name}: {error}") from None
    if not found and not can_be_zero:
        raise BoundError(f"world.{name}: expected more than 0")
    return found


def course(
    p: Params, key: Tensor, seconds: Tensor, leg: float, stream: int, margin: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Where it is and how it moves. leg: s. margin: kept to the walls, as a share of the ground.

    Shapes: int64 [B], float64 [B] -> [B, 2] m, [B, 2] m/s.
    """
    number = torch.floor(seconds / leg)
    share = (seconds / leg - number)[:, None]
    begin, end = (uniforms(key, number.long() + i, 2, stream) for i in range(2))
    size = torch.tensor([p.width, p.height], dtype=torch.float64, device=key.device)
    corner, inner = margin * size, (1 - 2 * margin) * size
    place = corner + (begin + (end - begin) * share) * inner
    return place, (end - begin) * inner / leg
