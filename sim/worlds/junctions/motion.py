"""A step of everybody: IDM behind who is ahead, and before a line that one may not cross."""

from __future__ import annotations

from typing import Final

import torch

from sim.worlds.junctions.crossing import NEAR_M
from sim.worlds.junctions.lanes import FREE_M, Files
from sim.worlds.junctions.params import AT_LINE, CITY
from sim.worlds.vehicles.laws import idm
from sim.worlds.world import State

Tensor = torch.Tensor
BRAKE: Final = 8.0
"""m/s2; nobody brakes harder."""
_STILL: Final = 0.3
"""m/s; who is slower at the line has stopped."""
_REST_M: Final = 1.0
"""m before the line at which drivers stop."""


def moved(
    road: float, state: State, files: Files, there: Tensor, barred: Tensor, dt: float
) -> State:
    """What a step of dt seconds changes. barred: bool [B, n], who must not cross its line.

    Speeds change evenly within a step, and no further than to 0.
    """
    place, speed = state["place"], state["speed"]
    wanted = idm(CITY, files.gap, speed - files.ahead, speed)
    left = road - place
    wall = torch.where(barred, left + (CITY.standstill - _REST_M), FREE_M)
    wanted = torch.minimum(wanted, idm(AT_LINE, wall, speed, speed))
    wanted = torch.clamp(wanted, -BRAKE, CITY.accelerate)
    after = torch.clamp(speed + wanted * dt, min=0.0)
    to_rest = speed * speed / torch.clamp(-2 * wanted, min=1e-9)
    way = torch.where(after == 0, torch.minimum(to_rest, speed * dt), (speed + after) * (dt / 2))
    at_line = barred & (left < NEAR_M) & ((after < _STILL) | (state["rested"] > 0))
    return {
        "place": torch.where(there, place + way, 0.0),
        "speed": torch.where(there, after, 0.0),
        "acceleration": torch.where(there, (after - speed) / dt, 0.0),
        "rested": torch.where(at_line, state["rested"] + dt, state["rested"]),
    }
