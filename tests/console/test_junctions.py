"""Junctions drawn: lights and queues at their sides, and no row wider than its panel."""

from __future__ import annotations

from typing import Any

import pytest

from sim.console.drawings import Drawing, figures
from sim.console.ink import width_of
from sim.worlds.catalogue import make_world


def scene(**params: Any) -> dict[str, Any]:
    return make_world("junctions", params, 0).scene()


def text_of(row: Any) -> str:
    return "".join(text for text, _ in row)


def test_lights_stand_at_their_sides() -> None:
    rows = [text_of(row) for row in Drawing().draw(scene(), 41, 12)]
    assert rows[1].strip() == "●"
    assert rows[2].strip() == "○┼○"
    assert rows[3].strip() == "●"
    without = [text_of(row) for row in Drawing().draw(scene(control="vehicles"), 41, 12)]
    assert without[2].strip() == "+┼+"


def test_who_waits_is_nearest_to_the_line() -> None:
    drawn = scene()
    drawn["junctions"][0]["lanes"][3] = {"vehicles": 3, "slow": 2, "crossing": 0}
    drawn["junctions"][0]["lanes"][1] = {"vehicles": 3, "slow": 1, "crossing": 1}
    assert text_of(Drawing().draw(drawn, 41, 12)[2]).strip() == "·■■○1○■··"
    drawn["junctions"][0]["lanes"][3] = {"vehicles": 40, "slow": 30, "crossing": 0}
    assert "30■10·" in text_of(Drawing().draw(drawn, 41, 12)[2])


@pytest.mark.parametrize("width", [12, 30, 60, 140])
@pytest.mark.parametrize("height", [1, 4, 20])
@pytest.mark.parametrize("rows", [1, 3])
def test_nothing_is_wider_or_higher_than_its_panel(width: int, height: int, rows: int) -> None:
    drawn = Drawing().draw(scene(rows=rows, columns=rows), width, height)
    assert 0 < len(drawn) <= height
    assert all(width_of(row) <= width for row in drawn), [text_of(row) for row in drawn]


def test_charts_follow_queues_and_delay() -> None:
    assert figures(scene()) == {"queue": 0.0, "before the edge": 0.0, "delay s": 0.0}
