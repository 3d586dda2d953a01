"""How people drive on several lanes, as pure functions of arrays (array API standard).

IDM with a wish v0 of one's own (`vehicles.laws` has the rest of it), and MOBIL. With a the
acceleration of oneself (c), of who would be behind after a change (n) and of who is behind now (o),
and a~ what each would be after it, one changes if it is
    safe            a~_n > -b_safe, and a~_c > -b_safe
    worth it        a~_c - a_c + p (a~_n - a_n + a~_o - a_o) > threshold -/+ bias (to right / left)
On a ramp that ends there is nothing to be gained by staying: what is safe is done. Its end brakes
nobody before it must: only once stopping there takes a firm deceleration.
Without the ban on passing to the right that the source also has.

Source: Kesting, Treiber and Helbing, General Lane-Changing Model MOBIL for Car-Following Models,
2007, equations 2, 3 and 6 to 8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from array_api_compat import array_namespace

from sim.worlds.vehicles.laws import DRIVER, Driver, idm

Array = Any
FREE: Final = replace(DRIVER, speed=inf)
"""A driver who wants to be as fast as can be: IDM without its wish."""
EAGER: Final = replace(FREE, headway=0.5 * DRIVER.headway, accelerate=2 * DRIVER.accelerate)
"""The same at half the headway, and twice as quick."""
OTHERS_WISH: Final = DRIVER.speed
"""m/s, taken to be wished for by everybody whose wish one does not know."""
FIRM: Final = 3.0
"""m/s2, with which one stops at the end of a lane."""
EMPTY_M: Final = 1e4
"""The gap of a lane with nobody in it."""


@dataclass(frozen=True)
class Manners:
    """Of MOBIL: politeness p; safe b_safe (of all alike, or of each [...]), threshold and bias to
    the right in m/s2."""

    politeness: float = 0.3
    safe: Array = 4.0
    threshold: float = 0.2
    right: float = 0.2


@dataclass(frozen=True)
class Beside:
    """The lanes to the right, one's own and to the left. Shapes: all [3, ...]. Units: m, m/s.

    ahead, ahead_closing: gap to who is ahead there, and own speed less theirs.
    behind, behind_closing: gap to who is behind there, and their speed less one's own.
    """

    ahead: Array
    ahead_closing: Array
    behind: Array
    behind_closing: Array


def follow(wish: Array, gap: Array, closing: Array, speed: Array, driver: Driver = FREE) -> Array:
    """IDM of a driver with a wished speed, m/s2. Shapes: all [...]."""
    return idm(driver, gap, closing, speed) + urge(wish, speed, driver)


def urge(wish: Array, speed: Array, driver: Driver = FREE) -> Array:
    """The part of IDM that the wish takes away, m/s2: -a (v / v0)^4."""
    square = (speed / wish) * (speed / wish)
    return -driver.accelerate * square * square


def stop(speed: Array, room: Array) -> Array:
    """The most that the end of a lane allows, m/s2; inf as long as it need not be thought of.

    Shapes: all [...]. Units: m/s, m.
    """
    xp = array_namespace(speed)
    left = room - 2 * DRIVER.standstill
    needed = speed * speed / (2 * xp.clip(left, 0.1, None))
    must = (needed >= FIRM) | (left <= 0.5)
    return xp.where(must, -xp.clip(needed, FIRM, None), xp.full_like(needed, inf))


def gains(
    manners: Manners, wish: Array, speed: Array, size: float, lanes: Beside
) -> tuple[Array, Array]:
    """What a change to the right and to the left is worth in m/s2, before threshold and bias, and
    whether it is safe. size: m, of everybody. Shapes: [...] -> [2, ...], bool [2, ...]."""
    xp = array_namespace(speed)

    def sides(of: Array) -> Array:
        return xp.stack((of[0, ...], of[2, ...]))

    ahead, behind = sides(lanes.ahead), sides(lanes.behind)
    fast, near = sides(lanes.ahead_closing), sides(lanes.behind_closing)
    none = 0 * ahead
    ahead_now, behind_now = none + lanes.ahead[1, ...], none + lanes.behind[1, ...]
    fast_now, near_now = none + lanes.ahead_closing[1, ...], none + lanes.behind_closing[1, ...]
    # Oneself after and before; who is behind there, likewise; who is behind here, likewise.
    gap = (ahead, ahead_now, behind, behind + size + ahead, behind_now + size + ahead_now,
           behind_now)  # fmt: skip
    closing = (fast, fast_now, near, near + fast, near_now + fast_now, near_now)
    speeds = speed + xp.stack((none, none, near, near, near_now, near_now))
    gaps = xp.stack(gap)
    found = idm(FREE, gaps, xp.stack(closing), speeds)
    found = xp.where(gaps < EMPTY_M, found, xp.full_like(found, DRIVER.accelerate))
    mine, mine_now, theirs, theirs_now, left, left_now = (found[i, ...] for i in range(6))
    hardest = xp.minimum(mine + urge(wish, speed), theirs + urge(OTHERS_WISH, speeds[2, ...]))
    is_safe = (hardest > -manners.safe) & (ahead > 0) & (behind > 0)
    return mine - mine_now + manners.politeness * (theirs - theirs_now + left - left_now), is_safe


def mobil(
    manners: Manners,
    wish: Array,
    speed: Array,
    size: float,
    lanes: Beside,
    may: tuple[Array, Array],
    must: Array,
) -> Array:
    """Which way to change: -1.0 to the right, 1.0 to the left, 0.0 not at all.

    may: whether right and left can be changed to. must: whether the own lane ends.
    Shapes: all [...] -> [...].
    """
    xp = array_namespace(speed)
    gained, is_safe = gains(manners, wish, speed, size, lanes)
    to_right, to_left = gained[0, ...], gained[1, ...]
    is_safe_right, is_safe_left = is_safe[0, ...], is_safe[1, ...]
    more_right = to_right - manners.threshold + manners.right
    more_left = to_left - manners.threshold - manners.right
    is_right = may[0] & is_safe_right & (more_right > 0)
    is_left = may[1] & is_safe_left & (must | (more_left > 0))
    is_left = is_left & (must | ~is_right | (more_left >= more_right))
    one = xp.ones_like(speed)
    return xp.where(is_left, one, xp.where(is_right, -one, 0 * one))
