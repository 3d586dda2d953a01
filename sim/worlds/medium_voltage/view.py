"""What units and operators observe."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sim.worlds.medium_voltage import hydro, process
from sim.worlds.medium_voltage.exogenous import hour_of, quarter_of
from sim.worlds.medium_voltage.params import Params
from sim.worlds.medium_voltage.settlement import Prices
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR
from sim.worlds.smart_grid_spaces import HOURS
from sim.worlds.smart_grid_view import minute

Tensor = torch.Tensor
State = Mapping[str, Tensor]


def unit_views(p: Params, roster: Roster, state: State, spot_next: Tensor) -> dict[str, Tensor]:
    """Observations of every role of units. Shapes: spot_next int64 [B] -> [B, n, size] each."""
    b, n = state["p_kw"].shape
    device = state["step"].device
    rated = torch.from_numpy(roster.rated_kw).to(device)
    ahead = (hour_of(state["step"])[:, None] + torch.arange(HOURS, device=device)) % HOURS
    prices = torch.gather(state["spot_mc"], 1, ahead) / MILLICENT_PER_EUR
    slots = torch.arange(n, dtype=torch.float64, device=device)
    runs = (state["is_supplied"] & ~state["is_out"]).to(torch.float64)
    beyond = state["metered_wh"] - state["base_wh"]
    columns = (
        slots.expand(b, n), minute(state).expand(b, n), state["v_pu"], state["p_kw"],
        state["q_kvar"], runs, rated.expand(b, n), state["plan_kw"], state["next_kw"], beyond,
    )  # fmt: skip
    later = (spot_next / MILLICENT_PER_EUR)[:, None, None].expand(b, n, 1)
    common = torch.cat((torch.stack(columns, -1), prices[:, None].expand(b, n, HOURS), later), -1)
    views = {}
    for role, at in roster.slices.items():
        if at.stop > at.start:
            own = _own(p, role, state, state["own_kw"][:, at], rated[at], roster)
            full = [
                x if isinstance(x, Tensor) else torch.full_like(state["own_kw"][:, at], x)
                for x in own
            ]
            views[role] = torch.cat((common[:, at], torch.stack(full, -1)), -1)
    return views


def _own(
    p: Params, role: str, state: State, own_kw: Tensor, rated: Tensor, roster: Roster
) -> tuple[Tensor | float, ...]:
    """What only this role has. Shapes: [B, n] or numbers."""
    if role == "wind":
        s_kva = torch.from_numpy(roster.s_kva[roster.slices[role]]).to(own_kw.device)
        return own_kw, s_kva.expand_as(own_kw)
    if role == "biomass":
        return own_kw, (p.biomass_least * rated).expand_as(own_kw), p.biomass_eur_per_kwh
    if role == "industrial":
        owed = state["owed_kwh"]
        bound = (p.industrial_share * p.industrial_hours * rated).expand_as(owed)
        least, most = process.room_kw(p, owed, own_kw, rated)
        return own_kw, owed, bound, least, most, p.rebound, p.delay_eur_per_kwh_h
    upper, lower = state["upper"], state["lower"]
    empty, full = torch.zeros_like(upper), torch.full_like(upper, p.upper_m3)
    least, least_pump = hydro.least_kw(p, upper, lower)
    none = hydro.worth_kwh(p, empty, full)
    return (
        hydro.head(p, upper, lower), upper / p.upper_m3, hydro.worth_kwh(p, upper, lower) - none,
        hydro.worth_kwh(p, full, empty) - none, least / max(p.turbine_least, 1e-9), least,
        p.pump_kw, least_pump, p.turbine_efficiency * p.pump_efficiency, state["mode"], p.start_eur,
    )  # fmt: skip


def dso_view(roster: Roster, state: State, known: State, spot: Tensor) -> Tensor:
    """Shapes: spot int64 [B]; known: `ways` bool [N, branches], lines on each unit's way in; `kva`
    [branches]; `feeder`, `p_sensitivity`, `q_sensitivity` [N] -> [B, 1, 6 + 6 N]."""
    b = len(state["step"])
    loading = torch.where(known["ways"], state["loading"][:, None], -1.0)
    worst, line = loading.max(-1)
    shares = torch.clamp(worst, min=0.0) / 100.0
    measured = torch.cat(
        (minute(state), state["substation"], (spot / MILLICENT_PER_EUR)[:, None]), -1
    )
    parts = (
        measured, known["feeder"].expand(b, -1), line.to(torch.float64), shares,
        known["kva"][line], known["p_sensitivity"].expand(b, -1),
        known["q_sensitivity"].expand(b, -1),
    )  # fmt: skip
    return torch.cat(parts, -1)[:, None]


def tso_view(state: State, price: Prices) -> Tensor:
    """Shapes: prices of the next quarter -> [B, 1, 5]."""
    quarter = quarter_of(state["step"])[:, None]
    needs = [torch.gather(state["need_wh"], 1, quarter + i)[:, 0] for i in range(2)]
    numbers = [x.to(torch.float64) for x in (*needs, price.up, price.down)]
    return torch.stack((minute(state)[:, 0], *numbers), -1)[:, None]
