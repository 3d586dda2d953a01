"""The market as it is drawn: books, course, profits, at any size."""

from __future__ import annotations

from typing import Any

import pytest

from sim.console.drawings import Drawing, figures
from sim.console.ink import width_of
from sim.worlds.market.world import Market, make


def traded(**params: Any) -> Market:
    world = make({"makers": 1, "noise": 1, "informed": 1, **params})
    for venue in world.venues.values():
        quote = {"bids": [[9_990, 5], [9_980, 9]], "asks": [[10_010, 4]]}
        venue.apply(1, "maker-1", "quote", quote)
    order = {"side": "buy", "lots": 1, "kind": "market"}
    world.venues["venue-1"].apply(2, "noise-1", "order", order)
    for _ in range(20):
        world.advance({}, {})
    return world


def text(scene: dict[str, Any], width: int, height: int) -> str:
    rows = Drawing().draw(scene, width, height)
    assert len(rows) <= height
    assert all(width_of(row) <= width for row in rows)
    return "\n".join("".join(part for part, _ in row) for row in rows)


def test_the_ladder_the_course_and_who_earned_what() -> None:
    shown = text(traded(venues=2).scene(), 140, 24)
    assert "spread 20" in shown
    assert "venue-1" in shown and "venue-2" in shown  # noqa: PT018
    for words in ("10,010    3", " 9,980    9", "noise", "price", "value", "to makers"):
        assert words in shown
    names = figures(traded().scene())
    assert {"price ticks", "value ticks", "makers USD"} <= set(names)


def test_a_halt_and_a_kill_switch_are_seen() -> None:
    world = traded()
    world.inject("halt", "venue-1", True)
    world.inject("kill_switch", "maker-1", True)
    shown = text(world.scene(), 120, 20)
    assert "HALTED" in shown
    assert "1 cut off" in shown
    assert "empty" in shown


@pytest.mark.parametrize("size", [(120, 30), (80, 12), (60, 20), (44, 8), (30, 5), (12, 3)])
@pytest.mark.parametrize("params", [{}, {"form": "call", "volatility": 50}, {"venues": 3}])
def test_it_fits(size: tuple[int, int], params: dict[str, Any]) -> None:
    world = make(params)
    text(world.scene(), *size)
    if not params.get("form"):
        text(traded(**params).scene(), *size)
