"""What robots come to, whatever their task: ground seen, contacts, energy, who is left, who is
connected.

seen           share of the free squares that somebody has seen; half_time and ninety_time are when
               half and 90 % of them were, or the time that has passed if they are not yet
connectivity   robots in the largest part of the graph of those within `link`, as a share of all;
               its mean over time
"""

from __future__ import annotations

from typing import Any, Final

import torch

from sim.worlds.swarm.energy import JOULES
from sim.worlds.swarm.motion import total
from sim.worlds.swarm.near import near, parts
from sim.worlds.swarm.params import Params
from sim.worlds.world import Metric, State

Tensor = torch.Tensor
MARKS: Final = {"half_time": 0.5, "ninety_time": 0.9}


def began(is_free: Tensor, robots: int) -> State:
    """The sums before anything has happened. is_free: bool [B, h, w]."""
    zero = torch.zeros(len(is_free), dtype=torch.float64, device=is_free.device)
    each = zero[:, None].expand(-1, robots).clone()
    never = torch.full_like(zero, -1.0)
    return {
        "used": each, "driven": each.clone(), "contacts": each.clone(), "held": each.bool(),
        "free": is_free, "seen": torch.zeros_like(is_free), "share": zero.clone(),
        "connected": zero.clone(), "looked": zero.clone(),
        **{name: never.clone() for name in MARKS},
    }  # fmt: skip


def mapped(p: Params, state: State, seen: Tensor, is_up: Tensor, seconds: Tensor) -> State:
    """The sums after a look around. Shapes: seen bool [B, h, w], is_up bool [B, n], seconds [B]."""
    free = state["free"]
    count = (seen & free).flatten(1).sum(1).double()
    share = count / torch.clamp(free.flatten(1).sum(1).double(), min=1.0)
    changes: dict[str, Any] = {"seen": seen, "share": share}
    for name, mark in MARKS.items():
        is_now = (state[name] < 0) & (share >= mark)
        changes[name] = torch.where(is_now, seconds, state[name])
    changes["connected"] = state["connected"] + largest(p, state["position"], is_up)
    changes["looked"] = state["looked"] + 1
    return changes


def largest(p: Params, position: Tensor, is_up: Tensor) -> Tensor:
    """Share of all robots that the largest connected part has. Shapes: -> [B]."""
    rows, n, _ = position.shape
    pairs = near(position, p.link)
    up = is_up.flatten()
    keep = (up[pairs.i] & up[pairs.j]).nonzero()[:, 0]
    kept = type(pairs)(*(of[keep] for of in pairs))
    label = parts(kept, rows, n).flatten()
    size = torch.zeros(rows * n, dtype=torch.float64, device=position.device)
    size = size.index_add(0, label, up.double())
    return size.view(rows, n).amax(1) / n


def metrics(state: State, is_up: Tensor, seconds: float) -> dict[str, Metric]:
    """Of a batch of one, after so many seconds."""
    looked = max(float(state["looked"][0]), 1.0)
    times = {name: float(state[name][0]) for name in MARKS}
    told = {name: seconds if time < 0 else time for name, time in times.items()}
    return {
        "seen": Metric(
            100 * float(state["share"][0]), "%", "higher", False, "of the ground, by anybody"
        ),
        "half_time": Metric(told["half_time"], "s", "lower", False, "until half was seen"),
        "ninety_time": Metric(told["ninety_time"], "s", "lower", False, "until 90 % was seen"),
        "connectivity": Metric(
            100 * float(state["connected"][0]) / looked, "%", "higher", False,
            "robots in the largest group within reach of each other",
        ),
        "contacts": Metric(
            float(state["contacts"][0].sum()), "", "lower", False, "times that one was held up"
        ),
        "energy": Metric(
            float(total(state["used"])[0]) / JOULES, "Wh", "lower", False, "of all robots"
        ),
        "distance": Metric(float(state["driven"][0].mean()), "m", "lower", False, "per robot"),
        "working": Metric(
            100 * float(is_up[0].double().mean()), "%", "higher", False, "robots that can move"
        ),
    }  # fmt: skip
