"""What robots and their ground are like: parameters that all tasks share, and spaces."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from sim.errors import BoundError
from sim.spaces import Field
from sim.units import SECOND, duration_ns
from sim.worlds.classics.fields import NotNegative, Parameters, Positive

TTL_NS: Final = SECOND
"""An action is not obeyed for longer, unless decisions are rarer; then the robot brakes."""
Duration = str | float
Disc = tuple[float, float, float]
"""x, y and radius in m."""


class Params(Parameters, frozen=True):
    """robots: how many. width, height: of the ground, m, whose corner is at (0, 0), within walls.
    start: robots begin anywhere, or side by side around the middle, or in the corner at (0, 0).
    gap: m between those that begin side by side.
    motion: unicycle or double_integrator. radius: of a robot, m. speed: limit, m/s. acceleration:
    limit, m/s2. turn: limit of a unicycle, rad/s.
    obstacles: how many the seed draws, or [x, y, radius] of each. obstacle_size: largest radius, m.
    battery: Wh, 0 for one that is never empty. idle: W. mass: kg. rolling: coefficient of rolling
    resistance. chargers: [x, y] of each. charge: W. dock: m, how near a charger reaches.
    sight: m, how far sensors see. neighbours: how many others a robot sees, the nearest ones.
    beams: directions in which it sees how far the way is free. noise: standard deviation of
    positions, own and others', m. cell: side of a cell of the map, m.
    link: m, within which two robots count as connected, in the outcome.
    decide: time between two decisions. dt: a step of physics.
    """

    task: str = "search"
    robots: Annotated[int, Meta(ge=1, le=5000)] = 12
    width: Positive = 40.0
    height: Positive = 30.0
    start: Literal["anywhere", "middle", "corner"] = "anywhere"
    gap: Positive = 0.4
    motion: Literal["unicycle", "double_integrator"] = "unicycle"
    radius: Positive = 0.2
    speed: Positive = 1.0
    acceleration: Positive = 1.0
    turn: Positive = 2.0
    obstacles: Annotated[int, Meta(ge=0, le=200)] | tuple[Disc, ...] = 0
    obstacle_size: Positive = 1.5
    battery: NotNegative = 0.0
    idle: NotNegative = 5.0
    mass: Positive = 10.0
    rolling: NotNegative = 0.05
    chargers: tuple[tuple[float, float], ...] = ()
    charge: Positive = 200.0
    dock: Positive = 1.0
    sight: Positive = 5.0
    neighbours: Annotated[int, Meta(ge=0, le=20)] = 4
    beams: Annotated[int, Meta(ge=0, le=64)] = 8
    noise: NotNegative = 0.0
    cell: Positive = 1.0
    link: Positive = 10.0
    decide: Duration = "200ms"
    dt: str | float = "100ms"


def steps(p: Params, name: str) -> int:
    """A duration in steps of physics.

    Raises: BoundError if it is not a whole number of them, or none.
    """
    try:
        found, rest = divmod(duration_ns(getattr(p, name)), duration_ns(p.dt))
    except ValueError as error:
        raise BoundError(f"world.{name}: {error}") from None
    if rest or not found:
        what = f"a multiple of dt = {p.dt}, above 0"
        raise BoundError(f"world.{name}: expected {what}, found {getattr(p, name)!r}")
    return found


def sees(p: Params) -> list[Field]:
    """What every robot observes, whatever its task. Directions are those of the ground."""
    k = p.neighbours
    fields = [
        Field("x", "m", 0.0, p.width),
        Field("y", "m", 0.0, p.height),
        Field("heading_x", low=-1.0, high=1.0, help="of a vector of length 1"),
        Field("heading_y", low=-1.0, high=1.0),
        Field("speed_x", "m/s", -p.speed, p.speed),
        Field("speed_y", "m/s", -p.speed, p.speed),
        Field("battery", low=0.0, high=1.0, default=1.0, help="share that is left"),
        Field("sighted", low=0.0, high=1.0, help="0: its sensors have failed"),
        Field("near", low=0.0, high=1.0, size=k, help="1: there is a neighbour, the nearest first"),
        Field("near_number", low=0.0, high=float(p.robots), size=k, help="which; 0: nobody"),
        Field("near_x", "m", -p.sight, p.sight, size=k, help="where it is, seen from here"),
        Field("near_y", "m", -p.sight, p.sight, size=k),
        Field("near_speed_x", "m/s", -2 * p.speed, 2 * p.speed, size=k, help="its speed less own"),
        Field("near_speed_y", "m/s", -2 * p.speed, 2 * p.speed, size=k),
        Field("free", "m", 0.0, p.sight, size=p.beams, help="way, east first, anticlockwise"),
    ]
    far, count = max(p.width, p.height), min(len(p.chargers), 1)
    fields.append(Field("charger_x", "m", -far, far, size=count, help="the nearest, from here"))
    fields.append(Field("charger_y", "m", -far, far, size=count))
    return [field for field in fields if field.size]


def acts(p: Params) -> list[Field]:
    """What moves a robot."""
    if p.motion == "unicycle":
        turn = Field("turn", "rad/s", -p.turn, p.turn, help="anticlockwise")
        return [Field("speed", "m/s", 0.0, p.speed, help="that is wanted"), turn]
    most = p.acceleration
    return [Field(f"acceleration_{axis}", "m/s2", -most, most) for axis in "xy"]
