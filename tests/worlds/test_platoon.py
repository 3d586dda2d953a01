"""The platoon as a scenario: guests come in and go out by message, whatever is lost, and not
without any."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.learn.sweep import plan_sweep, read_table, run_sweep

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


@pytest.mark.parametrize("loss", ["0.4", "0.6"])
def test_every_guest_comes_in_and_goes_out_where_much_is_lost(tmp_path: Path, loss: str) -> None:
    """And does not if what was agreed on counts no longer than a position."""
    planned = plan_sweep(
        "platoon", ["agents.vehicle-*.params.lease=3,0.55"], 10,
        overrides=[*SHORT, f"network.default={{latency: 20ms, loss: {loss}}}"],
    )  # fmt: skip
    run_sweep(planned, tmp_path, 1, print, lambda *_: None, lambda *_: None)
    table = read_table(tmp_path)
    found = table.groupby(["agents.vehicle-*.params.lease", "metric"])["value"].sum()
    assert found["3", "joined"] == found["3", "left"] == 10
    assert found["3", "collisions"] == found["3", "near_misses"] == 0
    if loss == "0.6":
        assert found["0.55", "joined"] <= 8


def test_without_messages_nobody_is_let_in() -> None:
    found = outcome("{latency: 1ms, loss: 100%}")
    assert (found["joined"], found["left"], found["collisions"]) == (0, 0, 0)
