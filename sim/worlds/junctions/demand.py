"""Vehicles that come: when, where to, and what their time is worth.

Arrivals at an edge are counted per step, Poisson or even; who finds no room waits before the edge.
Each takes its turn at a junction by lot, drawn when it comes onto the lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Final

import torch

from sim.units import SECOND, duration_ns
from sim.worlds.junctions.lanes import files, of, put
from sim.worlds.junctions.layout import Layout
from sim.worlds.junctions.params import CITY, LENGTH_M, Params, steps
from sim.worlds.noise import uniforms
from sim.worlds.world import State

Tensor = torch.Tensor
_COMES, _TURNS, _WORTH = range(3)
"""Streams of lots."""
_MOST: Final = 3
"""More do not come in one step by one lane."""


@dataclass(frozen=True)
class Demand:
    """Shapes: rate [2, E], vehicles per step by half of a period; beyond [2, E, _MOST], the
    probability that more than 0, 1, ... come in a step."""

    rate: Tensor
    beyond: Tensor
    half: int
    is_even: bool


def demand(p: Params, at: Layout) -> Demand:
    rates = []
    for sign in (1, -1):
        axis = (p.north_south * (1 + sign * p.swing), p.east_west * (1 - sign * p.swing))
        per_step = duration_ns(p.dt) / SECOND / 3600
        rates.append([axis[int(lane) % 2] * per_step for lane in at.entries])
    beyond = [[_beyond(rate) for rate in half] for half in rates]
    half = max(steps(p, "period") // 2, 1)
    rate, more = (torch.tensor(x, dtype=torch.float64) for x in (rates, beyond))
    return Demand(rate, more, half, p.arrivals == "even")


def _beyond(rate: float) -> list[float]:
    """Of a Poisson number of this mean: P(> 0), P(> 1), ..."""
    left, term, found = 1.0, exp(-rate), []
    for k in range(_MOST):
        left -= term
        found.append(max(left, 0.0))
        term *= rate / (k + 1)
    return found


def came(demand: Demand, state: State) -> Tensor:
    """How many come in a step by each lane at the edge. Shapes: -> int64 [B, E]."""
    step = state["step"]
    half = torch.div(step, demand.half, rounding_mode="floor") % 2
    if demand.is_even:
        # Each lane begins somewhere in its interval, as drawn.
        rate = demand.rate[0]
        begun = uniforms(state["key"], torch.zeros_like(step), len(rate), _COMES)
        after = torch.floor((step[:, None] + 1) * rate + begun)
        return (after - torch.floor(step[:, None] * rate + begun)).long()
    drawn = uniforms(state["key"], step, demand.rate.shape[1], _COMES)
    return (drawn[..., None] < demand.beyond[half]).sum(-1)


def movements(p: Params, state: State) -> Tensor:
    """A turn for each vehicle that would come onto a lane now. Shapes: -> int64 [B, n]."""
    drawn = uniforms(state["key"], state["step"], state["place"].shape[1], _TURNS)
    return torch.where(drawn < p.left, 2, torch.where(drawn < p.left + p.right, 1, 0))


def entered(p: Params, at: Layout, state: State) -> State:
    """What changes as those come in for whom there is room."""
    waiting, n = state["waiting"], state["place"].shape[1]
    if not bool(waiting.any()):
        return {}
    tail = files(at, p.road, state).tail[:, at.entries]
    gap = of(state["place"], tail, 1e4) - LENGTH_M
    last = of(state["speed"], tail, CITY.speed)
    room = gap - CITY.standstill - CITY.headway * last
    # A speed from which braking as hard as usual would still end behind who brakes likewise.
    speed = torch.sqrt(last * last + CITY.brake * torch.clamp(room, min=0.0))
    speed = torch.clamp(speed, max=CITY.speed)
    comes = (waiting > 0) & (room >= 0)
    free = state["lane"] == at.lanes
    number = torch.cumsum(comes, 1) - 1
    comes = comes & (number < free.sum(1, keepdim=True))
    if not bool(comes.any()):
        return {}
    order = torch.argsort(~free, dim=1, stable=True)
    slot = torch.where(comes, order.gather(1, torch.clamp(number, 0, n - 1)), n)
    serial = state["entered"][:, None] + number + 1
    drawn = uniforms(state["key"], state["step"], n, _WORTH)
    worth, movement = of(0.5 + drawn, slot, 1.0), of(movements(p, state), slot, 0)
    none = torch.zeros_like(speed)
    new = {
        "lane": at.entries.expand_as(slot), "place": none, "speed": speed, "movement": movement,
        "committed": none, "stands": none, "must_stop": none, "rested": none, "near": none,
        "acceleration": none, "worth": worth, "waited": none, "serial": serial,
    }  # fmt: skip
    changes = {name: put(state[name], slot, value) for name, value in new.items()}
    return {
        **changes,
        "waiting": waiting - comes.long(),
        "entered": state["entered"] + comes.long().sum(1),
    }
