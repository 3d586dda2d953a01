"""What vehicles are like and what they see and do: parameters and spaces of the world."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from sim.errors import BoundError
from sim.spaces import Field, Space
from sim.units import SECOND, duration_ns
from sim.worlds.classics.fields import NotNegative, Parameters, Positive
from sim.worlds.vehicles.laws import DRIVER
from sim.worlds.vehicles.motion import Body

TTL_NS: Final = SECOND // 2
"""An action is not obeyed for longer; then the driver takes over."""
Duration = str | float


class Params(Parameters, frozen=True):
    """vehicles: behind the leader, or on the ring. guests: that join and leave; enter, enter_every:
    when they appear beside the file; stay: after which they wish to leave. ring: its
    circumference in m, 0 for a road.
    speed: of the leader, m/s. headway: wanted time gap, s, and standstill: what is added to it, m.
    start_gap: m, 0 for that of human drivers. length: m.
    lag, delay: of the actuators. accelerate, brake: limits, m/s2. jerk: limit, m/s3.
    radar_range: m. radar_noise: standard deviation, m and m/s. radar_latency: age of what it tells.
    drop: by how much the leader brakes, m/s, a quarter more or less. first, period, hold: when it
    does so, how often, and for how long. decide: time between two decisions. dt: a step of physics.
    """

    vehicles: Annotated[int, Meta(ge=1, le=200)] = 8
    guests: Annotated[int, Meta(ge=0, le=50)] = 0
    enter: Duration = "60s"
    enter_every: Duration = "30s"
    stay: Duration = "60s"
    ring: NotNegative = 0.0
    speed: Annotated[float, Meta(gt=0, lt=DRIVER.speed)] = 25.0
    headway: Annotated[float, Meta(gt=0, le=10)] = 0.8
    standstill: NotNegative = 2.0
    start_gap: NotNegative = 0.0
    length: Positive = 5.0
    lag: Duration = "100ms"
    delay: Duration = "200ms"
    accelerate: Positive = 2.5
    brake: Positive = 8.0
    jerk: Positive = 15.0
    radar_range: Positive = 150.0
    radar_noise: NotNegative = 0.05
    radar_latency: Duration = "40ms"
    drop: NotNegative = 6.0
    first: Duration = "40s"
    period: Duration = "14s"
    hold: Duration = "7s"
    decide: Duration = "100ms"
    dt: str | float = "20ms"


def duration(p: Parameters, name: str) -> int:
    """Nanoseconds of a parameter. Raises: BoundError."""
    try:
        return duration_ns(getattr(p, name))
    except ValueError as error:
        raise BoundError(f"world.{name}: {error}") from None


def steps(p: Parameters, name: str, least: int = 0) -> int:
    """A duration in steps of physics.

    Raises: BoundError if it is not a whole number of them, or fewer than `least`.
    """
    found, rest = divmod(duration(p, name), duration(p, "dt"))
    if rest or found < least:
        what = f"a multiple of dt = {p.dt}{', above 0' if least else ''}"
        raise BoundError(f"world.{name}: expected {what}, found {getattr(p, name)!r}")
    return found


def body(p: Params) -> Body:
    """Raises: BoundError if they do not fit on the ring, or guests are to."""
    if p.ring and p.guests:
        raise BoundError("world.guests: guests join a platoon on a road, not on a ring")
    if p.ring and p.ring < p.vehicles * p.length:
        least = p.vehicles * p.length
        raise BoundError(f"world.ring: {p.vehicles} vehicles need {least:g} m, found {p.ring:g}")
    lag = duration(p, "lag") / SECOND
    return Body(p.length, lag, p.accelerate, p.brake, p.jerk, p.ring)


def spaces(p: Params) -> dict[str, tuple[Space, Space]]:
    """Observation and action of each group."""
    top = 2 * DRIVER.speed
    own = [
        Field("speed", "m/s", 0.0, top),
        Field("acceleration", "m/s2", -p.brake, p.accelerate),
        Field("position", "m", help="of the front bumper, along the road"),
        Field("braking", low=0.0, high=1.0, help="1: an emergency brake is on"),
    ]
    radar = [
        Field("gap", "m", 0.0, p.radar_range, help="to who is ahead, by radar"),
        Field("closing", "m/s", -top, top, help="own speed less that of who is ahead"),
        Field("seen", low=0.0, high=1.0, help="1: the radar sees somebody"),
    ]
    known = [
        Field("number", low=1.0, high=float(p.vehicles + p.guests), help="place in the file"),
        Field("headway", "s", 0.0, 10.0, default=p.headway, help="time gap that is wanted"),
        Field("standstill", "m", 0.0, default=p.standstill, help="gap wanted at rest"),
    ]
    if p.guests:
        known += [
            Field("beside", low=0.0, high=1.0, help="0: in the file, 1: beside it"),
            Field("wish", low=0.0, high=1.0, help="1: to be in the file, 0: to be out of it"),
        ]
    asked = Field("acceleration", "m/s2", -p.brake, p.accelerate)
    lane = Field("lane", low=0.0, high=1.0, choices=2, help="0: the file's, 1: beside it")
    wish = Field("wanted_speed", "m/s", 0.0, top)
    return {
        "leader": (Space((*own, wish)), Space((asked,))),
        "vehicle": (Space((*own, *radar, *known)), Space((asked, lane) if p.guests else (asked,))),
    }
