"""Industry: a demand of which a process can be put off, or done ahead, and is made up later.

What is put off is made up with a rebound: `rebound` kWh for each one, as a process that was stopped
is warmed up again; so what is done ahead saves less than it takes. Whoever plays nobody, or has
lost its agent, makes up at once.
"""

from __future__ import annotations

import dataclasses

import torch

from sim.worlds.medium_voltage.params import Params

HOUR: float = 1 / 60
Tensor = torch.Tensor


@dataclasses.dataclass(frozen=True)
class Shifted:
    """A minute of the consumers. Shapes: [B, n]. Units: kW, kWh.

    shed_kw: less than its demand, negative while it makes up or does ahead; owed_kwh: still to be
    made up, negative if done ahead.
    """

    shed_kw: Tensor
    owed_kwh: Tensor


def room_kw(
    p: Params, owed_kwh: Tensor, demand_kw: Tensor, rated_kw: Tensor
) -> tuple[Tensor, Tensor]:
    """The least (negative: more demand) and the most that can be shed for a whole minute."""
    bound = p.industrial_share * p.industrial_hours * rated_kw
    most = torch.minimum(p.industrial_share * demand_kw, (bound - owed_kwh) / (p.rebound * HOUR))
    least = torch.minimum(p.industrial_share * rated_kw, (bound + owed_kwh) / HOUR)
    return -torch.clamp(least, min=0.0), torch.clamp(most, min=0.0)


def shift(
    p: Params, owed_kwh: Tensor, demand_kw: Tensor, rated_kw: Tensor, wanted_kw: Tensor
) -> Shifted:
    """A minute of shedding as wanted, as far as can be."""
    least, most = room_kw(p, owed_kwh, demand_kw, rated_kw)
    shed = torch.minimum(torch.maximum(wanted_kw, least), most)
    grown = torch.where(shed > 0, p.rebound * shed, shed)
    return Shifted(shed, owed_kwh + grown * HOUR)


def by_itself(p: Params, owed_kwh: Tensor) -> Tensor:
    """What is wanted by whom nobody asks: to owe nothing. Shapes: [B, n], kW."""
    return torch.where(owed_kwh > 0, -owed_kwh / HOUR, -owed_kwh / (p.rebound * HOUR))
