"""What a learned network sees and decides in the world `motorway`; it hears nobody.

`Nudge`  the role that the world names: on top of a driver who keeps safe. IDM and MOBIL decide, and
         it changes their pedal and how large a gap must be; without a say they are people.
`Pedal`  a pedal and a lane freely; it may change where a person would not dare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final

from array_api_compat import array_namespace

from agents.behaviours.motorway import manners_of
from agents.behaviours.motorway_view import Sensors, View
from sim.spaces import Field, Space
from sim.worlds.motorway.laws import EAGER, EMPTY_M
from sim.worlds.motorway.params import SENSED, SIDES

Array = Any
PEDALS: Final = (-2.0, 0.0, 1.0)
"""m/s2: braking, rolling, accelerating."""


class _Sight:
    """What both see: the own motion and the end of the ramp, three lanes, and `more`."""

    every = 1
    is_random = False
    ignores_absent = True
    shown: Mapping[str, int] = {}
    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}

    def __init__(self, group: Any, *more: Field) -> None:
        self.sensors = Sensors(group.observation)
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
        self.sees = Space((*own, *sensed, *more))

    def memory(self, xp: Any, batch: int) -> Array:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def is_due(self, obs: Array) -> Array:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool)

    def told(self, obs: Array, view: View) -> list[Array]:
        """The columns of `sees` but for the last. Shapes: [...] each."""
        xp, lanes = array_namespace(obs), view.lanes
        gaps, closings = (lanes.ahead, lanes.behind), (lanes.ahead_closing, lanes.behind_closing)
        sensed = [
            column
            for gap, closing in zip(gaps, closings, strict=True)
            for of, unit in ((xp.where(gap < EMPTY_M, gap, 150.0 + 0 * gap), 50.0), (closing, 10.0))
            for column in (of[side, ...] / unit for side in range(3))
        ]
        acceleration = obs[..., self.sensors.at["acceleration"]] / 3.0
        is_ramp = xp.astype(view.lane == 0, obs.dtype)
        wanted = (view.wish - view.speed) / 10.0
        own = [view.speed / 30.0, wanted, acceleration, is_ramp, view.ends / 100.0]
        return [xp.clip(column, -3.0, 5.0) for column in (*own, *sensed)]


class Nudge(_Sight):
    """params: strength (of a full push, m/s2; default 1.5), and those of MOBIL as of `Manners`.

    Pushed, one accelerates as an eager driver would at most: twice as much as people, at half of
    their headway, and never beyond its own wish. Braking is not limited.
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        others = {key: value for key, value in params.items() if key != "strength"}
        self.strength, self.manners = float(params.get("strength", 1.5)), manners_of(others)
        self.low, self.high = float(group.action.low[0]), float(group.action.high[0])
        super().__init__(group, Field("pedal", "3 m/s2", -3.0, 3.0, help="of people"))
        self.decides = Space(
            (
                Field("push", low=-1.0, high=1.0, help="of the pedal, as a share of `strength`"),
                Field("daring", low=-1.0, high=1.0, help="1: `safe` is half as much again"),
            )
        )

    def see(self, obs: Array, inbox: Mapping[str, Any], memory: Array) -> Array:
        xp, view = array_namespace(obs), self.sensors.read(obs)
        pedal = xp.clip(view.pedal() / 3.0, -3.0, 3.0)
        return xp.stack((*self.told(obs, view), pedal), axis=-1)

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


class Pedal(_Sight):
    """params: none."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        super().__init__(group, Field("allowed", low=0.0, high=1.0, size=3, masks="change"))
        self.decides = Space(
            (
                Field("pedal", low=0.0, high=2.0, choices=3, help="-2, 0 or 1 m/s2"),
                Field("change", low=0.0, high=2.0, choices=3, help="right, none, left"),
            )
        )

    def see(self, obs: Array, inbox: Mapping[str, Any], memory: Array) -> Array:
        xp, view = array_namespace(obs), self.sensors.read(obs)
        right, left = (xp.astype(may, obs.dtype) for may in view.may)
        return xp.stack((*self.told(obs, view), right, 0 * right + 1.0, left), axis=-1)

    def act(
        self, decision: Array, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, Mapping[str, Array], Array]:
        xp = array_namespace(decision)
        pedal, change = decision[..., 0], decision[..., 1] - 1.0
        wanted = xp.where(pedal < 0.5, PEDALS[0] + 0 * pedal, PEDALS[1] + 0 * pedal)
        wanted = xp.where(pedal > 1.5, PEDALS[2] + 0 * pedal, wanted)
        return xp.stack((wanted, change), axis=-1), {}, memory
