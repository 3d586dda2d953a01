"""Coverage: robots spread so that wherever something happens one of them is near.

    cost = n H / A,   H = integral of min_i |x - p_i|^2 phi(x) dx / integral of phi(x) dx
with n robots on a ground of area A; robots that cannot move do not count among the p_i. phi is
even, or a plume above a background: round, on its way from one drawn place to the next. Who is in
the plume knows where its middle is; others have to be told.
Reference `jump`: robots that know the plume at every moment, and are at once where Lloyd's
algorithm wants them. Cells and bounds: `voronoi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from sim.spaces import Field
from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns
from sim.worlds.classics.fields import NotNegative, Positive
from sim.worlds.noise import row_keys
from sim.worlds.swarm import maps, params, task
from sim.worlds.swarm.course import course, seconds_of
from sim.worlds.swarm.motion import norm
from sim.worlds.swarm.scene import digits
from sim.worlds.swarm.voronoi import HEXAGONS, bell, centroid, squared
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
_PLUME: Final = 0
_SETTLE: Final = 20
"""Iterations of Lloyd's algorithm between two looks of the reference, which are a second apart."""


class Params(params.Params, frozen=True):
    """plume: its radius, m; 0 for an even density. background: density without the plume, whose
    middle has 1. leg: time from one place of the plume to the next."""

    plume: NotNegative = 12.0
    background: Positive = 0.05
    leg: params.Duration = "40s"


class Task(task.Task[Params]):
    """Shapes: cost, spent (its sum over decisions), counted float64 [B]."""

    components = ("coverage",)

    def __init__(self, p: Params) -> None:
        super().__init__(p)
        self.every = params.steps(p, "decide")
        self.leg = seconds_of(p, "leg")
        if p.plume:
            self.sees = (
                Field("plume", low=0.0, high=1.0, help="1: it is in the plume"),
                Field("plume_x", "m", -p.plume, p.plume, help="middle of it, seen from here"),
                Field("plume_y", "m", -p.plume, p.plume),
            )

    def start(self, state: State) -> State:
        cost = self.cost(state)
        return {"cost": cost, "spent": torch.zeros_like(cost), "counted": torch.zeros_like(cost)}

    def middle(self, key: Tensor, step: Tensor) -> Tensor:
        """Where the plume is. Shapes: int64 [B] -> [B, 2]. Units: m."""
        return course(self.params, key, step * self.dt, self.leg, _PLUME)[0]

    def density(self, key: Tensor, step: Tensor, points: Tensor) -> Tensor:
        """Shapes: int64 [B], points [G, 2] -> [B, G]."""
        p = self.params
        if not p.plume:
            return torch.ones(len(key), len(points), dtype=torch.float64, device=key.device)
        square = squared(points, self.middle(key, step))
        dense: Tensor = p.background + bell(square, p.plume, torch)
        return dense

    def cost(self, state: State) -> Tensor:
        """n H / A, on the squares of the map. Shapes: -> [B]."""
        p = self.params
        points = maps.middles(p, state["position"]).reshape(-1, 2)
        points = points[(points[:, 0] < p.width) & (points[:, 1] < p.height)]
        near = squared(points, state["position"])
        is_up = ~state["broken"] & (state["charge"] > 0)
        # With nobody left, whoever is there counts: robots do not move away any more.
        is_up = is_up | ~is_up.any(1, keepdim=True)
        nearest = torch.where(is_up[..., None], near, torch.inf).amin(1)
        return total_cost(p, nearest, self.density(state["key"], state["step"], points))

    def advance(
        self, before: State, after: State, action: Tensor, is_driven: Tensor
    ) -> tuple[State, Tensor]:
        is_due = after["step"] % self.every == 0
        changes = {}
        cost = before["cost"]
        if bool(is_due.any()):
            cost = torch.where(is_due, self.cost(after), cost)
            changes = {
                "cost": cost,
                "spent": before["spent"] + torch.where(is_due, cost, 0.0),
                "counted": before["counted"] + is_due,
            }
        paid = (-cost * self.dt)[:, None, None].expand(-1, is_driven.shape[1], 1)
        return changes, paid

    def observe(self, state: State) -> list[Tensor]:
        p = self.params
        if not p.plume:
            return []
        apart = self.middle(state["key"], state["step"])[:, None] - state["position"]
        is_up = ~state["broken"] & ~state["blind"] & (state["charge"] > 0)
        is_in = ((norm(apart) <= p.plume) & is_up)[..., None]
        return [is_in.double(), torch.where(is_in, apart, 0.0)]

    def metrics(self, state: State, seconds: float) -> dict[str, Metric]:
        cost = float(state["cost"][0])
        counted = float(state["counted"][0])
        mean = float(state["spent"][0]) / counted if counted else cost
        told = "n x mean squared distance to the nearest robot / area"
        return {
            "cost": Metric(mean, "", "lower", False, f"{told}, over time"),
            "cost_now": Metric(cost, "", "lower", False, f"{told}; even hexagons have 0.160"),
        }

    def scene(self, state: State) -> dict[str, Any]:
        told: dict[str, Any] = {"figures": {"cost": float(state["cost"][0])}}
        if self.params.plume:
            middle = maps.middles(self.params, state["position"])
            density = self.density(state["key"], state["step"], middle.reshape(-1, 2))
            told["field"] = digits(9.99 * density[0].view(middle.shape[:2]))
        return told


