"""Environments of PettingZoo and Gymnasium as worlds, and worlds of ours as environments."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checkers.memory import completed, kernel_of, play

import sim
from sim.errors import BoundError, InstallationError, ScenarioError, UnknownKeyError
from sim.scenario.load import dump, load_scenario, parse_scenario
from sim.worlds.catalogue import make_world
from sim.worlds.foreign import Foreign, seed_of
from sim.worlds.gym_spaces import acted, observed

gymnasium = pytest.importorskip("gymnasium", exc_type=ImportError)
pytest.importorskip("mpe2", exc_type=ImportError)
spaces = gymnasium.spaces
HERE = Path(__file__).parents[1] / "checkers/zoo.py"
TAG = "mpe2.simple_tag_v3:parallel_env"
SPREAD = "mpe2.simple_spread_v3:parallel_env"


def whole(world: Any, rng: Any) -> dict[str, Any]:
    return {
        g.name: np.array(
            [[rng.integers(f.choices) for f in g.action.fields] for _ in g.agents], float
        )
        for g in world.groups
    }


def there(world: Any) -> dict[str, Any]:
    return {g.name: np.ones(len(g.agents), dtype=bool) for g in world.groups}


def test_it_is_the_environment_stepped_directly() -> None:
    from mpe2 import simple_tag_v3

    world, env = make_world("pettingzoo", {"env": TAG}, 3), simple_tag_v3.parallel_env()
    assert [(g.name, len(g.agents)) for g in world.groups] == [("adversary", 3), ("agent", 1)]
    for episode in (0, 1):
        world.reset(3, episode)
        seen, _ = env.reset(seed=seed_of(3, episode))
        rng = np.random.default_rng(episode)
        for _ in range(25):
            ours = world.observe()
            for group in world.groups:
                for i, name in enumerate(group.agents):
                    assert (ours[group.name][i] == seen[name]).all()
            acts = whole(world, rng)
            flat = [int(v) for g in world.groups for v in acts[g.name][:, 0]]
            seen, rewards, _, _, _ = env.step(dict(zip(env.possible_agents, flat, strict=True)))
            assert not world.is_terminated
            world.advance(acts, there(world))
            earned = world.rewards()
            found = [v for g in world.groups for v in earned[g.name][:, 0]]
            assert found == [rewards[n] for n in env.possible_agents]
        assert world.is_terminated
        assert world.is_truncated  # type: ignore[attr-defined]
        before = world.metrics()["return"].value
        world.advance(acts, there(world))
        assert world.metrics()["return"].value == before


def states(kind: str, params: dict[str, Any], seed: int, steps: int) -> list[bytes]:
    world, rng, found = make_world(kind, params, seed), np.random.default_rng(0), []
    for _ in range(steps):
        world.advance(whole(world, rng), there(world))
        found.append(world.state_bytes())
    return found


@pytest.mark.parametrize(
    ("kind", "env"), [("pettingzoo", SPREAD), ("gym", "CartPole-v1"), ("gym", "FrozenLake-v1")]
)
def test_same_seed_same_run(kind: str, env: str) -> None:
    first, second = (states(kind, {"env": env}, 5, 10) for _ in range(2))
    assert first == second
    if env != "FrozenLake-v1":
        assert first != states(kind, {"env": env}, 6, 10)


def test_a_pole_falls_by_the_rules_and_a_limit_cuts() -> None:
    world = make_world("gym", {"env": "CartPole-v1"}, 0)
    right = {"agent": np.ones((1, 1))}
    while not world.is_terminated:
        world.advance(right, there(world))
    assert not world.is_truncated  # type: ignore[attr-defined]
    assert 5 < world.metrics()["return"].value < 15
    cut = make_world("gym", {"env": "CartPole-v1", "max_steps": 3}, 0)
    for _ in range(3):
        assert not cut.is_terminated
        cut.advance(right, there(cut))
    assert cut.is_terminated
    assert cut.is_truncated  # type: ignore[attr-defined]


def test_the_absent_do_nothing() -> None:
    env = make_world("pettingzoo", {"env": SPREAD}, 1)
    same = make_world("pettingzoo", {"env": SPREAD}, 1)
    nobody = {"agent": np.zeros(3, dtype=bool)}
    env.advance({"agent": np.full((3, 1), 2.0)}, nobody)
    same.advance({"agent": np.zeros((3, 1))}, there(same))
    assert env.state_bytes() == same.state_bytes()


def test_it_runs_with_agents_and_links() -> None:
    text = f"""
seed: 1
duration: 1s
episodes: 2
world: {{kind: pettingzoo, env: "{SPREAD}", dt: 100ms, max_steps: 7}}
agents:
  "agent_*": {{behaviour: none}}
  agent_0: {{behaviour: "agents.behaviours.classics:MatrixRule", params: {{choice: 2}}}}
