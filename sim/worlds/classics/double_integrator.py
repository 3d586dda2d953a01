"""Double integrator: a mass without friction is brought to rest at the origin by a force.

    x' = x + h v + h^2 u / 2,  v' = v + h u,  reward = -(q x^2 + q_v v^2 + r u^2); see `linear`

Source: Rao and Bernstein 2001, "Naive control of the double integrator", IEEE Control Systems 21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import step_ns
from sim.worlds.classics.linear import Linear, riccati
from sim.worlds.world import State

RULES: Final = {"controller": "agents.behaviours.classics:LinearRule"}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """q, q_speed, r: price of place, speed and force, each squared. noise: standard deviation per
    step, of both. action_max: the greatest force. dt: of a step; h in the formula, in seconds."""

    q: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    q_speed: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    r: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    noise: Annotated[float, msgspec.Meta(ge=0)] = 0.01
    action_max: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    dt: str | float = "100ms"


class DoubleIntegrator(Linear):
    """Drawn as a point: place across, speed up."""

    def scene(self, state: State) -> dict[str, Any]:
        mass = {"name": "mass", "at": state["x"][0].tolist(), "role": "point"}
        return {"kind": "points", "title": self.title(state), "points": [mass]}


def make(params: Mapping[str, Any]) -> DoubleIntegrator:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    p = parse(Params, params, "double_integrator")
    dt_ns = step_ns(p.dt)
    h = dt_ns / SECOND
    a, b = np.array([[1.0, h], [0.0, 1.0]]), np.array([[h * h / 2], [h]])
    system = (a, b, np.array([p.q, p.q_speed]), np.array([p.r]))
    return DoubleIntegrator("double_integrator", system, p.noise, p.action_max, dt_ns)


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """The best control under the run's own noise."""
    return riccati(make(params), seed, duration_ns)
