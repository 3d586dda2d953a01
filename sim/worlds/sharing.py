"""Sharing: consumers draw from one supply, which only its source can see.

    welfare = sum_i w_i log(1 + x_i) - penalty max(sum_i a_i - C, 0),   x_i = a_i min(1, C / sum a)

A consumer asks for a_i and gets x_i: if all ask for more than there is, everybody is curtailed in
proportion, and the excess costs. The supply C changes every `task` steps. Who does not ask draws a
share of the lowest supply there can be, which is safe. The best division is water-filling:
x_i = max(w_i / price - 1, 0), with the price at which it adds up to C.
Sources: Boyd and Vandenberghe, Convex Optimization (2004), example 5.2; Jain, Chiu and Hawe, A
Quantitative Measure of Fairness (1984).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import torch
from msgspec import Meta

from sim.errors import BoundError
from sim.spaces import Field
from sim.worlds.classics.common import Classic, Columns, Played, Stepped, Tensors, maker
from sim.worlds.classics.fields import NotNegative, Parameters, Positive
from sim.worlds.noise import ordered_sum, row_keys, uniforms
from sim.worlds.world import Metric, State

RULES: Final = {
    "source": "agents.behaviours.sharing:SourceRule",
    "consumer": "agents.behaviours.sharing:ConsumerRule",
}
HELP: Final = {
    "welfare": ("per step", "higher", "worth of what is drawn, less the penalty"),
    "overload": ("", "lower", "what is asked for in excess, as a share of the supply"),
    "unused": ("", "lower", "share of the supply that nobody draws"),
    "fairness": ("", "higher", "Jain's index of what the consumers draw"),
}
Tensor = torch.Tensor


class Params(Parameters, frozen=True):
    """agents: consumers. low, high: bounds of the supply per consumer. task: steps for which it
    stays as it is. weights: the greatest w_i; the smallest is a tenth. penalty: per unit asked for
    in excess."""

    agents: Annotated[int, Meta(ge=1, le=1000)] = 12
    low: Positive = 1.0
    high: Positive = 5.0
    task: Annotated[int, Meta(ge=1)] = 30
    weights: Positive = 2.0
    penalty: NotNegative = 1.0
    dt: str | float = "1s"


class Sharing(Classic[Params]):
    """Shapes: weight, drawn float64 [B, n]; supply and the sums of the outcome [B]."""

    def __init__(self, p: Params) -> None:
        if p.low > p.high:
            raise BoundError(f"world.low: expected at most high = {p.high:g}, found {p.low:g}")
        most = p.high * p.agents
        supply = Field("supply", low=0.0, high=most)
        safe = Field("safe", low=0.0, help="what a consumer draws that does not ask")
        weight = Field("weight", low=0.0, high=p.weights)
        among = Field("among", low=1.0, help="number of consumers")
        drawn = Field("drawn", low=0.0, help="in the last step")
        draw = Field("draw", low=0.0, high=most, default=p.low)
        slots: dict[str, Played] = {
            "source": (["source"], [supply, safe, among], []),
            "consumer": (p.agents, [weight, drawn, safe], [draw]),
        }
        super().__init__("sharing", p, slots)

    def start(self, state: State) -> State:
        weight, zero = weights(self.params, state["key"]), state["return"]
        supply = supplies(self.params, state["key"], state["step"])
        drawn = torch.zeros_like(weight)
        return {"weight": weight, "supply": supply, "drawn": drawn, **dict.fromkeys(HELP, zero)}

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        p, supply = self.params, state["supply"]
        ask = torch.clamp(actions["consumer"][..., 0], 0.0, p.high * p.agents)
        ask = torch.where(present["consumer"], ask, p.low)
        total = ordered_sum(ask, 1)
        drawn = ask * torch.clamp(supply / torch.clamp(total, min=1e-300), max=1.0)[:, None]
        excess = torch.clamp(total - supply, min=0.0)
        worth = state["weight"] * torch.log1p(drawn)
        reward = worth - p.penalty * excess[:, None] / p.agents
        changes = {
            "supply": supplies(p, state["key"], state["step"] + 1),
            "drawn": drawn,
            "welfare": state["welfare"] + ordered_sum(reward, 1),
            "overload": state["overload"] + excess / supply,
            "unused": state["unused"] + torch.clamp(supply - total, min=0.0) / supply,
            "fairness": state["fairness"] + jain(drawn),
        }
        idle = torch.zeros_like(reward[:, :1])
        return self.paid(state, changes, {"source": idle, "consumer": reward})

    def observe(self, state: State) -> dict[str, Tensor]:
        supply = state["supply"][:, None]
        told = (supply, torch.full_like(supply, self.params.low))
        among = torch.full_like(supply, float(self.params.agents))
        safe = torch.full_like(state["weight"], self.params.low)
        own = torch.stack((state["weight"], state["drawn"], safe), -1)
        return {"source": torch.stack((*told, among), -1), "consumer": own}

    def metrics(self, state: State) -> dict[str, Metric]:
        steps = max(int(state["step"][0]), 1)
        return {
            name: Metric(float(state[name][0]) / steps, unit, better, name == "welfare", text)
            for name, (unit, better, text) in HELP.items()
        }


make = maker(Sharing, Params, "sharing")


def weights(p: Params, key: Tensor) -> Tensor:
    """Shapes: key [B] -> [B, n]; from a tenth of the greatest to it, more of them small."""
    u = uniforms(key, torch.zeros_like(key), p.agents, 0)
    return p.weights * (0.1 + 0.9 * u * u)


def supplies(p: Params, key: Tensor, step: Tensor) -> Tensor:
    """The supply in a step. Shapes: [B], [B] -> [B]."""
    u = uniforms(key, step // p.task, 1, 1)[:, 0]
    return p.agents * (p.low + (p.high - p.low) * u)


def jain(drawn: Tensor) -> Tensor:
    """(sum x)^2 / (n sum x^2): 1 if all have the same, 1/n if one has all. [B, n] -> [B]."""
    total, squares = ordered_sum(drawn, 1), ordered_sum(drawn * drawn, 1)
    return torch.where(squares > 0, total**2 / (drawn.shape[1] * squares), 1.0)


def water_filling(weight: Tensor, supply: Tensor) -> Tensor:
    """Who draws how much at the optimum. Shapes: [B, n], [B] -> [B, n].

    With the k greatest weights served the price is their sum / (supply + k); of all k for which the
    smallest of them is above its price, the greatest holds.
    """
    ranked = torch.sort(weight, dim=1, descending=True).values
    served = torch.arange(1, weight.shape[1] + 1, device=weight.device)
    price = torch.cumsum(ranked, 1) / (supply[:, None] + served)
    count = (ranked > price).sum(1, keepdim=True).clamp(min=1)
    return torch.clamp(weight / torch.gather(price, 1, count - 1) - 1, min=0.0)


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """The best that can be had with full information at once, and equal shares of the supply."""
    world = make(params)
    p, steps = world.params, max(duration_ns // world.dt_ns, 1)
    key = row_keys([(seed, 0)], world.name).repeat(steps)
    weight, supply = weights(p, key), supplies(p, key, torch.arange(steps))
    equal = (supply / p.agents)[:, None].expand_as(weight)
    return {
        name: {
            "welfare": float((weight * torch.log1p(drawn)).sum(1).mean()),
            "overload": 0.0, "unused": 0.0, "fairness": float(jain(drawn).mean()),
        }
        for name, drawn in (("optimum", water_filling(weight, supply)), ("equal", equal))
    }  # fmt: skip
