"""Vehicles in single file: the road with everybody on it, and each by speed, pedal and gap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.console.ink import Row, cut, left
from sim.console.words import short_name

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_PEDAL_MAX: Final = 4.0
"""m/s2 at the end of the scale."""
_SPEED, _PEDAL, _GAP = 10, 13, 9
"""Cells of a speed, of a pedal, of the number of a gap."""


def figures_of_road(scene: Mapping[str, Any]) -> dict[str, float]:
    """Speeds of the first and the last, and the smallest gap."""
    vehicles = scene["vehicles"]
    gaps = [v["gap"] for v in vehicles if v["gap"] is not None]
    found = {"first m/s": vehicles[0]["speed"], "last m/s": vehicles[-1]["speed"]}
    return {**found, "least gap m": min(gaps)} if gaps else found


def draw_road(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """The road, driven from left to right, then a row per vehicle from the foremost on."""
    vehicles = list(scene["vehicles"])
    rows = [*_road(scene, vehicles, width), _heading(scene, width)]
    room = max(height - len(rows), 0)
    shown = vehicles if len(vehicles) <= room else vehicles[: max(room - 1, 0)]
    rows += [_vehicle(scene, vehicle, width) for vehicle in shown]
    if len(shown) < len(vehicles):
        rows.append([(f"and {len(vehicles) - len(shown)} more", "dim")])
    return rows[: max(height, 0)]


def ink_of(vehicle: Mapping[str, Any]) -> str:
    """How a vehicle is coloured: wrecked, in danger, braking, accelerating, or rolling."""
    if vehicle["is_wreck"]:
        return "lost"
    if vehicle["is_near"] or vehicle["is_braking"]:
        return "bold bad"
    if vehicle["acceleration"] < -0.5:
        return "c1"
    return "good" if vehicle["acceleration"] > 0.5 else ""


def _road(scene: Mapping[str, Any], vehicles: Sequence[Mapping[str, Any]], width: int) -> list[Row]:
    """A kerb with the scale, and the lanes; the foremost stays at the right end."""
    ring, front = scene["ring"], vehicles[0]["place"]
    behind = [(front - v["place"]) % ring if ring else front - v["place"] for v in vehicles]
    extent = ring or _nice(max(behind) + 2 * scene["length"])
    lanes: list[Row] = [
        [("╌" if (x // 2) % 2 else " ", "faint") for x in range(width)]
        for _ in range(1 + max(vehicle.get("lane", 0) for vehicle in vehicles))
    ]
    for vehicle, back in reversed(list(zip(vehicles, behind, strict=True))):
        if math.isfinite(back):
            at = min(max(round((1 - back / extent) * (width - 1)), 0), width - 1)
            sign = (_sign(vehicle), f"bold {ink_of(vehicle)}".strip())
            lanes[vehicle.get("lane", 0)][at] = sign
    scale = f" {extent:.0f} m{' round' if ring else ''} "
    kerb: Row = [("─" * max(width - len(scale), 0), "line"), (cut(scale, width), "dim")]
    return [kerb, *reversed(lanes)]


def _sign(vehicle: Mapping[str, Any]) -> str:
    """A cross for a wreck, else the last digit or letter of the name; the leader is an arrow."""
    last = str(vehicle["name"])[-1:]
    return "✗" if vehicle["is_wreck"] else last if last.isdigit() else "▶"


def _nice(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 x 10^n, so that the scale seldom changes."""
    if not value > 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        (s * power for s in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if s * power >= value), 10 * power
    )


def _heading(scene: Mapping[str, Any], width: int) -> Row:
    name, span = _columns(width)
    wanted = f"gap, wanted {scene['wanted_gap']:.0f} m"
    pedal = left("  brake │ gas", _PEDAL + 1)
    text = f"{left('', name)} {left('m/s', _SPEED)} {pedal}{wanted}"
    return [(cut(text, width), "dim")] if span else [(cut(f"{left('', name)} m/s", width), "dim")]


def _columns(width: int) -> tuple[int, int]:
    """Cells of a name, and of the bar of a gap; none in a narrow terminal."""
    name = 10 if width >= 50 else 7
    return name, max(width - name - _SPEED - _PEDAL - _GAP - 4, 0)


def _vehicle(scene: Mapping[str, Any], vehicle: Mapping[str, Any], width: int) -> Row:
    """`vehicle-3   22.4 ▇▇▇   ███│      ████████╎   19.3 m`"""
    name, span = _columns(width)
    ink = ink_of(vehicle)
    share = vehicle["speed"] / (1.4 * scene["speed"])
    row: Row = [
        (left(short_name(str(vehicle["name"]), name), name), ink),
        (f"{vehicle['speed']:5.1f} ", ""),
        (_bar(share, _SPEED - 5), "c3"),
        (" ", ""),
    ]
    if width >= name + _SPEED + _PEDAL + 2:
        row += _pedal(vehicle["acceleration"])
    gap = vehicle["gap"]
    if not span or gap is None:
        return row
    most = 3.0 * scene["wanted_gap"]
    bar = [(char, "bad" if vehicle["is_near"] else "c5") for char in _bar(gap / most, span)]
    bar[min(span // 3, span - 1)] = ("╎", "dim")
    return [*row, (" ", ""), *bar, (f"{gap:6.1f} m"[:_GAP], "bad" if vehicle["is_near"] else "")]


def _pedal(acceleration: float) -> Row:
    """A bar to the left for braking, to the right for accelerating."""
    half = _PEDAL // 2
    cells = (
        min(round(abs(acceleration) / _PEDAL_MAX * half), half)
        if acceleration == acceleration
        else 0
    )
    if acceleration < 0:
        return [(("▬" * cells).rjust(half), "c1"), ("│", "dim"), (" " * half, "")]
    return [(" " * half, ""), ("│", "dim"), (("▬" * cells).ljust(half), "good")]


def _bar(share: float, span: int) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * span * 8) if share == share else 0
    full, part = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(span)
