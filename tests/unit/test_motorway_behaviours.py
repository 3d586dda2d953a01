"""Drivers of the world `motorway`: people as the world has them, and making way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkers.memory import run, trace

from agents.behaviours.motorway import make_way
from agents.behaviours.motorway_view import Sensors
from sim.worlds.motorway.laws import Manners
from sim.worlds.motorway.params import SIDES
from sim.worlds.motorway.world import make

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


def test_who_makes_way_goes_right_if_that_is_safe_and_else_left() -> None:
    group = make({"vehicles": 1, "lanes": 3}).groups[0]
    sensors, space = Sensors(group.observation), group.observation
    empty = {f"{side}_{what}": 150.0 for side in SIDES for what in ("ahead", "behind")}
    seen = {**empty, "alive": 1, "lane": 2, "speed": 25, "wanted_speed": 28}

    def side(**changes: float) -> float:
        told = {**seen, "may_right": 1, "may_left": 1, **changes}
        return make_way(Manners(), sensors.read(space.pack(told, space.default)), sensors.size)

    assert side() == -1.0
    assert side(right_behind=2.0, right_behind_closing=5.0) == 1.0
    assert side(may_right=0) == 1.0
    assert side(right_behind=-2.0, left_ahead=-1.0) == 0.0


ASKING = '''
import asyncio
import sim


class Asker(sim.Agent):
    """Asks at the given seconds, and tells its plan at others."""

    def __init__(self, asks: list[float], plans: list[float]) -> None:
        self.at = sorted([(at, "ask") for at in asks] + [(at, "plan") for at in plans])

    async def run(self) -> None:
        for at, what in self.at:
            await asyncio.sleep(at - self.now)
            if what == "plan":
                self.send("vehicle-1", "plan", [650.0, 20.0, 0.0])
                continue
            reply = await self.request("vehicle-1", "gap", [650.0, 20.0, 0.0], timeout=1)
            print(reply.payload)
'''

PROMISES = """
duration: 12
world: {{kind: motorway, lanes: 1, length: 700, vehicles: 1, ramps: 2, ramp_demand: 3000,
  filled: false, jitter: 0, ramp: 20, opens: 150, ends: 300, scene: 600, dt: 100ms, latency: 0}}
agents:
  ramp-1: {{behaviour: "{path}:Asker", params: {{asks: [5, 5.3], plans: [5.9, 10]}}}}
  ramp-2: {{behaviour: "{path}:Asker", params: {{asks: [5.5, 6.8, 7.5, 10.5], plans: []}}}}
network: {{default: {{latency: 5ms}}}}
"""


def test_a_promise_is_said_again_and_forgotten_in_silence_and_renewed_by_a_plan(
    tmp_path: Path,
) -> None:
    (tmp_path / "asking.py").write_text(ASKING)
    told = trace(run(PROMISES.format(path=tmp_path / "asking.py"), agents_per_host=3))
    said = {name: [text for _, who, text in told if who == name] for name in ("ramp-1", "ramp-2")}
    assert said["ramp-1"] == ["True", "True"], "who asks again has not heard the yes"
    # While ramp-1 counts on it; less than a second later; after silence; once it is heard again.
    assert said["ramp-2"] == ["False", "False", "True", "False"]
