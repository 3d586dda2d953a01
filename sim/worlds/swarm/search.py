"""Search: things lie about, and whoever comes near one has found it.

Random search finds the share 1 - exp(-v w N t / A) of them, with N robots that sweep a width w at
speed v over a ground of area A: 1 - 1/e of all in the time A / (v w N). A swarm that never looks
twice needs that time for all, which is the reference `sweep`, less what is found at the start.
Source: Koopman, Search and Screening, 1946, chapter 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from typing import Annotated, Any, Final

import torch
from msgspec import Meta

from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns
from sim.worlds.classics.fields import Positive
from sim.worlds.noise import uniforms
from sim.worlds.swarm import params, task
from sim.worlds.swarm.motion import norm
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
_TARGET: Final = 0


class Params(params.Params, frozen=True):
    """targets: how many there are. find: m, from how far one is found; it may lie in an obstacle,
    whose rim must then be nearer than that."""

    targets: Annotated[int, Meta(ge=1, le=1000)] = 40
    find: Positive = 1.0


class Task(task.Task[Params]):
    """Shapes: target float64 [B, m, 2], found bool [B, m], found_half, found_ninety float64 [B] s,
    -1 before it is so."""

    components = ("found",)

    def start(self, state: State) -> State:
        p, key = self.params, state["key"]
        drawn = uniforms(key, torch.zeros_like(key), 2 * p.targets, _TARGET)
        size = torch.tensor([p.width, p.height], dtype=torch.float64, device=key.device)
        target = drawn.view(len(key), p.targets, 2) * size
        never = torch.full_like(drawn[:, 0], -1.0)
        found = self._near(state, target).any(1)
        return {"target": target, "found": found, "found_half": never, "found_ninety": never}

    def _near(self, state: State, target: Tensor) -> Tensor:
        """Shapes: -> bool [B, n, m]."""
        return norm(target[:, None] - state["position"][:, :, None]) <= self.params.find

    def advance(
        self, before: State, after: State, action: Tensor, is_driven: Tensor
    ) -> tuple[State, Tensor]:
        looks = ~after["broken"] & ~after["blind"] & (after["charge"] > 0)
        is_near = self._near(after, after["target"]) & looks[..., None]
        is_new = is_near & ~before["found"][:, None]
        # Who finds one together with others gets a share of it.
        finders = torch.clamp(is_new.sum(1, keepdim=True).double(), min=1.0)
        paid = (is_new / finders).sum(-1, keepdim=True)
        found = before["found"] | is_near.any(1)
        share = found.double().mean(1)
        seconds = after["step"] * self.dt
        changes = {"found": found}
        for name, mark in (("found_half", 0.5), ("found_ninety", 0.9)):
            is_now = (before[name] < 0) & (share >= mark)
            changes[name] = torch.where(is_now, seconds, before[name])
        return changes, paid

    def metrics(self, state: State, seconds: float) -> dict[str, Metric]:
        share = 100 * float(state["found"][0].double().mean())
        half, ninety = (float(state[name][0]) for name in ("found_half", "found_ninety"))
        told = ((half, "half"), (ninety, "ninety"))
        times = {name: seconds if time < 0 else time for time, name in told}
        return {
            "found": Metric(share, "%", "higher", False, "of what there is to find"),
            "found_half": Metric(times["half"], "s", "lower", False, "until half was found"),
            "found_ninety": Metric(times["ninety"], "s", "lower", False, "until 90 % was found"),
        }

    def scene(self, state: State) -> dict[str, Any]:
        found = state["found"][0].tolist()
        marks = [
            {"at": at, "role": "done" if done else "goal"}
            for at, done in zip(state["target"][0].tolist(), found, strict=True)
        ]
        return {"marks": marks, "figures": {"found %": 100 * sum(found) / len(found)}}

    def terminated(self, state: State) -> Tensor:
        done: Tensor = state["found"].all(1)
        return done


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """`sweep`: nobody looks twice. `random`: everybody goes anywhere, at full speed."""
    p = parse(Params, params, "swarm")
    swept = p.speed * 2 * p.find * p.robots / (p.width * p.height)
    seconds = duration_ns / SECOND
    return {
        "sweep": _column(min(swept * seconds, 1.0), 0.5 / swept, 0.9 / swept, seconds),
        "random": _column(
            1 - exp(-swept * seconds), log(2) / swept, log(10) / swept, seconds
        ),
    }  # fmt: skip


def _column(share: float, half: float, ninety: float, seconds: float) -> dict[str, float]:
    times = {"found_half": min(half, seconds), "found_ninety": min(ninety, seconds)}
    return {"found": 100 * share, **times}
