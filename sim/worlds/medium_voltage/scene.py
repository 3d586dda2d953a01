"""The network drawn: its tree of feeders with voltages and loadings, and every unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.worlds.medium_voltage.exogenous import quarter_of
from sim.worlds.medium_voltage.params import Params
from sim.worlds.medium_voltage.settlement import EUR
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_network import transformer, transformer_kva
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR
from sim.worlds.smart_grid_scene import clock, tree


def draw(p: Params, roster: Roster, state: Mapping[str, Any], spot_mc: int) -> dict[str, Any]:
    """Plain data of a batch of one, of the form of `smart_grid_scene.draw`.

    The price cleared is that of the dearest call in force; traded is what was called. balancing:
    what the transmission operator needs and has called in this quarter, kWh.
    """
    grid = roster.grid
    v, loading = state["bus_v"][0].tolist(), state["loading"][0].tolist()
    is_open, step = state["is_open"][0].tolist(), int(state["step"][0])
    called = [wh / 1000 for wh in state["called_wh"][0].tolist()]
    prices = [mc for mc, kwh in zip(state["called_mc"][0].tolist(), called, strict=True) if kwh]
    import_kw, import_kvar, share, busbar_v = state["substation"][0].tolist()
    return {
        "kind": "feeders",
        "title": f"{grid.code}, {len(grid.bus_names)} buses, {clock(step)}",
        "minute": step,
        "buses": [
            {
                "name": grid.bus_names[bus], "bus": bus, "parent": parent, "depth": depth,
                "feeder": _feeder(roster, bus), "v_pu": v[bus],
                "line": grid.branches.names[line] if line >= 0 else "",
                "loading_percent": loading[line] if line >= 0 else 0.0,
                "is_open": is_open[line] if line >= 0 else False,
            }
            for bus, parent, depth, line in tree(grid)
        ],
        "devices": _units(p, roster, state, called),
        "transformer": {
            "name": grid.branches.names[transformer(grid)], "loading_percent": 100 * share,
            "import_kw": import_kw, "import_kvar": import_kvar, "v_pu": busbar_v,
            "rated_kva": transformer_kva(grid), "above": "HV",
        },
        "prices": {
            "import": spot_mc / MILLICENT_PER_EUR,
            "feed_in": spot_mc / MILLICENT_PER_EUR,
            "cleared": max(prices, default=0) / MILLICENT_PER_EUR,
            "traded_kwh": sum(abs(kwh) for kwh in called),
        },
        "balancing": {
            "need_kwh": int(state["need_wh"][0, quarter_of(state["step"])[0]]) / 1000,
            "called_kwh": sum(called),
        },
        "feeders": list(roster.feeders),
    }  # fmt: skip


def _feeder(roster: Roster, bus: int) -> str:
    at = int(roster.feeder_of_bus[bus])
    return roster.feeders[at] if at >= 0 else ""


def _units(
    p: Params, roster: Roster, state: Mapping[str, Any], called: list[float]
) -> list[dict[str, Any]]:
    columns = ("p_kw", "q_kvar", "v_pu", "own_kw", "plan_kw", "paid")
    kw, kvar, v, own, plan, paid = (state[name][0].tolist() for name in columns)
    runs = (state["is_supplied"] & ~state["is_out"])[0].tolist()
    units = []
    for i, name in enumerate(roster.names):
        role, bus = roster.role[i], int(roster.bus[i])
        at = i - roster.slices[role].start
        unit: dict[str, Any] = {
            "name": name, "role": role, "bus": bus, "feeder": _feeder(roster, bus), "kw": kw[i],
            "kvar": kvar[i], "v_pu": v[i], "is_supplied": runs[i], "cost_eur": paid[i] / EUR,
            "plan_kw": plan[i], "called_kwh": called[i],
        }  # fmt: skip
        if role == "wind":
            unit["available_kw"] = own[i]
        elif role == "industrial":
            unit["owed_kwh"] = float(state["owed_kwh"][0, at])
        elif role == "hydro":
            unit["charge"] = float(state["upper"][0, at]) / p.upper_m3
        units.append(unit)
    return units
