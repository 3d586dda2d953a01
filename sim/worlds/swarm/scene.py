"""Ground and robots as plain data, to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from sim.worlds.swarm.energy import JOULES
from sim.worlds.swarm.params import Params
from sim.worlds.world import State

CELLS_MAX: Final = 80
"""No map is sent with more squares than that on a side; of larger ones every second, third ..."""


def draw(
    p: Params, names: Sequence[str], state: State, is_up: torch.Tensor, seconds: float
) -> dict[str, Any]:
    """Of a batch of one.

    kind "swarm"; width, height (m); obstacles [x, y, radius] and chargers [x, y] (m); robots with
    name, at, heading, battery (share) and state ("up", "down" or "blind"); seen, rows of the map
    from y = 0 on, "1" for a square that was seen and "0" for one that was not.
    A task may add: marks, a list of {"at", "role"}; field, rows of digits 0 to 9 over the ground;
    figures, numbers by name with their unit.
    """
    position, heading = state["position"][0].tolist(), state["heading"][0].tolist()
    left = (state["charge"][0] / (p.battery * JOULES)).tolist() if p.battery else [1.0] * p.robots
    up, blind = is_up[0].tolist(), state["blind"][0].tolist()
    seen = state["seen"][0] | ~state["free"][0]
    return {
        "kind": "swarm",
        "title": f"{p.task}, {p.robots} robots, {seconds:.1f} s",
        "width": p.width,
        "height": p.height,
        "obstacles": [o for o in state["obstacle"][0].tolist() if o[2] > 0],
        "chargers": [list(at) for at in p.chargers],
        "seen": digits(seen.double()),
        "robots": [
            {
                "name": name, "at": position[i], "heading": heading[i], "battery": left[i],
                "state": "down" if not up[i] else "blind" if blind[i] else "up",
            }
            for i, name in enumerate(names)
        ],
        "figures": {"seen %": 100 * float(state["share"][0])},
    }  # fmt: skip


def digits(values: torch.Tensor) -> list[str]:
    """Rows of whole numbers 0 to 9. Shapes: [h, w]."""
    step = -(-max(values.shape) // CELLS_MAX)
    rows: list[list[float]] = values[::step, ::step].tolist()
    return ["".join(str(min(max(int(value), 0), 9)) for value in row) for row in rows]
