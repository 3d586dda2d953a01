"""An island grid on one bus: the frequency on its scale, every device as a bar of its power."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from sim.console.ink import Row, left, spread
from sim.console.words import short_name

_NOMINAL: Final = 50.0
_SPAN_HZ: Final = 0.5
_BAND_HZ: Final = 0.2
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


def figures_of_bus(scene: Mapping[str, Any]) -> dict[str, float]:
    """Frequency, and power by role."""
    found = {"frequency Hz": float(scene["frequency_hz"])}
    for device in scene["devices"]:
        name = f"{device['role']}s kW"
        found[name] = found.get(name, 0.0) + device["kw"]
    return found


def draw_bus(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """The scale of the frequency, then the devices, in two columns where that is needed."""
    devices = list(scene["devices"])
    rows = [_frequency(scene, width), _bar_of_bus(scene, width)]
    room = max(height - len(rows), 0)
    columns = 1
    while columns * room < len(devices) and width // (columns + 1) >= 18 and room:
        columns += 1
    if columns == 1 and width >= 90 and len(devices) > 6:
        columns = 2
    each = width // columns
    depth = min(-(-len(devices) // columns), room)
    most = max((abs(d["kw"]) for d in devices if math.isfinite(d["kw"])), default=1.0) or 1.0
    for line in range(depth):
        row: Row = []
        for column in range(columns):
            at = column * depth + line
            if at < len(devices):
                row += _device(devices[at], most, each)
        rows.append(row)
    if depth * columns < len(devices):
        more = f" +{len(devices) - depth * columns} more"
        rows[-1] = spread(rows[-1][: -len(more)], [(more, "dim")], width)
    return rows[:height]


def _frequency(scene: Mapping[str, Any], width: int) -> Row:
    f = scene["frequency_hz"]
    if scene.get("is_dark"):
        return [("BLACKOUT", "lost"), (f"  {f:.3f} Hz", "bad")]
    off = abs(f - _NOMINAL)
    ink = "good" if off <= _BAND_HZ else "bad"
    said: Row = [(f"{f:.3f} Hz", f"bold {ink}"), ("" if off <= _BAND_HZ else " !", "bad")]
    span = max(width - 30, 11)
    cells = [("─", "line")] * span
    for hz, glyph in ((-_BAND_HZ, "┊"), (0.0, "┼"), (_BAND_HZ, "┊")):
        cells[_place(hz, span)] = (glyph, "dim")
    if math.isfinite(f):
        cells[_place(f - _NOMINAL, span)] = ("●", ink)
    low, high = f"{_NOMINAL - _SPAN_HZ:.1f} ", f" {_NOMINAL + _SPAN_HZ:.1f}  "
    return [(low, "dim"), *cells, (high, "dim"), *said]


def _place(off_hz: float, span: int) -> int:
    share = (off_hz + _SPAN_HZ) / (2 * _SPAN_HZ)
    return min(max(round(share * (span - 1)), 0), span - 1)


def _bar_of_bus(scene: Mapping[str, Any], width: int) -> Row:
    made = sum(max(d["kw"], 0.0) for d in scene["devices"] if d["role"] != "consumer")
    used = sum(d["kw"] for d in scene["devices"] if d["role"] == "consumer")
    text = f" made {made:.1f} kW ══ used {used:.1f} kW "
    side = max((width - len(text)) // 2, 0)
    ink = "faint" if scene.get("is_dark") else "accent"
    return [("═" * side, ink), (text, ""), ("═" * (width - side - len(text)), ink)]


def _device(device: Mapping[str, Any], most: float, width: int) -> Row:
    """`generator-1 ▲████▌    55.4 kW`; `▼` draws power from the bus."""
    is_use = device["role"] == "consumer" or device["kw"] < 0
    name = min(max(width - 20, 8), 16)
    tail = f"{abs(device['kw']):6.1f}"
    if width >= 30:
        tail += " kW"
    if width >= 24:
        tail += f" {device['charge']:4.0%}" if "charge" in device else "     "
    span = max(width - name - len(tail) - 3, 2)
    bar = _bar(abs(device["kw"]) / most, span)
    sign = "▼" if is_use else "▲" if device["kw"] > 0.05 else " "
    ink = "c1" if is_use else "c3"
    shown = left(short_name(device["name"], name), name)
    return [(shown, ""), (sign, ink), (bar, ink), (tail, ""), ("  ", "")]


def _bar(share: float, span: int) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * span * 8) if share == share else 0
    full, part = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(span)
