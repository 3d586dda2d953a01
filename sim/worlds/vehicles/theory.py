"""What linear theory says of strings of vehicles: how a small disturbance passes along.

CACC and ACC, from one vehicle to the next, with G the vehicle, K the controller, H the spacing
policy and D the link; the string is stable if the gain is nowhere above 1:
    Gamma(s) = (G K + D) / (1 + G K) / H
    G = exp(-delay s) / (s^2 (lag s + 1)),  K = kp + kd s,  H = h s + 1,  D = exp(-theta s), 0: ACC
    D = s^2 G E, E the estimate of an acceleration by the acceleration (`laws`): dCACC
A value that is held between messages of period T is late by T / 2 more.
IDM, and any law a(s, v, v_ahead), near an equilibrium, for waves exp(sigma t + i k n) along the
vehicles n; long waves grow where dv_e/ds > (a_ahead - a_v) / 2:
    sigma^2 - sigma (a_v + a_ahead exp(-i k)) - a_s (exp(-i k) - 1) = 0

Sources: Ploeg, van de Wouw and Nijmeijer, Lp String Stability of Cascaded Systems, 2014, equations
17 to 31; Wilson and Ward, Car-following models: fifty years of linear stability analysis, 2011;
Treiber and Kesting, Traffic Flow Dynamics, 2013, chapter 15.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.worlds.vehicles.laws import (
    GAINS,
    SINGER,
    Driver,
    Gains,
    Singer,
    equilibrium,
    filter_gains,
    idm,
    predictor,
)

LAG_S: Final = 0.1
DELAY_S: Final = 0.2
"""Of the actuators in Ploeg's vehicles."""
_OMEGA: Final = np.geomspace(1e-3, 30.0, 20000)
_LONGEST_S: Final = 20.0
Array = NDArray[np.float64]


def gain(
    omega: Array,
    headway: float,
    theta: float | None,
    gains: Gains = GAINS,
    lag: float = LAG_S,
    delay: float = DELAY_S,
    late: float | None = None,
) -> Array:
    """|Gamma| at angular frequencies in rad/s. theta: delay of messages in s, None without any;
    late: then that of an estimate by radar, None without any either.

    Shapes: [n] -> [n].
    """
    s = 1j * omega
    vehicle = np.exp(-delay * s) / (s * s * (lag * s + 1))
    loop = vehicle * (gains.kp + gains.kd * s)
    link: Array | float = 0.0 if theta is None else np.exp(-theta * s)
    if late is not None:
        link = s * s * vehicle * seen(omega) * np.exp(-late * s)
    passed: Array = np.abs((loop + link) / (1 + loop) / (headway * s + 1))
    return passed


def seen(omega: Array, singer: Singer = SINGER, period: float = 0.1) -> NDArray[np.complex128]:
    """The estimate of an acceleration over the acceleration, with the speed measured each period.
    Shapes: [n] -> [n]."""
    turn, left = predictor(singer, period)
    share, push = filter_gains(singer, period)
    back = np.exp(-1j * omega * period)
    # speed' = (1 - share) (speed + turn a) + share v;  a' = left a + push (v - speed - turn a)
    from_speed, from_own = (1 - share) * back, (1 - share) * turn * back
    steps = (1 - from_speed) * (1 - (left - push * turn) * back) + push * back * from_own
    found: NDArray[np.complex128] = (push * (1 - from_speed) - push * back * share) / steps
    return found / (1j * omega)


def smallest_headway(
    theta: float | None,
    gains: Gains = GAINS,
    lag: float = LAG_S,
    delay: float = DELAY_S,
    late: float | None = None,
) -> float:
    """The shortest headway in s at which a string is stable, to a millisecond. See `gain`."""
    low, high = 0.0, _LONGEST_S
    while high - low > 1e-4:
        middle = (low + high) / 2
        is_stable = gain(_OMEGA, middle, theta, gains, lag, delay, late).max() <= 1 + 1e-9
        low, high = (low, middle) if is_stable else (middle, high)
    return high


def slopes(driver: Driver, speed: float) -> tuple[float, float, float]:
    """a_s, a_v and a_ahead of IDM at the equilibrium of a speed, by central differences."""
    gap, step = equilibrium(driver, speed), 1e-5

    def at(gap: float, own: float, ahead: float) -> float:
        gaps, closings, speeds = (np.array([x]) for x in (gap, own - ahead, own))
        return float(idm(driver, gaps, closings, speeds)[0])

    by_gap = at(gap + step, speed, speed) - at(gap - step, speed, speed)
    by_own = at(gap, speed + step, speed) - at(gap, speed - step, speed)
    by_ahead = at(gap, speed, speed + step) - at(gap, speed, speed - step)
    return by_gap / (2 * step), by_own / (2 * step), by_ahead / (2 * step)


def excess(driver: Driver, speed: float) -> float:
    """dv_e/ds - (a_ahead - a_v) / 2 in 1/s: above 0 long waves grow."""
    a_s, a_v, a_ahead = slopes(driver, speed)
    return -a_s / (a_v + a_ahead) - (a_ahead - a_v) / 2


def growth(driver: Driver, speed: float, wave: float) -> complex:
    """sigma in 1/s of the solution that grows fastest. wave: k in radians per vehicle."""
    a_s, a_v, a_ahead = slopes(driver, speed)
    turn = np.exp(-1j * wave)
    roots = np.roots([1.0, -(a_v + a_ahead * turn), -a_s * (turn - 1)])
    return complex(roots[roots.real.argmax()])


def capacity(driver: Driver, length: float) -> tuple[float, float]:
    """The greatest flow in equilibrium in vehicles per s, and the speed in m/s that has it."""
    speeds = np.linspace(0.01, driver.speed * 0.999, 20000)
    gaps = (driver.standstill + speeds * driver.headway) / np.sqrt(1 - (speeds / driver.speed) ** 4)
    flows = speeds / (gaps + length)
    best = int(flows.argmax())
    return float(flows[best]), float(speeds[best])
