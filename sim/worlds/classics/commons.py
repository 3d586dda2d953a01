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

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import torch

from sim.spaces import Field
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Classic, Tensor, group, step_ns
from sim.worlds.noise import normals, ordered_sum, uniforms
from sim.worlds.world import Metric, State

RULES: Final = {"harvester": "agents.behaviours.classics:HarvesterRule"}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """agents: harvesters. growth, capacity: r and K. catchability: q. price, cost: of harvest and
    effort. effort_max: of one harvester. noise: standard deviation of growth, relative. dt: of a
    step, one season."""

    agents: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    growth: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.5
    capacity: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    catchability: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    price: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    cost: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    effort_max: Annotated[float, msgspec.Meta(gt=0)] = 0.25
    noise: Annotated[float, msgspec.Meta(ge=0, le=0.2)] = 0.0
    dt: str | float = "1s"


class Commons(Classic):
    """Shapes: stock float64 [B], harvest [B, n] of the last step. An absent agent harvests nothing.

    The harvest of a step is at most the stock; what is there is shared in proportion.
    """

    def __init__(self, p: Params) -> None:
        self.params, dt_ns = p, step_ns(p.dt)
        sees = [
            Field("stock", low=0.0, help="share of what the place can hold"),
            Field("harvest", low=0.0, help="own, of the last step, likewise"),
            Field("others", low=0.0, help="mean harvest of all, likewise"),
        ]
        acts = [Field("effort", low=0.0, high=p.effort_max)]
        super().__init__("commons", [group("harvester", p.agents, dt_ns, sees, acts)], dt_ns)

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        state, p = self.begin(seeds, device), self.params
        stock = p.capacity * (1 + uniforms(state["key"], state["step"], 1, 0)[:, 0]) / 2
        none = torch.zeros_like(stock)[:, None].expand(-1, p.agents).clone()
        return {**state, "stock": stock, "harvest": none}

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        p, stock = self.params, state["stock"]
        effort = torch.clamp(actions["harvester"][..., 0], 0.0, p.effort_max)
        effort = effort * present["harvester"]
        share = p.catchability * effort
        share = share / torch.clamp(ordered_sum(share, 1), min=1.0)[:, None]
        harvest = share * stock[:, None]
        push = 1 + p.noise * normals(state["key"], state["step"], 1, 1)[:, 0] if p.noise else 1.0
        grown = p.growth * stock * (1 - stock / p.capacity) * push
        after = torch.clamp(stock + grown - ordered_sum(harvest, 1), min=0.0)
        reward = p.price * harvest - p.cost * effort
        return self.paid(state, {"stock": after, "harvest": harvest}, {"harvester": reward})

    def observe(self, state: State) -> dict[str, Tensor]:
        own = state["harvest"]
        mean = (ordered_sum(own, 1) / own.shape[1])[:, None].expand_as(own)
        seen = torch.stack((state["stock"][:, None].expand_as(own), own, mean), -1)
        return {"harvester": seen / self.params.capacity}

    def metrics(self, state: State) -> dict[str, Metric]:
        stock = Metric(float(state["stock"][0]), "", "higher", False, "what is left")
        return super().metrics(state) | {"stock": stock}


def make(params: Mapping[str, Any]) -> Commons:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return Commons(parse(Params, params, "commons"))


def steady(params: Mapping[str, Any]) -> dict[str, float]:
    """Effort of one harvester in the steady state: `optimum` and `selfish`."""
    p = parse(Params, params, "commons")
    worth = max(1 - p.cost / (p.price * p.catchability * p.capacity), 0.0)
    free = p.growth * worth / p.catchability
    efforts = {"optimum": free / 2 / p.agents, "selfish": free / (p.agents + 1)}
    return {name: min(effort, p.effort_max) for name, effort in efforts.items()}


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """What the team's and the selfish steady states earn per agent and step, and leave."""
    p = parse(Params, params, "commons")
    columns = {}
    for name, effort in steady(params).items():
        stock = p.capacity * (1 - p.catchability * effort * p.agents / p.growth)
        reward = effort * (p.price * p.catchability * stock - p.cost)
        columns[name] = {"reward": reward, "stock": stock}
    return columns
