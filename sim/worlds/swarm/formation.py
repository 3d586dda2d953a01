"""Formation: robots take their places in a shape whose middle nobody has chosen.

Every `change` the shape is another one. A robot knows its place in it, seen from the middle, but
not where the middle is to be: place and robot together say where the robot believes it, and the
formation stands once all believe the same. The error is how far these beliefs are from their mean
(root mean square over robots that can move). Who counts as whose neighbour is a graph; the law of
their agreement is in `consensus`.
Reference `direct`: robots that know the mean of all beliefs go to their places at once, straight
and at full speed, through each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import torch

from sim.spaces import Field
from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns
from sim.worlds.classics.fields import Positive
from sim.worlds.noise import row_keys
from sim.worlds.swarm import ground, params, task
from sim.worlds.swarm.consensus import adjacency
from sim.worlds.swarm.course import seconds_of
from sim.worlds.swarm.motion import norm, total
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
SHAPES: Final = ("circle", "line", "wedge", "block")
"""In the order in which they come."""


class Params(params.Params, frozen=True):
    """shape: the first one. pitch: m between neighbours in a shape. change: time from one shape to
    the next. graph: whose word counts with whom, robots in the order of their numbers. tolerance:
    m, the error up to which the formation stands."""

    shape: Literal["circle", "line", "wedge", "block"] = "circle"
    pitch: Positive = 2.0
    change: params.Duration = "60s"
    graph: Literal["complete", "line", "ring", "star", "tree"] = "ring"
    tolerance: Positive = 0.5


class Task(task.Task[Params]):
    """Shapes: off, time integral of the error, stood, time that the formation stood, float64 [B];
    error [B] in m."""

    components = ("formation",)

    def __init__(self, p: Params) -> None:
        super().__init__(p)
        self.change = seconds_of(p, "change")
        self.places = torch.stack([_shape(name, p.robots, p.pitch) for name in SHAPES])
        self.counts = torch.from_numpy(adjacency(p.graph, p.robots))
        far = float(self.places.abs().max()) + 1.0
        self.sees = (
            Field("number", low=1.0, high=float(p.robots), help="its own, 1 for robot-1"),
            Field("place_x", "m", -far, far, help="seen from the middle of the formation"),
            Field("place_y", "m", -far, far),
            Field("counts", low=0.0, high=1.0, size=p.robots, help="1: that robot is a neighbour"),
        )

    def place(self, step: Tensor) -> Tensor:
        """The places now. Shapes: int64 [B] -> [B, n, 2]. Units: m."""
        number = torch.floor(step * self.dt / self.change).long() + SHAPES.index(self.params.shape)
        places: Tensor = self.places.to(step.device)[number % len(SHAPES)]
        return places

    def start(self, state: State) -> State:
        zero = torch.zeros_like(state["charge"][:, 0])
        error = self.error(state, self._off(state))
        return {"off": zero, "stood": zero.clone(), "error": error}

    def _off(self, state: State) -> Tensor:
        """How far each belief is from their mean. Shapes: -> [B, n]."""
        belief = state["position"] - self.place(state["step"])
        up = (~state["broken"] & (state["charge"] > 0)).double()[..., None]
        count = torch.clamp(total(up), min=1.0)
        mean = total(belief * up) / count
        off: Tensor = norm(belief - mean[:, None]) * up[..., 0]
        return off

    def error(self, state: State, off: Tensor) -> Tensor:
        """Root mean square. Shapes: [B, n] -> [B]."""
        up = (~state["broken"] & (state["charge"] > 0)).double()
        count = torch.clamp(total(up), min=1.0)
        return torch.sqrt(total(off * off) / count)

    def advance(
        self, before: State, after: State, action: Tensor, is_driven: Tensor
    ) -> tuple[State, Tensor]:
        off = self._off(after)
        error = self.error(after, off)
        stands = (error <= self.params.tolerance).double()
        changes = {
            "error": error,
            "off": before["off"] + error * self.dt,
            "stood": before["stood"] + stands * self.dt,
        }
        return changes, (-off * self.dt)[..., None]

    def observe(self, state: State) -> list[Tensor]:
        place = self.place(state["step"])
        n = place.shape[1]
        number = torch.arange(1, n + 1, dtype=place.dtype, device=place.device)
        rows = (len(place), n)
        counts = self.counts.to(place.device).expand(*rows, n)
        return [number[:, None].expand(*rows, 1), place, counts]

    def metrics(self, state: State, seconds: float) -> dict[str, Metric]:
        now = float(state["error"][0])
        mean = float(state["off"][0]) / seconds if seconds else now
        stood = 100 * float(state["stood"][0]) / seconds if seconds else 0.0
        told = "of places, root mean square"
        return {
            "error": Metric(mean, "m", "lower", False, f"{told}, over time"),
            "error_now": Metric(now, "m", "lower", False, told),
            "stands": Metric(stood, "%", "higher", False, "of the time the error was small"),
        }

    def scene(self, state: State) -> dict[str, Any]:
        place = self.place(state["step"])[0]
        middle = (state["position"][0] - place).mean(0)
        marks = [{"at": at, "role": "place"} for at in (middle + place).tolist()]
        return {"marks": marks, "figures": {"error m": float(state["error"][0])}}


def _shape(name: str, n: int, pitch: float) -> Tensor:
    """Places whose mean is 0. Shapes: -> [n, 2]. Units: m."""
    index = torch.arange(n, dtype=torch.float64)
    if name == "circle":
        radius = pitch / (2 * math.sin(math.pi / n)) if n > 1 else 0.0
        turn = [2 * math.pi * i / n for i in range(n)]
        at = torch.tensor([[radius * math.cos(a), radius * math.sin(a)] for a in turn])
        return at.double() - at.double().mean(0)
    if name == "line":
        at = torch.stack((pitch * index, 0 * index), 1)
    elif name == "wedge":
        arm, rank = index % 2 * 2 - 1, torch.ceil(index / 2)
        half = pitch * math.sqrt(0.5)
        at = torch.stack((-half * rank, half * rank * arm), 1)
    else:
        wide = math.ceil(math.sqrt(n))
        at = pitch * torch.stack((index % wide, torch.floor(index / wide)), 1)
    return at - at.mean(0)


def reference(params_: Mapping[str, Any], seed: int, duration: int) -> Columns:
    """`direct`, see above."""
    p = parse(Params, params_, "swarm")
    plain = Task(p)
    key = row_keys([(seed, 0)], "swarm")
    at = ground.begin(p, key, ground.obstacles(p, key))[0]
    steps = max(duration // round(plain.dt * SECOND), 1)
    off = stood = 0.0
    for step in range(1, steps + 1):
        place = plain.place(torch.tensor([step]))[0]
        belief = at - place
        to = belief.mean(0) - belief
        far = norm(to)
        share = torch.clamp(p.speed * plain.dt / torch.clamp(far, min=1e-9), max=1.0)
        at = at + to * share[:, None]
        left = far * (1 - share)
        error = math.sqrt(float((left * left).mean()))
        off, stood = off + error * plain.dt, stood + (error <= p.tolerance) * plain.dt
    seconds = steps * plain.dt
    found = {"error": off / seconds, "error_now": error, "stands": 100 * stood / seconds}
    return {"direct": found}
