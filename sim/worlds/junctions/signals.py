"""Signals: phases, and what is between them.

green, until another phase is wanted and it has lasted for `least_green`; then amber, all red, and
the phase that was wanted when amber began. Nobody who says what is wanted (no agent, or none that
is heard): the fixed plan, by the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sim.units import SECOND, duration_ns
from sim.worlds.junctions.layout import phases
from sim.worlds.junctions.params import Params
from sim.worlds.junctions.progression import offsets
from sim.worlds.junctions.webster import greens
from sim.worlds.world import State

Tensor = torch.Tensor
GREEN, AMBER, RED = range(3)


@dataclass(frozen=True)
class Plan:
    """Of one kind of signal, in steps.

    Shapes: starts int64 [J], when the first cycle begins; ends int64 [J, P], the instants of a
            cycle at which greens end; shows bool [P, 4], whether an approach is green in a phase.
    """

    cycle: int
    starts: Tensor
    ends: Tensor
    shows: Tensor
    least_green: int
    amber: int
    all_red: int


def plan(p: Params) -> Plan:
    """The greens that are given, at all junctions at once; or Webster's, as a green wave."""

    def whole(seconds: float) -> int:
        return round(seconds * SECOND / duration_ns(p.dt))

    amber, all_red = whole(p.amber), whole(p.all_red)
    count = p.rows * p.columns
    every: Sequence[Sequence[float]] = [p.greens] * count if p.greens else greens(p)
    begun = [0.0] * count if p.greens else offsets(p, every)
    ends = []
    for shown in every:
        lengths = torch.tensor([whole(green) for green in shown])
        between = torch.arange(len(shown)) * (amber + all_red)
        ends.append(torch.cumsum(lengths, 0) + between)
    cycle = max(int(end[-1]) for end in ends) + amber + all_red
    shows = [[k in phase for k in range(4)] for phase in phases(p.left > 0)]
    return Plan(
        cycle, torch.tensor([whole(start) for start in begun]), torch.stack(ends),
        torch.tensor(shows), whole(p.least_green), amber, all_red,
    )  # fmt: skip


def began(key: Tensor, junctions: int) -> State:
    """All begin with green for the first phase. Shapes: int64 [B, J] each."""
    none = torch.zeros(len(key), junctions, dtype=torch.int64, device=key.device)
    return {"phase": none, "next": none, "aspect": none, "since": none}


def planned(plan: Plan, step: Tensor) -> Tensor:
    """The phase that the fixed plan wants. Shapes: int64 [B] -> int64 [B, J]."""
    at = (step[:, None] - plan.starts) % plan.cycle
    return (at[..., None] >= plan.ends).sum(-1) % plan.ends.shape[-1]


def advanced(plan: Plan, state: State, wanted: Tensor) -> State:
    """The signals after a step. wanted: phases, int64 [B, J]."""
    aspect, phase, since = state["aspect"], state["phase"], state["since"] + 1
    ends = (aspect == GREEN) & (wanted != phase) & (since >= plan.least_green)
    heading = torch.where(ends, wanted, state["next"])
    reds = (aspect == AMBER) & (since >= plan.amber)
    starts = (aspect == RED) & (since >= plan.all_red)
    after = torch.where(ends, AMBER, torch.where(reds, RED, torch.where(starts, GREEN, aspect)))
    return {
        "phase": torch.where(starts, heading, phase),
        "next": heading,
        "aspect": after,
        "since": torch.where(after == aspect, since, 0),
    }


def shown(plan: Plan, state: State) -> Tensor:
    """Whether each approach is green. Shapes: -> bool [B, J, 4]."""
    green: Tensor = plan.shows[state["phase"]] & (state["aspect"] == GREEN)[..., None]
    return green
