"""Commons: harvesters share one stock that grows back, and each earns by its own effort.

    S' = S + r S (1 - S / K) (1 + noise) - sum_i h_i,  h_i = q e_i S
    reward_i = price h_i - cost e_i

What each takes the others lack, so selfish harvesters take too much. In the steady state, with
b = 1 - cost / (price q K), the team earns most at the total effort r b / (2 q); in the equilibrium
of n who each choose an effort for good it is n / (n + 1) r b / q; with free access it is r b / q,
and nobody earns anything.
Source: Gordon 1954, "The Economic Theory of a Common-Property Resource"; Schaefer 1954; Clark 1990,
"Mathematical Bioeconomics", chapter 2 and section 5.4 (the equilibrium of n); as a learning problem
Perolat et al. 2017, "A multi-agent reinforcement learning model of common-pool resource
appropriation".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import torch
from msgspec import Meta

from sim.spaces import Field
from sim.worlds.classics.common import RULE, Classic, Columns, Stepped, Tensors, figure, maker
from sim.worlds.classics.fields import NotNegative, Parameters, Positive
from sim.worlds.noise import normals, ordered_sum, uniforms
from sim.worlds.world import Metric, State

RULES: Final = {"harvester": f"{RULE}:HarvesterRule"}


class Params(Parameters, frozen=True):
    """agents: harvesters. growth, capacity: r and K. catchability: q. price, cost: of harvest and
    effort. effort_max: of one harvester. noise: standard deviation of growth, relative. dt: of a
    step, one season."""

    agents: Annotated[int, Meta(ge=1, le=1000)] = 4
    growth: Annotated[float, Meta(gt=0, le=2)] = 0.5
    capacity: Positive = 1.0
    catchability: Positive = 1.0
    price: Positive = 1.0
    cost: NotNegative = 0.1
    effort_max: Positive = 0.25
    noise: Annotated[float, Meta(ge=0, le=0.2)] = 0.0
    dt: str | float = "1s"


class Commons(Classic[Params]):
    """Shapes: stock float64 [B], harvest [B, n] of the last step. An absent agent harvests nothing.

    The harvest of a step is at most the stock; what is there is shared in proportion.
    """

    def __init__(self, p: Params) -> None:
        stock = Field("stock", low=0.0, help="share of what the place can hold")
        own = Field("harvest", low=0.0, help="own, of the last step, likewise")
        others = Field("others", low=0.0, help="mean harvest of all, likewise")
        effort = Field("effort", low=0.0, high=p.effort_max)
        super().__init__("commons", p, {"harvester": (p.agents, [stock, own, others], [effort])})

    def start(self, state: State) -> State:
        stock = self.params.capacity * (1 + uniforms(state["key"], state["step"], 1, 0)[:, 0]) / 2
        return {"stock": stock, "harvest": torch.zeros_like(stock)[:, None].repeat(1, self.agents)}

    def advance(self, state: State, actions: Tensors, present: Tensors) -> Stepped:
        p, stock = self.params, state["stock"]
        effort = torch.clamp(actions["harvester"][..., 0], 0.0, p.effort_max) * present["harvester"]
        share = p.catchability * effort
        share = share / torch.clamp(ordered_sum(share, 1), min=1.0)[:, None]
        harvest = share * stock[:, None]
        luck = 1 + p.noise * normals(state["key"], state["step"], 1, 1)[:, 0] if p.noise else 1.0
        grown = p.growth * stock * (1 - stock / p.capacity) * luck
        after = torch.clamp(stock + grown - ordered_sum(harvest, 1), min=0.0)
        reward = p.price * harvest - p.cost * effort
        return self.paid(state, {"stock": after, "harvest": harvest}, {"harvester": reward})

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        own = state["harvest"]
        mean = (ordered_sum(own, 1) / own.shape[1])[:, None].expand_as(own)
        seen = torch.stack((state["stock"][:, None].expand_as(own), own, mean), -1)
        return {"harvester": seen / self.params.capacity}

    def metrics(self, state: State) -> dict[str, Metric]:
        return super().metrics(state) | figure(state, "stock", "what is left")


make = maker(Commons, Params, "commons")


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """What the team's and the selfish steady states earn per agent and step, and leave."""
    p = make(params).params
    worth = max(1 - p.cost / (p.price * p.catchability * p.capacity), 0.0)
    free = p.growth * worth / p.catchability
    return {"optimum": steady(p, free / 2 / p.agents), "selfish": steady(p, free / (p.agents + 1))}


def steady(p: Params, effort: float) -> dict[str, float]:
    """What is left, and what each earns per step, if all keep to an effort (or the greatest)."""
    effort = min(effort, p.effort_max)
    stock = p.capacity * (1 - p.catchability * effort * p.agents / p.growth)
    return {"reward": effort * (p.price * p.catchability * stock - p.cost), "stock": stock}
