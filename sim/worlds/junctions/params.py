"""What a grid of junctions is like, and what its agents see and do."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, Literal

from msgspec import Meta

from sim.errors import BoundError
from sim.spaces import Field, Space
from sim.units import SECOND, duration_ns
from sim.worlds.classics.fields import NotNegative, Parameters, Positive, choice
from sim.worlds.junctions.layout import phases
from sim.worlds.vehicles.laws import Driver
from sim.worlds.vehicles.params import Duration

CITY: Final = Driver(speed=50 / 3.6, headway=1.0, accelerate=2.0, brake=2.0, standstill=2.0)
"""Drivers in a city, after Treiber and Kesting, Traffic Flow Dynamics, 2013, table 11.2, but for
the accelerations, which are those at signals. Their capacity is 1,899 vehicles per hour and lane;
the Highway Capacity Manual has 1,900 for a queue that discharges."""
AT_LINE: Final = replace(CITY, headway=0.0)
"""The same before a stop line, which does not move."""
LENGTH_M: Final = 5.0
WAIT, GO, STOP = range(3)
"""What a vehicle may do at the line: stay before it; drive on; go once it has stopped there and
those who came first have gone."""
Rate = Annotated[float, Meta(ge=0, le=3000)]
Turning = Annotated[float, Meta(ge=0, le=1)]
_TTL_S: Final = 3
"""An action is not obeyed for longer than so many decisions, and at least so many seconds."""


class Params(Parameters, frozen=True):
    """junctions: rows x columns of them. control: who is an agent, each junction's signal, or each
    vehicle of a single junction and its manager.
    slots: vehicles at most at a time; 0: by the length of all lanes. road: from box to stop line,
    m. box: from stop line to stop line, m.
    north_south, east_west: vehicles per hour that come by each lane at the edge. right, left:
    shares that turn. arrivals: at random (Poisson), or evenly. swing: share by which the two
    directions change, one up and the other down, and back after half a `period`.
    greens: s of each phase of the fixed plan; none: those of Webster for this demand.
    amber, all_red, least_green: s of signals. decide: time between two decisions. dt: a step.
    """

    control: Literal["signals", "vehicles"] = "signals"
    rows: Annotated[int, Meta(ge=1, le=3)] = 1
    columns: Annotated[int, Meta(ge=1, le=3)] = 1
    slots: Annotated[int, Meta(ge=0, le=1000)] = 0
    road: Annotated[float, Meta(ge=60, le=1000)] = 150.0
    box: Annotated[float, Meta(ge=6, le=40)] = 14.0
    north_south: Rate = 300.0
    east_west: Rate = 300.0
    right: Turning = 0.2
    left: Turning = 0.0
    arrivals: Literal["poisson", "even"] = "poisson"
    swing: Turning = 0.0
    period: Duration = "10min"
    greens: tuple[Positive, ...] = ()
    amber: NotNegative = 3.0
    all_red: NotNegative = 2.0
    least_green: Positive = 5.0
    decide: Duration = "1s"
    dt: str | float = "100ms"


def checked(p: Params) -> Params:
    """Raises: BoundError for what does not go together."""
    if p.left + p.right > 1:
        raise BoundError(f"world.left: with right {p.right:g} at most {1 - p.right:g}")
    if p.control == "vehicles" and p.rows * p.columns > 1:
        raise BoundError("world.control: vehicles are agents at one junction only, 1 x 1")
    wanted = len(phases(p.left > 0))
    if p.greens and len(p.greens) != wanted:
        what = "with left turns" if p.left else "without left turns"
        raise BoundError(f"world.greens: expected {wanted} {what}, found {len(p.greens)}")
    if p.greens and min(p.greens) < p.least_green:
        raise BoundError(f"world.greens: expected at least least_green = {p.least_green:g} s each")
    return p


def steps(p: Params, name: str) -> int:
    """A duration of the parameters in steps. Raises: BoundError."""
    try:
        found, rest = divmod(duration_ns(getattr(p, name)), duration_ns(p.dt))
    except ValueError as error:
        raise BoundError(f"world.{name}: {error}") from None
    if rest or not found:
        raise BoundError(f"world.{name}: expected a multiple of dt = {p.dt}, above 0")
    return found


def every_ns(p: Params) -> int:
    return steps(p, "decide") * duration_ns(p.dt)


def ttl_ns(p: Params) -> int:
    return _TTL_S * max(every_ns(p), SECOND)


def slots(p: Params, lanes: int) -> int:
    """How many vehicles there is room for."""
    return p.slots or int(lanes * p.road / (LENGTH_M + CITY.standstill) * 0.7)


def signal_space(p: Params) -> tuple[Space, Space]:
    """Observation and action of a signal. Sides are north, east, south, west."""
    count, top = len(phases(p.left > 0)), p.road / LENGTH_M
    sees = (
        Field("number", low=0.0, high=8.0, help="of the junction, row by row"),
        Field("neighbours", low=-1.0, high=8.0, size=4, help="their numbers by side, -1: none"),
        Field("queue", "vehicles", 0.0, top, 4, help="slower than 2 m/s, by approach"),
        Field("arriving", "vehicles", 0.0, top, 4, help="the others before the line"),
        Field("phase", low=0.0, high=1.0, size=count, help="1: the one that is on"),
        Field("is_green", low=0.0, high=1.0, help="0: amber or all red before the next"),
        Field("since", "s", 0.0, help="since that began"),
        Field("shares", low=0.0, high=1.0, size=3, help="that go through, right, left"),
    )
    return Space(sees), Space((choice("phase", count, "the phase that should be on"),))


def vehicle_space(p: Params) -> tuple[Space, Space]:
    """Observation and action of a vehicle's slot."""
    sees = (
        Field("present", low=0.0, high=1.0, help="0: nobody is in this slot"),
        Field("serial", low=0.0, help="number of the vehicle in the slot"),
        Field("distance", "m", -p.box, p.road, help="to the stop line"),
        Field("speed", "m/s", 0.0, CITY.speed),
        Field("approach", low=-1.0, high=3.0, help="its side; -1: the junction is behind it"),
        Field("movement", low=0.0, high=2.0, help="through, right, left"),
        Field("first", low=0.0, high=1.0, help="1: nobody else is before it who has not set out"),
        Field("committed", low=0.0, high=1.0, help="1: it crosses, and can stop no more"),
        Field("free", low=0.0, high=1.0, help="1: nobody from another side is on its way"),
        Field("waited", "s", 0.0, help="what it has lost so far"),
        Field("worth", low=0.5, high=1.5, help="of its time, 1 on average"),
    )
    return Space(sees), Space((choice("crossing", 3, "wait, go, or stop and then go"),))


def manager_space() -> Space:
    """Observation of the manager."""
    return Space((Field("held", low=-1.0, high=3.0, size=4, help="approach that has a zone"),))
