"""Agreement: each has a number, and all are to know their mean, their sum, or the greatest.

A task lasts `task` steps, then everybody has a new number. Who knows an answer states it (`known`
1) and may correct it in later steps; what counts is where everybody is at the end of the task.
The world measures by what factor the answers' differences shrink per step: for consensus with
Metropolis weights on `graph`, one round per step, the second largest modulus of the eigenvalues
predicts it. Where messages get lost they still agree in the end, but beside the mean: an `error`.
Source: Xiao and Boyd, Fast linear iterations for distributed averaging (2004).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import torch
from msgspec import Meta

from sim.spaces import Field
from sim.worlds.classics.common import Classic, Columns, Stepped, Tensors, maker
from sim.worlds.classics.fields import Count, Parameters, choice
from sim.worlds.graphs import GRAPHS, convergence_rate, graph_of, metropolis
from sim.worlds.noise import ordered_sum, uniforms
from sim.worlds.world import Metric, State

RULES: Final = {"member": "agents.behaviours.agreement:Rule"}
FAR: Final = 1e-2
NEAR: Final = 1e-9
"""Of the first distance: between them the factor is measured, when the slowest part is left."""


class Params(Parameters, frozen=True):
    """agents: members. aim: of their numbers, which are even in 0 ... 1. task: steps of one, 0: the
    whole episode is one. graph: of the neighbours, for the prediction alone."""

    agents: Count = 8
    aim: Literal["mean", "sum", "max"] = "mean"
    task: Annotated[int, Meta(ge=0)] = 0
    graph: Literal["", "complete", "line", "ring", "star", "tree"] = ""
    dt: str | float = "1s"


class Agreement(Classic[Params]):
    """Shapes: value, answer, known float64 [B, n]; of ended tasks answered, error [B]; of the
    differences first, last, shrunk (sum of logarithms) and counted [B]."""

    def __init__(self, p: Params) -> None:
        task = Field("task", low=0.0, help="number of the task")
        sees = [Field("value", low=0.0, high=1.0), task]
        acts = [Field("answer", default=0.0), choice("known", 2, "1: the answer counts")]
        super().__init__("agreement", p, {"member": (p.agents, sees, acts)}, must_act=False)

    def start(self, state: State) -> State:
        value, zero = self._draw(state["key"], state["step"]), state["return"]
        sums = dict.fromkeys(("answered", "error", "first", "last", "shrunk", "counted"), zero)
        blank = torch.zeros_like(value)
        return {"value": value, "answer": blank, "known": blank, "tasks": zero, **sums}

    def _draw(self, key: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return uniforms(key, step, self.params.agents, 0)

    def target(self, value: torch.Tensor) -> torch.Tensor:
        """What all are to know. Shapes: [B, n] -> [B, 1]."""
        if self.params.aim == "max":
            return value.amax(1, keepdim=True)
        total = ordered_sum(value, 1)[:, None]
        return total / value.shape[1] if self.params.aim == "mean" else total

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        said, value = actions["member"], state["value"]
        is_said = (said[..., 1] >= 0.5) & present["member"]
        answer = torch.where(is_said, said[..., 0], state["answer"])
        known = torch.where(is_said, 1.0, state["known"])
        off = torch.where(known > 0, answer, value) - self.target(value)
        error, differences = _rms(off), _rms(off - ordered_sum(off, 1)[:, None] / off.shape[1])
        step = state["step"] + 1
        ends = step % self.params.task == 0 if self.params.task else step < 0
        changes = {
            "value": torch.where(ends[:, None], self._draw(state["key"], step), value),
            "answer": torch.where(ends[:, None], 0.0, answer),
            "known": torch.where(ends[:, None], 0.0, known),
            "tasks": state["tasks"] + ends,
            "answered": state["answered"] + ends * ordered_sum(known, 1) / known.shape[1],
            "error": state["error"] + ends * error,
            **_shrinking(state, differences, ends),
        }
        return self.paid(state, changes, {"member": -torch.abs(off)})

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        task = state["tasks"][:, None].expand_as(state["value"])
        return {"member": torch.stack((state["value"], task), -1)}

    def metrics(self, state: State) -> dict[str, Metric]:
        tasks, counted = float(state["tasks"][0]), float(state["counted"][0])
        value, known = state["value"], state["known"]
        off = torch.where(known > 0, state["answer"], value) - self.target(value)
        now = {"answered": float(known.mean()), "error": float((off * off).mean().sqrt())}
        mean = {n: float(state[n][0]) / tasks if tasks else now[n] for n in now}
        rate = float(torch.exp(state["shrunk"] / counted)[0]) if counted else 1.0
        return super().metrics(state) | {
            "error": Metric(mean["error"], "", "lower", True, "rms distance at the end of a task"),
            "answered": Metric(mean["answered"], "", "higher", False, "share who know an answer"),
            "rate": Metric(rate, "per step", "lower", False, "factor by which they come closer"),
        }


def _rms(x: torch.Tensor) -> torch.Tensor:
    """Root of the mean square. Shapes: [B, n] -> [B]."""
    return torch.sqrt(ordered_sum(x * x, 1) / x.shape[1])


def _shrinking(state: State, now: torch.Tensor, ends: torch.Tensor) -> State:
    """How the differences have shrunk, counted while between FAR and NEAR of the first."""
    first = torch.where(state["first"] > 0, state["first"], now)
    last, low, high = state["last"], first * NEAR, first * FAR
    counts = (last > low) & (last < high) & (now > low)
    ratio = torch.where(counts, now / torch.clamp(last, min=1e-300), 1.0)
    return {
        "first": torch.where(ends, 0.0, first),
        "last": torch.where(ends, 0.0, now),
        "shrunk": state["shrunk"] + torch.log(ratio),
        "counted": state["counted"] + counts,
    }


make = maker(Agreement, Params, "agreement")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """Everybody knows; and by the graph, how quickly averaging among neighbours converges."""
    p = make(params).params
    columns: Columns = {"optimum": {"error": 0.0, "answered": 1.0}}
    if p.graph in GRAPHS:
        ranks = {int(i): [int(j) for j in near] for i, near in _ranks(p).items()}
        columns["predicted"] = {"rate": convergence_rate(metropolis(ranks))}
    return columns


def _ranks(p: Params) -> dict[str, list[str]]:
    return graph_of(p.graph, [str(i) for i in range(p.agents)])
