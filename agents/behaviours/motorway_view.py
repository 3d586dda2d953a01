"""What a driver of the world `motorway` makes of its sensors, for one or for a batch."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from array_api_compat import array_namespace

from sim.spaces import Space
from sim.worlds.motorway.laws import EMPTY_M, FREE, Beside, Manners, follow, mobil, stop
from sim.worlds.motorway.params import SENSED, SIDES
from sim.worlds.vehicles.laws import Driver

Array = Any


@dataclass(frozen=True)
class View:
    """Shapes: all [...]; lanes [3, ...]. Units: m, m/s."""

    alive: Array
    position: Array
    lane: Array
    speed: Array
    wish: Array
    may: tuple[Array, Array]
    opens: Array
    ends: Array
    lanes: Beside

    def pedal(self, driver: Driver = FREE) -> Array:
        """IDM in the own lane, and the end of the ramp, m/s2."""
        xp = array_namespace(self.speed)
        ahead, closing = self.lanes.ahead[1, ...], self.lanes.ahead_closing[1, ...]
        found = follow(self.wish, ahead, closing, self.speed, driver)
        return xp.minimum(found, self.end())

    def end(self) -> Array:
        """What the end of the ramp allows, m/s2; inf where it need not be thought of."""
        xp = array_namespace(self.speed)
        end = stop(self.speed, self.ends)
        return xp.where(self.lane == 0, end, xp.full_like(end, inf))

    def side(self, manners: Manners, size: float, may: tuple[Array, Array] | None = None) -> Array:
        """MOBIL: -1, 0 or 1."""
        xp, may = array_namespace(self.speed), may or self.may
        if not xp.any(may[0] | may[1]):
            return xp.zeros_like(self.speed)
        return mobil(manners, self.wish, self.speed, size, self.lanes, may, self.lane == 0)


class Sensors:
    """Reads observations of a space. size: of a vehicle, m. sight: range, m."""

    def __init__(self, space: Space) -> None:
        self.at = {name: where.start for name, where in space.slices.items()}
        field = next(f for f in space.fields if f.name == "own_ahead")
        self.size, self.sight = -field.low, field.high

    def read(self, obs: Array) -> View:
        """Shapes: [..., k] -> View of [...]."""
        xp = array_namespace(obs)

        def of(name: str) -> Array:
            return obs[..., self.at[name]]

        first = self.at[f"{SIDES[0]}_{SENSED[0]}"]
        seen = xp.reshape(obs[..., first : first + 12], (*obs.shape[:-1], 3, 4))
        ahead, ahead_closing, behind, behind_closing = xp.moveaxis(seen, (-1, -2), (0, 1))
        far = xp.full_like(ahead, EMPTY_M)
        lanes = Beside(
            xp.where(ahead < self.sight, ahead, far), ahead_closing,
            xp.where(behind < self.sight, behind, far), behind_closing,
        )  # fmt: skip
        # Parked vehicles have no wish; a number keeps the laws finite.
        return View(
            of("alive"), of("position"), of("lane"), of("speed"),
            xp.clip(of("wanted_speed"), 1.0, None),
            (of("may_right") > 0, of("may_left") > 0), of("opens"), of("ends"), lanes,
        )  # fmt: skip
