"""What agents of the smart grid observe, put together for all devices at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch

from sim.worlds.smart_grid_devices import CONSUMERS, INVERTERS, ROLES, Params, Roster
from sim.worlds.smart_grid_profiles import DAY_MIN, MILLICENT_PER_EUR, hour_of, stays
from sim.worlds.smart_grid_spaces import HOURS

Tensors = Mapping[str, torch.Tensor]
_FORECASTING: Final = (*CONSUMERS, *INVERTERS)


def device_views(
    p: Params,
    roster: Roster,
    state: Tensors,
    ratings: tuple[torch.Tensor, torch.Tensor],
    tariff: tuple[torch.Tensor, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Observations of every device role. Shapes: ratings [N] kW, kVA; -> [B, n, size] each."""
    b, n = state["p_kw"].shape
    hours = hour_of(p, state["step"])[:, None] + torch.arange(HOURS, device=state["step"].device)
    prices = torch.gather(state["price_forecast_mc"], 1, hours) / MILLICENT_PER_EUR
    rows = torch.arange(b, device=hours.device)[:, None]
    ahead = state["forecast_kw"][rows, hours].transpose(1, 2)
    buy, sell = (price[:, None] / MILLICENT_PER_EUR for price in tariff)
    rated = ratings[0].expand(b, n)
    slots = torch.arange(n, dtype=torch.float64, device=hours.device).expand(b, n)
    common = torch.cat(
        (
            torch.stack(
                (
                    slots, minute(state).expand(b, n), state["v_pu"], state["p_kw"],
                    state["q_kvar"],
                    state["is_supplied"].to(torch.float64), buy.expand(b, n), sell.expand(b, n),
                    rated,
                ),
                -1,
            ),
            prices[:, None].expand(b, n, HOURS),
        ),
        -1,
    )  # fmt: skip
    views = {}
    for role in ROLES:
        at = roster.slices[role]
        if at.stop == at.start:
            continue
        parts = [common[:, at]]
        if role in _FORECASTING:
            parts += [state["last_kw"][:, at, None], ahead[:, at]]
        parts.append(_own(p, role, at, state, ratings))
        views[role] = torch.cat(parts, -1)
    return views


def market_view(state: Tensors, tariff: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Shapes: [B, 1, 3]."""
    buy, sell = (price[:, None] / MILLICENT_PER_EUR for price in tariff)
    return torch.stack((minute(state), buy, sell), -1)


def operator_view(state: Tensors, known: torch.Tensor, rated_kva: float) -> torch.Tensor:
    """Shapes: known [3, N] what it knows of its network -> [B, 1, 6 + 3 N]."""
    b = len(state["step"])
    rated = torch.full_like(minute(state), rated_kva)
    measured = torch.cat((minute(state), state["substation"], rated), -1)
    return torch.cat((measured, known.reshape(1, -1).expand(b, -1)), -1)[:, None]


def minute(state: Tensors) -> torch.Tensor:
    """Minute of the day. Shapes: float64 [B, 1]."""
    return (state["step"] % DAY_MIN).to(torch.float64)[:, None]


def _own(
    p: Params, role: str, at: slice, state: Tensors, ratings: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """What only this role has. Shapes: [B, n, fields]."""
    own = state["own_kw"][:, at]
    parts: tuple[torch.Tensor | float, ...]
    if role == "household":
        waits = state["backlog_kwh"]
        room = (p.household_backlog_kwh - waits).clamp(min=0.0)
        parts = (own * (1 - p.household_flexible_share), waits, room, p.delay_eur_per_kwh_h)
    elif role in INVERTERS:
        parts = (own, ratings[1][at].expand_as(own))
    elif role == "battery":
        stored = state["energy_kwh"]
        parts = (stored, p.battery_kwh, p.battery_efficiency, p.battery_eur_per_kwh)
    elif role == "ev":
        is_connected, left, begins = stays(p, dict(state))
        need = (state["need_kwh"] + begins) * is_connected
        parts = (is_connected.to(torch.float64), need, left, p.ev_min_kw)
    elif role == "commercial":
        parts = (own, p.commercial_share * own, p.commercial_eur_per_kwh)
    elif role == "industrial":
        parts = (own, p.industrial_share * own, p.industrial_eur_per_kwh)
    else:
        parts = (p.generator_eur_per_kwh,)
    full = [x if isinstance(x, torch.Tensor) else torch.full_like(own, x) for x in parts]
    return torch.stack(full, -1)
