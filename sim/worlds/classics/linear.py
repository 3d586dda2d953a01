"""A linear system under one controller, at quadratic cost; for `lqr` and `double_integrator`.

    x' = A x + B u + noise,   reward = -(x' Q x + u' R u) of the state in which u was chosen

The best control of the endless game is u = -K x by the discrete algebraic Riccati equation
(Anderson and Moore 1990, "Optimal Control: Linear Quadratic Methods", chapter 2), whatever the
noise.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_are

from sim.spaces import Field
from sim.worlds.classics.common import Classic, Columns, Stepped, Tensor, Tensors
from sim.worlds.classics.fields import NotNegative, Parameters, Positive
from sim.worlds.noise import normals, uniforms
from sim.worlds.world import State

Matrix = NDArray[np.float64]
REFERENCE_STEPS_MAX: Final = 20_000
"""A longer run is held against the mean of so many steps."""


class Params(Parameters, frozen=True):
    """noise: standard deviation of each number of the state per step. action_max: bound of u."""

    noise: NotNegative = 0.01
    action_max: Positive = 10.0


class Linear(Classic[Params]):
    """a [n, n], b [n, m], q diagonal [n], r diagonal [m]. Shapes: x float64 [B, n]."""

    def __init__(self, name: str, p: Params, a: Matrix, b: Matrix, q: Matrix, r: Matrix) -> None:
        self.a, self.b, self.q, self.r = a, b, q, r
        n, m = b.shape
        acts = [Field("u", low=-p.action_max, high=p.action_max, size=m)]
        super().__init__(name, p, {"controller": (1, [Field("x", size=n)], acts)})

    def start(self, state: State) -> State:
        return {"x": 2 * uniforms(state["key"], state["step"], len(self.a), 0) - 1}

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        x, p = state["x"], self.params
        u = torch.clamp(actions["controller"][:, 0], -p.action_max, p.action_max)
        u = u * present["controller"]
        cost = _sum(x * x, self.q) + _sum(u * u, self.r)
        rows = [_sum(x, self.a[i]) + _sum(u, self.b[i]) for i in range(len(self.a))]
        after = torch.stack(rows, 1)
        if p.noise:
            after = after + p.noise * normals(state["key"], state["step"], x.shape[1], 1)
        return self.paid(state, {"x": after}, {"controller": -cost[:, None]})

    def observe(self, state: State) -> dict[str, Tensor]:
        return {"controller": state["x"][:, None]}

    def gain(self) -> Matrix:
        """K of the best control. Shapes: [m, n]."""
        q, r = np.diag(self.q), np.diag(self.r)
        p = solve_discrete_are(self.a, self.b, q, r)
        found: Matrix = np.linalg.solve(r + self.b.T @ p @ self.b, self.b.T @ p @ self.a)
        return found

    def average_cost(self) -> float:
        """Of the best control per step, without end: the noise's variance times the trace of P."""
        p = solve_discrete_are(self.a, self.b, np.diag(self.q), np.diag(self.r))
        return float(self.params.noise**2 * np.trace(p))


def riccati(world: Linear, seed: int, duration_ns: int) -> Columns:
    """What the best control of the endless game earns under the run's own start and noise."""
    steps = min(max(duration_ns // world.dt_ns, 1), REFERENCE_STEPS_MAX)
    gain, state = world.gain(), world.reset([(seed, 0)])
    there = {"controller": torch.ones(1, 1, dtype=torch.bool)}
    for _ in range(steps):
        u = torch.from_numpy(-(state["x"].numpy() @ gain.T))[:, None]
        state, _ = world.advance(state, {"controller": u}, there)
    return {"optimum": {"reward": world.metrics(state)["reward"].value}}


def _sum(x: Tensor, weights: Matrix) -> Tensor:
    """Weighted, one by one, so that a row's bits do not depend on the batch."""
    total = x[:, 0] * float(weights[0])
    for i in range(1, len(weights)):
        total = total + x[:, i] * float(weights[i])
    return total
