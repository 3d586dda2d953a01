"""What comes of it: running sums, rewards by component, and the metrics of the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch

from sim.worlds.medium_voltage.hydro import worth_kwh
from sim.worlds.medium_voltage.params import Params
from sim.worlds.medium_voltage.settlement import EUR
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_network import V_BAND, Physics
from sim.worlds.world import Metric, State

REWARDS: Final = ("energy", "operation", "stored", "network")
"""Of a unit, in EUR: minus what it pays; minus fuel, starts, what is put off and demand it lacks;
the gain in water, less what it owes, at the value that counts at the end; and, in minutes, minus
those in which its own voltage leaves the band. Of the operators: energy is minus what they pay,
network minus all bus-minutes outside the band and minutes of overload."""
MONEY: Final = slice(0, REWARDS.index("network"))
SUMS: Final = (
    "overvoltage", "undervoltage", "overload", "unsolved", "losses_kwh", "import_kwh",
    "export_kwh", "curtailed_kwh", "unserved_kwh", "starts", "fuel_eur", "start_eur", "delay_eur",
    "unserved_eur", "spilled_m3",
)  # fmt: skip
FLEX: Final = ("need_wh", "called_wh", "delivered_wh", "relief_wh", "relieved_wh", "penalties")
"""Whole Wh, without sign: what the transmission operator needed, called here and got here; what the
distribution operator called and got. Penalties in 1e-8 EUR."""
NETWORK: Final = slice(0, 3)
HOUR: Final = 1 / 60
Tensor = torch.Tensor


def minute_sums(p: Params, done: Mapping[str, Tensor], physics: Physics, dark_kw: Tensor) -> Tensor:
    """What a minute adds to the sums. Shapes: dark_kw [B] -> [B, SUMS]."""
    grid_kw = physics.substation[:, 0]
    unserved = done["unserved_kw"].sum(1) + dark_kw
    parts = (
        physics.over, physics.under, physics.overloaded, physics.unsolved,
        physics.losses_kw * HOUR, grid_kw.clamp(min=0.0) * HOUR, (-grid_kw).clamp(min=0.0) * HOUR,
        done["curtailed_kw"].sum(1) * HOUR, unserved * HOUR, done["starts"].sum(1),
        done["fuel_eur"].sum(1), done["starts"].sum(1) * p.start_eur, done["delay_eur"].sum(1),
        unserved * (p.unserved_eur_per_kwh * HOUR), done["spilled_m3"].sum(1),
    )  # fmt: skip
    return torch.stack([x.to(torch.float64) for x in parts], 1)


def stored_kwh(p: Params, roster: Roster, state: Mapping[str, Tensor]) -> Tensor:
    """Energy of the water, less what is owed; its value counts at the end. Shapes: [B, N].

    As a reward it is paid as it grows: potential-based shaping (Ng, Harada and Russell 1999).
    """
    stored = torch.zeros_like(state["p_kw"])
    stored[:, roster.slices["hydro"]] = worth_kwh(p, state["upper"], state["lower"])
    stored[:, roster.slices["industrial"]] = -state["owed_kwh"]
    return stored


def end_eur_per_kwh(p: Params, state: Mapping[str, Tensor]) -> Tensor:
    """The value of what is stored: a share of the day's mean price. Shapes: [B]."""
    spot = state["spot_mc"]
    return spot.sum(1).to(torch.float64) * (p.end_share / (100_000 * spot.shape[1]))


def unit_rewards(
    p: Params, done: Mapping[str, Tensor], paid: Tensor, gained: Tensor, worth: Tensor,
    seen: tuple[Tensor, Tensor],
) -> Tensor:  # fmt: skip
    """Rewards of every unit.

    Shapes: paid int64 [B, N] in this minute; gained [B, N] kWh; worth [B] EUR/kWh; seen: voltage
            and whether supplied [B, N] -> [B, N, 4].
    """
    v, is_supplied = seen
    outside = ((v > V_BAND[1]) | (v < V_BAND[0])) & is_supplied
    unserved = done["unserved_kw"] * (p.unserved_eur_per_kwh * HOUR)
    costs = done["fuel_eur"] + done["delay_eur"] + done["starts"] * p.start_eur + unserved
    parts = (-paid / EUR, -costs, gained * worth[:, None], -outside.to(torch.float64))
    return torch.stack(parts, -1)


def operator_rewards(paid: Tensor, dark_eur: Tensor, change: Tensor) -> Tensor:
    """Shapes: paid int64 [B]; dark_eur [B]; change [B, SUMS] of the sums -> [B, 1, 4]."""
    zero = torch.zeros_like(dark_eur)
    return torch.stack((-paid / EUR, -dark_eur, zero, -change[:, NETWORK].sum(1)), -1)[:, None]


