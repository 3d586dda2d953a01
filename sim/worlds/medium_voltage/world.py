"""A medium-voltage network: wind, biomass, industry and pumped hydro, and two system operators.

One step is a minute; energy is traded and settled by the quarter of an hour. Each unit nominates
what it will feed in during the next quarter and sells that on the day-ahead market's price. The
transmission operator is told what it is to find in this network in the next quarter, up or down: it
may call what units have offered, as far as the distribution operator finds that the network bears
it, and buys the rest elsewhere. The distribution operator watches voltages and lines, calls what
relieves them in the next quarter, and limits what units may feed in; what they lack by that it buys
for them. See `settlement`.

The objective `cost`, in EUR: what units and operators pay to the outside, fuel, starts, demand put
off and not supplied, less the value of what is stored when the run ends. What the network suffers
stands beside it and is not in it.

Grid and profiles: SimBench (see `data/LICENSE-DATA`). Power flow: `powerflow`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from sim.errors import ScenarioError
from sim.worlds.catalogue import parse
from sim.worlds.grid_data import GridData
from sim.worlds.medium_voltage.dispatch import dispatch
from sim.worlds.medium_voltage.exogenous import (
    Tables,
    at_row,
    background_power,
    hour_of,
    make_tables,
    next_noise,
    own_power,
    quarter_of,
    start,
)
from sim.worlds.medium_voltage.outcome import (
    FLEX,
    REWARDS,
    SUMS,
    end_eur_per_kwh,
    metrics_of,
    minute_sums,
    operator_rewards,
    stored_kwh,
    team_reward,
    unit_rewards,
)
from sim.worlds.medium_voltage.params import Params
from sim.worlds.medium_voltage.roster import ROLES as UNITS
from sim.worlds.medium_voltage.roster import make_roster
from sim.worlds.medium_voltage.scene import draw
from sim.worlds.medium_voltage.settlement import Prices, prices, settle
from sim.worlds.medium_voltage.spaces import FREE_KW, groups
from sim.worlds.medium_voltage.view import dso_view, tso_view, unit_views
from sim.worlds.powerflow import compile_network
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_network import power_flow, supplied_buses
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR
from sim.worlds.smart_grid_scene import tree
from sim.worlds.smart_grid_spaces import MINUTE_NS, QUARTER_MIN
from sim.worlds.world import Metric, PhysicalEvent, Round, State, target_of

RULES: Final = {
    "wind": "agents.behaviours.medium_voltage:Wind",
    "biomass": "agents.behaviours.medium_voltage:Biomass",
    "industrial": "agents.behaviours.medium_voltage:Industrial",
    "hydro": "agents.behaviours.medium_voltage:Hydro",
    "dso": "agents.behaviours.medium_voltage_operators:Dso",
    "tso": "agents.behaviours.medium_voltage_operators:Tso",
}
ROLES: Final = {
    role: f"agents.behaviours.medium_voltage_roles:Learning{role.capitalize()}"
    for role in ("biomass", "industrial", "hydro")
}
"""Groups whose learned policies have a role of their own (`agents.roles`)."""
WH: Final = 1000 / 60
"""Wh of one kW for a minute."""
Tensor = torch.Tensor


class MediumVoltage:
    """The BatchWorld. Shapes: N units in the order of `roster.names`; see `reset`."""

    name = "medium_voltage"
    dt_ns = MINUTE_NS
    reward_components = REWARDS
    rounds: Sequence[Round] = ()

    def __init__(self, params: Params) -> None:
        self.params = params
        self.roster: Roster = make_roster(params)
        self.grid: GridData = self.roster.grid
        self.groups = groups(params, self.roster)
        stoppable = tuple(
            name for role in ("wind", "biomass", "hydro") for name in self.roster.of_role(role)
        )
        self.events: Sequence[PhysicalEvent] = (
            PhysicalEvent(
                "line-trip", self.grid.branches.names, "opens a line; what lies behind it is dark"
            ),
            PhysicalEvent("outage", stoppable, "a wind park or plant is out of order"),
        )
        self._on: dict[str, _Constants] = {}

    def constants(self, device: str) -> _Constants:
        """Tables and matrices on one device, made once."""
        if device not in self._on:
            grid, bus = self.grid, torch.from_numpy(self.roster.bus)
            network = compile_network(grid, frozenset(), device)
            at_bus = torch.zeros(len(bus), len(grid.vn_kv), dtype=torch.float64)
            at_bus[torch.arange(len(bus)), bus] = 1.0
            z = torch.zeros(len(grid.vn_kv), dtype=torch.complex128, device=device)
            z[network.active] = torch.diagonal(network.z_t) / network.base_kva
            volts = grid.vn_kv[grid.branches.to_bus]
            kva = np.sqrt(3) * grid.branches.rated_to_ka * volts * 1e3
            feeder = torch.from_numpy(self.roster.feeder_of_bus)[bus].to(torch.float64)
            known = {
                "ways": torch.from_numpy(ways_in(grid)[self.roster.bus]).to(device),
                "kva": torch.from_numpy(np.where(np.isfinite(kva), kva, FREE_KW)).to(device),
                "feeder": feeder.to(device),
                "p_sensitivity": z[bus.to(device)].real,
                "q_sensitivity": z[bus.to(device)].imag,
            }
            tables = make_tables(self.params, self.roster, device)
            self._on[device] = _Constants(tables, bus.to(device), at_bus.to(device), known)
        return self._on[device]

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        """Midnight.

        plan_kw, next_kw [B, N] nominated for this quarter and the next; called_wh, asked_wh,
        their prices _mc, int64 [B, N], and whether the distribution operator called, _by_dso bool
        [B, N]: for this quarter and the next; metered_wh, base_wh,
        held_wh [B, N] so far in this quarter; paid int64 [B, N], operators [B, 2] (tso, dso),
        outside [B, 4] in 1e-8 EUR; flex int64 [B, FLEX]; bus_v [B, buses]; loading, is_open [B,
        branches]; is_out bool [B, N]; substation [B, 4]; sums [B, SUMS]. Of roles: biomass_kw,
        owed_kwh; upper, lower m3, mode, waits, and spilled in all [B, n]. stored_first [B, N].
        """
        p, roster, b, n = self.params, self.roster, len(seeds), len(self.roster.names)
        fixed = self.constants(device)
        count = {role: len(roster.of_role(role)) for role in UNITS}

        def zeros(*shape: int) -> Tensor:
            return torch.zeros((b, *shape), dtype=torch.float64, device=device)

        state = start(p, fixed.tables, seeds, device)
        own = own_power(p, fixed.tables, at_row(state["day"], state["step"]), state["noise"])
        whole = torch.zeros((b, n), dtype=torch.int64, device=device)
        network = compile_network(self.grid, frozenset(), device)
        at_rest = network.v_off.index_copy(0, network.active, network.w).abs().repeat(b, 1)
        plan, plants = zeros(n), roster.slices["biomass"]
        plan[:, plants] = own[:, plants]
        upper = zeros(count["hydro"]) + p.upper_start * p.upper_m3
        state |= {
            "own_kw": own, "plan_kw": plan, "next_kw": plan, "p_kw": zeros(n), "q_kvar": zeros(n),
            "v_pu": at_rest[:, fixed.bus], "was_played": whole.bool(),
            "is_supplied": ~whole.bool(), "is_out": whole.bool(),
            "called_wh": whole, "called_mc": whole, "called_by_dso": whole.bool(),
            "asked_wh": whole, "asked_mc": whole, "asked_by_dso": whole.bool(),
            "metered_wh": zeros(n), "base_wh": zeros(n), "held_wh": zeros(n),
            "paid": whole, "operators": whole.new_zeros(b, 2), "outside": whole.new_zeros(b, 4),
            "flex": whole.new_zeros(b, len(FLEX)),
            "biomass_kw": own[:, plants], "owed_kwh": zeros(count["industrial"]),
            "upper": upper, "lower": p.upper_m3 - upper, "mode": zeros(count["hydro"]),
            "waits": zeros(count["hydro"]), "spilled": zeros(count["hydro"]),
            "bus_v": at_rest, "loading": zeros(len(self.grid.branches)), "substation": zeros(4),
            "is_open": zeros(len(self.grid.branches)).bool(),
            "sums": zeros(len(SUMS)), "residual": zeros(),
        }  # fmt: skip
        state["stored_first"] = stored_kwh(p, roster, state)
        return state

    def advance(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[State, dict[str, Tensor]]:
        p, roster, before = self.params, self.roster, state
        fixed = self.constants(str(state["step"].device))
        state = self._called(dict(state), actions, present)
        noise = next_noise(state["key"], state["step"], state["noise"])
        row = at_row(state["day"], state["step"])
        own = own_power(p, fixed.tables, row, noise)
        done, after = dispatch(
            p, roster, state, (own, fixed.tables.own_kvar[row]), actions, present
        )
        load, made, kvar = background_power(p, fixed.tables, row, noise)
        physics = power_flow(
            self.grid, roster.busbar, state["is_open"], state["bus_v"],
            made - load + done["p_kw"] @ fixed.at_bus, done["q_kvar"] @ fixed.at_bus - kvar,
        )  # fmt: skip
        dark = (load * ~physics.supplied).sum(1)
        base = done["base_kw"] + state["plan_kw"]
        units = len(roster.names)
        limit = torch.where(present["dso"], actions["dso"][:, 0, :units], FREE_KW)
        held = (base + state["called_wh"] / 250.0 - limit.clamp(min=0.0)).clamp(min=0.0)
        state |= after | {
            "noise": noise, "own_kw": own, "next_kw": done["next_kw"],
            "p_kw": done["p_kw"], "q_kvar": done["q_kvar"],
            "metered_wh": state["metered_wh"] + done["p_kw"] * WH,
            "base_wh": state["base_wh"] + base * WH,
            "held_wh": state["held_wh"] + held * WH,
            "v_pu": physics.bus_v[:, fixed.bus], "bus_v": physics.bus_v,
            "loading": physics.loading, "substation": physics.substation,
            "sums": before["sums"] + minute_sums(p, done, physics, dark),
            "residual": torch.maximum(before["residual"], physics.residual_pu),
        }  # fmt: skip
        state = self._settled(state)
        state["step"] = before["step"] + 1
        rewards = unit_rewards(
            p, done, state["paid"] - before["paid"],
            stored_kwh(p, roster, state) - stored_kwh(p, roster, before),
            end_eur_per_kwh(p, state), (state["v_pu"], state["is_supplied"]),
        )  # fmt: skip
        paid = state["operators"] - before["operators"]
        change, nothing = state["sums"] - before["sums"], torch.zeros_like(dark)
        found = {g.name: rewards[:, roster.slices[g.name]] for g in self.groups[:-2]}
        found["dso"] = operator_rewards(paid[:, 1], dark * (p.unserved_eur_per_kwh / 60), change)
        found["tso"] = operator_rewards(paid[:, 0], nothing, change)
        return state, found

    def team_reward(self, rewards: Mapping[str, Tensor]) -> Tensor:
        """Of the objective alone, in EUR: over a run it adds up to minus the cost. [B]."""
        return team_reward(rewards)

    def _called(
        self, state: State, actions: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> State:
        """What was nominated and called in the last quarter is in force; what is called waits.

        A unit is called by one operator: where the distribution operator's call stands, no other
        counts.
        """
        is_first = (state["step"] % QUARTER_MIN == 0)[:, None]
        if bool(is_first.any()):
            for what in ("wh", "mc", "by_dso"):
                now, then = f"called_{what}", f"asked_{what}"
                state[now] = torch.where(is_first, state[then], state[now])
                state[then] = torch.where(is_first, torch.zeros_like(state[then]), state[then])
            state["plan_kw"] = torch.where(is_first, state["next_kw"], state["plan_kw"])
        units = len(self.roster.names)
        for operator, tables in (("dso", actions["dso"][:, 0, units:]), ("tso", actions["tso"])):
            counts = present[operator] & ~is_first
            if bool(counts.any()):
                table = tables.reshape(len(counts), units, 2)
                whole = torch.round(table.clamp(-1e7, 1e7)).to(torch.int64)
                by_dso, is_call = state["asked_by_dso"], whole[..., 0] != 0
                counts = counts & (is_call | by_dso if operator == "dso" else ~by_dso)
                state["asked_wh"] = torch.where(counts, whole[..., 0], state["asked_wh"])
                state["asked_mc"] = torch.where(counts, whole[..., 1], state["asked_mc"])
                if operator == "dso":
                    state["asked_by_dso"] = torch.where(counts, is_call, by_dso)
        return state

    def _settled(self, state: State) -> State:
        """At the end of a quarter: whole Wh, payments, and fresh meters with what was over."""
        is_last = (state["step"] % QUARTER_MIN == QUARTER_MIN - 1)[:, None]
        if not bool(is_last.any()):
            return state
        meters = ("metered_wh", "base_wh", "held_wh")
        metered, base, held = (torch.round(state[name]).to(torch.int64) for name in meters)
        called, by_dso = state["called_wh"], state["called_by_dso"]
        need = torch.gather(state["need_wh"], 1, quarter_of(state["step"])[:, None])[:, 0]
        done = settle(
            self.prices(state, 0), base, metered, held, (called, state["called_mc"], by_dso), need,
            round(self.params.penalty_eur_per_kwh * MILLICENT_PER_EUR),
        )  # fmt: skip
        asked, got = called.abs(), done.delivered.abs()
        amounts = (
            need.abs(), (asked * ~by_dso).sum(1), (got * ~by_dso).sum(1), (asked * by_dso).sum(1),
            (got * by_dso).sum(1), done.penalties.sum(1),
        )  # fmt: skip
        operators = torch.stack((done.tso, done.dso), 1)
        state["paid"] = state["paid"] + done.units * is_last
        state["operators"] = state["operators"] + operators * is_last
        state["outside"] = state["outside"] + done.outside * is_last
        state["flex"] = state["flex"] + torch.stack(amounts, 1) * is_last
        state["metered_wh"] = state["metered_wh"] - metered * is_last
        state["base_wh"] = state["base_wh"] - base * is_last
        state["held_wh"] = state["held_wh"] * ~is_last
        return state

    def prices(self, state: State, ahead: int) -> Prices:
        """Of this quarter, or so many quarters ahead."""
        p, then = self.params, state["step"] + ahead * QUARTER_MIN
        spot = torch.gather(state["spot_mc"], 1, hour_of(then)[:, None])[:, 0]
        balancing = round(p.balancing_eur_per_kwh * MILLICENT_PER_EUR)
        return prices(spot, round(1000 * p.imbalance_share), balancing)

    def observe(self, state: State) -> dict[str, Tensor]:
        fixed, later = self.constants(str(state["step"].device)), self.prices(state, 1)
        views = unit_views(self.params, self.roster, state, later.spot)
        views["dso"] = dso_view(self.roster, state, fixed.known, self.prices(state, 0).spot)
        views["tso"] = tso_view(state, later)
        return views

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        at = target_of(self.events, event, target)
        if event == "outage":
            is_out = state["is_out"].clone()
            is_out[:, self.roster.names.index(target)] = is_on
            return state | {"is_out": is_out}
        is_open = state["is_open"].clone()
        is_open[:, at] = is_on
        bus = torch.from_numpy(self.roster.bus).to(is_open.device)
        is_supplied = supplied_buses(self.grid, is_open)[:, bus]
        return state | {"is_open": is_open, "is_supplied": is_supplied}

    def metrics(self, state: State) -> dict[str, Metric]:
        return metrics_of(self.params, self.roster, state, int(self.prices(state, 0).spot[0]))

    def scene(self, state: State) -> dict[str, Any]:
        return draw(self.params, self.roster, state, int(self.prices(state, 0).spot[0]))

    def terminated(self, state: State) -> Tensor:
        return torch.zeros_like(state["step"], dtype=torch.bool)


@dataclasses.dataclass(frozen=True, eq=False)
class _Constants:
    """What a world keeps on one device. known: what `view.dso_view` wants."""

    tables: Tables
    bus: Tensor
    at_bus: Tensor
    known: dict[str, Tensor]


def ways_in(grid: GridData) -> Any:
    """The lines between each bus and the external grid, along the tree of the network.

    Shapes: bool [buses, branches]. Transformers are none of them.
    """
    ways = np.zeros((len(grid.vn_kv), len(grid.branches)), dtype=bool)
    for bus, parent, _, line in tree(grid):
        if parent >= 0:
            ways[bus] = ways[parent]
            ways[bus, line] = grid.branches.kinds[line] == "line"
    return ways


def make(params: Mapping[str, Any]) -> MediumVoltage:
    """The world of these parameters. Raises: UnknownKeyError, BoundError, ScenarioError."""
    return MediumVoltage(parse(Params, params, "medium_voltage"))


def over_days(params: Mapping[str, Any], first: str, last: str) -> dict[str, Any]:
    """The parameters with episodes that draw their day from `first` to `last`, both included.

    Raises: ScenarioError for days without profiles, or if there is none between the two.
    """
    grid = make_roster(parse(Params, params, "medium_voltage")).grid
    for day in (first, last):
        grid.day(day)  # refuses what has no profiles
    days = [day for day in grid.days() if first <= day <= last]
    if not days:
        raise ScenarioError(f"no day in {first}..{last}")
    return {**params, "day_choices": days}


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """The bound: perfect foresight, without losses and limits of the network."""
    from sim.worlds.medium_voltage.bound import bound  # brings the solver along

    return {"bound": dict(bound(params, seed, duration_ns))}
