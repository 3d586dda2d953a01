"""The junctions as plain data, to be drawn."""

from __future__ import annotations

from typing import Any

from sim.worlds.junctions.layout import Layout
from sim.worlds.junctions.outcome import SLOW
from sim.worlds.junctions.params import LENGTH_M, Params
from sim.worlds.junctions.signals import AMBER, Plan, shown
from sim.worlds.world import State


def draw(p: Params, at: Layout, plan: Plan, state: State, dt: float) -> dict[str, Any]:
    """Of a batch of one.

    kind "junctions"; rows, columns; road (m); junctions, row by row, each with its lights by
    approach (north, east, south, west: "green", "amber", "red", or "none" without signals) and
    the lanes that lead to it, by approach: how many are on it, how many of them slow, and who has
    set out; waiting before the edge; seconds; delay so far, s per vehicle.
    """
    lane, speed = state["lane"][0], state["speed"][0]
    inside = [(lane == i) for i in range(at.inner)]
    lanes = [
        {
            "vehicles": int((mask & ~state["committed"][0]).sum()),
            "slow": int((mask & ~state["committed"][0] & (speed < SLOW)).sum()),
            "crossing": int((mask & state["committed"][0]).sum()),
        }
        for mask in inside
    ]
    green = shown(plan, state)[0].tolist()
    last = plan.shows[state["phase"][0]].tolist()
    aspect = state["aspect"][0].tolist()
    lights = [
        [
            "none"
            if p.control == "vehicles"
            else "green"
            if green[j][k]
            else "amber"
            if last[j][k] and aspect[j] == AMBER
            else "red"
            for k in range(4)
        ]
        for j in range(at.junctions)
    ]
    seconds, came = int(state["step"][0]) * dt, max(int(state["came"][0]), 1)
    return {
        "kind": "junctions",
        "title": f"{at.rows} x {at.columns} junctions, {seconds:.0f} s",
        "rows": at.rows,
        "columns": at.columns,
        "road": p.road,
        "length": LENGTH_M,
        "junctions": [
            {"lights": lights[j], "lanes": lanes[4 * j : 4 * j + 4]} for j in range(at.junctions)
        ],
        "waiting": int(state["waiting"][0].sum()),
        "left": int(state["left"][0]),
        "delay": int(state["delay"][0]) / 1e6 / came,
    }
