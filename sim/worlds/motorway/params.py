"""What the motorway is like, and what vehicles see and do: parameters and spaces of the world."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from sim.errors import BoundError
from sim.spaces import Field, Space
from sim.units import SECOND
from sim.worlds.classics.fields import NotNegative, Parameters, Positive, Share
from sim.worlds.vehicles.motion import Body
from sim.worlds.vehicles.params import Duration, duration

TTL_NS: Final = SECOND // 2
"""An action is not obeyed for longer; then the driver takes over."""
SPEED_MAX: Final = 50.0
"""m/s; no space goes beyond it."""
SIDES: Final = ("right", "own", "left")
SENSED: Final = ("ahead", "ahead_closing", "behind", "behind_closing")
"""Of each lane: gap to who is ahead in it and closing speed, and the same of who is behind."""


class Params(Parameters, frozen=True):
    """length: of the road, m. lanes: without the ramp; lane 1 is the slow one, to the right.
    vehicles, ramps, emergencies: slots of the three groups, each for one vehicle in an episode.
    demand, ramp_demand: vehicles per hour, of all lanes and of the ramp. jitter: by which share of
    the time between two arrivals each is drawn. filled: the road begins with its vehicles on it.
    speed: wished for, m/s, and spread: within which share of it. ramp_speed: at its end, m/s.
    hurry: wish of emergency vehicles, m/s. called: when the first of them enters.
    ramp: where it joins the road, m. opens, ends: where one may change from it, m along the road.
    scene: where accidents happen, and where emergency vehicles are needed, m.
    politeness, safe, threshold, right: of MOBIL, see `laws`. settling: time between two changes.
    lag, delay, accelerate, brake, jerk: of the actuators, see `vehicles.params`. size: m.
    sight: range of the sensors, m. noise: standard deviation, m and m/s. latency: age of what
    they tell. urgency: what a second of an emergency vehicle weighs in its reward.
    """

    length: Annotated[float, Meta(ge=100, le=20_000)] = 1500.0
    lanes: Annotated[int, Meta(ge=1, le=6)] = 2
    vehicles: Annotated[int, Meta(ge=1, le=1000)] = 60
    ramps: Annotated[int, Meta(ge=0, le=500)] = 0
    emergencies: Annotated[int, Meta(ge=0, le=10)] = 0
    demand: Annotated[float, Meta(gt=0, le=20_000)] = 2400.0
    ramp_demand: Annotated[float, Meta(gt=0, le=3_000)] = 500.0
    jitter: Share = 0.5
    filled: bool = True
    speed: Annotated[float, Meta(gt=0, le=40)] = 30.0
    spread: Annotated[float, Meta(ge=0, le=0.3)] = 0.1
    ramp_speed: Positive = 22.0
    hurry: Annotated[float, Meta(gt=0, le=45)] = 40.0
    called: Duration = "20s"
    ramp: NotNegative = 300.0
    opens: NotNegative = 500.0
    ends: NotNegative = 750.0
    scene: Positive = 1000.0
    politeness: Annotated[float, Meta(ge=0, le=1)] = 0.3
    safe: Positive = 4.0
    threshold: NotNegative = 0.2
    right: NotNegative = 0.2
    settling: Duration = "3s"
    size: Annotated[float, Meta(ge=1, le=30)] = 5.0
    lag: Duration = "100ms"
    delay: Duration = "200ms"
    accelerate: Positive = 2.5
    brake: Positive = 8.0
    jerk: Positive = 15.0
    sight: Annotated[float, Meta(gt=0, le=1000)] = 150.0
    noise: NotNegative = 0.05
    latency: Duration = "40ms"
    urgency: NotNegative = 10.0
    decide: Duration = "100ms"
    dt: str | float = "20ms"


def body(p: Params) -> Body:
    """Raises: BoundError for a ramp or a scene that are not on the road in this order."""
    if p.ramps and not p.ramp < p.opens < p.ends < p.length:
        order = "ramp < opens < ends < length"
        raise BoundError(
            f"world.ramp: expected {order}, found {p.ramp:g}, {p.opens:g}, {p.ends:g}, {p.length:g}"
        )
    if p.scene >= p.length:
        raise BoundError(f"world.scene: expected less than length {p.length:g}, found {p.scene:g}")
    if p.hurry < p.speed:
        raise BoundError(f"world.hurry: expected at least speed {p.speed:g}, found {p.hurry:g}")
    return Body(p.size, duration(p, "lag") / SECOND, p.accelerate, p.brake, p.jerk)


def spaces(p: Params) -> tuple[Space, Space]:
    """Observation and action of everybody."""
    own = [
        Field("alive", low=0.0, high=1.0, help="1: on the road; else all other numbers are 0"),
        Field("gone", low=0.0, high=1.0, help="1: has left the road, for good"),
        Field("position", "m", 0.0, p.length + 10.0, help="of the front bumper, along the road"),
        Field("lane", low=0.0, high=float(p.lanes), help="0: the ramp; 1: the slow lane"),
        Field("speed", "m/s", 0.0, SPEED_MAX),
        Field("acceleration", "m/s2", -p.brake, p.accelerate),
        Field("wanted_speed", "m/s", 0.0, SPEED_MAX),
        Field("may_right", low=0.0, high=1.0, help="1: there is a lane, and time to change"),
        Field("may_left", low=0.0, high=1.0, help="1: there is a lane, and time to change"),
        Field("opens", "m", 0.0, p.length, help="on the ramp: way to where one may change from it"),
        Field("ends", "m", 0.0, p.length, help="on the ramp: way to its end"),
    ]
    top = SPEED_MAX
    sensed = [
        Field(f"{side}_{what}", "m/s", -top, top)
        if what.endswith("closing")
        else Field(f"{side}_{what}", "m", -p.size, p.sight, help="gap; `sight` if nobody is seen")
        for side in SIDES
        for what in SENSED
    ]
    acts = (
        Field("acceleration", "m/s2", -p.brake, p.accelerate),
        Field("change", low=-1.0, high=1.0, help="-1: to the right, 0: stay, 1: to the left"),
    )
    return Space((*own, *sensed)), Space(acts)
