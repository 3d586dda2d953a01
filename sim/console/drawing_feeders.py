"""A distribution grid: each feeder as the profile of its voltages, with what hangs on it.

One character per bus, from the transformer outwards; its height is the voltage on the scale that
the first row states, its colour where that is between 0.90 and 1.10 p.u. Side branches stand
below, or behind a `╷` where there is no room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sim.console.ink import Row, join, spread, width_of
from sim.console.words import number

LOW: Final = 0.90
HIGH: Final = 1.10
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_DARK_PU: Final = 0.2
_Scale: TypeAlias = tuple[float, float]
_SUMS: Final = (
    ("PV", ("pv",)), ("wind", ("wind",)), ("generators", ("generator", "biomass")),
    ("storage", ("battery", "hydro")), ("vehicles", ("ev",)),
    ("demand", ("household", "commercial", "industrial")),
)  # fmt: skip


def figures_of_feeders(scene: Mapping[str, Any]) -> dict[str, float]:
    """Import, extreme voltages, loading, price."""
    v = [b["v_pu"] for b in scene["buses"] if b["v_pu"] > _DARK_PU]
    transformer, prices = scene["transformer"], scene["prices"]
    return {
        "import kW": transformer["import_kw"],
        "highest V p.u.": max(v, default=math.nan),
        "lowest V p.u.": min(v, default=math.nan),
        "transformer %": transformer["loading_percent"],
        "cleared ct/kWh": 100 * prices["cleared"],
        "tariff ct/kWh": 100 * prices["import"],
    }


def draw_feeders(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """The transformer, the feeders, the balance."""
    by_feeder: dict[str, list[Mapping[str, Any]]] = {name: [] for name in scene["feeders"]}
    for bus in scene["buses"]:
        if bus["feeder"] in by_feeder:
            by_feeder[bus["feeder"]].append(bus)
    devices: dict[str, list[Mapping[str, Any]]] = {}
    for device in scene["devices"]:
        devices.setdefault(device["feeder"], []).append(device)
    feeders = [name for name, buses in by_feeder.items() if buses]
    room = height - 2
    shown = _most_telling(feeders, by_feeder, devices, room)
    chains = {name: _chains(by_feeder[name]) for name in shown}
    has_branches = len(shown) + sum(len(c) - 1 for c in chains.values()) <= room
    strip = min(
        max((_strip_width(c, has_branches) for c in chains.values()), default=0),
        max(width - 24, 10),
    )
    scale = _scale(scene)
    rows = [_transformer(scene, width, scale)]
    for name in shown:
        is_last = name == shown[-1]
        rows += _feeder(
            name, chains[name], devices.get(name, []), (strip, width, scale), is_last, has_branches
        )
    if len(shown) < len(feeders):
        rest = ", ".join(name for name in feeders if name not in shown)
        rows[-1] = spread(rows[-1], [(f" +{rest}", "dim")], width)
    rows.append(_balance(scene, width))
    return rows[:height]


def _most_telling(
    feeders: Sequence[str],
    buses: Mapping[str, Sequence[Mapping[str, Any]]],
    devices: Mapping[str, Sequence[Mapping[str, Any]]],
    room: int,
) -> list[str]:
    """As many feeders as there is room for, in their order: what is dark, far off 1 or large."""
    if len(feeders) <= room:
        return list(feeders)

    def weight(name: str) -> tuple[int, float]:
        own = buses[name]
        dark = sum(bool(b["is_open"]) or not b["v_pu"] > _DARK_PU for b in own)
        return dark, len(own) / 3 + 2 * len(devices.get(name, ()))

    kept = sorted(feeders, key=weight, reverse=True)[: max(room, 0)]
    return [name for name in feeders if name in kept]


def _chains(buses: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Buses in a line each, first the one that leaves the transformer."""
    chains: list[list[Mapping[str, Any]]] = []
    for bus in buses:
        if chains and chains[-1][-1]["bus"] == bus["parent"]:
            chains[-1].append(bus)
        else:
            chains.append([bus])
    return chains


