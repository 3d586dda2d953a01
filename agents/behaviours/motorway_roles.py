"""What a learned network sees and decides in the world `motorway`.

It nudges a driver who keeps safe: IDM and MOBIL drive, and it changes their pedal and how large a
gap must be. So it begins as people drive, and what it learns is when to do otherwise. It hears
nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

from array_api_compat import array_namespace

from agents.behaviours.motorway import manners_of
from agents.behaviours.motorway_view import Sensors
from sim.spaces import Field, Space
from sim.worlds.motorway.laws import EAGER, EMPTY_M
from sim.worlds.motorway.params import SENSED, SIDES

Array = Any


class Nudge:
    """params: strength (of a full push, m/s2; default 1.5), and those of MOBIL as of `Manners`.

    Pushed, one accelerates as an eager driver would at most (`laws.EAGER`), never beyond its own
    wish. A daring of 1 is to make others and oneself brake half as hard again as `safe` says, and
    one of -1 half as hard.
    """

    every = 1
    is_random = False
    ignores_absent = True
    shown: Mapping[str, int] = {}
    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.strength = float(params.get("strength", 1.5))
        self.manners = manners_of(params, "strength")
        self.sensors = Sensors(group.observation)
        self.low, self.high = float(group.action.low[0]), float(group.action.high[0])
        self.decides = Space(
            (
                Field("push", low=-1.0, high=1.0, help="of the pedal, as a share of `strength`"),
                Field("daring", low=-1.0, high=1.0, help="how small a gap will do"),
            )
        )
        own = (
            Field("speed", "30 m/s", 0.0, 2.0),
            Field("wanted", "10 m/s", -2.0, 2.0, help="wished speed less own"),
            Field("acceleration", "3 m/s2", -3.0, 3.0),
            Field("ramp", low=0.0, high=1.0, help="1: on the ramp"),
            Field("ends", "100 m", 0.0, 5.0, help="way to the end of the ramp"),
        )
        sensed = tuple(
            Field(f"{side}_{what}", "10 m/s", -2.0, 2.0)
            if what.endswith("closing")
            else Field(f"{side}_{what}", "50 m", -0.2, 3.0)
            for what in SENSED
            for side in SIDES
        )
        pedal = Field("pedal", "3 m/s2", -3.0, 3.0, help="of people")
        self.sees = Space((*own, *sensed, pedal))

    def memory(self, xp: Any, batch: int) -> Array:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def is_due(self, obs: Array) -> Array:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool)

    def see(self, obs: Array, inbox: Mapping[str, Any], memory: Array) -> Array:
        xp, view = array_namespace(obs), self.sensors.read(obs)
        lanes = view.lanes
        gaps, closings = (lanes.ahead, lanes.behind), (lanes.ahead_closing, lanes.behind_closing)
        sensed = [
            column
            for gap, closing in zip(gaps, closings, strict=True)
            for of, unit in ((xp.where(gap < EMPTY_M, gap, 150.0 + 0 * gap), 50.0), (closing, 10.0))
            for column in (of[side, ...] / unit for side in range(3))
        ]
        acceleration = obs[..., self.sensors.at["acceleration"]]
        told = (
            view.speed / 30.0, (view.wish - view.speed) / 10.0, acceleration / 3.0,
            xp.astype(view.lane == 0, obs.dtype), view.ends / 100.0, *sensed, view.pedal() / 3.0,
        )  # fmt: skip
        return xp.clip(xp.stack(told, axis=-1), -3.0, 5.0)

    def act(
        self, decision: Array, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, Mapping[str, Array], Array]:
        xp, view = array_namespace(decision), self.sensors.read(obs)
        people, eager = view.pedal(), view.pedal(EAGER)
        pushed = people + self.strength * decision[..., 0]
        pushed = xp.minimum(pushed, xp.maximum(people, eager))
        # Who must stop at the end of the ramp does so as people do, to the metre.
        pedal = xp.clip(xp.where(view.end() < inf, people, pushed), self.low, self.high)
        safe = self.manners.safe * (1 + 0.5 * decision[..., 1])
        side = view.side(replace(self.manners, safe=safe), self.sensors.size)
        return xp.stack((pedal, side), axis=-1), {}, memory