def team_reward(rewards: Mapping[str, Tensor]) -> Tensor:
    """Everybody's rewards in EUR, together: over a run they add up to minus the cost. [B]."""
    return torch.stack([reward[..., MONEY].sum((1, 2)) for reward in rewards.values()]).sum(0)


def metrics_of(p: Params, roster: Roster, state: State, spot_mc: int) -> dict[str, Metric]:
    """The outcome of a batch of one. A quarter that has not ended counts at spot."""
    sums = dict(zip(SUMS, state["sums"][0].tolist(), strict=True))
    flex = dict(zip(FLEX, state["flex"][0].tolist(), strict=True))
    units = [x / EUR for x in state["paid"][0].tolist()]
    tso, dso = (x / EUR for x in state["operators"][0].tolist())
    outside = sum(state["outside"][0].tolist())
    residual = sum(state["paid"][0].tolist()) + sum(state["operators"][0].tolist()) - outside
    open_eur = -float(state["metered_wh"][0].sum()) * spot_mc / EUR
    energy = sum(units) + open_eur
    stored = stored_kwh(p, roster, state)[0] - state["stored_first"][0]
    end = -float(stored.sum() * end_eur_per_kwh(p, state)[0])
    operation = sums["fuel_eur"] + sums["start_eur"]
    cost = energy + tso + dso + operation + sums["delay_eur"] + sums["unserved_eur"] + end
    called = flex["called_wh"]
    kept = 100.0 * flex["delivered_wh"] / called if called else 100.0
    found = 100.0 * flex["delivered_wh"] / flex["need_wh"] if flex["need_wh"] else 100.0
    relief = flex["relief_wh"]
    relieved = 100.0 * flex["relieved_wh"] / relief if relief else 100.0

    def eur(value: float, text: str) -> Metric:
        return Metric(round(value, 9), "EUR", "lower", False, text)

    def low(value: float, unit: str, text: str) -> Metric:
        return Metric(value, unit, "lower", False, text)

    def high(value: float, unit: str, text: str) -> Metric:
        return Metric(value, unit, "higher", False, text)

    return {
        "cost": Metric(
            cost, "EUR", "lower", True,
            "units, operators, fuel, starts, delay, unserved, less what is stored at the end",
        ),
        "energy_cost": eur(energy, "what units pay in all, less what they are paid"),
        "balancing_cost": eur(tso, "what the transmission operator pays, here and elsewhere"),
        "redispatch_cost": eur(dso, "what the distribution operator pays for limits and calls"),
        "penalties": eur(flex["penalties"] / EUR, "units to operators, for what is missing"),
        "operation_cost": eur(operation, "fuel, and starts of the hydro plant"),
        "delay_cost": eur(sums["delay_eur"], "demand put off"),
        "unserved_cost": eur(sums["unserved_eur"], "demand not supplied, of everybody"),
        "end_cost": eur(end, "owed less stored when the run ends"),
        "need": low(flex["need_wh"] / 1e6, "MWh", "of the transmission operator, up or down"),
        "found": high(found, "%", "of the need, delivered from this network"),
        "kept": high(kept, "%", "of what the transmission operator called, delivered"),
        "relief": low(relief / 1e6, "MWh", "called by the distribution operator"),
        "relieved": high(relieved, "%", "of it, delivered"),
        "overvoltage_bus_minutes": low(sums["overvoltage"], "bus min", "above 1.1 p.u."),
        "undervoltage_bus_minutes": low(sums["undervoltage"], "bus min", "below 0.9 p.u."),
        "overload_minutes": low(sums["overload"], "min", "branches above their rating"),
        "losses": low(sums["losses_kwh"] / 1e3, "MWh", "of the network"),
        "imported": low(sums["import_kwh"] / 1e3, "MWh", "from the high voltage"),
        "exported": high(sums["export_kwh"] / 1e3, "MWh", "to the high voltage"),
        "curtailed": low(sums["curtailed_kwh"] / 1e3, "MWh", "wind not fed in"),
        "unserved": low(sums["unserved_kwh"], "kWh", "demand not supplied, of everybody"),
        "starts": low(sums["starts"], "", "of the hydro plant"),
        "spilled": low(sums["spilled_m3"], "m3", "of water"),
        "unsolved_minutes": low(sums["unsolved"], "min", "power flow did not converge"),
        "power_residual": low(float(state["residual"][0]), "p.u.", "worst imbalance of a bus"),
        "money_residual": low(abs(residual) / EUR, "EUR", "payments less receipts"),
    }  # fmt: skip