def _strip_width(chains: Sequence[Sequence[Any]], has_branches: bool) -> int:
    if has_branches:
        return max(len(c) + (3 if i else 0) for i, c in enumerate(chains))
    return sum(len(c) + 1 for c in chains) - 1


def ink_of_voltage(v: float) -> str:
    """From blue, low, over green to red, high."""
    if not v > _DARK_PU:
        return "faint"
    return f"c{min(max(int((v - LOW) / (HIGH - LOW) * 8), 0), 7)}"


def _scale(scene: Mapping[str, Any]) -> _Scale:
    """Lowest and highest of the heights, in steps of 0.02 p.u. so that it stays put."""
    v = [b["v_pu"] for b in scene["buses"] if b["v_pu"] > _DARK_PU and math.isfinite(b["v_pu"])]
    if not v:
        return LOW, HIGH
    low, high = math.floor(min(v) / 0.02) * 0.02, math.ceil(max(v) / 0.02) * 0.02
    return low, max(high, low + 0.04)


def _bus(bus: Mapping[str, Any], scale: _Scale) -> tuple[str, str]:
    v = bus["v_pu"]
    if bus["is_open"]:
        return "╳", "bad"
    if not v > _DARK_PU:
        return "·", "faint"
    if v > HIGH or v < LOW:
        return "!", "bad"
    place = int((v - scale[0]) / (scale[1] - scale[0]) * 8)
    return _LEVELS[min(max(place, 0), 7)], ink_of_voltage(v)


