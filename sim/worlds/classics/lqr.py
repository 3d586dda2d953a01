"""LQR: one number is held at zero at quadratic cost, x' = a x + b u + noise; see `linear`.

With the default a = b = q = r = 1 the Riccati equation P = 1 + P - P^2 / (1 + P) is solved by the
golden ratio, and the best control is u = -0.618 x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sim.worlds.classics import linear
from sim.worlds.classics.common import RULE, Columns, maker
from sim.worlds.classics.fields import NotNegative, Positive

RULES: Final = {"controller": f"{RULE}:LinearRule"}


class Params(linear.Params, frozen=True):
    """a, b: the system. q, r: price of x^2 and u^2. noise: its standard deviation. action_max:
    bound of u. dt: of a step."""

    a: float = 1.0
    b: float = 1.0
    q: Positive = 1.0
    r: Positive = 1.0
    noise: NotNegative = 0.1


def lqr(p: Params) -> linear.Linear:
    """x' = a x + b u + noise."""
    a, b = np.array([[p.a]]), np.array([[p.b]])
    return linear.Linear("lqr", p, a, b, q=np.array([p.q]), r=np.array([p.r]))


make = maker(lqr, Params, "lqr")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """The best control under the run's own noise; none for a system that b cannot move."""
    world = make(params)
    return linear.riccati(world, seed, duration_ns) if world.b[0, 0] else {}
