"""Smart grid: a low-voltage feeder, its devices, a local market every 15 minutes, an operator.

Two time scales. Each quarter of an hour the devices offer energy for the *next* quarter, and the
market clears what has come after 30 s; the world settles what was traded, what was not, and what
was not kept (`smart_grid_settlement`). Each minute the devices report to the operator, which
answers with limits that expire; the network's power flow is solved, and what it cannot bear is
counted. Devices without a fresh action fall back by themselves (`smart_grid_dispatch`).

The objective `cost`, in EUR, is of the devices that agents play: energy (what they pay, and fuel)
+ throughput + discomfort + demand not supplied at its value (of everybody) + curtailment at the
feed-in price, less the value of what is stored when the run ends. What the network suffers stands
beside it and is not in it.

Grid and profiles: SimBench (see `data/LICENSE-DATA`). Power flow: `powerflow`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from sim.errors import BoundError, UnknownKeyError
from sim.ids import did_you_mean
from sim.worlds.catalogue import parse
from sim.worlds.powerflow import compile_network
from sim.worlds.smart_grid_central import central_view
from sim.worlds.smart_grid_devices import ROLES as DEVICES
from sim.worlds.smart_grid_devices import Params, Roster, make_roster, scaled_grid
from sim.worlds.smart_grid_dispatch import dispatch
from sim.worlds.smart_grid_network import power_flow, supplied_buses, transformer_kva
from sim.worlds.smart_grid_outcome import (
    REWARDS,
    SUMS,
    device_rewards,
    metrics_of,
    minute_sums,
    network_rewards,
    stored_kwh,
    team_reward,
)
from sim.worlds.smart_grid_profiles import (
    FIRST_NEED,
    Tables,
    at_row,
    background_power,
    hour_of,
    make_tables,
    next_noise,
    own_power,
    start,
)
from sim.worlds.smart_grid_scene import draw
from sim.worlds.smart_grid_settlement import settle
from sim.worlds.smart_grid_spaces import MINUTE_NS, QUARTER_MIN, groups, rounds
from sim.worlds.smart_grid_view import device_views, market_view, operator_view
from sim.worlds.world import Metric, PhysicalEvent, State

RULES: Final = {
    "household": "agents.behaviours.smart_grid:Household",
    "pv": "agents.behaviours.smart_grid:Inverter",
    "battery": "agents.behaviours.smart_grid:Battery",
    "ev": "agents.behaviours.smart_grid:Vehicle",
    "commercial": "agents.behaviours.smart_grid:Consumer",
    "industrial": "agents.behaviours.smart_grid:Consumer",
    "wind": "agents.behaviours.smart_grid:Inverter",
    "generator": "agents.behaviours.smart_grid:Generator",
    "market": "agents.policy:MechanismAgent",
    "operator": "agents.behaviours.smart_grid_operator:Operator",
}
ROLES: Final = {
    role: f"agents.behaviours.smart_grid_roles:Learning{name}"
    for role, name in (
        ("household", "Household"), ("pv", "Inverter"), ("battery", "Battery"), ("ev", "Vehicle"),
        ("commercial", "Consumer"), ("industrial", "Consumer"), ("wind", "Inverter"),
        ("generator", "Generator"),
    )
}  # fmt: skip
"""Groups whose learned policies have a role of their own (`agents.roles`)."""


class SmartGrid:
    """The BatchWorld. One step is a minute.

    Shapes: N devices in the order of `roster.names`; see `reset` for the state.
    """

    name = "smart_grid"
    dt_ns = MINUTE_NS
    reward_components = REWARDS

    def __init__(self, params: Params) -> None:
        self.params = params
        self.roster: Roster = make_roster(params)
        self.groups = groups(params, self.roster)
        self.rounds = rounds(self.roster)
        self.grid = self.roster.grid
        self.events: Sequence[PhysicalEvent] = (
            PhysicalEvent(
                "line-trip", self.grid.branches.names, "opens a line; what lies behind it is dark"
            ),
        )
        self._on: dict[str, _Constants] = {}

    @property
    def edges(self) -> list[tuple[str, str]]:
        """The feeder as a network: a relay per bus and a link per line; devices at their bus, the
        market and the operator at the busbar of the substation.
        """
        branches, roster = self.grid.branches, self.roster
        ends = zip(branches.from_bus.tolist(), branches.to_bus.tolist(), strict=True)
        placed = dict(zip(roster.names, roster.bus.tolist(), strict=True))
        names = [name for group in self.groups for name in group.agents]
        return [(f"bus-{a}", f"bus-{b}") for a, b in ends] + [
            (f"bus-{placed.get(name, roster.busbar)}", name) for name in names
        ]

    def constants(self, device: str) -> _Constants:
        """Tables and matrices on one device, made once."""
        if device not in self._on:
            network = compile_network(self.grid, frozenset(), device)
            bus = torch.from_numpy(self.roster.bus).to(device)
            at_bus = torch.zeros(len(bus), len(self.grid.vn_kv), dtype=torch.float64, device=device)
            at_bus[torch.arange(len(bus), device=device), bus] = 1.0
            z = torch.zeros(len(self.grid.vn_kv), dtype=torch.complex128, device=device)
            z[network.active] = torch.diagonal(network.z_t) / network.base_kva
            feeder = torch.from_numpy(self.roster.feeder_of_bus).to(device)[bus]
            self._on[device] = _Constants(
                make_tables(self.params, self.roster, device), bus, at_bus,
                torch.from_numpy(self.roster.rated_kw).to(device),
                torch.from_numpy(self.roster.s_kva).to(device),
                torch.stack((feeder.to(torch.float64), z[bus].real, z[bus].imag)),
            )  # fmt: skip
        return self._on[device]

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        """Midnight of the first day.

        traded_wh, offered_wh int64 [B, N]: bought for this quarter and the next, at traded_mc,
        offered_mc int64 [B]; metered_wh [B, N]: bought so far in this quarter; own_sum [B, N] of
        `own_kw` in it, last_kw its mean in the last; paid, at_tariff int64 [B, N], books int64
        [B, 3] (upstream, imbalance, market) in 1e-8 EUR; bus_v [B, buses]; loading [B, branches];
        substation [B, 4]; is_open bool [B, branches]; sums [B, SUMS]; peaks [B, 2].
        """
        p, roster, b, n = self.params, self.roster, len(seeds), len(self.roster.names)
        fixed = self.constants(device)
        counts = {role: len(roster.of_role(role)) for role in DEVICES}

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros((b, *shape), dtype=torch.float64, device=device)

        state = start(p, fixed.tables, seeds, counts["ev"], device)
        row = at_row(fixed.tables, state["day"], state["step"])
        whole = torch.zeros((b, n), dtype=torch.int64, device=device)
        own = own_power(fixed.tables, row, state["noise"])[0]
        network = compile_network(self.grid, frozenset(), device)
        at_rest = network.v_off.index_copy(0, network.active, network.w).abs().repeat(b, 1)
        return state | {
            "energy_kwh": zeros(counts["battery"]) + p.battery_charge * p.battery_kwh,
            "need_kwh": FIRST_NEED * state["stay_kwh"][:, 0],
            "backlog_kwh": zeros(counts["household"]),
            "generator_kw": zeros(counts["generator"]),
            "p_kw": zeros(n), "q_kvar": zeros(n), "v_pu": at_rest[:, fixed.bus],
            "was_played": whole.bool(), "is_supplied": ~whole.bool(),
            "own_kw": own, "own_sum": zeros(n), "last_kw": own,
            "traded_wh": whole, "offered_wh": whole, "traded_mc": whole[:, 0].clone(),
            "offered_mc": whole[:, 0].clone(), "metered_wh": zeros(n),
            "paid": whole, "at_tariff": whole, "books": torch.zeros_like(whole[:, :1]).expand(b, 3),
            "bus_v": at_rest, "loading": zeros(len(self.grid.branches)), "substation": zeros(4),
            "is_open": zeros(len(self.grid.branches)).bool(),
            "sums": zeros(len(SUMS)), "peaks": zeros(2),
        }  # fmt: skip

    def advance(
        self,
        state: State,
        actions: Mapping[str, torch.Tensor],
        present: Mapping[str, torch.Tensor],
    ) -> tuple[State, dict[str, torch.Tensor]]:
        p, fixed = self.params, self.constants(str(state["step"].device))
        state = self._trade(dict(state), actions, present)
        noise = next_noise(state["key"], state["step"], state["noise"])
        row = at_row(fixed.tables, state["day"], state["step"])
        own = own_power(fixed.tables, row, noise)
        done, after = dispatch(p, self.roster, state, own, actions, present)
        load, sun, kvar = background_power(p, fixed.tables, row, noise)
        physics = power_flow(
            self.grid, self.roster.busbar, state["is_open"], state["bus_v"],
            sun - load + done["p_kw"] @ fixed.at_bus, done["q_kvar"] @ fixed.at_bus - kvar,
        )  # fmt: skip
        dark = load * ~physics.supplied
        played = [present[role] for role in DEVICES if role in present]
        before = state
        state = state | after | {
            "noise": noise, "p_kw": done["p_kw"], "q_kvar": done["q_kvar"], "own_kw": own[0],
            "own_sum": state["own_sum"] + own[0],
            "metered_wh": state["metered_wh"] - done["p_kw"] * (1000 / 60),
            "was_played": state["was_played"] | torch.cat(played, 1),
            "v_pu": physics.bus_v[:, fixed.bus], "bus_v": physics.bus_v,
            "loading": physics.loading, "substation": physics.substation,
        }  # fmt: skip
        fed = done["p_kw"].clamp(min=0.0)
        made_kw = sun.sum(1) + fed.sum(1) - fed[:, self.roster.slices["battery"]].sum(1)
        state["sums"] = before["sums"] + minute_sums(p, done, physics, made_kw, dark)
        state["peaks"] = torch.maximum(
            before["peaks"], torch.stack((physics.substation[:, 0], physics.residual_pu), 1)
        )
        state = self._settle(state)
        state["step"] = before["step"] + 1
        energy = state["paid"] - before["paid"]
        # What is needed at midnight of the first day is owed from its first minute on.
        gained = stored_kwh(p, self.roster, state)
        gained -= stored_kwh(p, self.roster, before) * (before["step"] > 0)[:, None]
        rewards = device_rewards(p, done, energy, gained, state["v_pu"], state["is_supplied"])
        dark_eur = dark.sum(1) * (p.unserved_eur_per_kwh / 60)
        shared = network_rewards(before["sums"], state["sums"], 0.0)
        per_group = {
            g.name: rewards[:, at] if (at := self.roster.slices.get(g.name)) else shared
            for g in self.groups
        }
        per_group["operator"] = network_rewards(before["sums"], state["sums"], dark_eur)
        return state, per_group

    def team_reward(self, rewards: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Of the objective alone, in EUR: over a day it adds up to minus the cost.

        Shapes: per group [B, n, components] -> [B].
        """
        return team_reward(rewards)

    def central(self, state: State) -> torch.Tensor:
        """What a critic of all is told, see `smart_grid_central`. Shapes: [B, S]."""
        return central_view(self.params, self.roster, state, self.tariff(state))

    def _trade(
        self, state: State, actions: Mapping[str, torch.Tensor], present: Mapping[str, torch.Tensor]
    ) -> State:
        """What was cleared in the last quarter is now in force; what is cleared now waits."""
        is_first = (state["step"] % QUARTER_MIN == 0)[:, None]
        if bool(is_first.any()):
            zero = torch.zeros_like(state["offered_wh"])
            state["traded_wh"] = torch.where(is_first, state["offered_wh"], state["traded_wh"])
            state["offered_wh"] = torch.where(is_first, zero, state["offered_wh"])
            first = is_first[:, 0]
            state["traded_mc"] = torch.where(first, state["offered_mc"], state["traded_mc"])
            state["offered_mc"] = torch.where(first, zero[:, 0], state["offered_mc"])
        counts = present["market"] & ~is_first
        if bool(counts.any()):
            table = actions["market"][:, 0].reshape(len(counts), -1, 2)
            whole = torch.round(table.clamp(-1e7, 1e7)).to(torch.int64)
            # Nothing is sold that nobody delivers: a table that does not add up counts as none.
            counts = counts & (whole[..., 0].sum(1, keepdim=True) == 0)
            # One price for all: that of whoever traded; absent participants carry none.
            price = whole[..., 1].amax(1)
            state["offered_wh"] = torch.where(counts, whole[..., 0], state["offered_wh"])
            state["offered_mc"] = torch.where(counts[:, 0], price, state["offered_mc"])
        return state

    def _settle(self, state: State) -> State:
        """At the end of a quarter: whole Wh, payments, and a fresh meter with what was over."""
        is_last = (state["step"] % QUARTER_MIN == QUARTER_MIN - 1)[:, None]
        if not bool(is_last.any()):
            return state
        p = self.params
        whole = torch.round(state["metered_wh"]).to(torch.int64)
        done = settle(whole, state["traded_wh"], state["traded_mc"], *self.tariff(state),
                      round(1000 * p.imbalance_share))  # fmt: skip
        books = torch.stack((done.upstream, done.imbalance, done.market), 1)
        state["paid"] = state["paid"] + done.paid * is_last
        state["at_tariff"] = state["at_tariff"] + done.at_tariff * is_last
        state["books"] = state["books"] + books * is_last
        state["metered_wh"] = state["metered_wh"] - whole * is_last
        state["last_kw"] = torch.where(is_last, state["own_sum"] / QUARTER_MIN, state["last_kw"])
        state["own_sum"] = state["own_sum"] * ~is_last
        return state

    def tariff(self, state: State) -> tuple[torch.Tensor, torch.Tensor]:
        """Import and feed-in price now, int64 milli-cents per kWh. Shapes: [B], [B]."""
        hour = hour_of(self.params, state["step"])[:, None]
        buy = torch.gather(state["price_mc"], 1, hour)[:, 0]
        return buy, torch.full_like(buy, round(self.params.feed_in_eur_per_kwh * 100_000))

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        fixed, tariff = self.constants(str(state["step"].device)), self.tariff(state)
        views = device_views(self.params, self.roster, state, (fixed.rated_kw, fixed.s_kva), tariff)
        views["market"] = market_view(state, tariff)
        views["operator"] = operator_view(state, fixed.sensitivity, transformer_kva(self.grid))
        return views

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        names = self.grid.branches.names
        if event != "line-trip":
            raise UnknownKeyError(f"the smart grid has no event {event!r}; there is line-trip")
        if target not in names:
            raise UnknownKeyError(f"line-trip: no line {target!r}; {did_you_mean(target, names)}")
        is_open = state["is_open"].clone()
        is_open[:, names.index(target)] = is_on
        bus = torch.from_numpy(self.roster.bus).to(is_open.device)
        is_supplied = supplied_buses(self.grid, is_open)[:, bus]
        return state | {"is_open": is_open, "is_supplied": is_supplied}

    def metrics(self, state: State) -> dict[str, Metric]:
        buy, sell = (int(price[0]) for price in self.tariff(state))
        return metrics_of(self.params, self.roster, state, (buy, sell))

    def scene(self, state: State) -> dict[str, Any]:
        return draw(self.params, self.roster, state, int(self.tariff(state)[0][0]))

    def terminated(self, state: State) -> torch.Tensor:
        return torch.zeros_like(state["step"], dtype=torch.bool)


