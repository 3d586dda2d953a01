"""Robots on their ground: what they have seen, what is in their way, and who they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.console.ink import Row, cut, left
from sim.console.words import number, short_name

_ARROWS: Final = "→↗↑↖←↙↓↘"
_STATES: Final = {"down": ("✗", "bad"), "blind": ("?", "warn")}
_MARKS: Final = {
    "goal": ("◇", "c4"), "done": ("◆", "good"), "place": ("+", "accent"), "lost": ("✗", "bad"),
    "hidden": ("◇", "line"),
}  # fmt: skip
_SHADES: Final = " ·:∴░░▒▒▓▓"
_TABLE: Final = 24
"""Cells of the table beside the ground."""
_LEAST: Final = 60
"""Cells of width from which there is room for it."""


def figures_of_swarm(scene: Mapping[str, Any]) -> dict[str, float]:
    """What the task says, and the lowest battery."""
    found = {str(name): float(value) for name, value in scene["figures"].items()}
    return {**found, "least battery %": 100 * min(r["battery"] for r in scene["robots"])}


def draw_swarm(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """The ground from above, y upwards, and beside it the robots by name."""
    table = _TABLE if width >= _LEAST else 0
    wide = max(width - table - (2 if table else 0), 1)
    # A character is twice as high as it is wide.
    scale = max(scene["width"] / max(wide - 2, 1), scene["height"] / max(2 * (height - 2), 1))
    across = min(max(math.ceil(scene["width"] / scale), 1), max(wide - 2, 1))
    up = min(max(math.ceil(scene["height"] / scale / 2), 1), max(height - 2, 1))
    plane = _framed(_ground(scene, across, up), across)[: max(height, 0)]
    if not table:
        return [[(cut(text, width), ink) for text, ink in row][:width] for row in plane]
    beside = _names(scene, _TABLE, height)
    rows = max(len(plane), len(beside))
    blank: Row = [(" " * (across + 2), "")]
    return [
        [*(plane[y] if y < len(plane) else blank), ("  ", ""), *(beside[y : y + 1] or [[]])[0]]
        for y in range(min(rows, height))
    ]


def _ground(scene: Mapping[str, Any], across: int, up: int) -> list[list[tuple[str, str]]]:
    """Cells, the northernmost row first."""
    width, height = scene["width"], scene["height"]

    def place(at: Sequence[float]) -> tuple[int, int]:
        x, y = float(at[0]) / width * across, (1 - float(at[1]) / height) * up
        return min(max(int(y), 0), up - 1), min(max(int(x), 0), across - 1)

    cells = [
        [
            _floor(scene, (column + 0.5) / across, 1 - (row + 0.5) / up)
            for column in range(across)
        ]
        for row in range(up)
    ]  # fmt: skip
    for x, y, radius in scene["obstacles"]:
        for row in range(up):
            for column in range(across):
                dx = (column + 0.5) / across * width - x
                dy = (1 - (row + 0.5) / up) * height - y
                if math.hypot(dx, dy) <= radius:
                    cells[row][column] = ("█", "line")
    for at in scene["chargers"]:
        row, column = place(at)
        cells[row][column] = ("▣", "warn")
    for mark in scene.get("marks", ()):
        row, column = place(mark["at"])
        cells[row][column] = _MARKS.get(mark["role"], ("◇", "accent"))
    for robot in scene["robots"]:
        row, column = place(robot["at"])
        cells[row][column] = sign_of(robot)
    return cells


def _floor(scene: Mapping[str, Any], x: float, y: float) -> tuple[str, str]:
    """What the ground looks like at a place in [0, 1): a field if there is one, else the map."""
    field = scene.get("field")
    rows = field or scene["seen"]
    line = rows[min(int(y * len(rows)), len(rows) - 1)]
    digit = int(line[min(int(x * len(line)), len(line) - 1)])
    if field:
        return _SHADES[digit], f"c{min(digit, 7)}"
    return (" ", "") if digit else ("░", "faint")


def sign_of(robot: Mapping[str, Any]) -> tuple[str, str]:
    """An arrow where it heads; a cross if it is down, a question mark if it is blind."""
    if robot["state"] in _STATES:
        sign, ink = _STATES[robot["state"]]
        return sign, f"bold {ink}"
    x, y = robot["heading"]
    sign = _ARROWS[round(math.atan2(y, x) / (math.pi / 4)) % 8]
    return sign, "bold warn" if robot["battery"] < 0.2 else "bold accent"


def _framed(cells: Sequence[Sequence[tuple[str, str]]], across: int) -> list[Row]:
    edge: Row = [("·" + "─" * across + "·", "line")]
    return [edge, *([("│", "line"), *row, ("│", "line")] for row in cells), edge]


def _names(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """Figures, then robots."""
    rows: list[Row] = [
        [(left(f"{number(float(value))} {name}", width), "")]
        for name, value in scene["figures"].items()
    ]
    robots = list(scene["robots"])
    for i, robot in enumerate(robots):
        if len(rows) >= height - 1 and i < len(robots) - 1:
            rows.append([(left(f"and {len(robots) - i} more", width), "dim")])
            break
        sign, ink = sign_of(robot)
        name = left(short_name(str(robot["name"]), 11), 11)
        battery = f"{100 * robot['battery']:4.0f} %"
        rows.append([(f"{sign} ", ink), (name, ""), (left(battery, width - 13), "dim")])
    return rows[:height]
