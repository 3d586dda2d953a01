"""Points in a plane with the way they came; the view follows how far out they are."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.console.braille import Canvas
from sim.console.ink import Row, left
from sim.console.words import number, short_name

_TRAIL: Final = 60
_NUMBER: Final = 8
_STEPS: Final = (1.0, 2.0, 5.0)
_INKS: Final = ("c1", "c3", "c5", "you", "c6", "market", "c4", "c0")


class Trails:
    """Where points have been lately, and the extent of the view, which shrinks slowly."""

    def __init__(self) -> None:
        self.of: dict[str, deque[tuple[float, float]]] = {}
        self.extent = 0.0

    def see(self, scene: Mapping[str, Any]) -> None:
        """Takes the points of a scene."""
        far = 0.0
        for point in scene.get("points", ()):
            x, y = place(point["at"])
            trail = self.of.setdefault(point["name"], deque(maxlen=_TRAIL))
            trail.append((x, y))
            far = max([far, *(max(abs(a), abs(b)) for a, b in trail if math.isfinite(a + b))])
        wanted = _nice(far * 1.15)
        if wanted > self.extent or wanted < self.extent / 3:
            self.extent = wanted


def place(at: Sequence[float]) -> tuple[float, float]:
    """The first two coordinates; a second one that is missing is 0."""
    return float(at[0]), float(at[1]) if len(at) > 1 else 0.0


def _nice(value: float) -> float:
    if not value > 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)


def draw_points(scene: Mapping[str, Any], width: int, height: int, trails: Trails) -> list[Row]:
    """The plane, and beside it the points by name."""
    points = list(scene["points"])
    if not trails.extent:
        trails.see(scene)
    extent = trails.extent or 1.0
    longest = max((len(str(point["name"])) for point in points), default=4)
    table = 2 + min(longest, 12 if width >= 66 else 7) + 2 * _NUMBER if width >= 44 else 0
    plane = max(width - table - (2 if table else 0), 10)
    rows = _plane(points, plane, height, trails, extent)
    if not table:
        return rows
    beside = _table(points, table, height, extent)
    return [
        [*rows[y], ("  ", ""), *(beside[y] if y < len(beside) else [])] for y in range(len(rows))
    ]


def _plane(
    points: Sequence[Mapping[str, Any]], width: int, height: int, trails: Trails, extent: float
) -> list[Row]:
    across = extent * max(width / (2 * height), 1.0)
    up = extent * max(2 * height / width, 1.0)
    cells: list[list[tuple[str, str]]] = [[(" ", "")] * width for _ in range(height)]
    cells[height // 2] = [("┄", "faint")] * width
    for row in cells:
        row[width // 2] = ("┆", "faint")
    cells[height // 2][width // 2] = ("┼", "faint")
    for i, point in enumerate(points):
        canvas = Canvas(width, height)
        for x, y in trails.of.get(point["name"], ()):
            if math.isfinite(x + y):
                canvas.dot((x / across + 1) / 2, (y / up + 1) / 2)
        for row, dots in zip(cells, canvas.rows(), strict=True):
            for column, char in enumerate(dots):
                if char != " ":
                    row[column] = (char, f"{_INKS[i % len(_INKS)]} dim")
    for i, point in reversed(list(enumerate(points))):
        x, y = place(point["at"])
        if not math.isfinite(x + y):
            continue
        column = min(max(int((x / across + 1) / 2 * width), 0), width - 1)
        line = min(max(int((1 - (y / up + 1) / 2) * height), 0), height - 1)
        cells[line][column] = (sign_of(point, i), f"bold {_INKS[i % len(_INKS)]}")
    return cells


def sign_of(point: Mapping[str, Any], place: int) -> str:
    """A diamond for what is no agent; the last digit or letter of the name otherwise."""
    return "◆" if point.get("role") == "point" else str(point["name"])[-1:] or str(place % 10)


def _table(
    points: Sequence[Mapping[str, Any]], width: int, height: int, extent: float
) -> list[Row]:
    size = max((len(point["at"]) for point in points), default=2)
    rows: list[Row] = [[(f"view ±{number(extent)}", "dim")]]
    if size > 2:
        rows[0].append((f", first 2 of {size}", "dim"))
    name = max(width - 2 - 2 * _NUMBER, 4)
    for i, point in enumerate(points):
        if len(rows) == height - 1 and i < len(points) - 1:
            rows.append([(f"and {len(points) - i} more", "dim")])
            break
        ink = _INKS[i % len(_INKS)]
        at = [(f"{value:{_NUMBER}.3f}"[:_NUMBER], "dim") for value in list(point["at"])[:2]]
        shown = left(short_name(str(point["name"]), name), name)
        rows.append([(f"{sign_of(point, i)} ", f"bold {ink}"), (shown, ""), *at])
    return rows[:height]
