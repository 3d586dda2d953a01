"""Laws by which a vehicle follows another, as pure functions of arrays (array API standard).

Human drivers, IDM, with s the gap, v the speed, c = v - v_ahead the closing speed:
    a = a_max (1 - (v / v0)^4 - (s* / s)^2),   s* = s0 + max(v T + v c / (2 sqrt(a_max b)), 0)
Automation, with the gap wanted r + h v, its error e = s - r - h v and its rate -c - h a:
    ACC    h u' = -u + kp e + kd e'
    CACC   h u' = -u + kp e + kd e' + u_ahead        u_ahead: the intended acceleration, by message
u is the state of both, so that changing from one to the other changes its rate and never u itself,
and h goes from one headway to another no faster than a ramp: the fall-back is without a bump.

Sources: Treiber, Hennecke and Helbing, Congested Traffic States in Empirical Observations and
Microscopic Simulations, 2000 (IDM); Ploeg, Scheepers, van Nunen, van de Wouw and Nijmeijer, Design
and Experimental Evaluation of Cooperative Adaptive Cruise Control, 2011, equations 4 to 8; Ploeg,
van de Wouw and Nijmeijer, Lp String Stability of Cascaded Systems, 2014 (gains, lags, headways);
Ploeg, Semsar-Kazerooni, Lijster, van de Wouw and Nijmeijer, Graceful Degradation of Cooperative
Adaptive Cruise Control, 2015 (what remains when messages stop).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

from array_api_compat import array_namespace

Array = Any


@dataclass(frozen=True)
class Driver:
    """Parameters of IDM. Units: m/s, s, m/s2, m/s2, m."""

    speed: float = 120 / 3.6
    headway: float = 1.6
    accelerate: float = 0.73
    brake: float = 1.67
    standstill: float = 2.0


@dataclass(frozen=True)
class Gains:
    """Of ACC and CACC. kp in 1/s2, kd in 1/s; standstill r in m."""

    kp: float = 0.2
    kd: float = 0.7
    standstill: float = 2.0


DRIVER: Final = Driver()
ALONE_S: Final = 1.2
"""Headway of ACC where nothing else is said."""
GAINS: Final = Gains()
GAP_MIN: Final = 0.1
"""m; nearer than this a driver brakes as if it were this."""


def idm(driver: Driver, gap: Array, closing: Array, speed: Array) -> Array:
    """Acceleration of a human driver in m/s2. Shapes: all [...]. Units: m, m/s, m/s."""
    xp = array_namespace(gap)
    softness = 2 * sqrt(driver.accelerate * driver.brake)
    wanted = driver.standstill + xp.clip(
        speed * driver.headway + speed * closing / softness, 0.0, None
    )
    near = wanted / xp.clip(gap, GAP_MIN, None)
    square = (speed / driver.speed) * (speed / driver.speed)
    return driver.accelerate * (1 - square * square - near * near)


def equilibrium(driver: Driver, speed: float) -> float:
    """The gap in m at which IDM keeps a speed in m/s below its own wish."""
    return (driver.standstill + speed * driver.headway) / sqrt(1 - (speed / driver.speed) ** 4)


def cruise(wanted: Array, speed: Array, softness: float = 1.0) -> Array:
    """Acceleration in m/s2 towards a wanted speed, of a vehicle with nobody ahead."""
    return (wanted - speed) / softness


def command(
    gains: Gains,
    before: Array,
    seen: tuple[Array, Array],
    own: tuple[Array, Array],
    ahead: Array,
    headway: Array,
    period: float,
) -> Array:
    """u after a period in which all else stays as it is: ACC where `ahead` is 0, CACC where it is
    the intended acceleration of the vehicle ahead.

    before: u. seen: gap and closing speed. own: speed and acceleration. headway: h, above 0.
    Shapes: all [...]. Units: m, m/s, m/s2, s.
    """
    xp = array_namespace(before)
    (gap, closing), (speed, acceleration) = seen, own
    error = gap - gains.standstill - headway * speed
    rate = -closing - headway * acceleration
    target = gains.kp * error + gains.kd * rate + ahead
    return before + (1 - xp.exp(-period / headway)) * (target - before)


def towards(headway: Array, wanted: Array, ramp: float, period: float) -> Array:
    """A headway that nears a wanted one by at most `ramp` (s per s) in a period."""
    xp = array_namespace(headway)
    return headway + xp.clip(wanted - headway, -ramp * period, ramp * period)