@dataclasses.dataclass(frozen=True, eq=False)
class _Constants:
    """What a world keeps on one device. sensitivity [3, N]: feeder, p.u. per kW, per kvar."""

    tables: Tables
    bus: torch.Tensor
    at_bus: torch.Tensor
    rated_kw: torch.Tensor
    s_kva: torch.Tensor
    sensitivity: torch.Tensor


def make(params: Mapping[str, Any]) -> SmartGrid:
    """The world of these parameters. Raises: UnknownKeyError, BoundError, ScenarioError."""
    return SmartGrid(parse(Params, params, "smart_grid"))


def feeders(params: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The agents on each feeder, for faults that strike one."""
    return make_roster(parse(Params, params, "smart_grid")).by_feeder()


def over_days(params: Mapping[str, Any], first: str, last: str) -> dict[str, Any]:
    """The parameters with episodes that draw their first day from `first` to `last`, both
    included; a run of several days ends with `last`.

    Raises: ScenarioError for days without profiles; BoundError if no run fits between the two.
    """
    p = parse(Params, params, "smart_grid")
    grid = scaled_grid(p)
    for day in (first, last):
        grid.day(day)  # refuses what has no profiles
    days = [day for day in grid.days() if first <= day <= last]
    starts = days[: max(len(days) - p.days + 1, 0)]
    if not starts:
        raise BoundError(f"no run of {p.days} days begins and ends in {first}..{last}")
    return {**params, "day_choices": starts}


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """The bound: perfect foresight, without losses and limits of the network."""
    from sim.worlds.smart_grid_bound import bound  # brings the solver along

    return {"bound": dict(bound(params, seed, duration_ns))}
