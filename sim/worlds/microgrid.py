"""Microgrid: generators, panels, storage and consumers on one bus, with its frequency.

An imbalance of power moves the frequency at once; governors answer within half a second, storage
within tens of milliseconds, and what they do not hold, under-frequency relays shed. One step is
100 ms, so a message that comes 100 ms later acts one step later. Only the controller sees the
frequency; the devices' own droop acts without any message.

    2 E / f0 df/dt = P_generators + P_panels + P_storage - P_served - D (f - f0)
                                       swing equation; Kundur, Power System Stability and Control,
                                       1994, sections 3.9 and 11.1; E = sum of H S of what is online
    T_g dv/dt = reference - S (f - f0) / (R f0) - v,   T_t dP/dt = v - P      governor and turbine
    shedding in 6 stages from 49.0 Hz to 48.0 Hz, together 45 % of the load: within what
                                       Regulation (EU) 2017/2196, annex, asks of Continental Europe
    outside 47.5 .. 51.5 Hz the generators leave, and the grid is dark: Regulation (EU) 2016/631
    panels yield 40 % of their power per Hz above 50.2 Hz: VDE-AR-N 4105

Powers are in kW and delivered ones are positive, energies in kWh, frequencies in Hz.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any, Final

import torch

from sim.errors import BoundError
from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.microgrid_devices import TTL_NS, Params, duration, spaces
from sim.worlds.noise import normals, ordered_sum, row_keys
from sim.worlds.world import Group, Metric, PhysicalEvent, Round, State, target_of

NOMINAL_HZ: Final = 50.0
STAGES_HZ: Final = (49.0, 48.8, 48.6, 48.4, 48.2, 48.0)
STAGE_SHARE: Final = 0.075
DARK_HZ: Final = (47.5, 51.5)
BAND_HZ: Final = (49.8, 50.2)
RESTORE_HZ: Final = 49.9
CLOUD_S: Final = 60.0
"""Correlation time of clouds and of demand."""
SUBSTEPS: Final = 5

RULES: Final = {
    group: f"agents.behaviours.microgrid:{name}"
    for group, name in {
        "generator": "Generator",
        "storage": "Storage",
        "consumer": "Consumer",
        "panel": "Panel",
        "controller": "Controller",
    }.items()
}

_WEATHER, _START = range(2)


class Microgrid:
    """The BatchWorld.

    Shapes: f, stage, sums of the outcome [B]; per device [B, devices].
    Without an action: a generator keeps its schedule, a storage its droop alone, a consumer its
    demand, a panel whatever the sun gives.
    """

    name = "microgrid"
    rounds: Sequence[Round] = ()
    reward_components: tuple[str, ...] = ("cost", "frequency")

    def __init__(self, params: Params) -> None:
        self.params = p = params
        self.dt_ns = duration("dt", p.dt)
        self.restore_ns = duration("restore", p.restore)
        self.h = self.dt_ns / SECOND / SUBSTEPS
        if not 0.1 <= p.charge <= 0.9:
            raise BoundError(f"world.charge: expected a share from 0.1 to 0.9, found {p.charge}")
        self.rated_kw = p.generators * p.generator_kw
        self.damping_kw_per_hz = p.damping * self.rated_kw / NOMINAL_HZ
        self.generator_kw_per_hz = p.generator_kw / (p.droop * NOMINAL_HZ)
        self.storage_kw_per_hz = p.storage_kw / (p.storage_droop * NOMINAL_HZ)
        self.load_inertia_kws = 0.2 * self.rated_kw
        self.stored_kwh = (0.1 * p.storage_kwh, 0.9 * p.storage_kwh)
        self.keep = exp(-self.dt_ns / SECOND / CLOUD_S)
        self.stir = (1 - self.keep**2) ** 0.5
        self.names = {
            "generator": tuple(f"generator-{i + 1}" for i in range(p.generators)),
            "storage": tuple(f"storage-{i + 1}" for i in range(p.storages)),
            "consumer": tuple(f"consumer-{i + 1}" for i in range(p.consumers)),
            "panel": tuple(f"panel-{i + 1}" for i in range(p.panels)),
            "controller": ("controller",),
        }
        self.groups: Sequence[Group] = tuple(
            Group(group, names, *spaces(p)[group], self.dt_ns, "last", TTL_NS[group])
            for group, names in self.names.items()
        )
        self.events: Sequence[PhysicalEvent] = (
            PhysicalEvent("generator-trip", self.names["generator"], "off the grid at once"),
            PhysicalEvent("load-step", self.names["consumer"], f"adds {p.load_step_kw} kW"),
        )

    def reset(self, seeds: Sequence[tuple[int, int]], device: str = "cpu") -> State:
        p, b = self.params, len(seeds)

        def full(value: float, *shape: int) -> torch.Tensor:
            return torch.full((b, *shape), value, dtype=torch.float64, device=device)

        key = row_keys(seeds, "microgrid", device)
        step = torch.zeros(b, dtype=torch.int64, device=device)
        state: State = {
            "key": key,
            "step": step,
            "weather": normals(key, step, p.consumers + p.panels, _START),
            "f": full(NOMINAL_HZ),
            "rocof": full(0.0),
            "stage": step.clone(),
            "seen": step.clone(),
            "back_ns": step.clone(),
            "is_dark": step.bool(),
            "tripped": full(0.0, p.generators).bool(),
            "load_step": full(0.0, p.consumers).bool(),
            "storage_kw": full(0.0, p.storages),
            "stored_kwh": full(p.charge * p.storage_kwh, p.storages),
            "relief_kw": full(0.0, p.consumers),
            **{name: full(0.0) for name in _SUMS},
            "lowest_hz": full(NOMINAL_HZ),
            "highest_hz": full(NOMINAL_HZ),
        }
        demand, available = self.forcing(state)
        state["demand_kw"] = state["served_kw"] = demand
        state["available_kw"] = state["panel_kw"] = available
        share = (ordered_sum(demand, 1) - ordered_sum(available, 1)) / p.generators
        share = torch.clamp(share, 0, p.generator_kw)[:, None].expand(-1, p.generators)
        for name in ("schedule_kw", "reference_kw", "valve_kw", "generator_kw"):
            state[name] = share.clone()
        return state

    def forcing(self, state: State) -> tuple[torch.Tensor, torch.Tensor]:
        """Demand [B, consumers] and available sun power [B, panels], both in kW, now."""
        p, weather = self.params, state["weather"]
        demand = p.consumer_kw * (1 + p.demand_noise * weather[:, : p.consumers])
        demand = torch.clamp(demand, min=0) + p.load_step_kw * state["load_step"]
        hour = p.start_hour + state["step"] * (self.dt_ns / SECOND / 3600)
        from_noon = (torch.remainder(hour, 24) - 13) / 6.5
        sun = torch.clamp(1 - from_noon * from_noon, min=0)[:, None]
        clear = torch.clamp(0.75 + p.cloud_noise * weather[:, p.consumers :], 0, 1)
        return demand, p.panel_kw * sun * clear

    def advance(
        self,
        state: State,
        actions: Mapping[str, torch.Tensor],
        present: Mapping[str, torch.Tensor],
    ) -> tuple[State, dict[str, torch.Tensor]]:
        p, after = self.params, dict(state)

        def played(group: str, otherwise: torch.Tensor, most: float, least: float = 0) -> Any:
            wanted = torch.clamp(actions[group][..., 0], least, most)
            return torch.where(present[group], wanted, otherwise)

        is_lit = ~state["is_dark"][:, None]
        demand, available = self.forcing(state)
        nothing = torch.zeros_like(demand)
        relief = demand * played("consumer", nothing, p.relief)
        kept = (1 - STAGE_SHARE * state["stage"][:, None]) * is_lit
        served = (demand - relief) * kept
        online = ~state["tripped"] & is_lit
        wanted = played("generator", state["schedule_kw"], p.generator_kw) * online
        step_kw = p.ramp * p.generator_kw * self.dt_ns / SECOND
        change = torch.clamp(wanted - state["reference_kw"], -step_kw, step_kw)
        after["reference_kw"] = (state["reference_kw"] + change) * online
        after["valve_kw"] = state["valve_kw"] * online
        after["generator_kw"] = state["generator_kw"] * online
        limit = played("panel", available, p.panel_kw)
        yielded = 1 - 0.4 * torch.clamp(state["f"] - BAND_HZ[1], 0, 2.5)[:, None]
        after["panel_kw"] = torch.minimum(limit, available) * torch.clamp(yielded, 0, 1) * is_lit
        setpoint = played("storage", state["storage_kw"] * 0, p.storage_kw, -p.storage_kw)

        after["served_kw"], after["demand_kw"] = served, demand
        after["available_kw"], after["relief_kw"] = available, relief * kept
        flows = self._swing(after, online, setpoint, is_lit[:, 0])
        rewards = self._account(state, after, flows)
        self._protect(state, after)
        after["weather"] = self.keep * state["weather"] + self.stir * normals(
            state["key"], state["step"], p.consumers + p.panels, _WEATHER
        )
        after["step"] = state["step"] + 1
        return after, rewards

    def _swing(
        self, after: State, online: torch.Tensor, setpoint: torch.Tensor, is_lit: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Integrates frequency, governors and storage over one step, in place of `after`.

        Lags are exact for inputs held over a substep; the frequency is implicit in the damping.
        Returns energies of the step in kWh, per device, and of what damping withheld or took.
        """
        p, h = self.params, self.h
        hours = h / 3600
        governor, turbine = 1 - exp(-h / p.governor_s), 1 - exp(-h / p.turbine_s)
        inverter = 1 - exp(-h / p.storage_lag_s)
        inertia = p.inertia_s * p.generator_kw * ordered_sum(online.double(), 1)
        speed = h * NOMINAL_HZ / (2 * (inertia + self.load_inertia_kws)) * is_lit
        fixed = ordered_sum(after["panel_kw"], 1) - ordered_sum(after["served_kw"], 1)
        f, valve, mech = after["f"], after["valve_kw"], after["generator_kw"]
        power, stored = after["storage_kw"], after["stored_kwh"]
        low, high = self.stored_kwh
        made, given = torch.zeros_like(mech), torch.zeros_like(power)
        taken, short = torch.zeros_like(power), torch.zeros_like(f)
        lit, running = is_lit[:, None], online.double()
        for _ in range(SUBSTEPS):
            off = (f - NOMINAL_HZ)[:, None]
            target = after["reference_kw"] - self.generator_kw_per_hz * off
            target = torch.clamp(target, 0, p.generator_kw) * running
            valve = valve + governor * (target - valve)
            mech = mech + turbine * (valve - mech)
            target = torch.clamp(
                setpoint - self.storage_kw_per_hz * off, -p.storage_kw, p.storage_kw
            )
            power = (power + inverter * (target - power)) * lit
            # A battery neither gives what it does not hold nor takes what has no room.
            most = (stored - low) * (p.efficiency / hours)
            least = (stored - high) * (1 / (p.efficiency * hours))
            power = torch.minimum(torch.maximum(power, least), most)
            out, into = torch.clamp(power, min=0), torch.clamp(-power, min=0)
            stored = stored + hours * (into * p.efficiency - out / p.efficiency)
            push = fixed + ordered_sum(mech, 1) + ordered_sum(power, 1)
            bent = speed * self.damping_kw_per_hz
            f = NOMINAL_HZ + (f - NOMINAL_HZ + speed * push) / (1 + bent)
            made, given, taken = made + hours * mech, given + hours * out, taken + hours * into
            withheld = self.damping_kw_per_hz * (NOMINAL_HZ - f) * is_lit
            short = short + hours * torch.clamp(withheld, min=0)
        after["rocof"] = (f - after["f"]) / (h * SUBSTEPS)
        after["f"], after["valve_kw"], after["generator_kw"] = f, valve, mech
        after["storage_kw"] = power
        after["stored_kwh"] = torch.clamp(stored, low, high)
        return {"made": made, "given": given, "taken": taken, "short": short}

    def _account(
        self, state: State, after: State, flows: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Adds the step to the sums of `after`; the rewards of each group [B, n, 2]."""
        p, hours = self.params, self.dt_ns / SECOND / 3600
        off = after["f"] - NOMINAL_HZ
        unserved = (after["demand_kw"] - after["relief_kw"] - after["served_kw"]) * hours
        short = flows["short"][:, None].expand_as(unserved) / p.consumers
        relief = after["relief_kw"] * hours
        moved = flows["given"] + flows["taken"]
        costs = {
            "generator": p.fuel_eur_per_kwh * flows["made"],
            "storage": p.throughput_eur_per_kwh * moved
            + p.fuel_eur_per_kwh * (state["stored_kwh"] - after["stored_kwh"]),
            "consumer": p.lost_load_eur_per_kwh * (unserved + short)
            + p.relief_eur_per_kwh * relief,
            "panel": torch.zeros_like(after["panel_kw"]),
            "controller": torch.zeros_like(off)[:, None],
        }
        step_s = self.dt_ns / SECOND
        outside = (after["f"] < BAND_HZ[0]) | (after["f"] > BAND_HZ[1]) | state["is_dark"]
        curtailed = (after["available_kw"] - after["panel_kw"]) * hours
        for name, amount in {
            "unserved_kwh": ordered_sum(unserved, 1),
            "short_kwh": flows["short"],
            "made_kwh": ordered_sum(flows["made"], 1),
            "moved_kwh": ordered_sum(moved, 1),
            "relief_kwh": ordered_sum(relief, 1),
            "curtailed_kwh": ordered_sum(curtailed, 1),
            "served_kwh": ordered_sum(after["served_kw"], 1) * hours,
            "square_hz2_s": off * off * step_s,
            "outside_s": outside.double() * step_s,
            "cost_eur": sum((ordered_sum(c, 1) for c in costs.values()), torch.zeros_like(off)),
        }.items():
            after[name] = state[name] + amount
        after["lowest_hz"] = torch.minimum(state["lowest_hz"], after["f"])
        after["highest_hz"] = torch.maximum(state["highest_hz"], after["f"])
        after["rocof_max"] = torch.maximum(state["rocof_max"], after["rocof"].abs())
        frequency = (-off * off * step_s)[:, None]
        return {
            name: torch.stack((-cost, frequency.expand_as(cost)), -1)
            for name, cost in costs.items()
        }

    def _protect(self, state: State, after: State) -> None:
        """Relays: a stage trips when seen below its threshold at the end of two steps running."""
        f, seen = after["f"], torch.zeros_like(state["seen"])
        for threshold in STAGES_HZ:
            seen = seen + (f < threshold).long()
        stage = torch.maximum(state["stage"], torch.minimum(seen, state["seen"]))
        is_back = (f >= RESTORE_HZ) & (stage > 0)
        back = torch.where(is_back, state["back_ns"] + self.dt_ns, 0)
        is_restored = is_back & (back >= self.restore_ns)
        after["stage"] = stage - is_restored.long()
        after["back_ns"] = torch.where(is_restored, 0, back)
        after["seen"] = seen
        after["stage_max"] = torch.maximum(state["stage_max"], stage.double())
        after["is_dark"] = state["is_dark"] | (f < DARK_HZ[0]) | (f > DARK_HZ[1])

    def observe(self, state: State) -> dict[str, torch.Tensor]:
        p = self.params
        stage = state["stage"].double()
        return {
            "generator": torch.stack(
                (
                    state["generator_kw"],
                    state["reference_kw"],
                    state["schedule_kw"],
                    p.generator_kw * (~state["tripped"]).double(),
                ),
                -1,
            ),
            "storage": torch.stack((state["storage_kw"], state["stored_kwh"] / p.storage_kwh), -1),
            "consumer": torch.stack((state["demand_kw"], state["served_kw"]), -1),
            "panel": torch.stack((state["panel_kw"], state["available_kw"]), -1),
            "controller": torch.stack((state["f"], state["rocof"], stage), -1)[:, None],
        }

    def inject(self, state: State, event: str, target: str, is_on: bool) -> State:
        at = target_of(self.events, event, target)
        name = "tripped" if event == "generator-trip" else "load_step"
        changed = state[name].clone()
        changed[:, at] = is_on
        return {**state, name: changed}

    def metrics(self, state: State) -> dict[str, Metric]:
        v = {name: float(state[name][0]) for name in (*_SUMS, "lowest_hz", "highest_hz")}
        seconds = max(int(state["step"][0]), 1) * self.dt_ns / SECOND
        return {
            "cost": Metric(v["cost_eur"], "EUR", "lower", True, "all that follows, priced"),
            "frequency_nadir": Metric(v["lowest_hz"], "Hz", "higher"),
            "frequency_zenith": Metric(v["highest_hz"], "Hz", "lower"),
            "frequency_rms": Metric(
                1000 * (v["square_hz2_s"] / seconds) ** 0.5, "mHz", "lower", False, "from 50 Hz"
            ),
            "rocof_max": Metric(v["rocof_max"], "Hz/s", "lower", False, "over one step"),
            "outside_band": Metric(v["outside_s"], "s", "lower", False, "not in 49.8 .. 50.2 Hz"),
            "unserved": Metric(v["unserved_kwh"], "kWh", "lower", False, "shed, or in the dark"),
            "short": Metric(v["short_kwh"], "kWh", "lower", False, "not got at low frequency"),
            "shed_stages": Metric(v["stage_max"], "", "lower", False, "most at once, of 6"),
            "fuel": Metric(v["made_kwh"] * self.params.fuel_eur_per_kwh, "EUR", "lower"),
            "throughput": Metric(v["moved_kwh"], "kWh", "lower", False, "in and out of storage"),
            "relief": Metric(v["relief_kwh"], "kWh", "lower", False, "demand forgone when asked"),
            "curtailed": Metric(v["curtailed_kwh"], "kWh", "lower", False, "of the sun"),
            "served": Metric(v["served_kwh"], "kWh", "higher"),
            "blackout": Metric(float(state["is_dark"][0]), "", "lower"),
        }

    def scene(self, state: State) -> dict[str, Any]:
        row = {name: value[0].tolist() for name, value in state.items() if name.endswith("_kw")}
        charge = (state["stored_kwh"][0] / self.params.storage_kwh).tolist()
        devices = [
            {"name": name, "role": role, "kw": kw}
            for role, field in _DRAWN.items()
            for name, kw in zip(self.names[role], row[field], strict=True)
        ]
        for device, share in zip(
            (d for d in devices if d["role"] == "storage"), charge, strict=True
        ):
            device["charge"] = share
        return {
            "kind": "bus",
            "title": f"{float(state['f'][0]):.3f} Hz, {int(state['stage'][0])} stages shed",
            "frequency_hz": float(state["f"][0]),
            "is_dark": bool(state["is_dark"][0]),
            "devices": devices,
        }

    def terminated(self, state: State) -> torch.Tensor:
        dark: torch.Tensor = state["is_dark"]
        return dark


_SUMS: Final = (
    "unserved_kwh", "short_kwh", "made_kwh", "moved_kwh", "relief_kwh", "curtailed_kwh",
    "served_kwh", "square_hz2_s", "outside_s", "cost_eur", "rocof_max", "stage_max",
)  # fmt: skip
_DRAWN: Final = {
    "generator": "generator_kw",
    "storage": "storage_kw",
    "consumer": "served_kw",
    "panel": "panel_kw",
}


def make(params: Mapping[str, Any]) -> Microgrid:
    """The world of these parameters. Raises: UnknownKeyError, BoundError."""
    return Microgrid(parse(Params, params, "microgrid"))


def reference(
    params: Mapping[str, Any], seed: int, duration_ns: int
) -> dict[str, dict[str, float]]:
    """The least cost of any control, by a linear programme (`microgrid_bound`)."""
    from sim.worlds.microgrid_bound import least_cost

    return {"bound": {"cost": least_cost(make(params), seed, duration_ns)}}
