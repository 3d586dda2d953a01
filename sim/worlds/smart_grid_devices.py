"""The smart grid's parameters and roster: who stands where, with which rating, on which feeder.

Agents take over devices of the grid's own record, largest first: photovoltaic plants, households,
commercial consumers, charging points. What the record lacks (industry, wind, a generator, more of
anything) is placed at a bus chosen by rule, so that any imported grid gives a roster. What no
agent takes over is background: it follows its profile and trades with nobody.

Powers are in kW and positive *into* the network, for every device alike; energies are in kWh.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.errors import BoundError
from sim.worlds.grid_data import (
    Devices,
    GridData,
    load_bundled,
    load_grid,
    with_external_voltage,
    with_transformer,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROLES: Final = (
    "household", "pv", "battery", "ev", "commercial", "industrial", "wind", "generator",
)  # fmt: skip
"""The device roles, in the order of every device axis. `market` and `operator` follow as groups."""
INVERTERS: Final = ("pv", "wind")
CONSUMERS: Final = ("household", "commercial", "industrial")

Count = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Scale = Annotated[float, msgspec.Meta(ge=0, le=100)]
Power = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Price = Annotated[float, msgspec.Meta(ge=0, le=100)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of the world; the unit ends the name, shares and scales have none."""

    grid: str = ""
    """A grid record written by `sim import grid`; empty for the bundled SimBench feeder."""
    day: str = "2016-05-27"
    """The first day of the profiles; 2016-05-27 is sunny and a working day."""
    day_choices: tuple[str, ...] = ()
    """If given, each episode draws its first day from these instead, by its seed."""
    days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 1
    """Consecutive days; a longer run begins again with the first."""
    load_scale: Scale = 2.0
    """Times the loads of the record: heat pumps and vehicles to come."""
    pv_scale: Scale = 2.75
    """Times its photovoltaic plants; profiles reach about 0.6 of the rated power."""
    transformer_kva: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 250.0
    """Rated power of the substation's transformer; 0 keeps the record's."""
    external_voltage: Annotated[float, msgspec.Meta(ge=0.8, le=1.2)] = 1.06
    """Of the medium-voltage grid, per unit; rural feeders are set high."""

    households: Count = 10
    pvs: Count = 6
    batteries: Count = 4
    evs: Count = 4
    commercials: Count = 1
    industrials: Count = 1
    winds: Count = 1
    generators: Count = 1

    household_flexible_share: Share = 0.4
    """Part of a household's demand that can wait: hot water, laundry, dishes."""
    household_flexible_kw: Power = 5.0
    """Largest power at which waiting demand is served."""
    household_backlog_kwh: Power = 8.0
    """What can wait at most; demand beyond it is served at once."""
    delay_eur_per_kwh_h: Price = 0.01
    """Discomfort of one kWh waiting one hour, counted on what waits at each quarter's end."""
    battery_kw: Power = 20.0
    battery_kwh: Power = 40.0
    battery_efficiency: Annotated[float, msgspec.Meta(ge=0.5, le=1)] = 0.95
    """Of charging, and again of discharging."""
    battery_charge: Share = 0.3
    """State of charge at the start, as a share of the capacity."""
    battery_eur_per_kwh: Price = 0.02
    """Throughput cost: wear per kWh charged or discharged at the terminals."""
    ev_kw: Power = 22.0
    """Largest charging power of a charging point."""
    ev_min_kw: Power = 4.2
    """Charging power without communication; 4.2 kW is what section 14a EnWG (Germany) leaves."""
    ev_kwh: tuple[float, float] = (20.0, 40.0)
    """Energy a vehicle needs per stay, drawn uniformly between the two."""
    ev_unserved_eur_per_kwh: Price = 1.0
    """Value of energy missing at departure."""
    commercial_share: Share = 0.3
    """Part of its demand a commercial consumer can forgo."""
    commercial_eur_per_kwh: Price = 0.42
    """Value of what it forgoes."""
    industrial_kw: Power = 40.0
    industrial_share: Share = 0.4
    industrial_eur_per_kwh: Price = 0.36
    wind_kw: Power = 20.0
    generator_kw: Power = 30.0
    generator_eur_per_kwh: Price = 0.20
    """Marginal cost."""
    generator_ramp_kw: Power = 10.0
    """Change of its power per minute."""

    import_eur_per_kwh: Price = 0.30
    """Mean upstream tariff; its daily shape is in `smart_grid_profiles`."""
    feed_in_eur_per_kwh: Price = 0.08
    """Upstream pays it for what is not traded. Also the value of what is curtailed."""
    imbalance_share: Share = 0.25
    """What was traded and not kept is bought back dearer, or sold back cheaper, by this share of
    the tariff."""
    end_eur_per_kwh: Price = 0.20
    """Values what is stored, and what still waits or is needed, when the run ends."""
    unserved_eur_per_kwh: Price = 3.0
    """Value of demand that is not supplied."""

    load_noise: Share = 0.10
    """Relative standard deviation of a load from its 15-minute profile."""
    cloud_noise: Share = 0.08
    """The same of sun and wind."""
    forecast_noise: Share = 0.15
    """Relative error of the day-ahead forecasts of load and generation."""
    price_noise: Share = 0.10
    """Relative deviation of the tariff from its shape, by hour; its forecast knows half of it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Roster:
    """The devices that agents play, in the order of `ROLES`, and what is left to follow profiles.

    Shapes: arrays [N] over all devices; load_is_free [loads], sgen_is_free [sgens]: True where the
            grid's own device remains background. feeder_of_bus [buses], -1 at and above the
            busbar.
    Units:  rated_kw: the largest power, or of a consumer the factor of its relative profile.
            profile_p, profile_q: columns of the grid's profiles, -1 for none (constant or not
            driven by a profile).
    """

    grid: GridData
    names: tuple[str, ...]
    role: tuple[str, ...]
    slices: dict[str, slice]
    bus: Ints
    rated_kw: Floats
    rated_kvar: Floats
    s_kva: Floats
    profile_p: Ints
    profile_q: Ints
    load_is_free: Bools
    sgen_is_free: Bools
    feeders: tuple[str, ...]
    feeder_of_bus: Ints
    busbar: int

    def of_role(self, role: str) -> tuple[str, ...]:
        """Names of a role's agents, in slot order."""
        return self.names[self.slices[role]]

    def by_feeder(self) -> dict[str, tuple[str, ...]]:
        """The agents on each feeder, to name those whose communication is cut."""
        found: dict[str, tuple[str, ...]] = {}
        for i, feeder in enumerate(self.feeders):
            at = np.flatnonzero(self.feeder_of_bus[self.bus] == i)
            found[feeder] = tuple(self.names[j] for j in at)
        return found


