"""How people drive on several lanes, as pure functions of arrays (array API standard).

IDM with a wish v0 of one's own (`vehicles_laws` has the rest of it), and MOBIL. With a the
acceleration of oneself (c), of who would be behind after a change (n) and of who is behind now (o),
and a~ what each would be after it, one changes if it is
    safe            a~_n > -b_safe, and a~_c > -b_safe
    worth it        a~_c - a_c + p (a~_n - a_n + a~_o - a_o) > threshold -/+ bias (to right / left)
On a ramp that ends there is nothing to be gained by staying: what is safe is done.
Without the ban on passing to the right that the source also has.

Source: Kesting, Treiber and Helbing, General Lane-Changing Model MOBIL for Car-Following Models,
2007, equations 2, 3 and 6 to 8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from array_api_compat import array_namespace

from sim.worlds.vehicles_laws import DRIVER, idm

Array = Any
FREE: Final = replace(DRIVER, speed=inf)
"""A driver who wants to be as fast as can be: IDM without its wish."""
OTHERS_WISH: Final = DRIVER.speed
"""m/s, taken to be wished for by everybody whose wish one does not know."""
EMPTY_M: Final = 1e4
"""The gap of a lane with nobody in it."""


@dataclass(frozen=True)
class Manners:
    """Of MOBIL: politeness p; safe b_safe, threshold and bias to the right in m/s2."""

    politeness: float = 0.3
    safe: float = 4.0
    threshold: float = 0.2
    right: float = 0.2


@dataclass(frozen=True)
class Beside:
    """A lane as one sees it. Shapes: all [...]. Units: m, m/s.

    ahead, ahead_closing: gap to who is ahead in it, and own speed less theirs.
    behind, behind_closing: gap to who is behind in it, and their speed less one's own.
    """

    ahead: Array
    ahead_closing: Array
    behind: Array
    behind_closing: Array


def follow(wish: Array, gap: Array, closing: Array, speed: Array) -> Array:
    """IDM of a driver with a wished speed, m/s2. Shapes: all [...]."""
    return idm(FREE, gap, closing, speed) + urge(wish, speed)


def urge(wish: Array, speed: Array) -> Array:
    """The part of IDM that the wish takes away, m/s2: -a (v / v0)^4."""
    square = (speed / wish) * (speed / wish)
    return -DRIVER.accelerate * square * square


def gains(
    manners: Manners, wish: Array, speed: Array, size: float, here: Beside, there: Beside
) -> tuple[Array, Array]:
    """What a change to another lane is worth in m/s2 before threshold and bias, and whether it is
    safe. size: m, of everybody. Shapes: all [...] -> [...], bool [...]."""
    xp = array_namespace(speed)
    behind = speed + there.behind_closing
    behind_closing = there.behind_closing + there.ahead_closing
    mine = follow(wish, there.ahead, there.ahead_closing, speed)
    gained = mine - follow(wish, here.ahead, here.ahead_closing, speed)
    braked = _brake(there.behind, there.behind_closing, behind)
    # Who is behind there follows who is ahead there, as long as nobody comes between.
    before = _brake(there.behind + size + there.ahead, behind_closing, behind)
    freed = speed + here.behind_closing
    after = _brake(here.behind + size + here.ahead, here.behind_closing + here.ahead_closing, freed)
    theirs = braked - before + after - _brake(here.behind, here.behind_closing, freed)
    is_safe = (braked + urge(xp.full_like(speed, OTHERS_WISH), behind) > -manners.safe) & (
        mine > -manners.safe
    )
    return gained + manners.politeness * theirs, is_safe & (there.ahead > 0) & (there.behind > 0)


def mobil(
    manners: Manners,
    wish: Array,
    speed: Array,
    size: float,
    lanes: tuple[Beside, Beside, Beside],
    may: tuple[Array, Array],
    must: Array,
) -> Array:
    """Which way to change: -1.0 to the right, 1.0 to the left, 0.0 not at all.

    lanes: right, own and left. may: whether right and left can be changed to. must: whether the own
    lane ends. Shapes: all [...] -> [...].
    """
    xp = array_namespace(speed)
    right, here, left = lanes
    to_right, is_safe_right = gains(manners, wish, speed, size, here, right)
    to_left, is_safe_left = gains(manners, wish, speed, size, here, left)
    more_right = to_right - manners.threshold + manners.right
    more_left = to_left - manners.threshold - manners.right
    is_right = may[0] & is_safe_right & (more_right > 0)
    is_left = may[1] & is_safe_left & (must | (more_left > 0))
    is_left = is_left & (must | ~is_right | (more_left >= more_right))
    one = xp.ones_like(speed)
    return xp.where(is_left, one, xp.where(is_right, -one, 0 * one))


def _brake(gap: Array, closing: Array, speed: Array) -> Array:
    """IDM of somebody else, without a wish; nothing where nobody is."""
    xp = array_namespace(gap)
    found = idm(FREE, gap, closing, speed)
    return xp.where(gap < EMPTY_M, found, DRIVER.accelerate + 0 * found)
