"""LQR: one number is held at zero at quadratic cost, x' = a x + b u + noise; see `linear`.

With the default a = b = q = r = 1 the Riccati equation P = 1 + P - P^2 / (1 + P) is solved by the
golden ratio, and the best control is u = -0.618 x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from sim.worlds.catalogue import parse
from sim.worlds.classics.common import step_ns
from sim.worlds.classics.linear import Linear, riccati

RULES: Final = {"controller": "agents.behaviours.classics:LinearRule"}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """a, b: the system. q, r: price of x^2 and u^2. noise: its standard deviation. action_max:
    bound of u. dt: of a step."""

    a: float = 1.0
    b: float = 1.0
    q: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    r: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    noise: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    action_max: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    dt: str | float = "100ms"


def make(params: Mapping[str, Any]) -> Linear:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    p = parse(Params, params, "lqr")
    system = (np.array([[p.a]]), np.array([[p.b]]), np.array([p.q]), np.array([p.r]))
    return Linear("lqr", system, p.noise, p.action_max, step_ns(p.dt))


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """The best control under the run's own noise; none for a system that b cannot move."""
    world = make(params)
    if world.b[0, 0] == 0:
        return {}
    return riccati(world, seed, duration_ns)
