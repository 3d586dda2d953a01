"""The smart grid drawn: its tree of feeders with voltages and loadings, and every device."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from sim.worlds.grid_data import GridData
from sim.worlds.smart_grid_devices import Params, Roster
from sim.worlds.smart_grid_network import transformer, transformer_kva
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR
from sim.worlds.smart_grid_settlement import EUR


def draw(p: Params, roster: Roster, state: Mapping[str, Any], import_mc: int) -> dict[str, Any]:
    """Plain data of a batch of one.

    kind "feeders"; buses in tree order, each with its parent, feeder, depth, voltage (p.u.) and
    the loading (percent) of the line that feeds it; devices with power and own state; transformer,
    prices (EUR/kWh) and sums now.
    """
    grid = roster.grid
    v, loading = state["bus_v"][0].tolist(), state["loading"][0].tolist()
    is_open = state["is_open"][0].tolist()
    step = int(state["step"][0])
    buses = [
        {
            "name": grid.bus_names[bus], "bus": bus, "parent": parent, "depth": depth,
            "feeder": _feeder(roster, bus), "v_pu": v[bus],
            "line": grid.branches.names[line] if line >= 0 else "",
            "loading_percent": loading[line] if line >= 0 else 0.0,
            "is_open": is_open[line] if line >= 0 else False,
        }
        for bus, parent, depth, line in tree(grid)
    ]  # fmt: skip
    import_kw, import_kvar, share, busbar_v = state["substation"][0].tolist()
    rated = transformer_kva(grid)
    return {
        "kind": "feeders",
        "title": f"{grid.code}, {len(grid.bus_names)} buses, {clock(step)}",
        "minute": step,
        "buses": buses,
        "devices": _devices(p, roster, state),
        "transformer": {
            "name": grid.branches.names[transformer(grid)], "loading_percent": 100 * share,
            "import_kw": import_kw, "import_kvar": import_kvar, "v_pu": busbar_v,
            "rated_kva": rated,
        },
        "prices": {
            "import": import_mc / MILLICENT_PER_EUR,
            "feed_in": p.feed_in_eur_per_kwh,
            "cleared": int(state["traded_mc"][0]) / MILLICENT_PER_EUR,
            "traded_kwh": float(state["traded_wh"][0].clamp(min=0).sum()) / 1000,
        },
        "feeders": list(roster.feeders),
    }  # fmt: skip


@functools.lru_cache(maxsize=16)
def tree(grid: GridData) -> tuple[tuple[int, int, int, int], ...]:
    """Buses from the external grid down, depth first: (bus, parent, depth, line to the parent)."""
    near: dict[int, list[tuple[int, int]]] = {}
    ends = zip(grid.branches.from_bus.tolist(), grid.branches.to_bus.tolist(), strict=True)
    for line, (start, end) in enumerate(ends):
        near.setdefault(start, []).append((end, line))
        near.setdefault(end, []).append((start, line))
    seen: set[int] = set()
    order: list[tuple[int, int, int, int]] = []
    stack = [(int(bus), -1, 0, -1) for bus in grid.slack_bus]
    while stack:
        bus, parent, depth, line = stack.pop()
        if bus in seen:
            continue
        seen.add(bus)
        order.append((bus, parent, depth, line))
        further = sorted(near.get(bus, ()), key=lambda x: -x[1])
        stack.extend((other, bus, depth + 1, link) for other, link in further if other not in seen)
    return tuple(order)


def clock(minute: int) -> str:
    """A minute as day and time."""
    return f"day {minute // 1440 + 1} {minute // 60 % 24:02d}:{minute % 60:02d}"


def _feeder(roster: Roster, bus: int) -> str:
    at = int(roster.feeder_of_bus[bus])
    return roster.feeders[at] if at >= 0 else ""


def _devices(p: Params, roster: Roster, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    p_kw, q_kvar = state["p_kw"][0].tolist(), state["q_kvar"][0].tolist()
    v, supplied = state["v_pu"][0].tolist(), state["is_supplied"][0].tolist()
    own, paid = state["own_kw"][0].tolist(), state["paid"][0].tolist()
    devices = []
    for i, name in enumerate(roster.names):
        device: dict[str, Any] = {
            "name": name, "role": roster.role[i], "bus": int(roster.bus[i]),
            "feeder": _feeder(roster, int(roster.bus[i])), "kw": p_kw[i], "kvar": q_kvar[i],
            "v_pu": v[i], "is_supplied": supplied[i], "cost_eur": paid[i] / EUR,
        }  # fmt: skip
        at = i - roster.slices[roster.role[i]].start
        if roster.role[i] == "battery":
            device["charge"] = float(state["energy_kwh"][0, at]) / p.battery_kwh
        elif roster.role[i] == "ev":
            device["need_kwh"] = float(state["need_kwh"][0, at])
        elif roster.role[i] == "household":
            device["backlog_kwh"] = float(state["backlog_kwh"][0, at])
        elif roster.role[i] in ("pv", "wind"):
            device["available_kw"] = own[i]
        devices.append(device)
    return devices