@dataclasses.dataclass
class _Place:
    """One device while the roster is being made."""

    bus: int
    kw: float
    kvar: float = 0.0
    s_kva: float = 0.0
    profile_p: int = -1
    profile_q: int = -1


def scaled_grid(p: Params) -> GridData:
    """The network of these parameters. Raises: ScenarioError."""
    grid = load_grid(Path(p.grid)) if p.grid else load_bundled()
    if p.transformer_kva:
        grid = with_transformer(grid, p.transformer_kva)
    return with_external_voltage(grid, p.external_voltage)


def make_roster(p: Params) -> Roster:
    """Places every agent.

    Raises: BoundError for bounds that contradict each other, ScenarioError for a grid that cannot
            be read.
    """
    if not 0 <= p.ev_kwh[0] <= p.ev_kwh[1] <= 500:
        raise BoundError("world.ev_kwh: expected two energies, the lower one first")
    if p.feed_in_eur_per_kwh > 0.5 * p.import_eur_per_kwh:
        raise BoundError("world.feed_in_eur_per_kwh: expected at most half of import_eur_per_kwh")
    counts = (p.households, p.pvs, p.batteries, p.evs, p.commercials, p.industrials, p.winds)
    if not any((*counts, p.generators)):
        raise BoundError("world: expected at least one device that an agent plays")
    grid = scaled_grid(p)
    load_is_free = np.ones(len(grid.loads), dtype=bool)
    sgen_is_free = np.ones(len(grid.sgens), dtype=bool)

    def taken(devices: Devices, is_free: Bools, roles: tuple[str, ...], n: int) -> list[_Place]:
        places = []
        for i in _largest(devices, roles, n):
            is_free[i] = False
            place = _Place(
                int(devices.bus[i]), float(devices.p_kw[i]), float(devices.q_kvar[i]),
                float(devices.s_kva[i]), int(devices.profile_p[i]), int(devices.profile_q[i]),
            )  # fmt: skip
            places.append(place)
        return places

    spare = _spare_buses(grid)

    def filled(places: list[_Place], n: int, like: _Place) -> list[_Place]:
        """`places` and, up to n, copies of `like` at spare buses."""
        more = (dataclasses.replace(like, bus=next(spare)) for _ in range(n - len(places)))
        return places + list(more)

    pvs = taken(grid.sgens, sgen_is_free, ("pv",), p.pvs)
    houses = taken(grid.loads, load_is_free, ("household",), p.households)
    evs = taken(grid.loads, load_is_free, ("ev fast", "ev home", "ev work"), p.evs)
    shops = taken(grid.loads, load_is_free, ("commerce",), p.commercials)
    stores = [_Place(int(grid.storages.bus[i]), 0.0) for i in _largest(grid.storages, (), 10**6)]
    houses = filled(houses, p.households, _Place(0, 3.0, 1.2, 0, *_columns(grid, "H0-C")))
    shops = filled(shops, p.commercials, _Place(0, 10.0, 4.0, 0, *_columns(grid, "G4-A", "G1-C")))
    pvs = filled(pvs, p.pvs, _Place(0, 10.0, 0, 10.0, _column(grid, "PV3", "PV1"), -1))
    plants = [_Place(bus, 0.0) for bus in _plant_buses(grid, load_is_free)]
    industry = _Place(0, p.industrial_kw, 0.3 * p.industrial_kw, 0, *_columns(grid, "G3-H", "G3-A"))
    wind = _Place(0, p.wind_kw, 0, p.wind_kw, _column(grid, "WP4", "WP7"), -1)

    def at_plants(n: int, like: _Place) -> list[_Place]:
        return filled([dataclasses.replace(like, bus=b.bus) for b in plants[:n]], n, like)

    chosen: dict[str, list[_Place]] = {
        "household": [_times(x, p.load_scale) for x in houses],
        "pv": [_times(x, p.pv_scale) for x in pvs],
        "battery": [
            dataclasses.replace(x, kw=p.battery_kw, s_kva=1.1 * p.battery_kw)
            for x in filled(stores[: p.batteries], p.batteries, _Place(0, 0.0))
        ],
        "ev": [_Place(x.bus, p.ev_kw) for x in filled(evs, p.evs, _Place(0, 0.0))],
        "commercial": [_times(x, p.load_scale) for x in shops],
        "industrial": at_plants(p.industrials, industry),
        "wind": filled([], p.winds, wind),
        "generator": filled(
            [_Place(x.bus, p.generator_kw) for x in shops[: p.generators]],
            p.generators,
            _Place(0, p.generator_kw),
        ),
    }
    return _roster(grid, chosen, load_is_free, sgen_is_free)


