"""The file of vehicles as plain data, to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.worlds.vehicles.motion import FREE_M
from sim.worlds.vehicles.outcome import NEAR_S, time_to_collision
from sim.worlds.vehicles.params import Params
from sim.worlds.world import State


def draw(p: Params, names: Sequence[str], state: State, seconds: float) -> dict[str, Any]:
    """Of a batch of one.

    kind "road"; vehicles from the foremost on, each with place (m), speed (m/s), acceleration
    (m/s2), gap (m, None with nobody ahead), and whether it is near (time to collision below
    1.5 s), braking in an emergency, or a wreck; length and ring (m, 0 for a road), speed of the
    road (m/s), gap that is wanted at it (m).
    """
    near = (time_to_collision(state["gap"], state["closing"]) < NEAR_S)[0].tolist()
    gaps = [value if value < FREE_M else None for value in state["gap"][0].tolist()]
    place, speed, acceleration = (
        state[name][0].tolist() for name in ("place", "speed", "acceleration")
    )
    wreck, braking = state["wreck"][0].tolist(), state["braking"][0].tolist()
    return {
        "kind": "road",
        "title": f"{len(names)} vehicles, {seconds:.1f} s",
        "length": p.length,
        "ring": p.ring,
        "speed": p.speed,
        "wanted_gap": p.standstill + p.headway * p.speed,
        "vehicles": [
            {
                "name": name, "place": place[i], "speed": speed[i],
                "acceleration": acceleration[i], "gap": gaps[i], "is_near": near[i],
                "is_braking": braking[i], "is_wreck": wreck[i],
            }
            for i, name in enumerate(names)
        ],
    }  # fmt: skip
