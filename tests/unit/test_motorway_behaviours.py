"""Drivers of the world `motorway`: people as the world has them, gaps by request, making way."""

from __future__ import annotations

from typing import Any

import pytest
from checkers.memory import run

RAMP = """
duration: {seconds}
world:
  kind: motorway
  lanes: 1
  length: 700
  vehicles: 30
  demand: 1500
  jitter: 0.2
  ramps: 2
  ramp_demand: 600
  ramp: 20
  opens: 150
  ends: 300
  scene: 600
  speed: 25
  spread: 0
  decide: 100ms
  dt: {dt}
  latency: 0
  noise: 0
  sight: 1000
agents:
  "*": {{behaviour: {others}}}
  "ramp-*": {{behaviour: {ramp}}}
network: {{default: {{latency: 5ms, loss: {loss}}}}}
"""
HUMAN = "agents.behaviours.motorway:Human"


def ramp(**changes: Any) -> dict[str, float]:
    """Metrics of two vehicles that come out of a ramp into dense traffic."""
    told = {"seconds": 30, "dt": "100ms", "others": "rule", "ramp": "rule", "loss": 0, **changes}
    kernel = run(RAMP.format(**told), agents_per_host=40)
    return {name: metric.value for name, metric in kernel.world.metrics().items()}


def test_the_policy_human_is_the_world_s_own_driver() -> None:
    own = ramp(others="none", ramp="none", seconds=12)
    assert ramp(others=HUMAN, ramp=HUMAN, seconds=12) == pytest.approx(own, rel=1e-9)


@pytest.mark.slow
def test_who_asks_for_a_gap_is_sooner_on_the_road_than_who_waits_for_one() -> None:
    silent, asking, unheard = ramp(ramp=HUMAN), ramp(), ramp(loss=1)
    assert asking["ramp_delay"] < 0.8 * silent["ramp_delay"]
    assert unheard["ramp_delay"] == pytest.approx(silent["ramp_delay"], rel=0.05)
    assert asking["collisions"] == silent["collisions"] == 0


LANES = """
duration: 20s
world:
  kind: motorway
  lanes: 2
  length: 1500
  vehicles: 24
  demand: 1800
  emergencies: 1
  called: 2s
  speed: 25
  scene: 600
  right: 0
  dt: 100ms
  latency: 0
network: {{default: {{latency: 5ms, loss: {loss}}}}}
"""


@pytest.mark.slow
def test_who_hears_the_siren_makes_way() -> None:
    response = {}
    for loss in (0, 1):
        kernel = run(LANES.format(loss=loss), agents_per_host=40)
        metrics = kernel.world.metrics()
        response[loss] = metrics["response_time"].value
        assert metrics["collisions"].value == 0
    assert 600 / 40 <= response[0] < 0.9 * response[1]
