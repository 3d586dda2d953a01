"""The motorway drawn: everybody is in the row of their lane, and no row is wider than its panel."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import pytest

from sim.console.drawings import Drawing, figures
from sim.console.ink import width_of
from sim.worlds.catalogue import make_world

PARAMS = {"vehicles": 20, "ramps": 1, "emergencies": 1, "called": "0s", "lanes": 2}


def scene() -> dict[str, Any]:
    return deepcopy(_scene())


@cache
def _scene() -> dict[str, Any]:
    """A moment later, so that ramp and emergency vehicle are on the road."""
    world = make_world("motorway", {**PARAMS, "jitter": 0}, 0)
    nobody = {g.name: g for g in world.groups}
    actions = {name: world.observe()[name][:, :2] * 0 for name in nobody}
    there = {name: value[:, 0] > 0 for name, value in actions.items()}
    for _ in range(10):
        world.advance(actions, there)
    return world.scene()


def text_of(row: Any) -> str:
    return "".join(text for text, _ in row)


def test_lanes_are_rows_and_the_ramp_is_below() -> None:
    rows = [text_of(row) for row in Drawing().draw(scene(), 100, 20)]
    assert [row[:2].strip() for row in rows[1:4]] == ["2", "1", "on"]
    assert "★" in rows[1] + rows[2]
    assert "▸" in rows[3]
    assert "on the road" in rows[5]
    assert any("emergency-1 in lane" in row for row in rows)


def test_who_broke_down_is_crossed_out() -> None:
    drawn = scene()
    drawn["vehicles"][0].update(is_still=True, lane=1)
    assert "✗" in text_of(Drawing().draw(drawn, 100, 20)[2])


@pytest.mark.parametrize("width", [8, 30, 60, 97])
@pytest.mark.parametrize("height", [1, 4, 20])
def test_nothing_is_wider_or_higher_than_its_panel(width: int, height: int) -> None:
    rows = Drawing().draw(scene(), width, height)
    assert 0 < len(rows) <= height
    assert all(width_of(row) <= width for row in rows), [text_of(row) for row in rows]


def test_charts_follow_the_mean_speed_and_who_waits() -> None:
    told = figures(scene())
    assert set(told) == {"on the road", "waiting", "mean m/s"}
    assert 15 < told["mean m/s"] < 35