def feeders_of(grid: GridData) -> tuple[tuple[str, ...], Ints, int]:
    """Feeders are what falls apart when the busbar is taken out: names, feeder per bus, busbar.

    The busbar is the low side of the transformer, or the external grid's bus without one. Feeders
    are named `a`, `b`, ... in the order of their first line.
    """
    kinds = grid.branches.kinds
    is_line = np.array([kind != "trafo" for kind in kinds], dtype=bool)
    busbars = grid.branches.to_bus[~is_line] if not is_line.all() else grid.slack_bus
    outside = {*map(int, busbars), *map(int, grid.slack_bus)}
    feeder = np.full(len(grid.vn_kv), -1, dtype=np.int64)
    near: dict[int, list[int]] = {}
    pairs = list(zip(grid.branches.from_bus.tolist(), grid.branches.to_bus.tolist(), strict=True))
    for start, end in pairs:
        near.setdefault(start, []).append(end)
        near.setdefault(end, []).append(start)
    count = 0
    for pair in pairs:
        for first in pair:
            if first in outside or feeder[first] >= 0:
                continue
            if not any(other in outside for other in near[first]):
                continue
            stack = [first]
            while stack:
                bus = stack.pop()
                if bus not in outside and feeder[bus] < 0:
                    feeder[bus] = count
                    stack.extend(near[bus])
            count += 1
    return tuple(_letters(i) for i in range(count)), feeder, int(busbars[0])


