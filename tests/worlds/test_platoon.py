"""The platoon as a scenario: guests come in and go out by message, and not without."""

from __future__ import annotations

import pytest

import sim

pytestmark = pytest.mark.slow
SHORT = (
    "faults=[]", "duration=50s", "world.vehicles=3", "world.guests=1", "world.start_gap=22",
    "world.enter=1s", "world.stay=25s", "world.first=2s", "agents.vehicle-*.params={}",
)  # fmt: skip


def outcome(link: str) -> dict[str, float]:
    result = sim.run(
        "platoon", overrides=(*SHORT, f"network.default={link}"), inline=True, record=False,
        compare=False,
    )  # fmt: skip
    assert result.status == "completed"
    return {name: metric.value for name, metric in result.metrics.items()}


def test_a_guest_comes_in_and_goes_out_among_vehicles_that_swing() -> None:
    found = outcome("{latency: 1ms}")
    assert (found["joined"], found["left"]) == (1, 1)
    assert found["join_time"] < 20
    assert (found["collisions"], found["near_misses"]) == (0, 0)


def test_without_messages_nobody_is_let_in() -> None:
    found = outcome("{latency: 1ms, loss: 100%}")
    assert (found["joined"], found["left"], found["collisions"]) == (0, 0, 0)
