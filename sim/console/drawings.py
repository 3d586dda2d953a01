"""Worlds drawn: one drawing per kind of scene, a plain one for every other.

A drawing is a pure function of the scene; what it cannot read it leaves out. A world that is not
known here is shown as its numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from sim.console.drawing_bus import draw_bus, figures_of_bus
from sim.console.drawing_feeders import draw_feeders, figures_of_feeders
from sim.console.drawing_junctions import draw_junctions, figures_of_junctions
from sim.console.drawing_market import draw_market, figures_of_market
from sim.console.drawing_motorway import draw_motorway, figures_of_motorway
from sim.console.drawing_plain import draw_plain
from sim.console.drawing_points import Trails, draw_points
from sim.console.drawing_road import draw_road, figures_of_road
from sim.console.drawing_shares import draw_shares, figures_of_shares
from sim.console.drawing_swarm import draw_swarm, figures_of_swarm
from sim.console.ink import Row

_Draw = Callable[[Mapping[str, Any], int, int], list[Row]]
_Figures = Callable[[Mapping[str, Any]], dict[str, float]]
_KINDS: Final[dict[str, tuple[_Draw, _Figures]]] = {
    "bus": (draw_bus, figures_of_bus),
    "feeders": (draw_feeders, figures_of_feeders),
    "junctions": (draw_junctions, figures_of_junctions),
    "market": (draw_market, figures_of_market),
    "motorway": (draw_motorway, figures_of_motorway),
    "road": (draw_road, figures_of_road),
    "shares": (draw_shares, figures_of_shares),
    "swarm": (draw_swarm, figures_of_swarm),
}
_ODD: Final = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
"""What reading a scene raises that is not of the form its kind promises."""


class Drawing:
    """Draws scenes one after another; remembers where points have been."""

    def __init__(self) -> None:
        self._trails = Trails()

    def see(self, scene: Mapping[str, Any]) -> None:
        """Takes a scene that may not be drawn."""
        if scene.get("kind") == "points":
            with contextlib.suppress(*_ODD):
                self._trails.see(scene)

    def draw(self, scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
        """Shapes: at most `height` rows of `width` cells. A scene that breaks its own form is
        shown plainly instead."""
        kind = scene.get("kind")
        try:
            if kind == "points":
                return draw_points(scene, width, height, self._trails)
            if kind in _KINDS:
                return _KINDS[kind][0](scene, width, height)
        except _ODD:
            note: Row = [(f"the scene of kind {kind!s:.20} is not as expected", "dim")]
            return [note, *draw_plain(scene, width, height - 1)][: max(height, 0)]
        return draw_plain(scene, width, height)


def figures(scene: Mapping[str, Any]) -> dict[str, float]:
    """What charts can follow of a scene, by name with its unit."""
    try:
        kind = scene.get("kind", "")
        read = _KINDS[kind][1](scene) if kind in _KINDS else {}
        return {name: value for name, value in read.items() if math.isfinite(value)}
    except _ODD:
        return {}
