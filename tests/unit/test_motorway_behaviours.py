"""Drivers of the world `motorway`: people as the world has them, and making way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkers.memory import run, trace

from agents.behaviours.motorway import Human, make_way
from agents.behaviours.motorway_roles import Nudge
from agents.behaviours.motorway_view import Sensors
from sim.errors import AgentError
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


# --- what learns ----------------------------------------------------------------------------------

COPIES, RAMPS, LANE = 24, 3, 20
SHORT = {
    "lanes": 1, "length": 500, "vehicles": LANE, "demand": 1500, "ramps": RAMPS, "ramp_demand": 600,
    "ramp": 150, "opens": 300, "ends": 380, "scene": 450, "speed": 28, "dt": "100ms", "latency": 0,
}  # fmt: skip


def merged(decide: Any, seconds: int = 25) -> tuple[dict[str, float], float]:
    """Mean metrics of copies where those on the ramp are nudged by `decide(step)`, shapes
    [copies, ramps, 2], among people; and by how much anybody differed from `Human`."""
    world = make(SHORT)
    group = world.groups[1]
    role, human = Nudge("ramp-1", group, {}), Human("ramp-1", group, {})
    state = world.reset([(seed, 0) for seed in range(COPIES)])
    idle = torch.zeros(COPIES, LANE, 2, dtype=torch.float64)
    present = {"vehicle": idle[..., 0] > 0, "ramp": torch.ones(COPIES, RAMPS, dtype=torch.bool)}
    apart = 0.0
    for step in range(10 * seconds):
        obs = world.observe(state)["ramp"]
        action = role.act(decide(step), obs, {}, None, None)[0]
        is_there = obs[..., :1] > 0
        apart = max(apart, float(((action - human(obs, {}, None, None)[0]) * is_there).abs().max()))
        state = world.advance(state, {"vehicle": idle, "ramp": action}, present)[0]
    rows = [world.metrics({k: v[i : i + 1] for k, v in state.items()}) for i in range(COPIES)]
    return {name: sum(row[name].value for row in rows) / COPIES for name in rows[0]}, apart


def constant(push: float, daring: float) -> Any:
    said = torch.tensor([push, daring], dtype=torch.float64).expand(COPIES, RAMPS, 2)
    return lambda step: said


def test_who_is_not_nudged_drives_as_people_do() -> None:
    found, apart = merged(constant(0, 0), 14)
    assert apart == 0.0
    assert found["changes"] > 0.0, "it has merged"
    assert merged(constant(0.1, 0), 2)[1] > 0.0


@pytest.mark.slow
def test_who_is_daring_gets_in_sooner() -> None:
    people, daring = (merged(constant(0, daring))[0] for daring in (0, 1))
    assert daring["ramp_delay"] < people["ramp_delay"] - 0.5


@pytest.mark.slow
def test_whatever_is_learned_nobody_runs_into_anything() -> None:
    draw = torch.Generator().manual_seed(0)

    def at_random(step: int) -> Any:
        return 2 * torch.rand(COPIES, RAMPS, 2, dtype=torch.float64, generator=draw) - 1

    for decide in (at_random, constant(1, 1), constant(-0.3, 1)):
        found, _ = merged(decide)
        assert found["collisions"] == found["scrapes"] == found["near_misses"] == 0


def ramp_obs(**seen: float) -> Any:
    space = make(SHORT).groups[1].observation
    empty = {f"{side}_{what}": 150.0 for side in SIDES for what in ("ahead", "behind")}
    told = {**empty, "alive": 1, "speed": 20, "wanted_speed": 28, "ends": 200, **seen}
    return space.pack(told, space.default)[None, :]


def test_a_push_is_bounded_by_the_wish_by_who_is_ahead_and_by_the_end() -> None:
    group = make(SHORT).groups[1]
    role, human = Nudge("ramp-1", group, {}), Human("ramp-1", group, {})

    def pedals(**seen: float) -> tuple[float, float]:
        """Of people, and of who is pushed as much as can be."""
        obs = ramp_obs(**seen)
        pushed = role.act(np.array([[1.0, 0.0]]), obs, {}, None, None)[0]
        return float(human(obs, {}, None, None)[0][0, 0]), float(pushed[0, 0])

    _, free = pedals()
    assert free == pytest.approx(2 * 0.73 * (1 - (20 / 28) ** 4), rel=1e-3)
    people, close = pedals(own_ahead=12.0)
    assert people < close < 0.0
    assert pedals(speed=28.0) == pytest.approx((0.0, 0.0), abs=1e-3)
    people, ending = pedals(ends=30.0)
    assert ending == people < -3.0


def test_what_is_seen_fits_what_is_said_about_it() -> None:
    group = make(SHORT).groups[1]
    role = Nudge("ramp-1", group, {"strength": 1, "safe": 3})
    assert role.see(ramp_obs(), {}, None).shape == (1, role.sees.size)
    with pytest.raises(AgentError, match="'strenght'; did you mean 'strength'"):
        Nudge("ramp-1", group, {"strenght": 1})
