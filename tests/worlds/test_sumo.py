"""SUMO as a world: the same traffic for the same seed, obeyed where agents ask, SUMO's own where
they do not; and what is said where it is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.errors import BoundError, InstallationError, ScenarioError
from sim.learn.plan import load_training
from sim.learn.start import Machine, start
from sim.scenario.load import load_scenario
from sim.worlds.catalogue import make_world

MISSING = importlib.util.find_spec("libsumo") is None
needs_sumo = pytest.mark.skipif(MISSING, reason="SUMO is missing: pip install 'sim-agents[sumo]'")
PARAMS = {
    "config": "sumo:tools/game/A10KW.sumocfg",
    "vehicles": ["veh*"],
    "agents": 2,
    "warmup": "30s",
    "dt": "500ms",
    "decide": "1s",
    "options": {"additional-files": "sumo:tools/game/A10KW/osm.poly.xml"},
}


def made(seed: int = 0, **other: Any) -> Any:
    world: Any = make_world("sumo", {**PARAMS, **other}, seed)
    return world


def step(world: Any, *asked: tuple[float, float] | None) -> dict[str, np.ndarray]:
    """A step with what each agent asks for, and what all see after it, by field."""
    group = world.groups[0]
    wants = [*asked, *[None] * (len(group.agents) - len(asked))]
    actions = np.array([want or (0.0, 0.0) for want in wants])
    world.advance({"car": actions}, {"car": np.array([want is not None for want in wants])})
    seen = world.observe()["car"]
    return {field.name: seen[:, i] for i, field in enumerate(group.observation.fields)}


def on_the_road(world: Any) -> None:
    """Until the first agent drives."""
    world.observe()
    for _ in range(100):
        if step(world)["speed"][0] > 15:
            return
    raise AssertionError("nobody entered")


@needs_sumo
def test_the_same_seed_gives_the_same_digest_and_another_one_another() -> None:
    digests = [
        sim.run(
            "sumo", inline=True, record=False, compare=False, seed=seed,
            overrides=("duration=9s", "world.warmup=30s"),
        ).digest
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert digests[0] == digests[1] != digests[2]


@needs_sumo
def test_who_asks_for_nothing_changes_nothing() -> None:
    states = []
    for agents in (1, 6):
        world = made(agents=agents)
        world.observe()
        for _ in range(30):
            step(world)
        states.append(world.state_bytes())
        assert len(world.bound) == agents
    assert states[0] == states[1]


@needs_sumo
def test_an_acceleration_is_obeyed_and_a_standstill_is_the_end_of_it() -> None:
    world = made()
    on_the_road(world)
    before = float(step(world, (0.0, 0.0))["speed"][0])
    seen = step(world, (-2.0, 0.0))
    assert seen["speed"][0] == pytest.approx(before - 2.0 * 0.5, abs=1e-6)
    assert seen["acceleration"][0] == pytest.approx(-2.0, abs=1e-6)
    for _ in range(40):
        seen = step(world, (-2.0, 0.0))
    assert seen["speed"][0] == 0.0
    # Let go, SUMO drives on.
    for _ in range(10):
        seen = step(world)
    assert seen["speed"][0] > 2.0


@needs_sumo
def test_lanes_are_changed_when_there_is_room() -> None:
    world = made(agents=6)
    on_the_road(world)
    seen = step(world)
    for _ in range(40):
        able = np.flatnonzero((seen["there"] > 0) & (seen["left"] > 0))
        if len(able) and world.step % 2 == 0:
            break
        seen = step(world)
    who = int(able[0])
    before = seen["lane"][who]
    asked = [None] * who + [(0.0, 1.0)]
    for _ in range(4):
        seen = step(world, *asked)
        if seen["lane"][who] == before + 1:
            return
        asked = [None] * who + [(0.0, 0.0)]
    raise AssertionError("the lane is the same")


@needs_sumo
def test_one_simulation_per_process() -> None:
    first, second = made(), made(seed=1)
    first.observe()
    second.observe()
    with pytest.raises(BoundError, match="one simulation per process"):
        first.observe()
    first.reset(0, 1)
    assert first.observe()["car"].shape == (2, first.groups[0].observation.size)


@needs_sumo
def test_what_sumo_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    config = tmp_path / "town.sumocfg"
    config.write_text("<configuration><input><net-file value='none.xml'/></input></configuration>")
    with pytest.raises(BoundError, match=r"none\.xml"):
        made(config=str(config), options={}).observe()
    with pytest.raises(BoundError, match=r"no file 'elsewhere\.sumocfg'"):
        made(config="elsewhere.sumocfg")
    with pytest.raises(BoundError, match=r"did you mean 'A10KW\.sumocfg'"):
        made(config="sumo:tools/game/A10K.sumocfg")
    with pytest.raises(BoundError, match="multiple of dt"):
        made(decide="700ms")


TOWN = """
duration: 10s
seed: 0
world: {sumo: %s, agents: 2, dt: 200ms, decide: 600ms}
agents: {"car-*": {behaviour: rule}}
network: {topology: complete, default: {latency: 1ms}}
learn: {copies: 1}
"""


def test_a_configuration_is_named_in_short_and_looked_for_beside_the_scenario(
    tmp_path: Path,
) -> None:
    (tmp_path / "town.sumocfg").write_text("")
    (tmp_path / "mine.yaml").write_text(TOWN % "town.sumocfg")
    world = load_scenario(tmp_path / "mine.yaml").world
    assert (world.kind, world.params["config"]) == ("sumo", f"{tmp_path}/town.sumocfg")
    (tmp_path / "mine.yaml").write_text(TOWN % "village.sumocfg")
    with pytest.raises(ScenarioError, match=r"mine\.yaml:4: world\.config: no file 'village"):
        load_scenario(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text(TOWN % "sumo:tools/game/grid6.sumocfg, kind: sumo")
    with pytest.raises(ScenarioError, match="sumo stands for kind and config; kind is there too"):
        load_scenario(tmp_path / "mine.yaml")


@needs_sumo
@pytest.mark.slow
def test_another_configuration_runs_and_agents_learn_on_it(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(TOWN % '"sumo:tools/game/grid6.sumocfg"')
    found = sim.run(tmp_path / "grid.yaml", inline=True, record=False, compare=False)
    assert found.status == "completed"
    assert found.metrics["speed"].value > 3
    scenario = load_training(tmp_path / "grid.yaml", overrides=["learn.frames=20"])
    trained = start(scenario, Machine("cpu"), run_dir=tmp_path / "run")
    assert trained.frames >= 20
    assert (tmp_path / "run/policies/car.safetensors").is_file()


def test_where_sumo_is_missing_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstallationError, match=r"pip install 'sim-agents\[sumo\]'"):
        made()
