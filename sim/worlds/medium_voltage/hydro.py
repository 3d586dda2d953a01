"""Pumped hydro: two reservoirs, a turbine, a pump, and the head between them.

    turbine  P = eta rho g Q H          pump  P = rho g Q H / eta
    head     H = H0 + level(upper) - level(lower),       level = volume / area

so that it gives less from the same water as it empties. Within a step the head moves with the
water: what the turbine gives is to the last joule eta times what the water loses. The turbine has
a least power, pump and turbine cost something to start, and need some minutes for it. Water is
conserved: what the upper reservoir loses the lower one gets; the river flows into the upper one,
and what fits nowhere spills.

Source: power of water at a head, Wood, Wollenberg and Sheble, Power Generation, Operation and
Control, 3rd edition, chapter 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import torch

from sim.worlds.medium_voltage.params import Params

WEIGHT: Final = 9.81
"""kN/m3 of water: rho g. kJ of one cubic metre at one metre, kW of one cubic metre per second."""
MINUTE_S: Final = 60.0
Tensor = torch.Tensor


@dataclasses.dataclass(frozen=True)
class Turned:
    """A minute of the plant. Shapes: [B, n]. Units: kW into the network, m3.

    mode: 1 turbine, -1 pump, 0 stands; waits: minutes until it has power; starts: 1 as it does.
    """

    p_kw: Tensor
    upper: Tensor
    lower: Tensor
    spilled: Tensor
    mode: Tensor
    waits: Tensor
    starts: Tensor


def slope(p: Params) -> float:
    """Metres of level for each m3."""
    return p.depth_m / p.upper_m3


def head(p: Params, upper: Tensor, lower: Tensor) -> Tensor:
    """Metres between the surfaces. Units: m3."""
    return p.head_m + slope(p) * (upper - lower)


def potential_kj(p: Params, upper: Tensor, lower: Tensor) -> Tensor:
    """Energy of the water above the lower floor."""
    half = 0.5 * slope(p)
    return WEIGHT * (p.head_m * upper + half * (upper * upper + lower * lower))


def released_kj(p: Params, high: Tensor, down: Tensor) -> Tensor:
    """What so much water loses on its way down (gains, if negative), from this head on."""
    return WEIGHT * (high * down - slope(p) * down * down)


def moved_m3(p: Params, high: Tensor, kj: Tensor) -> Tensor:
    """The water that loses so much: the inverse of `released_kj`."""
    root = torch.sqrt(torch.clamp(high * high - 4 * slope(p) / WEIGHT * kj, min=0.0))
    return 2 / WEIGHT * kj / (high + root)


def most_kw(p: Params, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
    """What turbine and pump could do for a whole minute: by their size, the water and the room."""
    high = head(p, upper, lower)
    down = torch.clamp(torch.minimum(upper, p.upper_m3 - lower), 0.0, p.turbine_m3_per_s * MINUTE_S)
    up = torch.clamp(torch.minimum(lower, p.upper_m3 - upper), min=0.0)
    generates = p.turbine_efficiency / MINUTE_S * released_kj(p, high, down)
    pumps = -released_kj(p, high, -up) / (p.pump_efficiency * MINUTE_S)
    return generates, torch.clamp(pumps, max=p.pump_kw)


def least_kw(p: Params, upper: Tensor, lower: Tensor) -> tuple[Tensor, float]:
    """Least power of turbine, at this head, and pump."""
    full = p.turbine_efficiency * WEIGHT * p.turbine_m3_per_s * head(p, upper, lower)
    return p.turbine_least * full, p.pump_least * p.pump_kw


def turn(p: Params, state: Mapping[str, Tensor], wanted_kw: Tensor) -> Turned:
    """A minute at the power that is wanted, as far as the plant can.

    state: upper, lower [B, n] m3; mode, waits [B, n]. wanted_kw: positive generates; less than
    half of the least power is standstill, and from there on the least power.
    """
    upper, lower, mode = state["upper"], state["lower"], state["mode"]
    high = head(p, upper, lower)
    generates, pumps = most_kw(p, upper, lower)
    least, least_pump = least_kw(p, upper, lower)
    runs = (wanted_kw > 0.5 * least) & (generates >= least)
    lifts = (-wanted_kw > 0.5 * least_pump) & (pumps >= least_pump)
    now = runs.to(mode.dtype) - lifts.to(mode.dtype)
    is_start = (now != mode) & (now != 0)
    waits = torch.where(is_start, float(p.start_min), torch.clamp(state["waits"] - 1, min=0.0))
    waits = waits * (now != 0)
    generated = torch.minimum(torch.maximum(wanted_kw, least), generates) * (runs & (waits <= 0))
    pumped = torch.clamp(torch.minimum(-wanted_kw, pumps), min=least_pump) * (lifts & (waits <= 0))
    kj = MINUTE_S * (generated / p.turbine_efficiency - pumped * p.pump_efficiency)
    down = moved_m3(p, high, kj)
    upper = torch.clamp(upper - down, min=0.0) + p.inflow_m3_per_s * MINUTE_S
    over = torch.clamp(upper - p.upper_m3, min=0.0)
    lower = torch.clamp(lower + down, min=0.0) + over
    spilled = torch.clamp(lower - p.upper_m3, min=0.0)
    return Turned(
        generated - pumped, upper - over, lower - spilled, spilled, now, waits,
        is_start.to(torch.float64),
    )  # fmt: skip


def worth_kwh(p: Params, upper: Tensor, lower: Tensor) -> Tensor:
    """What the turbine could make of the potential energy of the water."""
    return potential_kj(p, upper, lower) * (p.turbine_efficiency / 3600.0)
