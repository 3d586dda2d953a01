"""The motorway as plain data, to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.worlds.motorway.lanes import PARKED
from sim.worlds.motorway.params import Params
from sim.worlds.vehicles.outcome import NEAR_S, time_to_collision
from sim.worlds.world import State


def draw(p: Params, names: Sequence[str], state: State, seconds: float) -> dict[str, Any]:
    """Of a batch of one.

    kind "motorway"; length of the road and size of a vehicle (m), lanes, wished speed (m/s), scene
    (m); ramp: where it joins, opens and ends (m), None without one; vehicles on the road, each with
    lane (0: the ramp), place (m), speed (m/s), acceleration (m/s2), and whether it is near (time to
    collision below 1.5 s), still (broken down or a wreck), in a hurry, from the ramp; how many are
    waiting and gone; mean speed by lane (m/s, None for an empty lane).
    """
    one = {name: value[0] for name, value in state.items()}
    is_on = one["lane"] != PARKED
    near = time_to_collision(one["gap"], one["closing"]) < NEAR_S
    still = one["wreck"] | one["broken"]
    last = p.vehicles + p.ramps
    number = is_on.nonzero()[:, 0].tolist()
    lane, place, speed, pedal = (
        one[name].tolist() for name in ("lane", "place", "speed", "acceleration")
    )
    vehicles = [
        {
            "name": names[i], "lane": lane[i], "place": place[i], "speed": speed[i],
            "acceleration": pedal[i], "is_near": bool(near[i]), "is_still": bool(still[i]),
            "is_hurried": i >= last, "is_from_ramp": p.vehicles <= i < last,
        }
        for i in number
    ]  # fmt: skip
    means = []
    for k in range(p.lanes + 1):
        fast = [v["speed"] for v in vehicles if v["lane"] == k]
        means.append(sum(fast) / len(fast) if fast else None)
    waiting = (one["due"] < seconds) & ~is_on & ~one["gone"]
    return {
        "kind": "motorway",
        "title": f"{len(vehicles)} vehicles on the road, {seconds:.1f} s",
        "length": p.length,
        "size": p.size,
        "lanes": p.lanes,
        "speed": p.speed,
        "scene": p.scene,
        "ramp": [p.ramp, p.opens, p.ends] if p.ramps else None,
        "vehicles": vehicles,
        "waiting": int(waiting.sum()),
        "gone": int(one["gone"].sum()),
        "lane_speeds": means,
    }
