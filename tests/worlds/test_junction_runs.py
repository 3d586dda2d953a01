"""Junctions as runs: what reservations and max-pressure are worth, and a manager that dies."""

from __future__ import annotations

from typing import Any

import pytest

import sim

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def delay(scenario: str, players: str, *overrides: str) -> Any:
    who = "signal-*" if scenario == "signals" else "*"
    return sim.run(
        scenario, behaviours={who: players}, overrides=overrides, inline=True, record=False,
        compare=False,
    )  # fmt: skip


def test_max_pressure_loses_a_fifth_less_time_than_the_fixed_plan() -> None:
    short = ("faults=[]", "duration=300s")
    rule, none = (delay("signals", who, *short).metrics["delay"].value for who in ("rule", "none"))
    assert rule < 0.8 * none


def test_reservations_lose_a_third_less_time_than_an_all_way_stop() -> None:
    short = ("faults=[]", "duration=90s")
    found = {who: delay("intersection", who, *short).metrics for who in ("rule", "none")}
    assert found["rule"]["delay"].value < 0.67 * found["none"]["delay"].value
    assert found["rule"]["stops"].value < 0.67 * found["none"]["stops"].value


def test_a_manager_that_dies_and_comes_back_costs_time_and_nobodys_safety() -> None:
    """A third of the time without it costs less than two thirds of what all of it would."""
    killed = "faults=[{at: 30s, kill: manager, for: 30s}]"
    alive, dead, none = (
        delay("intersection", who, faults, "duration=90s").metrics
        for who, faults in (("rule", "faults=[]"), ("rule", killed), ("none", "faults=[]"))
    )
    assert dead["collisions"].value == dead["near_misses"].value == 0
    lost, whole = (each["delay"].value - alive["delay"].value for each in (dead, none))
    assert 0 < lost < 0.67 * whole
    assert dead["throughput"].value > 0.8 * alive["throughput"].value


def test_reservations_come_to_an_all_way_stop_as_messages_get_lost() -> None:
    """With nine of ten lost they are still better, and with all lost the same to the digit."""
    runs = ("network.default.loss=0.9", "network.default.loss=1")
    most, every = (
        delay("intersection", "rule", "faults=[]", "duration=90s", loss).metrics for loss in runs
    )
    none = delay("intersection", "none", "faults=[]", "duration=90s").metrics
    assert most["delay"].value < 0.67 * none["delay"].value
    assert most["near_misses"].value == most["collisions"].value == 0
    assert {k: m.value for k, m in every.items()} == {k: m.value for k, m in none.items()}
