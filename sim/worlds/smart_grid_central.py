"""What a critic of the smart grid is told in training: the whole state in a few dozen numbers.

No agent sees this. Every number is scaled to about 1, and their count depends neither on how many
devices there are nor on the network, so that critics stay small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch

from sim.worlds.smart_grid_devices import CONSUMERS, INVERTERS, Params, Roster
from sim.worlds.smart_grid_network import transformer_kva
from sim.worlds.smart_grid_profiles import DAY_MIN, MILLICENT_PER_EUR, hour_of, stays
from sim.worlds.smart_grid_spaces import HOURS, QUARTER_MIN

BLOCK_H: Final = 4
"""Hours over which forecasts of power are averaged; those of the tariff stay hourly."""
TRADED_WH: Final = 250.0 * 50.0
"""Scale of what is traded in a quarter: 50 kW."""


def central_view(
    p: Params, roster: Roster, state: Mapping[str, Any], tariff: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Shapes: state as `SmartGrid.reset`, tariff int64 [B] each -> float64 [B, 59].

    In this order: the time of day (sine, cosine) and of the quarter; the tariff now, and its
    forecast by the hour [24]; load and generation of devices now and their forecasts [1 + 6 each];
    the batteries' charge (least, mean, most); vehicles (share connected, needed energy, least time
    left), what waits in households, generators; energy traded and its price, this quarter and the
    next; what was metered and not traded so far (short, long); the substation's power, reactive
    power, loading and voltage; the lowest and highest voltage, the highest loading, open lines.
    """
    b, scale = len(state["step"]), transformer_kva(roster.grid) or 250.0
    minute = (state["step"] % DAY_MIN).to(torch.float64)
    angle = minute * (2 * math.pi / DAY_MIN)
    mean_mc = max(p.import_eur_per_kwh, 0.01) * MILLICENT_PER_EUR
    hours = hour_of(p, state["step"])[:, None] + torch.arange(HOURS, device=angle.device)
    ahead = state["forecast_kw"][torch.arange(b, device=hours.device)[:, None], hours]
    blocks = ahead.reshape(b, HOURS // BLOCK_H, BLOCK_H, -1).mean(2)
    parts: list[torch.Tensor] = [
        torch.sin(angle), torch.cos(angle), minute % QUARTER_MIN / QUARTER_MIN,
        tariff[0] / mean_mc,
        torch.gather(state["price_forecast_mc"], 1, hours) / mean_mc - 1.0,
    ]  # fmt: skip
    for roles in (CONSUMERS, INVERTERS):
        at = [i for i, role in enumerate(roster.role) if role in roles]
        parts += [state["own_kw"][:, at].sum(1) / scale, blocks[:, :, at].sum(2) / scale]
    parts += _devices(p, roster, state)
    for traded, price in (("traded_wh", "traded_mc"), ("offered_wh", "offered_mc")):
        bought = state[traded].clamp(min=0).sum(1)
        parts += [bought / TRADED_WH, state[price] / mean_mc]
    rest = state["metered_wh"] - state["traded_wh"]
    parts += [rest.clamp(min=0.0).sum(1) / TRADED_WH, (-rest).clamp(min=0.0).sum(1) / TRADED_WH]
    own = state["substation"]
    parts += [own[:, :2] / scale, own[:, 2], 10 * (own[:, 3] - 1.0)]
    bus_v = state["bus_v"]
    is_on = bus_v > 0  # what is dark has no voltage
    parts += [
        10 * (torch.where(is_on, bus_v, 1.0).amin(1) - 1.0), 10 * (bus_v.amax(1) - 1.0),
        state["loading"].amax(1) / 100.0, state["is_open"].sum(1),
    ]  # fmt: skip
    columns = [x.reshape(b, -1).to(torch.float64) for x in parts]
    return torch.cat(columns, 1)


def _devices(p: Params, roster: Roster, state: Mapping[str, Any]) -> list[torch.Tensor]:
    """Batteries, vehicles, households and generators; 0 for a role that nobody has."""
    zero = torch.zeros_like(state["step"], dtype=torch.float64)

    def each(values: torch.Tensor, how: Any) -> torch.Tensor:
        result: torch.Tensor = how(values) if values.shape[1] else zero
        return result

    charge = state["energy_kwh"] / p.battery_kwh
    is_connected, left, begins = stays(p, dict(state))
    evs = max(len(roster.of_role("ev")), 1)
    need = (state["need_kwh"] + begins) * is_connected
    left = torch.where(is_connected, left, float(DAY_MIN)) / DAY_MIN
    waits = max(len(roster.of_role("household")), 1) * p.household_backlog_kwh
    power = max(len(roster.of_role("generator")), 1) * p.generator_kw
    return [
        each(charge, lambda x: x.amin(1)), each(charge, lambda x: x.mean(1)),
        each(charge, lambda x: x.amax(1)),
        is_connected.sum(1) / evs, need.sum(1) / (evs * max(p.ev_kwh[1], 1.0)),
        each(left, lambda x: x.amin(1)),
        state["backlog_kwh"].sum(1) / waits, state["generator_kw"].sum(1) / power,
    ]  # fmt: skip
