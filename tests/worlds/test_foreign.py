"""Environments of PettingZoo and Gymnasium as worlds, and worlds of ours as environments."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checkers.memory import completed, kernel_of, play

from sim.errors import BoundError, InstallationError, UnknownKeyError
from sim.worlds.catalogue import make_world
from sim.worlds.foreign import Foreign, seed_of
from sim.worlds.gym_spaces import acted, observed

gymnasium = pytest.importorskip("gymnasium", exc_type=ImportError)
pytest.importorskip("mpe2", exc_type=ImportError)
spaces = gymnasium.spaces
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

    with pytest.raises(BoundError, match="module:function"):
        make("mpe2")
    with pytest.raises(InstallationError, match=r"nowhere.*sim-agents\[zoo\]"):
        make("nowhere:env")
    with pytest.raises(UnknownKeyError, match="did you mean 'parallel_env'"):
        make("mpe2.simple_spread_v3:parallel_envv")
    with pytest.raises(BoundError, match="unexpected keyword"):
        make(SPREAD, kwargs={"M": 3})
    with pytest.raises(BoundError, match="no parallel environment"):
        make("mpe2.simple_spread_v3:env")
    with pytest.raises(BoundError, match=r"CartPole"):
        make_world("gym", {"env": "CartPole-v99"}, 0)
    with pytest.raises(BoundError, match="a_0 observes: a space of kind Dict is not mapped"):
        Foreign("pettingzoo", fake(a_0=spaces.Dict(x=spaces.Discrete(2))), 1, 0)
    with pytest.raises(BoundError, match="cannot name an agent"):
        Foreign("pettingzoo", fake(**{"0": spaces.Discrete(2)}), 1, 0)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("spread", {}),
        ("spread", {"continuous": True}),
        ("signalling", {"games": 5}),
        ("matrix", {"payoffs": [[1, 2, 3], [4, 5, 6]], "steps": 6}),
        ("rendezvous", {}),
        ("microgrid", {}),
        ("pettingzoo", {"env": TAG}),
    ],
)
def test_worlds_of_ours_are_parallel_environments(kind: str, params: dict[str, Any]) -> None:
    from sim.worlds.pettingzoo import as_parallel_env

    with warnings.catch_warnings():
        # It imports a game of its own by an old name.
        warnings.simplefilter("ignore", DeprecationWarning)
        from pettingzoo.test import parallel_api_test
    parallel_api_test(as_parallel_env(kind, params, max_steps=20), num_cycles=50)


@pytest.mark.torch
def test_as_an_environment_it_earns_what_the_world_earns() -> None:
    from sim.worlds.pettingzoo import as_parallel_env

    env, world = as_parallel_env("spread", max_steps=25), make_world("spread", {}, 9)
    seen, _ = env.reset(seed=9)
    rng = np.random.default_rng(2)
    while env.agents:
        ours = world.observe()["agent"]
        assert (np.stack(list(seen.values())) == ours).all()
        acts = rng.integers(5, size=3)
        seen, rewards, ended, cut, _ = env.step(dict(zip(env.agents, acts, strict=True)))
        world.advance({"agent": acts[:, None].astype(float)}, there(world))
        assert list(rewards.values()) == world.rewards()["agent"][:, 0].tolist()
    assert all(cut.values())
    assert not any(ended.values())
