"""What a learned network sees and decides in the world `motorway`: a pedal and a lane.

It stands where IDM and MOBIL stand, and hears nobody. What it cannot do, MOBIL's criterion does not
forbid: a network may change where a person would not dare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace

from agents.behaviours.motorway_view import Sensors
from sim.spaces import Field, Space
from sim.worlds.motorway.laws import EMPTY_M
from sim.worlds.motorway.params import SENSED, SIDES

PEDALS: Final = (-2.0, 0.0, 1.0)
"""m/s2: braking, rolling, accelerating."""


class Pedal:
    """params: none."""

    every = 1
    is_random = False
    ignores_absent = True
    shown: Mapping[str, int] = {}
    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.sensors = Sensors(group.observation)
        self.decides = Space(
            (
                Field("pedal", low=0.0, high=2.0, choices=3, help="-2, 0 or 1 m/s2"),
                Field("change", low=0.0, high=2.0, choices=3, help="right, none, left"),
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
        allowed = Field("allowed", low=0.0, high=1.0, size=3, masks="change")
        self.sees = Space((*own, *sensed, allowed))

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def is_due(self, obs: Any) -> Any:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool)

    def see(self, obs: Any, inbox: Mapping[str, Any], memory: Any) -> Any:
        xp, view = array_namespace(obs), self.sensors.read(obs)
        lanes = view.lanes
        gaps, closings = (lanes.ahead, lanes.behind), (lanes.ahead_closing, lanes.behind_closing)
        sensed = [
            column
            for gap, closing in zip(gaps, closings, strict=True)
            for of, unit in ((xp.where(gap < EMPTY_M, gap, 150.0 + 0 * gap), 50.0), (closing, 10.0))
            for column in (of[side, ...] / unit for side in range(3))
        ]
        pedal = obs[..., self.sensors.at["acceleration"]]
        told = (
            view.speed / 30.0, (view.wish - view.speed) / 10.0, pedal / 3.0,
            xp.astype(view.lane == 0, obs.dtype), view.ends / 100.0, *sensed,
        )  # fmt: skip
        right, left = (xp.astype(may, obs.dtype) for may in view.may)
        seen = xp.clip(xp.stack(told, axis=-1), -3.0, 5.0)
        return xp.concat((seen, xp.stack((right, 0 * right + 1.0, left), axis=-1)), axis=-1)

    def act(
        self, decision: Any, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, Mapping[str, Any], Any]:
        xp = array_namespace(decision)
        pedal, change = decision[..., 0], decision[..., 1] - 1.0
        wanted = xp.where(pedal < 0.5, PEDALS[0] + 0 * pedal, PEDALS[1] + 0 * pedal)
        wanted = xp.where(pedal > 1.5, PEDALS[2] + 0 * pedal, wanted)
        return xp.stack((wanted, change), axis=-1), {}, memory
