"""Makes grid records from SimBench codes, pandapower cases and pandapower files.

Needs the extra `grid`. Everything pandapower knows of a network's topology (closed switches, open
ends, taps, vector groups, magnetising losses, shunts) is taken from the admittance model that it
builds itself; the record is then solved once here and compared with pandapower's own solution, so
an import either agrees within 1e-6 per unit or fails.
Absent: voltage-controlled generators and unbalanced elements, which are refused by name.

The bundled extract is made by `sim import grid 1-LV-rural3--2-no_sw`.
"""

from __future__ import annotations

import difflib
import math
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from sim.errors import InstallationError, ScenarioError, UnknownKeyError
from sim.worlds.grid_data import Branches, Devices, Floats, GridData, quantise, save_grid
from sim.worlds.powerflow import compile_network, solve

COMPANIONS: Final = (
    "WP4", "WP7", "G0-A_pload", "G0-A_qload", "G1-A_pload", "G1-A_qload", "G3-A_pload",
    "G3-A_qload", "G3-H_pload", "G3-H_qload", "BL-H_pload", "BL-H_qload",
)  # fmt: skip
"""Profiles that every SimBench record gets beside its own: wind, commerce, industry."""
AGREEMENT: Final = 1e-6
"""Largest difference of a voltage to pandapower's, per unit."""
_REFUSED: Final = (
    "gen", "ward", "xward", "motor", "dcline", "asymmetric_load", "asymmetric_sgen", "svc", "tcsc",
    "ssc", "vsc", "load_dc", "source_dc",
)  # fmt: skip
# Columns of PYPOWER's case format, version 2, and of pandapower's extension for asymmetry.
_BUS_TYPE, _PD, _QD, _GS, _BS, _VM, _VA, _BASE_KV = 1, 2, 3, 4, 5, 7, 8, 9
_FROM, _TO, _R, _X, _B, _TAP, _SHIFT, _STATUS, _G = 0, 1, 2, 3, 4, 8, 9, 10, 23
_ASYMMETRY: Final = (21, 22, 24, 25)


def import_grid(code: str, out: Path) -> Path:
    """Writes the record of a SimBench code, a pandapower case or a pandapower `.json` to `out`.

    Raises: InstallationError without the extra `grid`; UnknownKeyError for an unknown code;
            ScenarioError for a network that this power flow cannot represent.
    """
    return save_grid(read_grid(code), out)


def read_grid(code: str) -> GridData:
    """The record of a SimBench code, a pandapower case or a pandapower `.json` file."""
    pandapower, simbench = _packages()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if code in simbench.collect_all_simbench_codes():
            net = simbench.get_simbench_net(code)
            _apply_taps(net)
            everything = simbench.get_all_simbench_profiles(int(code.split("-")[-2]))
            columns = _columns(net.profiles, everything)
            source = "SimBench, www.simbench.de, ODbL 1.0"
        else:
            net, columns = _pandapower_case(pandapower, simbench, code), {}
            source = f"pandapower {pandapower.__version__}, {code}"
        return convert(net, code, source, columns)