def _roster(
    grid: GridData, chosen: dict[str, list[_Place]], load_is_free: Bools, sgen_is_free: Bools
) -> Roster:
    places = [place for role in ROLES for place in chosen[role]]
    roles = tuple(role for role in ROLES for _ in chosen[role])
    names = tuple(f"{role}-{i + 1}" for role in ROLES for i in range(len(chosen[role])))
    slices, start = {}, 0
    for role in ROLES:
        slices[role] = slice(start, start + len(chosen[role]))
        start += len(chosen[role])
    feeders, feeder_of_bus, busbar = feeders_of(grid)
    return Roster(
        grid=grid, names=names, role=roles, slices=slices,
        bus=np.array([x.bus for x in places], dtype=np.int64),
        rated_kw=np.array([x.kw for x in places], dtype=np.float64),
        rated_kvar=np.array([x.kvar for x in places], dtype=np.float64),
        s_kva=np.array([x.s_kva for x in places], dtype=np.float64),
        profile_p=np.array([x.profile_p for x in places], dtype=np.int64),
        profile_q=np.array([x.profile_q for x in places], dtype=np.int64),
        load_is_free=load_is_free, sgen_is_free=sgen_is_free,
        feeders=feeders, feeder_of_bus=feeder_of_bus, busbar=busbar,
    )  # fmt: skip


def _largest(devices: Devices, roles: tuple[str, ...], n: int) -> list[int]:
    """The n largest devices of these roles (any, if none are given), ties by position."""
    of = [i for i, role in enumerate(devices.roles) if not roles or role in roles]
    return sorted(of, key=lambda i: (-float(devices.p_kw[i]), i))[:n]


def _times(place: _Place, scale: float) -> _Place:
    return dataclasses.replace(
        place, kw=place.kw * scale, kvar=place.kvar * scale, s_kva=place.s_kva * scale
    )


def _column(grid: GridData, *wanted: str) -> int:
    """The first of these profiles that the grid has, or -1."""
    for name in wanted:
        if name in grid.profile_names:
            return grid.profile_names.index(name)
    return -1


def _columns(grid: GridData, *wanted: str) -> tuple[int, int]:
    """Active and reactive profile of a load type."""
    active, reactive = ([f"{name}_{kind}" for name in wanted] for kind in ("pload", "qload"))
    return _column(grid, *active), _column(grid, *reactive)


def _plant_buses(grid: GridData, load_is_free: Bools) -> list[int]:
    """Where industry stands: at the largest commercial consumers that no agent plays."""
    order = _largest(grid.loads, ("commerce",), 10**6)
    return [int(grid.loads.bus[i]) for i in order if load_is_free[i]]


def _spare_buses(grid: GridData) -> Iterator[int]:
    """Buses with loads, again and again, in a fixed order that spreads over the network."""
    buses = sorted({int(bus) for bus in grid.loads.bus}) or list(range(len(grid.vn_kv)))
    stride = next(k for k in (37, 41, 43, 47) if len(buses) % k) if len(buses) > 1 else 1
    at = 0
    while True:
        at = (at + stride) % len(buses)
        yield buses[at]


def _letters(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else _letters(i // 26 - 1) + chr(ord("a") + i % 26)
