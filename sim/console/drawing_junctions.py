"""Junctions: a crossing each, its lights, and who waits before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.console.ink import Row, cut

_LIGHTS: Final = {
    "green": ("●", "good"), "amber": ("◐", "warn"), "red": ("○", "red"), "none": ("+", "dim"),
}  # fmt: skip
_ROWS: Final = 4
"""Of a junction, with the one below it that keeps it apart."""
_WIDTH_MAX: Final = 44
"""Cells of a junction: wider, one would not see them as a grid."""
_SLOW, _MOVING = "■", "·"


def figures_of_junctions(scene: Mapping[str, Any]) -> dict[str, float]:
    """Who is slow before a line, who waits before the edge, and the delay so far."""
    lanes = [lane for junction in scene["junctions"] for lane in junction["lanes"]]
    return {
        "queue": float(sum(lane["slow"] for lane in lanes)),
        "before the edge": float(scene["waiting"]),
        "delay s": float(scene["delay"]),
    }


def draw_junctions(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """A line of totals, then the grid: north is up, a row of lights about each crossing."""
    queue = int(figures_of_junctions(scene)["queue"])
    told = (
        f"queue {queue}, before the edge {scene['waiting']}, left {scene['left']}, "
        f"delay {scene['delay']:.1f} s"
    )
    rows: list[Row] = [[(cut(told, width), "dim")]]
    columns, junctions = int(scene["columns"]), list(scene["junctions"])
    span = max(min(width // columns, _WIDTH_MAX), 1)
    for first in range(0, len(junctions), columns):
        cells = [_junction(junction, span) for junction in junctions[first : first + columns]]
        rows += [[part for cell in cells for part in cell[i]] for i in range(_ROWS)]
    return [_fit(row, width) for row in rows[: max(height, 0)]]


def _junction(junction: Mapping[str, Any], span: int) -> list[Row]:
    """Rows of `span` cells: north, west with east, south, nothing."""
    north, east, south, west = zip(junction["lights"], junction["lanes"], strict=True)
    half = max((span - 1) // 2, 0)
    inside = sum(lane["crossing"] for lane in junction["lanes"])
    middle: Row = [
        (_queue(west[1], max(half - 2, 0), is_right=True), ""),
        *_light(west[0]),
        (str(inside)[:1] if inside else "┼", "bold" if inside else "line"),
        *_light(east[0]),
        (_queue(east[1], max(half - 2, 0), is_right=False), ""),
    ]
    return [_upright(north, span), _fit(middle, span), _upright(south, span), [(" " * span, "")]]


def _light(light: str) -> Row:
    sign, ink = _LIGHTS[light]
    return [(sign, ink)]


def _upright(side: tuple[str, Mapping[str, Any]], span: int) -> Row:
    """A lane across the rows: its light over the crossing, beside it who is there."""
    light, lane = side
    left = max((span - 1) // 2 - 1, 0)
    beside = _queue(lane, max(span - left - 3, 0), is_right=False)
    return _fit([(" " * left, ""), *_light(light), (" ", ""), (beside, "")], span)


def _queue(lane: Mapping[str, Any], room: int, is_right: bool) -> str:
    """Who is on a lane, who is slow nearest to the line; the number where there is no room."""
    slow, moving = int(lane["slow"]), int(lane["vehicles"]) - int(lane["slow"])
    text = _SLOW * slow + _MOVING * moving
    if len(text) > room:
        return f"{slow}{_SLOW}{moving}{_MOVING}"[:room].ljust(room)
    return text[::-1].rjust(room) if is_right else text.ljust(room)


def _fit(row: Sequence[tuple[str, str]], width: int) -> Row:
    """Exactly so many cells."""
    fitted, left = [], width
    for text, ink in row:
        fitted.append((text[:left], ink))
        left -= len(fitted[-1][0])
    return [*fitted, (" " * left, "")] if left else fitted
