"""A linear system under one controller, at quadratic cost; for `lqr` and `double_integrator`.

    x' = A x + B u + noise,   reward = -(x' Q x + u' R u) of the state in which u was chosen

The best control of the endless game is u = -K x by the discrete algebraic Riccati equation
(Anderson and Moore 1990, "Optimal Control: Linear Quadratic Methods", chapter 2), whatever the
noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_are

from sim.spaces import Field
from sim.worlds.classics.common import Classic, Tensor, group
from sim.worlds.noise import normals, uniforms
from sim.worlds.world import State

Matrix = NDArray[np.float64]
REFERENCE_STEPS_MAX: Final = 20_000
"""A longer run is held against the mean of so many steps."""


class Linear(Classic):
    """a [n, n], b [n, m], q diagonal [n], r diagonal [m]. Shapes: x float64 [B, n]."""

    def __init__(
        self,
        name: str,
        system: tuple[Matrix, Matrix, Matrix, Matrix],
        noise: float,
        action_max: float,
        dt_ns: int,
    ) -> None:
        self.a, self.b, self.q, self.r = system
        self.noise, self.action_max = noise, action_max
        n, m = self.b.shape
        acts = [Field("u", low=-action_max, high=action_max, size=m)]
        sees = [Field("x", size=n)]
        super().__init__(name, [group("controller", 1, dt_ns, sees, acts)], dt_ns)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        state = self.begin(seeds, device)
        start = 2 * uniforms(state["key"], state["step"], len(self.a), 0) - 1
        return {**state, "x": start}

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        x = state["x"]
        u = torch.clamp(actions["controller"][:, 0], -self.action_max, self.action_max)
        u = u * present["controller"]
        cost = _sum(x * x, self.q) + _sum(u * u, self.r)
        rows = [_sum(x, self.a[i]) + _sum(u, self.b[i]) for i in range(len(self.a))]
        after = torch.stack(rows, 1)
        if self.noise:
            after = after + self.noise * normals(state["key"], state["step"], x.shape[1], 1)
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
        return float(self.noise**2 * np.trace(p))


def riccati(world: Linear, seed: int, duration_ns: int) -> dict[str, dict[str, float]]:
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