def _profile(chain: Sequence[Mapping[str, Any]], width: int, scale: _Scale) -> Row:
    if len(chain) > width > 0:
        chain = [chain[i * len(chain) // width] for i in range(width)]
    return [_bus(bus, scale) for bus in chain]


def _feeder(
    name: str,
    chains: Sequence[Sequence[Mapping[str, Any]]],
    devices: Sequence[Mapping[str, Any]],
    size: tuple[int, int, _Scale],
    is_last: bool,
    has_branches: bool,
) -> list[Row]:
    strip, width, scale = size
    buses = [bus for chain in chains for bus in chain]
    head: Row = [("└─" if is_last else "├─", "line"), (f"{name[:8]} ", "bold")]
    profile = _profile(chains[0], strip, scale)
    if not has_branches:
        each = max((strip - len(chains) + 1) // max(len(chains), 1), 1)
        is_long = sum(len(c) for c in chains) + len(chains) - 1 > strip
        profile = []
        for i, chain in enumerate(chains):
            profile += [("╷", "line")] * bool(i) + _profile(
                chain, each if is_long else len(chain), scale
            )
    profile = profile[:strip]
    row: Row = [*head, *profile, (" " * (strip - len(profile) + 1), "")]
    facts = [_extremes(buses), *_line(buses), *_people(devices)]
    row += join(facts, width - width_of(row), "  ")
    rows = [row]
    if has_branches:
        for i, chain in enumerate(chains[1:], 1):
            arm = "└" if i == len(chains) - 1 else "├"
            lead = " " if is_last else "│"
            indent = " " * len(name[:8])
            part = _profile(chain, strip - 3, scale)
            rows.append([(f"{lead} {indent} {arm}─ ", "line"), *part])
    return rows


def _extremes(buses: Sequence[Mapping[str, Any]]) -> Row:
    v = [b["v_pu"] for b in buses if b["v_pu"] > _DARK_PU]
    dark = len(buses) - len(v)
    row: Row = []
    if v:
        far = max(v, key=lambda x: abs(x - 1))
        row = [(f"{far:.3f}", ink_of_voltage(far))]
        if far > HIGH or far < LOW:
            row.append((" !", "bad"))
    if dark:
        row.append((f" {dark} dark", "bad"))
    return row


def _line(buses: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The line that is open, or the one that is loaded most if that is worth a word."""
    broken = [b["line"] for b in buses if b["is_open"]]
    if broken:
        return [[(f"╳ {broken[0]} open", "bad")]]
    load = max((b["loading_percent"] for b in buses), default=0.0)
    if not load >= 20:
        return []
    ink = "bad" if load > 100 else "warn" if load > 80 else "dim"
    return [[(f"line {load:.0f} %" + (" !" if load > 100 else ""), ink)]]


def _people(devices: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Devices, the largest first."""
    found = []
    for device in sorted(devices, key=lambda d: -abs(d["kw"])):
        kw = device["kw"]
        if not device.get("is_supplied", True):
            found.append([(f"{device['name']} dark", "bad")])
        elif abs(kw) >= 0.05 or "charge" in device:
            text = f"{device['name']} {kw:+.1f}" if abs(kw) >= 0.05 else f"{device['name']} 0"
            row: Row = [(text, "good" if kw > 0 else "")]
            if "charge" in device:
                row.append((f" {device['charge']:.0%}", "dim"))
            found.append(row)
    return found


def _transformer(scene: Mapping[str, Any], width: int, scale: _Scale) -> Row:
    t = scene["transformer"]
    load = t["loading_percent"]
    ink = "bad" if load > 100 else "warn" if load > 80 else "good"
    full = min(max(int(load / 100 * 8 + 0.5), 0), 8) if load == load else 0
    parts: list[Row] = [
        [(f"{t.get('above', 'MV')} ", "bold"), ("━" * full, ink), ("─" * (8 - full), "line"),
         (f" {load:.0f} %", ink), (" OVERLOAD" if load > 100 else "", "bad"),
         (f" of {t['rated_kva']:.0f} kVA", "dim")],
        [(f"{t['v_pu']:.3f} p.u.", ink_of_voltage(t["v_pu"]))],
    ]  # fmt: skip
    row = join(parts, width, "  ")
    low, high = scale
    steps = [low + (high - low) * (i + 0.5) / 8 for i in range(8)]
    legend: Row = [(f"{low:.2f} ", "dim")]
    legend += [(level, ink_of_voltage(v)) for level, v in zip(_LEVELS, steps, strict=True)]
    legend += [(f" {high:.2f}", "dim")]
    if width >= 90:
        legend = [("p.u. ", "dim"), *legend, ("  ! beyond  ╳ open  · dark", "dim")]
    return spread(row, legend, width)


def _balance(scene: Mapping[str, Any], width: int) -> Row:
    """Where power comes from and goes to; kW, positive where it is generated."""
    total: dict[str, float] = {}
    for device in scene["devices"]:
        total[device["role"]] = total.get(device["role"], 0.0) + device["kw"]
    flow, prices = scene["transformer"]["import_kw"], scene["prices"]
    word = "import" if flow >= 0 else "export"
    parts: list[Row] = [[(f"{word} ", "dim"), (f"{abs(flow):.0f} kW", "bold")]]
    price: Row = [("price ", "dim"), (f"{100 * prices['cleared']:.1f} ct", "bold")]
    if width >= 60:
        price[-1] = (f"{100 * prices['cleared']:.1f} ct/kWh", "bold")
        price.append((f" tariff {100 * prices['import']:.1f}", "dim"))
    known = [
        (label, sum(total.get(role, 0.0) for role in roles))
        for label, roles in _SUMS
        if any(role in total for role in roles)
    ]
    if width < 60:
        known = [(label, kw) for label, kw in known if abs(kw) >= 1][:3]
    parts += [[(f"{label} ", "dim"), (number(kw, 3), "")] for label, kw in known]
    if width >= 60:
        rest = number(-flow - sum(total.values()), 3)
        parts.append([("other demand, losses ", "dim"), (rest, "")])
    return join([parts[0], price, *parts[1:]], width, "  ")
