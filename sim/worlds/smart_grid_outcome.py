"""What comes of it: running sums, rewards by component, and the metrics of the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from sim.worlds.smart_grid_devices import ROLES, Params, Roster
from sim.worlds.smart_grid_network import V_BAND, Physics
from sim.worlds.smart_grid_settlement import EUR, jain
from sim.worlds.world import Metric

REWARDS: Final = ("energy", "comfort", "wear", "curtailment", "stored", "network")
"""Of a device, in EUR: minus what it pays and burns; minus discomfort and what it lacks; minus
throughput; minus what is curtailed; the gain in what it stores, less what it needs, at the value
that counts at the end. Of the operator, comfort is minus the demand that no agent plays and that
is not supplied. network, in minutes: of a device, minus the minutes in which its own voltage
leaves the band; of market and operator, minus all bus-minutes and overloads."""
MONEY: Final = slice(0, REWARDS.index("network"))
"""The components in EUR; over a run they add up to minus the cost."""
SUMS: Final = (
    "overvoltage", "undervoltage", "overload", "unsolved", "losses_kwh", "import_kwh",
    "export_kwh", "generated_kwh", "curtailed_kwh", "unserved_kwh", "fuel_eur", "wear_eur",
    "comfort_eur", "unserved_eur",
)  # fmt: skip
NETWORK: Final = slice(0, 3)

Tensors = Mapping[str, torch.Tensor]


def minute_sums(
    p: Params, done: Tensors, physics: Physics, made_kw: torch.Tensor, dark_kw: torch.Tensor
) -> torch.Tensor:
    """What a minute adds to the sums.

    Shapes: made_kw [B] generation of the background and of devices; dark_kw [B, buses] demand
            of the background that is not supplied -> [B, SUMS].
    """
    grid_kw, dark = physics.substation[:, 0], dark_kw.sum(1)
    hour = 1 / 60
    sums = (
        physics.over, physics.under, physics.overloaded, physics.unsolved,
        physics.losses_kw * hour, grid_kw.clamp(min=0.0) * hour, (-grid_kw).clamp(min=0.0) * hour,
        made_kw * hour, done["curtailed_kw"].sum(1) * hour,
        (done["unserved_kw"].sum(1) + dark) * hour,
        done["fuel_eur"].sum(1), done["wear_eur"].sum(1), done["comfort_eur"].sum(1),
        done["unserved_eur"].sum(1) + dark * (p.unserved_eur_per_kwh * hour),
    )  # fmt: skip
    return torch.stack([s.to(torch.float64) for s in sums], 1)


def device_rewards(
    p: Params,
    done: Tensors,
    paid: torch.Tensor,
    gained_kwh: torch.Tensor,
    v_pu: torch.Tensor,
    is_supplied: torch.Tensor,
) -> torch.Tensor:
    """Rewards of every device.

    Shapes: paid int64 [B, N] 1e-8 EUR of this minute; gained_kwh [B, N] as `stored_kwh` -> [B, N,
            6].
    """
    outside = ((v_pu > V_BAND[1]) | (v_pu < V_BAND[0])) & is_supplied
    parts = (
        paid / EUR + done["fuel_eur"],
        done["comfort_eur"] + done["unserved_eur"],
        done["wear_eur"],
        done["curtailed_kw"] * (p.feed_in_eur_per_kwh / 60),
        gained_kwh * -p.end_eur_per_kwh,
        outside.to(torch.float64),
    )
    return -torch.stack(parts, -1)


def network_rewards(before: torch.Tensor, after: torch.Tensor, dark_eur: Any) -> torch.Tensor:
    """Rewards of market and operator. Shapes: sums [B, SUMS]; dark_eur [B] or 0 -> [B, 1, 6]."""
    change = (after[:, NETWORK] - before[:, NETWORK]).sum(1)
    zero = torch.zeros_like(change)
    return torch.stack((zero, zero - dark_eur, zero, zero, zero, -change), -1)[:, None]


def stored_kwh(p: Params, roster: Roster, state: Tensors) -> torch.Tensor:
    """What devices store beyond what batteries had at the start, less what they need and what
    waits; its value at the end is minus the end cost. Shapes: [B, N].

    As a reward it is paid as it grows: potential-based shaping (Ng, Harada and Russell 1999) that
    adds up to the value at the end, so that no step needs to know which one is the last.
    """
    stored = torch.zeros_like(state["p_kw"])
    at = roster.slices
    stored[:, at["battery"]] = state["energy_kwh"] - p.battery_charge * p.battery_kwh
    stored[:, at["ev"]] = -state["need_kwh"]
    stored[:, at["household"]] = -state["backlog_kwh"]
    return stored


def team_reward(rewards: Tensors) -> torch.Tensor:
    """All devices' rewards in EUR, together. Shapes: per group [B, n, 6] -> [B].

    Added up over a run that ends with a quarter of an hour, from midnight on, it is minus the
    `cost`, but for what the meters round.
    """
    roles = [rewards[role][..., MONEY].sum((1, 2)) for role in ROLES if role in rewards]
    others = rewards["operator"][..., MONEY].sum((1, 2))
    return torch.stack(roles).sum(0) + others


def metrics_of(
    p: Params, roster: Roster, state: Mapping[str, Any], tariff_mc: tuple[int, int]
) -> dict[str, Metric]:
    """The outcome of a batch of one. A quarter that has not ended counts at the tariff."""
    sums = dict(zip(SUMS, state["sums"][0].tolist(), strict=True))
    peak, residual = state["peaks"][0].tolist()
    open_wh = [round(wh) for wh in state["metered_wh"][0].tolist()]
    open_eur = sum(wh * tariff_mc[wh < 0] for wh in open_wh) / EUR
    paid = state["paid"][0].tolist()
    gains = [(a - b) / EUR for a, b in zip(state["at_tariff"][0].tolist(), paid, strict=True)]
    books = sum(state["books"][0].tolist())
    energy = sum(paid) / EUR + open_eur + sums["fuel_eur"]
    curtailed = sums["curtailed_kwh"] * p.feed_in_eur_per_kwh
    start_kwh = p.battery_charge * p.battery_kwh * len(roster.of_role("battery"))
    stored_kwh = float(state["energy_kwh"].sum()) - start_kwh
    owed_kwh = float(state["need_kwh"].sum() + state["backlog_kwh"].sum())
    end = (owed_kwh - stored_kwh) * p.end_eur_per_kwh
    parts = (sums["wear_eur"], sums["comfort_eur"], sums["unserved_eur"], curtailed, end)
    made = sums["generated_kwh"]
    own = 100.0 * max(1 - sums["export_kwh"] / made, 0.0) if made > 0 else 100.0

    def eur(value: float, text: str) -> Metric:
        return Metric(round(value, 9), "EUR", "lower", False, text)  # less is dust of summing

    def high(value: float, unit: str, text: str) -> Metric:
        return Metric(value, unit, "higher", False, text)

    def low(value: float, unit: str, text: str) -> Metric:
        return Metric(value, unit, "lower", False, text)

    return {
        "cost": Metric(
            energy + sum(parts), "EUR", "lower", True,
            "energy + throughput + discomfort + unserved + curtailed - stored at the end",
        ),
        "energy_cost": eur(energy, "what devices pay in all, and fuel"),
        "throughput_cost": eur(sums["wear_eur"], "wear of batteries"),
        "discomfort_cost": eur(sums["comfort_eur"], "demand that waited or was forgone"),
        "unserved_cost": eur(sums["unserved_eur"], "demand not supplied, of everybody"),
        "curtailment_cost": eur(curtailed, "at the feed-in price"),
        "end_cost": eur(end, "needed less stored when the run ends"),
        "overvoltage_bus_minutes": low(sums["overvoltage"], "bus min", "above 1.1 p.u."),
        "undervoltage_bus_minutes": low(sums["undervoltage"], "bus min", "below 0.9 p.u."),
        "overload_minutes": low(sums["overload"], "min", "branches above their rating"),
        "losses": low(sums["losses_kwh"], "kWh", "of the network"),
        "peak_import": low(peak, "kW", "highest minute at the external grid"),
        "imported": low(sums["import_kwh"], "kWh", "from the external grid"),
        "exported": high(sums["export_kwh"], "kWh", "to the external grid"),
        "curtailed": low(sums["curtailed_kwh"], "kWh", "sun and wind not fed in"),
        "unserved": low(sums["unserved_kwh"], "kWh", "demand not supplied, of everybody"),
        "self_consumption": high(own, "%", "of what is generated locally, used locally"),
        "welfare": high(sum(gains), "EUR", "gained by trade, against the tariff for all energy"),
        "fairness": high(jain(gains), "", "Jain's index of gains by trade"),
        "unsolved_minutes": low(sums["unsolved"], "min", "power flow did not converge"),
        "power_residual": low(residual, "p.u.", "worst imbalance of a bus in any minute"),
        "money_residual": low(abs(sum(paid) - books) / EUR, "EUR", "payments less receipts"),
    }  # fmt: skip
