"""The road drawn: everybody is on it, in order, and no row is wider than its panel."""

from __future__ import annotations

from typing import Any

import pytest

from sim.console.drawings import Drawing, figures
from sim.console.ink import width_of
from sim.worlds.catalogue import make_world


def scene(**params: Any) -> dict[str, Any]:
    return make_world("vehicles", {"vehicles": 3, **params}, 0).scene()


def text_of(row: Any) -> str:
    return "".join(text for text, _ in row)


def test_the_foremost_is_to_the_right_and_the_others_follow() -> None:
    rows = [text_of(row) for row in Drawing().draw(scene(), 80, 12)]
    lane = [char for char in rows[1] if char in "123▶"]
    assert lane == ["3", "2", "1", "▶"]
    assert [row.split()[0] for row in rows[3:]] == ["leader", "vehicle-1", "vehicle-2", "vehicle-3"]
    assert "50.8 m" in rows[4]


def test_who_drives_beside_the_file_has_a_lane_above_it() -> None:
    drawn = scene()
    drawn["vehicles"][1]["lane"] = 1
    rows = [text_of(row) for row in Drawing().draw(drawn, 80, 12)]
    assert [[c for c in row if c in "123▶"] for row in rows[1:3]] == [["1"], ["3", "2", "▶"]]


def test_a_wreck_is_crossed_out() -> None:
    drawn = scene()
    drawn["vehicles"][2]["is_wreck"] = True
    assert "✗" in text_of(Drawing().draw(drawn, 80, 12)[1])


@pytest.mark.parametrize("width", [30, 44, 60, 97])
@pytest.mark.parametrize("height", [1, 4, 6, 20])
@pytest.mark.parametrize("ring", [0, 200])
def test_nothing_is_wider_or_higher_than_its_panel(width: int, height: int, ring: int) -> None:
    rows = Drawing().draw(scene(ring=ring), width, height)
    assert 0 < len(rows) <= height
    assert all(width_of(row) <= width for row in rows), [text_of(row) for row in rows]


def test_charts_follow_speeds_and_the_least_gap() -> None:
    assert figures(scene()) == {
        "first m/s": 25.0, "last m/s": 25.0, "least gap m": pytest.approx(50.8, abs=0.05)
    }  # fmt: skip
