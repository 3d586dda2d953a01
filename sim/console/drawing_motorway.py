"""A motorway: lanes as rows, the fast one on top, the ramp below; then what drives how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.console.ink import Row, cut, left

_LABEL: Final = 4
_SPEED: Final = 10
"""Cells of the mean speed at the right end of a lane."""
_BAR: Final = " ▁▂▃▄▅▆▇█"
_SLOW: Final = 0.6
"""Below this share of the wished speed a vehicle counts as held up."""

Vehicle = Mapping[str, Any]


def figures_of_motorway(scene: Mapping[str, Any]) -> dict[str, float]:
    """Mean speed of all on the road, how many are on it, and how many wait outside."""
    vehicles = scene["vehicles"]
    found = {"on the road": float(len(vehicles)), "waiting": float(scene["waiting"])}
    if vehicles:
        found["mean m/s"] = sum(v["speed"] for v in vehicles) / len(vehicles)
    return found


def draw_motorway(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """Driven from left to right. Of several vehicles in a cell the one in most trouble is shown."""
    span = max(width - _LABEL - _SPEED, 1)
    rows: list[Row] = [_kerb(scene, width, span)]
    for lane in range(scene["lanes"], 0, -1):
        rows.append(_lane(scene, lane, width, span))
    if scene["ramp"]:
        rows.append(_lane(scene, 0, width, span))
    rows += [_speeds(scene, width, span), _legend(scene, width)]
    rows += _told(scene, width)
    return rows[: max(height, 0)]


def ink_of(vehicle: Vehicle, wished: float) -> str:
    """How a vehicle is coloured: broken down, in danger, in a hurry, from the ramp, held up."""
    if vehicle["is_still"]:
        return "lost"
    if vehicle["is_near"]:
        return "bold bad"
    if vehicle["is_hurried"]:
        return "bold c1"
    if vehicle["is_from_ramp"]:
        return "bold c3"
    return "c5" if vehicle["speed"] < _SLOW * wished else "good"


def _sign(vehicle: Vehicle) -> str:
    if vehicle["is_still"]:
        return "✗"
    if vehicle["is_hurried"]:
        return "★"
    return "▸" if vehicle["is_from_ramp"] else "▪"


def _trouble(vehicle: Vehicle) -> int:
    marks = ("is_from_ramp", "is_hurried", "is_near", "is_still")
    return max((i + 1 for i, mark in enumerate(marks) if vehicle[mark]), default=0)


def _cell(scene: Mapping[str, Any], place: float, span: int) -> int:
    return min(max(int(place / scene["length"] * span), 0), span - 1)


def _kerb(scene: Mapping[str, Any], width: int, span: int) -> Row:
    line = ["─"] * span
    line[_cell(scene, scene["scene"], span)] = "┬"
    text = f"{' ' * _LABEL}{''.join(line)} {scene['length']:.0f} m"
    return [(cut(text, width), "line")]


def _lane(scene: Mapping[str, Any], lane: int, width: int, span: int) -> Row:
    """`2  ▪ ·   ▪▪  ·  24.1 m/s`"""
    begin, end = 0, span
    cells: Row = [("╌" if (x // 2) % 2 else " ", "faint") for x in range(span)]
    if lane == 0:
        ramp, opens, ends = (_cell(scene, place, span) for place in scene["ramp"])
        begin, end = ramp, ends + 1
        cells = [(" ", "")] * span
        cells[ramp:end] = [("╱" if x >= opens else "─", "faint") for x in range(ramp, end)]
        cells[ends] = ("▌", "line")
    there = [v for v in scene["vehicles"] if v["lane"] == lane]
    for vehicle in sorted(there, key=_trouble):
        at = min(max(_cell(scene, vehicle["place"], span), begin), end - 1)
        cells[at] = (_sign(vehicle), ink_of(vehicle, scene["speed"]))
    speed = scene["lane_speeds"][lane]
    told = "" if speed is None else f"{speed:5.1f} m/s"
    label = left("on" if lane == 0 else str(lane), _LABEL)
    row: Row = [(label, "dim"), *cells, (left(told, _SPEED), "dim")]
    return row if width >= _LABEL + span + _SPEED else [(cut(label, width), "dim")]


def _speeds(scene: Mapping[str, Any], width: int, span: int) -> Row:
    """Mean speed along the road, as bars: where it is held up."""
    sums: list[list[float]] = [[] for _ in range(span)]
    wide = max(span // 40, 1)
    for vehicle in scene["vehicles"]:
        if vehicle["lane"] > 0:
            at = _cell(scene, vehicle["place"], span)
            for x in range(max(at - wide, 0), min(at + wide + 1, span)):
                sums[x].append(vehicle["speed"])
    cells: Row = [(left("m/s", _LABEL), "dim")]
    for found in sums:
        share = sum(found) / len(found) / scene["speed"] if found else 0.0
        ink = "good" if share >= _SLOW else "bad"
        cells.append((_BAR[min(max(round(share * 8), 1 if found else 0), 8)], ink))
    return cells if width >= _LABEL + span else [(cut("m/s", width), "dim")]


def _legend(scene: Mapping[str, Any], width: int) -> Row:
    vehicles: Sequence[Vehicle] = scene["vehicles"]
    slow = sum(v["speed"] < _SLOW * scene["speed"] for v in vehicles)
    text = f"{len(vehicles)} on the road, {scene['waiting']} waiting, {scene['gone']} gone"
    return [(cut(f"{text}, {slow} held up", width), "")]


def _told(scene: Mapping[str, Any], width: int) -> list[Row]:
    """Those that one looks for: in a hurry, broken down, on the ramp."""
    rows: list[Row] = []
    for vehicle in sorted(scene["vehicles"], key=_trouble, reverse=True):
        if _trouble(vehicle) < 2 and not (vehicle["is_from_ramp"] and vehicle["lane"] == 0):
            continue
        where = "on the ramp" if vehicle["lane"] == 0 else f"in lane {vehicle['lane']}"
        text = f"{vehicle['name']} {where}, {vehicle['place']:.0f} m, {vehicle['speed']:.1f} m/s"
        rows.append([(cut(text, width), ink_of(vehicle, scene["speed"]))])
    return rows