def convert(net: Any, code: str, source: str, columns: dict[str, Floats]) -> GridData:
    """The record of a pandapower network, checked against pandapower's solution of it."""
    import pandapower

    _refuse(net, code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pandapower.runpp(net, calculate_voltage_angles=True, numba=False)
        except pandapower.LoadflowNotConverged as error:
            raise ScenarioError(f"grid {code}: pandapower itself finds no solution") from error
    case, rows = net._ppc, net._pd2ppc_lookups["bus"]
    bus = case["bus"].real
    names = tuple(columns)
    values, scale = quantise(np.stack([*columns.values()], axis=1) if columns else np.zeros((0, 0)))
    slack = np.flatnonzero(bus[:, _BUS_TYPE] == 3)
    grid = GridData(
        code=code,
        source=source,
        base_kva=float(case["baseMVA"]) * 1e3,
        bus_names=_bus_names(net, rows, len(bus)),
        vn_kv=np.ascontiguousarray(bus[:, _BASE_KV]),
        slack_bus=slack,
        slack_v=bus[slack, _VM] * np.exp(1j * np.deg2rad(bus[slack, _VA])),
        shunt=(bus[:, _GS] + 1j * bus[:, _BS]) / case["baseMVA"],
        branches=_branches(net, case["branch"].real, code),
        loads=_devices(net.load, rows, names, ("_pload", "_qload")),
        sgens=_devices(net.sgen, rows, names, ("", "")),
        storages=_devices(net.storage, rows, names, None),
        profile_names=names,
        profile_values=values,
        profile_scale=scale,
        start="2016-01-01T00:00",
        step_s=900,
    )
    _compare(grid, bus)
    return grid


def _packages() -> tuple[Any, Any]:
    try:
        import pandapower
        import pandapower.networks
        import simbench
    except ImportError as error:
        raise InstallationError(
            f"importing a grid needs {error.name}: pip install 'sim-agents[grid]'"
        ) from error
    return pandapower, simbench


def _apply_taps(net: Any) -> None:
    """Makes pandapower 3 use the tap positions of SimBench data, which it ignores otherwise.

    Source: e2nIEE/simbench issue 69: the converter leaves `tap_changer_type` empty.
    """
    if "tap_changer_type" in net.trafo:
        unset = net.trafo.tap_changer_type.isna() & net.trafo.tap_step_percent.fillna(0).ne(0)
        net.trafo.loc[unset, "tap_changer_type"] = "Ratio"


def _pandapower_case(pandapower: Any, simbench: Any, code: str) -> Any:
    if code.endswith(".json"):
        if not Path(code).is_file():
            raise ScenarioError(f"{code}: no such file")
        return pandapower.from_json(code)
    maker = getattr(pandapower.networks, code, None)
    if not code.isidentifier() or not callable(maker):
        known = [*simbench.collect_all_simbench_codes(), *dir(pandapower.networks)]
        nearest = difflib.get_close_matches(code, known, 1)
        raise UnknownKeyError(
            f"no SimBench code, pandapower case or .json file {code!r}"
            + (f"; did you mean {nearest[0]!r}?" if nearest else "")
        )
    return maker()


def _refuse(net: Any, code: str) -> None:
    """Raises: ScenarioError for elements that balanced flow without voltage control lacks."""
    for table in _REFUSED:
        elements = net.get(table)
        if elements is not None and len(elements) and bool(elements.in_service.any()):
            raise ScenarioError(
                f"grid {code}: {len(elements)} elements of kind {table!r} cannot be represented; "
                "networks may have lines, transformers, impedances, shunts, switches, loads, "
                "static generators, storages and external grids"
            )
    dependent = [column for column in net.load.columns if column.startswith("const_")]
    if len(net.load) and bool((net.load[dependent].fillna(0) != 0).any(axis=None)):
        raise ScenarioError(f"grid {code}: loads that depend on the voltage cannot be represented")


def _columns(own: dict[str, Any], everything: dict[str, Any]) -> dict[str, Floats]:
    """The grid's profiles by name, then the companions; storages are controlled, not profiled."""
    columns: dict[str, Floats] = {}
    for tables, wanted in ((own, None), (everything, COMPANIONS)):
        for kind in ("load", "renewables", "powerplants"):
            for name, column in tables[kind].items():
                if name != "time" and (wanted is None or name in wanted):
                    columns.setdefault(str(name), column.to_numpy(float))
    return columns


def _bus_names(net: Any, rows: NDArray[Any], count: int) -> tuple[str, ...]:
    """A node's name is that of its first bus: closed switches fuse buses into one node."""
    names = [f"node {row}" for row in range(count)]
    for index in reversed(net.bus.index):
        if rows[index] >= 0:
            names[rows[index]] = str(net.bus.name.at[index] or f"bus {index}")
    return _distinct(names)


def _distinct(names: list[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return tuple(result)


def _branches(net: Any, table: Floats, code: str) -> Branches:
    """The branches in service; what a line or transformer may carry comes from pandapower's tables.

    Three-winding transformers, impedances and switches with impedance have no rating here.
    """
    if np.abs(table[:, _ASYMMETRY]).max(initial=0.0) > 1e-9:
        raise ScenarioError(f"grid {code}: branches with unequal ends cannot be represented")
    names, kinds = [""] * len(table), [""] * len(table)
    rated = np.full((2, len(table)), math.inf)
    for kind, (first, last) in net._pd2ppc_lookups["branch"].items():
        elements = net[kind]
        for row in range(first, last):
            index = elements.index[(row - first) % len(elements)]
            name = elements.name.at[index] if "name" in elements else None
            names[row], kinds[row] = str(name or f"{kind} {index}"), kind
        if kind == "line":
            rated[:, first:last] = elements.max_i_ka * elements.df * elements.parallel
        elif kind == "trafo":
            mva = elements.sn_mva * elements.df * elements.parallel / math.sqrt(3)
            rated[:, first:last] = mva / elements.vn_hv_kv, mva / elements.vn_lv_kv
    on = table[:, _STATUS] > 0
    table, tap = table[on], table[on, _TAP]
    return Branches(
        names=tuple(np.array(_distinct(names))[on].tolist()),
        kinds=tuple(np.array(kinds)[on].tolist()),
        from_bus=table[:, _FROM].astype(np.int64),
        to_bus=table[:, _TO].astype(np.int64),
        r=table[:, _R],
        x=table[:, _X],
        g=table[:, _G],
        b=table[:, _B],
        ratio=np.where(tap == 0.0, 1.0, tap),
        shift_deg=table[:, _SHIFT],
        rated_from_ka=np.nan_to_num(rated[0, on], nan=math.inf),
        rated_to_ka=np.nan_to_num(rated[1, on], nan=math.inf),
    )


def _devices(
    table: Any, rows: NDArray[Any], profiles: tuple[str, ...], suffixes: tuple[str, str] | None
) -> Devices:
    """Devices in service. suffixes: of the profiles for p and q; None marks storages."""
    table = table[table.in_service.astype(bool)]

    def column(name: str, default: float = 0.0) -> Floats:
        if name not in table:
            return np.full(len(table), default)
        values: Floats = table[name].to_numpy(float, na_value=np.nan)
        return np.nan_to_num(values, nan=default)

    p, q = column("p_mw") * column("scaling", 1.0), column("q_mvar") * column("scaling", 1.0)
    followed = ["" if name != name or name is None else str(name) for name in
                (table["profile"] if "profile" in table else [None] * len(table))]  # fmt: skip
    numbers = {name: i for i, name in enumerate(profiles)}
    efficiency = np.ones(len(table))
    follows_p = follows_q = np.full(len(table), -1, dtype=np.int64)
    if suffixes is None:
        limits = np.abs([p, column("max_p_mw"), column("min_p_mw")])
        p = limits.max(axis=0) if len(table) else p
        efficiency = column("efficiency_percent", 1.0)
        efficiency = np.where(efficiency > 1.5, efficiency / 100, efficiency)  # 0.95 or 95
        efficiency = np.where(efficiency > 0, efficiency, 1.0)
    else:
        follows_p, follows_q = (
            np.array([numbers.get(name + suffix, -1) for name in followed], dtype=np.int64)
            for suffix in suffixes
        )
    return Devices(
        names=_distinct([str(name or index) for index, name in table.name.items()]),
        profiles=tuple(followed),
        bus=rows[table.bus.to_numpy(int)].astype(np.int64),
        p_kw=p * 1e3,
        q_kvar=q * 1e3,
        s_kva=np.maximum(column("sn_mva"), np.hypot(p, q)) * 1e3,
        energy_kwh=column("max_e_mwh") * 1e3,
        efficiency=efficiency,
        profile_p=follows_p,
        profile_q=follows_q,
    )


def _compare(grid: GridData, bus: Floats) -> None:
    """Raises: ScenarioError if this power flow and pandapower's differ on the network as given."""
    network = compile_network(grid)
    injected = -torch.from_numpy(bus[:, (_PD, _QD)].copy()) * 1e3
    solution = solve(network, injected[None, :, 0], injected[None, :, 1])
    expected = bus[:, _VM] * np.exp(1j * np.deg2rad(bus[:, _VA]))
    supplied = network.supplied.numpy()
    difference = np.abs(solution.v[0].numpy() - expected)[supplied].max()
    if not difference <= AGREEMENT:  # also true for NaN
        raise ScenarioError(
            f"grid {grid.code}: voltages differ from pandapower's by {difference:.1e} per unit"
        )