def total_cost(p: params.Params, nearest: Tensor, density: Tensor) -> Tensor:
    """n H / A from squared distances to whoever is nearest. Shapes: [B, G], [B, G] -> [B].

    A square that belongs to one robot has cell^2 / 6 more than its middle.
    """
    mean = (nearest * density).sum(1) / density.sum(1) + p.cell**2 / 6
    return mean * (p.robots / (p.width * p.height))


def lloyd(points: Tensor, density: Tensor, at: Tensor, iterations: int) -> Tensor:
    """Places after iterations of Lloyd's algorithm. Shapes: [G, d], [G], [n, d] -> [n, d]."""
    for _ in range(iterations):
        owner = squared(points, at).argmin(0)
        mine = (owner == torch.arange(len(at), device=at.device)[:, None]).to(at.dtype)
        at = centroid(torch, points, mine * density, at)
    return at


def reference(params_: Mapping[str, Any], seed: int, duration: int) -> Columns:
    """`jump`, see above; of an even density also `hexagons`, which nothing is below."""
    p = parse(Params, params_, "swarm")
    plain = Task(p)
    key = row_keys([(seed, 0)], "swarm")
    points = maps.middles(p, key).reshape(-1, 2)
    points = points[(points[:, 0] < p.width) & (points[:, 1] < p.height)]
    choice = torch.linspace(0, len(points) - 1, p.robots + 2)[1:-1].round().long()
    at = points[choice] + p.cell * 0.01 * torch.arange(p.robots)[:, None]
    every = max(round(1 / plain.dt), 1)
    last = max(duration // round(plain.dt * SECOND), 1)
    looks = range(every, last + 1, every) if p.plume else range(last, last + 1)
    costs = []
    at = lloyd(points, plain.density(key, key * 0, points)[0], at, 20 * _SETTLE)
    for step in looks or [last]:
        density = plain.density(key, torch.full_like(key, step), points)
        at = lloyd(points, density[0], at, _SETTLE)
        costs.append(float(total_cost(p, squared(points, at).amin(0)[None], density)[0]))
    mean = sum(costs) / len(costs)
    found = {"jump": {"reward": -mean, "cost": mean, "cost_now": costs[-1]}}
    if not p.plume:
        found["hexagons"] = {"reward": -HEXAGONS, "cost": HEXAGONS, "cost_now": HEXAGONS}
    return found
