"""One minute of every unit: what it is asked, what it can, what it then does, and what it costs.

A unit without an agent, or without a fresh action, does what it did before anybody managed it: wind
feeds in all there is, biomass follows its profile, industry works as demanded and makes up what it
owes, the hydro plant stands. It nominates the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sim.worlds.medium_voltage.biomass import fire
from sim.worlds.medium_voltage.hydro import turn
from sim.worlds.medium_voltage.outcome import HOUR
from sim.worlds.medium_voltage.params import Params
from sim.worlds.medium_voltage.process import by_itself, shift
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_dispatch import Asked, inverter

Tensor = torch.Tensor
Tensors = Mapping[str, Tensor]


def dispatch(
    p: Params, roster: Roster, state: Tensors, own: tuple[Tensor, Tensor], actions: Tensors,
    present: Tensors,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:  # fmt: skip
    """Every unit's minute.

    Shapes: own: kW, kvar [B, N] as `exogenous.own_power`.
    Returns: by name [B, N] over all units: p_kw, q_kvar, base_kw (what follows weather and demand,
             without what was nominated), next_kw (nominated), curtailed_kw, unserved_kw, fuel_eur,
             delay_eur, starts, spilled_m3; and the units' own quantities afterwards.
    """
    at, device = roster.slices, own[0].device
    rated = torch.from_numpy(roster.rated_kw).to(device)
    runs = state["is_supplied"] & ~state["is_out"]
    zero = torch.zeros_like(own[0])
    done = {
        name: zero.clone()
        for name in ("p_kw", "q_kvar", "base_kw", "next_kw", "curtailed_kw", "unserved_kw",
                     "fuel_eur", "delay_eur", "starts", "spilled_m3")
    }  # fmt: skip
    after: dict[str, Tensor] = {"was_played": state["was_played"].clone()}
    for role, where in at.items():
        if where.stop > where.start:
            after["was_played"][:, where] |= present[role]

    if "wind" in actions:
        where = at["wind"]
        asked = Asked(
            actions["wind"], present["wind"], state["was_played"][:, where], runs[:, where],
            own[0][:, where], own[1][:, where], state["v_pu"][:, where], state["q_kvar"][:, where],
        )  # fmt: skip
        fed = inverter(torch.from_numpy(roster.s_kva[where]).to(device), asked)
        done["p_kw"][:, where], done["q_kvar"][:, where] = fed.p_kw, fed.q_kvar
        done["curtailed_kw"][:, where] = fed.curtailed_kw
        done["base_kw"][:, where] = own[0][:, where] * runs[:, where]

    if "biomass" in actions:
        where = at["biomass"]
        by_profile = own[0][:, where]
        wanted, plan = _asked(actions["biomass"], present["biomass"], by_profile)
        power = fire(p, state["biomass_kw"], wanted, rated[where]) * runs[:, where]
        done["p_kw"][:, where] = after["biomass_kw"] = power
        done["next_kw"][:, where] = torch.minimum(torch.clamp(plan, min=0.0), rated[where])
        done["fuel_eur"][:, where] = power * (p.biomass_eur_per_kwh * HOUR)

    if "industrial" in actions:
        where = at["industrial"]
        demand, is_on = own[0][:, where], state["is_supplied"][:, where]
        itself = by_itself(p, state["owed_kwh"])
        wanted, plan = _asked(actions["industrial"], present["industrial"], itself, 0.0)
        shifted = shift(p, state["owed_kwh"], demand, rated[where], wanted * is_on)
        most = p.industrial_share * rated[where]
        done["p_kw"][:, where] = -(demand - shifted.shed_kw) * is_on
        done["q_kvar"][:, where] = -own[1][:, where] * is_on
        done["base_kw"][:, where] = -demand * is_on
        done["next_kw"][:, where] = torch.minimum(torch.maximum(plan, -most), most)
        done["unserved_kw"][:, where] = demand * ~is_on
        done["delay_eur"][:, where] = shifted.owed_kwh.abs() * (p.delay_eur_per_kwh_h * HOUR)
        after["owed_kwh"] = shifted.owed_kwh

    if "hydro" in actions:
        where = at["hydro"]
        nothing = zero[:, where]
        wanted, plan = _asked(actions["hydro"], present["hydro"], nothing)
        turned = turn(p, state, wanted * runs[:, where])
        done["p_kw"][:, where] = turned.p_kw
        done["next_kw"][:, where] = torch.clamp(plan, -p.pump_kw, 1.2 * p.pump_kw)
        done["starts"][:, where], done["spilled_m3"][:, where] = turned.starts, turned.spilled
        after |= {
            "upper": turned.upper, "lower": turned.lower, "mode": turned.mode,
            "waits": turned.waits, "spilled": state["spilled"] + turned.spilled,
        }  # fmt: skip
    return done, after


def _asked(
    action: Tensor, is_present: Tensor, by_itself: Tensor, plan: float | None = None
) -> tuple[Tensor, Tensor]:
    """Power and nomination, or what the unit does by itself. Shapes: [B, n, 2] -> [B, n] each."""
    wanted = torch.where(is_present, action[..., 0], by_itself)
    nominated = by_itself if plan is None else torch.full_like(by_itself, plan)
    return wanted, torch.where(is_present, action[..., 1], nominated)
