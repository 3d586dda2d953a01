"""Flocking: robots keep together and at a distance, and go after a goal that only some know.

Paid, each for itself and per second: `follow`, - the distance to the goal over the radius of a
lattice of all, at most 1; `spacing`, - |distance - spacing| / spacing to the nearest other, at most
1; `alignment`, - |v - mean v| / speed, at most 1.
Reference `lattice`: a perfect hexagonal flock about the goal, all with its velocity; nothing is
above it. The forces are in `lattice`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import torch
from msgspec import Meta

from sim.spaces import Field
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns
from sim.worlds.classics.fields import Positive
from sim.worlds.swarm import params, task
from sim.worlds.swarm.course import course, seconds_of
from sim.worlds.swarm.lattice import REACH, hexagonal
from sim.worlds.swarm.motion import norm, total
from sim.worlds.swarm.near import near, nearest, parts
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
_GOAL: Final = 0
_SUMS: Final = ("order", "gap", "away", "groups")


class Params(params.Params, frozen=True):
    """spacing: m, to the nearest other. informed: how many know the goal, from robot-1 on. leg:
    time from one place of the goal to the next."""

    spacing: Positive = 2.0
    informed: Annotated[int, Meta(ge=0)] = 3
    leg: params.Duration = "60s"


class Task(task.Task[Params]):
    """Shapes: order, gap, away, groups float64 [B], sums over decisions; flown [B], how many."""

    components = ("follow", "spacing", "alignment")

    def __init__(self, p: Params) -> None:
        super().__init__(p)
        self.every = params.steps(p, "decide")
        self.leg = seconds_of(p, "leg")
        self.radius = max(hexagonal(p.robots, p.spacing)[-1], p.spacing)
        far = max(p.width, p.height)
        self.sees = (
            Field("informed", low=0.0, high=1.0, help="1: it knows the goal"),
            Field("goal_x", "m", -far, far, help="seen from here"),
            Field("goal_y", "m", -far, far),
            Field("goal_speed_x", "m/s", -p.speed, p.speed),
            Field("goal_speed_y", "m/s", -p.speed, p.speed),
        )

    def start(self, state: State) -> State:
        zero = torch.zeros_like(state["charge"][:, 0])
        return {name: zero.clone() for name in (*_SUMS, "flown")}

    def goal(self, state: State) -> tuple[Tensor, Tensor]:
        """Where it is and how it moves. Shapes: -> [B, 2] m, [B, 2] m/s."""
        p = self.params
        return course(p, state["key"], state["step"] * self.dt, self.leg, _GOAL, margin=0.2)

    def advance(
        self, before: State, after: State, action: Tensor, is_driven: Tensor
    ) -> tuple[State, Tensor]:
        p, velocity = self.params, after["velocity"]
        up = (~after["broken"] & (after["charge"] > 0)).double()
        count = torch.clamp(total(up), min=1.0)
        mean = total(velocity * up[..., None]) / count[:, None]
        place, _ = self.goal(after)
        away = norm(after["position"] - place[:, None])
        gap = self._gaps(after["position"])
        off = torch.clamp(torch.abs(gap - p.spacing) / p.spacing, max=1.0)
        apart = torch.clamp(norm(velocity - mean[:, None]) / p.speed, max=1.0)
        paid = -torch.stack((torch.clamp(away / self.radius, max=1.0), off, apart), -1) * self.dt
        is_due = (after["step"] % self.every == 0).double()
        changes: dict[str, Tensor] = {}
        if bool(is_due.any()):
            told = {
                "order": norm(total(velocity * up[..., None]))
                / torch.clamp(total(norm(velocity) * up), min=1e-6),
                "gap": total(off * up) / count,
                "away": total(away * up) / count,
                "groups": self._groups(after["position"], up > 0),
            }
            changes = {name: before[name] + value * is_due for name, value in told.items()}
            changes["flown"] = before["flown"] + is_due
        return changes, paid

    def _gaps(self, position: Tensor) -> Tensor:
        """Distance to the nearest other, at most twice the spacing. Shapes: -> [B, n]."""
        rows, n, _ = position.shape
        pairs = near(position, 2 * self.params.spacing)
        index, there = nearest(pairs, rows * n, 1)
        flat = position.reshape(-1, 2)
        gap = norm(flat[index[:, 0]] - flat)
        far = torch.full_like(gap, 2 * self.params.spacing)
        return torch.where(there[:, 0], gap, far).view(rows, n)

    def _groups(self, position: Tensor, up: Tensor) -> Tensor:
        """How many groups there are whose members are neighbours. Shapes: -> float64 [B]."""
        rows, n, _ = position.shape
        pairs = near(position, REACH * self.params.spacing)
        label = parts(pairs, rows, n)
        own = torch.arange(rows * n, device=position.device).view(rows, n)
        return ((label == own) & up).sum(1).double()

    def observe(self, state: State) -> list[Tensor]:
        place, speed = self.goal(state)
        position = state["position"]
        number = torch.arange(position.shape[1], device=position.device)
        knows = (number < self.params.informed).double()[:, None].expand(*position.shape[:2], 1)
        apart = (place[:, None] - position) * knows
        return [knows, apart, speed[:, None] * knows]

    def metrics(self, state: State, seconds: float) -> dict[str, Metric]:
        flown = max(float(state["flown"][0]), 1.0)
        of = {name: float(state[name][0]) / flown for name in _SUMS}
        return {
            "order": Metric(
                100 * of["order"], "%", "higher", False, "|sum of velocities| / sum of speeds"
            ),
            "gap_error": Metric(
                100 * of["gap"], "%", "lower", False, "of the distance to the nearest other"
            ),
            "away": Metric(of["away"], "m", "lower", False, "distance to the goal"),
            "groups": Metric(of["groups"], "", "lower", False, "that the flock has fallen into"),
        }

    def scene(self, state: State) -> dict[str, Any]:
        place, _ = self.goal(state)
        flown = max(float(state["flown"][0]), 1.0)
        figures = {"order %": 100 * float(state["order"][0]) / flown}
        return {"marks": [{"at": place[0].tolist(), "role": "goal"}], "figures": figures}


def reference(params_: Mapping[str, Any], seed: int, duration: int) -> Columns:
    """`lattice`, see above."""
    p = parse(Params, params_, "swarm")
    far = hexagonal(p.robots, p.spacing)
    away = sum(far) / len(far)
    radius = max(far[-1], p.spacing)
    found = {"reward": -away / radius, "order": 100.0, "gap_error": 0.0, "groups": 1.0}
    return {"lattice": {**found, "away": away}}