network: {{topology: complete, default: {{latency: 5ms}}}}
"""
    kernel = completed(play(kernel_of(text)))
    assert kernel.world.metrics()["steps"].value == 7


@pytest.mark.parametrize(
    ("space", "value", "vector"),
    [
        (spaces.Discrete(3, start=5), 6, [0, 1, 0]),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
        (spaces.MultiBinary(3), np.array([1, 0, 1]), [1, 0, 1]),
        (spaces.Box(-1, 1, (2, 2)), np.array([[0.5, 0], [0, 1]], np.float32), [0.5, 0, 0, 1]),
        (spaces.Box(0, 255, (1, 2), np.uint8), np.array([[3, 255]], np.uint8), [3, 255]),
        (
            spaces.Dict(b=spaces.Discrete(2), a=spaces.Tuple((spaces.Box(0, 1, (1,)),) * 2)),
            {"b": 1, "a": (np.array([0.5]), np.array([0.25]))},
            [0, 1, 0.5, 0.25],
        ),
    ],
)
def test_observations_are_vectors(space: Any, value: Any, vector: Any) -> None:
    mapped = observed(space, "x")
    assert mapped.turn(value).tolist() == vector
    assert mapped.space.size == len(vector)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=5),
        spaces.MultiDiscrete([2, 3, 4]),
        spaces.MultiBinary(3),
        spaces.Box(-1, 1, (2, 2)),
        spaces.Box(np.array([0.0, -2.0], np.float32), np.array([1.0, 2.0], np.float32)),
        spaces.Box(-3, 3, (2,), np.int32),
        spaces.Dict(push=spaces.Box(-1, 1, (2,)), inner=spaces.Dict(kind=spaces.Discrete(3))),
        spaces.Tuple((spaces.MultiBinary(2), spaces.Discrete(4, start=1))),
    ],
)
def test_whatever_is_decided_is_an_action_of_theirs(space: Any) -> None:
    mapped, rng = acted(space, "x"), np.random.default_rng(0)
    for scale in (0.5, 3.0, 100.0):
        for _ in range(20):
            assert space.contains(mapped.turn(scale * rng.standard_normal(mapped.space.size)))
    assert space.contains(mapped.turn(mapped.space.default))


def fake(**spaces_of: Any) -> Any:
    return SimpleNamespace(
        possible_agents=list(spaces_of),
        observation_space=lambda agent: spaces_of[agent],
        action_space=lambda agent: spaces.Discrete(2),
    )


def test_agents_of_unlike_spaces_are_groups_of_their_own() -> None:
    one, two = spaces.Box(0, 1, (1,)), spaces.Box(0, 1, (2,))
    alike = Foreign("pettingzoo", fake(a_0=one, a_1=one, b=two), 1, 0)
    assert [(g.name, g.agents) for g in alike.groups] == [("a", ("a_0", "a_1")), ("b", ("b",))]
    unlike = Foreign("pettingzoo", fake(a_0=one, a_1=two), 1, 0)
    assert [g.name for g in unlike.groups] == ["a_0", "a_1"]


def test_mistakes_are_named() -> None:
    def make(env: str, **params: Any) -> None:
        make_world("pettingzoo", {"env": env, **params}, 0)

    with pytest.raises(BoundError, match="expected package:module"):
        make("mpe2")
    with pytest.raises(InstallationError, match=r"nowhere.*sim-agents\[zoo\]"):
        make("nowhere:env")
    with pytest.raises(UnknownKeyError, match="did you mean 'parallel_env'"):
        make("mpe2.simple_spread_v3:parallel_envv")
    with pytest.raises(BoundError, match="unexpected keyword"):
        make(SPREAD, kwargs={"M": 3})
    with pytest.raises(BoundError, match="makes no environment of PettingZoo"):
        make("builtins:dict")
    with pytest.raises(UnknownKeyError, match="did you mean 'simple_spread_v3'"):
        make("mpe2:simple_spred_v3")
    with pytest.raises(BoundError, match="neither parallel_env nor env"):
        make("pettingzoo:utils")
    with pytest.raises(ScenarioError, match=r"no file 'absent\.py'"):
        make("absent.py:env")
    with pytest.raises(BoundError, match=r"CartPole"):
        make_world("gym", {"env": "CartPole-v99"}, 0)
    with pytest.raises(BoundError, match="a_0 observes: a space of kind Text is not mapped"):
        Foreign("pettingzoo", fake(a_0=spaces.Dict(x=spaces.Text(2))), 1, 0)
    with pytest.raises(BoundError, match="more than 1024 values"):
        acted(spaces.Box(0, 2000, (1,), np.int64), "a_0 acts")
    with pytest.raises(BoundError, match="cannot name an agent"):
        Foreign("pettingzoo", fake(**{"0": spaces.Discrete(2)}), 1, 0)


# --- environments of our own ----------------------------------------------------------------------


def ours(name: str, **params: Any) -> Any:
    return make_world("pettingzoo", {"env": f"{HERE}:{name}", **params}, 1)


def test_a_world_that_is_nearly_named_is_told_by_line() -> None:
    for key, meant in (("petingzoo", "pettingzoo"), ("kimd", "kind")):
        text = f"duration: 1s\nworld: {{{key}: x}}\nnetwork: {{default: {{latency: 1ms}}}}"
        with pytest.raises(ScenarioError, match=f":2: world: no key '{key}'; .* '{meant}'"):
            parse_scenario(text)


def test_parts_of_a_space_have_names() -> None:
    agent, scout = ours("Mixed").groups
    assert [f.name for f in agent.observation.fields] == [
        "place", "inner-kind", "inner-flags", "pair-1", "pair-2-1", "pair-2-2",
    ]  # fmt: skip
    assert [(f.name, f.size, f.choices) for f in agent.action.fields] == [
        ("push", 2, 0), ("choice-1", 1, 3), ("choice-2", 1, 4), ("level", 1, 5),
    ]  # fmt: skip
    assert (scout.observation.size, scout.action.fields[0].choices) == (4, 4)


def test_every_kind_of_space_goes_there_and_back_and_agents_die() -> None:
    world = ours("Mixed", kwargs={"count": 3})
    rng = np.random.default_rng(0)
    agent = world.groups[0]
    for step in range(6):
        seen = world.observe()
        assert seen["scout"].tolist() == [[step] * 4]
        is_there = world.alive()["agent"].tolist()
        assert is_there == [True, step < 3, True]
        counts = seen["agent"][:, agent.observation.index("pair-1")][:, 0]
        # What it saw as it died is the last that it sees.
        assert counts.tolist() == [step, step if step <= 3 else 0, step]
        acts = {g.name: 2 * rng.standard_normal((len(g.agents), g.action.size))
                for g in world.groups}  # fmt: skip
        acts["scout"][:] = 2.0
        world.advance(acts, there(world))
        done = world.env.done[-1]
        assert set(done) == {"scout"} | {
            n for n, t in zip(agent.agents, is_there, strict=True) if t
        }
        assert world.rewards()["scout"][0, 0] == done["scout"] == 3
        assert (world.rewards()["agent"][1, 0] == 0) or is_there[1]
    assert world.is_terminated
    assert not world.is_truncated


def test_who_takes_turns_acts_when_it_is_its_turn_and_as_the_mask_allows() -> None:
    world = ours("Turns")
    mask = world.groups[0].observation.fields[1]
    assert (mask.name, mask.masks) == ("action_mask", "action")
    nobody = {"player": np.zeros(2, dtype=bool)}
    while not world.is_terminated:
        world.advance({"player": np.zeros((2, 1))}, nobody)
    # Nobody decides, so each takes the first choice that is allowed; it is asked in turns.
    assert world.env.unwrapped.chosen == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert world.metrics()["return"].value == 8


def test_turns_that_can_be_taken_at_once_are() -> None:
    world = ours("Together")
    world.advance({"player": np.array([[1.0], [2.0]])}, there(world))
    assert world.env.unwrapped.chosen == [0, 1, 2]
    assert world.rewards()["player"][:, 0].tolist() == [1.0, 1.0]


SHORT = """
seed: 1
duration: 1s
world: {pettingzoo: "%s"}
agents: {"*": {behaviour: none}}
network: {default: {latency: 5ms}}
"""


def test_a_world_in_short_is_the_world_in_full(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HERE.read_text())
    (tmp_path / "mine.yaml").write_text(SHORT % "mine.py:Mixed")
    scenario = load_scenario(tmp_path / "mine.yaml")
    assert scenario.world.kind == "pettingzoo"
    assert scenario.world.params == {"env": f"{tmp_path}/mine.py:Mixed"}
    assert parse_scenario(dump(scenario)).world.params == scenario.world.params
    assert completed(play(kernel_of(SHORT % "mpe2:simple_spread_v3"))).steps == 10
    (tmp_path / "mine.yaml").write_text(SHORT % "other.py:Mixed")
    with pytest.raises(ScenarioError, match=r"mine\.yaml:4: world\.env: no file 'other\.py' in"):
        load_scenario(tmp_path / "mine.yaml")
    with pytest.raises(ScenarioError, match="stands for kind and env; kind is there too"):
        parse_scenario("world: {kind: spread, gym: CartPole-v1}\nduration: 1s")


@pytest.mark.slow
@pytest.mark.process
def test_each_agent_of_an_environment_is_a_process(tmp_path: Path) -> None:
    (tmp_path / "zoo.yaml").write_text(
        SHORT.replace("none", "agents.behaviours.classics:MatrixRule") % "mpe2:simple_tag_v3"
    )
    alone, apart = (
        sim.run(tmp_path / "zoo.yaml", inline=inline, record=False, compare=False)
        for inline in (True, False)
    )
    assert (alone.processes, apart.processes) == (0, 4)
    assert alone.digest == apart.digest
