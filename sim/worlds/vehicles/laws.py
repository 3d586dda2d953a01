"""Laws by which a vehicle follows another, as pure functions of arrays (array API standard).

Human drivers, IDM, with s the gap, v the speed, c = v - v_ahead the closing speed:
    a = a_max (1 - (v / v0)^4 - (s* / s)^2),   s* = s0 + max(v T + v c / (2 sqrt(a_max b)), 0)
Automation, with the gap wanted r + h v, its error e = s - r - h v and its rate -c - h a:
    ACC    h u' = -u + kp e + kd e'
    CACC   h u' = -u + kp e + kd e' + u_ahead        u_ahead: the intended acceleration, by message
    dCACC  h u' = -u + kp e + kd e' + a_ahead        a_ahead: the acceleration, estimated by radar
u is the state of all, so that changing from one to another changes its rate and never u itself,
and h goes from one headway to another no faster than a ramp: the fall-back is without a bump.
The estimate is that of a Kalman filter in its steady state, by Singer's model: the acceleration of
the vehicle ahead is forgotten at a rate, and shaken so much that its standard deviation stays.

Sources: Treiber, Hennecke and Helbing, Congested Traffic States in Empirical Observations and
Microscopic Simulations, 2000 (IDM); Ploeg, Scheepers, van Nunen, van de Wouw and Nijmeijer, Design
and Experimental Evaluation of Cooperative Adaptive Cruise Control, 2011, equations 4 to 8; Ploeg,
van de Wouw and Nijmeijer, Lp String Stability of Cascaded Systems, 2014 (gains, lags, headways);
Ploeg, Semsar-Kazerooni, Lijster, van de Wouw and Nijmeijer, Graceful Degradation of Cooperative
Adaptive Cruise Control, 2015 (dCACC: what remains when messages stop; there the filter also takes
the distance, here the speed alone); Singer, Estimating Optimal Tracking Filter Performance for
Manned Maneuvering Targets, 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, sqrt
from typing import Any, Final

import numpy as np
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


@dataclass(frozen=True)
class Singer:
    """How the vehicle ahead is believed to accelerate. forgets: 1/s. spread: the acceleration's
    standard deviation, m/s2. noise: that of a measured speed, m/s."""

    forgets: float = 1.25
    spread: float = 1.7
    noise: float = 0.05


DRIVER: Final = Driver()
ALONE_S: Final = 1.3
"""Headway without messages where nothing else is said: long enough for dCACC."""
GAINS: Final = Gains()
SINGER: Final = Singer()
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


@lru_cache(maxsize=16)
def predictor(singer: Singer, period: float) -> tuple[float, float]:
    """What a period makes of an acceleration: by how much it changes the speed, and what is left.
    Units: s, 1."""
    left = exp(-singer.forgets * period)
    return (1 - left) / singer.forgets, left


@lru_cache(maxsize=16)
def filter_gains(singer: Singer, period: float) -> tuple[float, float]:
    """Of the steady filter with a speed measured each period: how much of what surprises goes into
    the speed, and into the acceleration. Units: 1, 1/s."""
    turn, left = predictor(singer, period)
    step = np.array([[1.0, turn], [0.0, left]])
    # White noise over a period, to the second order in it for the speed.
    power = 2 * singer.forgets * singer.spread**2
    shake = power * np.array([[period**3 / 3, period**2 / 2], [period**2 / 2, period]])
    known = shake
    for _ in range(1000):
        share = known[:, :1] / (known[0, 0] + singer.noise**2)
        known = step @ (known - share @ known[:1]) @ step.T + shake
    speed, acceleration = (float(x) for x in share[:, 0])
    return speed, acceleration


def estimated(
    singer: Singer, before: tuple[Array, Array], measured: Array, period: float
) -> tuple[Array, Array]:
    """Speed and acceleration of the vehicle ahead, by those of a period before and by the speed
    that is measured now. Shapes: all [...]. Units: m/s, m/s2."""
    turn, left = predictor(singer, period)
    share, push = filter_gains(singer, period)
    speed, acceleration = before[0] + turn * before[1], left * before[1]
    surprise = measured - speed
    return speed + share * surprise, acceleration + push * surprise
