"""Robots drawn: everybody is on the ground where they are, and no row is wider than its panel."""

from __future__ import annotations

from typing import Any

import pytest

from sim.console.drawings import Drawing, figures
from sim.console.ink import width_of
from sim.worlds.catalogue import make_world


def scene(**params: Any) -> dict[str, Any]:
    given = {"robots": 4, "width": 20, "height": 10, "battery": 1, "targets": 2, **params}
    return make_world("swarm", given, 0).scene()


def text_of(row: Any) -> str:
    return "".join(text for text, _ in row)


def test_robots_are_where_they_are_and_point_where_they_head() -> None:
    drawn = scene()
    drawn["marks"] = []
    for robot, at, heading in zip(
        drawn["robots"],
        [(0.1, 0.1), (19.9, 9.9), (0.1, 9.9), (19.9, 0.1)],
        [(1, 0), (0, 1), (-1, 0), (0.7, -0.7)],
        strict=True,
    ):
        robot.update(at=at, heading=heading)
    rows = [text_of(row) for row in Drawing().draw(drawn, 80, 16)]
    inside = [row[1:53] for row in rows if row.startswith("│")]
    assert (inside[-1][0], inside[0][-1]) == ("→", "↑")
    assert (inside[0][0], inside[-1][-1]) == ("←", "↘")
    assert "robot-1" in "".join(rows)


def test_who_is_down_or_blind_is_marked_and_obstacles_are_solid() -> None:
    drawn = scene(obstacles=[[10, 5, 2]], chargers=[[1, 1]])
    drawn["robots"][0].update(state="down")
    drawn["robots"][1].update(state="blind")
    whole = "".join(text_of(row) for row in Drawing().draw(drawn, 80, 16))
    for sign in "✗?█▣":
        assert sign in whole


@pytest.mark.parametrize("width", [20, 44, 60, 97])
@pytest.mark.parametrize("height", [1, 4, 20])
@pytest.mark.parametrize("sides", [(20, 10), (10, 100), (1000, 10)])
def test_nothing_is_wider_or_higher_than_its_panel(
    width: int, height: int, sides: tuple[int, int]
) -> None:
    rows = Drawing().draw(scene(width=sides[0], height=sides[1]), width, height)
    assert 0 < len(rows) <= height
    assert all(width_of(row) <= width for row in rows), [text_of(row) for row in rows]


def test_charts_follow_what_was_seen_and_the_lowest_battery() -> None:
    drawn = scene()
    drawn["robots"][2]["battery"] = 0.25
    told = figures(drawn)
    assert told["least battery %"] == 25
    assert 0 < told["seen %"] <= 100
