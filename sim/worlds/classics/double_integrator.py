"""Double integrator: a mass without friction is brought to rest at the origin by a force.

    x' = x + h v + h^2 u / 2,  v' = v + h u,  reward = -(q x^2 + q_v v^2 + r u^2); see `linear`

Source: Rao and Bernstein 2001, "Naive control of the double integrator", IEEE Control Systems 21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sim.units import SECOND
from sim.worlds.classics import linear
from sim.worlds.classics.common import RULE, Columns, maker, step_ns
from sim.worlds.classics.fields import NotNegative, Positive
from sim.worlds.world import State

RULES: Final = {"controller": f"{RULE}:LinearRule"}


class Params(linear.Params, frozen=True):
    """q, q_speed, r: price of place, speed and force, each squared. noise: standard deviation per
    step, of both. action_max: the greatest force. dt: of a step; h in the formula, in seconds."""

    q: Positive = 1.0
    q_speed: NotNegative = 0.1
    r: Positive = 0.1


class DoubleIntegrator(linear.Linear):
    """Drawn as a point: place across, speed up."""

    def __init__(self, p: Params) -> None:
        h = step_ns(p.dt) / SECOND
        a, b = np.array([[1.0, h], [0.0, 1.0]]), np.array([[h * h / 2], [h]])
        q, r = np.array([p.q, p.q_speed]), np.array([p.r])
        super().__init__("double_integrator", p, a, b, q, r)

    def scene(self, state: State) -> dict[str, Any]:
        mass = {"name": "mass", "at": state["x"][0].tolist(), "role": "point"}
        return {"kind": "points", "title": self.title(state), "points": [mass]}


make = maker(DoubleIntegrator, Params, "double_integrator")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """The best control under the run's own noise."""
    return linear.riccati(make(params), seed, duration_ns)
