"""Scenarios as environments of PettingZoo and Gymnasium: their conventions, and our meaning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pettingzoo", reason="pip install 'sim-agents[zoo]'", exc_type=ImportError)

import gymnasium
from checkers.zoo import play_alike
from gymnasium.utils.env_checker import check_env

import sim
from agents.behaviours.classics import SpreadRule
from sim.errors import AgentError, BoundError, ScenarioError, UnknownKeyError
from sim.scenario.load import parse_scenario
from sim.scenario.schema import Scenario
from sim.worlds.catalogue import WORLDS

pytestmark = pytest.mark.torch
CHECKERS = Path(__file__).parents[1] / "checkers"
BUNDLED = {
    "agreement": "consensus", "allocation": "task_allocation", "blank": "auction_house",
    "flows": "allocation", "matrix": "penalty", "microgrid": "microgrid",
    "rendezvous": "rendezvous", "sharing": "hierarchy", "signalling": "signalling",
    "smart_grid": "smart_grid", "spread": "spread", "traffic": "traffic_engineering",
    "vehicles": "platoon",
}  # fmt: skip
"""A scenario of each world that has one and decisions."""
GIVEN = {"gym": "env: CartPole-v1", "pettingzoo": 'env: "mpe2:simple_tag_v3"'}
QUICK = ("spread",)
STEPS = 60


def plain(world: str, duration: str = "3s", rest: str = "") -> Scenario:
    return parse_scenario(
        f"seed: 1\nduration: {duration}\nworld: {world}\nnetwork: {{default: {{latency: 1ms}}}}\n"
        f'agents: {{"*": {{behaviour: none}}}}\n{rest}'
    )


def made(kind: str) -> Any:
    if kind in BUNDLED:
        return sim.env(BUNDLED[kind])
    params = f", {GIVEN[kind]}" if kind in GIVEN else ""
    return sim.env(plain(f"{{kind: {kind}{params}}}"))


@pytest.fixture(scope="module")
def api_test() -> Callable[..., None]:
    with warnings.catch_warnings():
        # It imports a game of its own by an old name.
        warnings.simplefilter("ignore", DeprecationWarning)
        from pettingzoo.test import parallel_api_test
    return parallel_api_test


@pytest.fixture(scope="module")
def seed_test() -> Callable[..., None]:
    from pettingzoo.test import parallel_seed_test

    return parallel_seed_test


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in WORLDS]
)
def test_every_world_with_decisions_is_a_parallel_environment(
    kind: str, api_test: Callable[..., None], seed_test: Callable[..., None]
) -> None:
    steps = 3 if kind == "smart_grid" else STEPS
    api_test(made(kind), num_cycles=steps)
    seed_test(lambda: made(kind), num_cycles=steps)
    env, other = made(kind), made(kind)
    play_alike(env, other, steps)
    for name, seen in env.reset(seed=3)[0].items():
        assert env.observation_space(name).contains(seen), (name, seen)


def test_an_episode_is_a_function_of_the_seed_alone() -> None:
    env = sim.env("spread")
    first, _ = env.reset(seed=5)
    env.step({name: 1 for name in env.agents})
    second, _ = env.reset()
    again, _ = env.reset(seed=5)
    other, _ = env.reset(seed=6)
    assert all((first[n] == again[n]).all() for n in first)
    assert any((first[n] != second[n]).any() for n in first)
    assert any((first[n] != other[n]).any() for n in first)


def ruled(env: Any, names: list[str], seen: Any) -> dict[str, int]:
    """What the rule of `spread` does, for the named ones."""
    rows = np.stack([seen[n] for n in names]).astype(np.float64)
    rule = SpreadRule(names[0], group_of_spread(), {})
    return {n: int(v) for n, v in zip(names, rule(rows, {}, rows[:, :0], 0)[0][:, 0], strict=True)}


def group_of_spread() -> Any:
    from sim.worlds.catalogue import make_world

    return make_world("spread", {}, 0).groups[0]


def test_what_is_played_is_the_scenario() -> None:
    """Who does from outside what the rule does inside, gets what a run gets."""
    env = sim.env("spread", seed=4)
    seen, _ = env.reset(seed=4)
    total, steps = 0.0, 0
    while env.agents:
        seen, rewards, ended, cut, _ = env.step(ruled(env, env.agents, seen))
        total, steps = total + sum(rewards.values()), steps + 1
    run = sim.run("spread", seed=4, inline=True, record=False, compare=False)
    assert steps == run.steps == 25
    assert total == pytest.approx(run.metrics["return"].value, abs=1e-5)
    assert all(cut.values())
    assert not any(ended.values())
    with pytest.raises(AgentError, match="the episode is over"):
        env.step({})


def test_one_is_mine_and_the_rest_follow_their_rules() -> None:
    alone, all_of_them = sim.agent_env("spread", "agent-2"), sim.env("spread")
    mine, _ = alone.reset(seed=4)
    seen, _ = all_of_them.reset(seed=4)
    for action in (1, 2, 0, 4, 3):
        assert (mine == seen["agent-2"]).all()
        actions = ruled(all_of_them, ["agent-1", "agent-3"], seen)
        seen, rewards, *_ = all_of_them.step({**actions, "agent-2": action})
        mine, reward, *_ = alone.step(action)
        assert reward == rewards["agent-2"]


def test_a_copy_of_the_batch_is_the_kernel() -> None:
    envs, env = sim.vector_env("spread", copies=3), sim.env("spread")
    together, _ = envs.reset(seed=4)
    rng = np.random.default_rng(0)
    for episode in range(3):
        seen, _ = env.reset(seed=4 if episode == 0 else None)
        assert together[3 * episode : 3 * episode + 3] == pytest.approx(np.stack([*seen.values()]))
    seen, _ = env.reset(seed=4)
    for step in range(1, 26):
        acts = rng.integers(5, size=9)
        together, rewards, ended, cut, infos = envs.step(acts)
        seen, alone, *_ = env.step(dict(zip(env.agents, acts[:3].tolist(), strict=True)))
        assert rewards[:3] == pytest.approx(list(alone.values()), abs=1e-5)
        assert cut.tolist() == [step == 25] * 9
        assert not ended.any()
    assert infos["_final_obs"].all()
    assert np.stack(infos["final_obs"][:3]) == pytest.approx(np.stack([*seen.values()]))
    # What is seen is the beginning of the next episode already: episodes 3, 4 and 5.
    for _ in range(3):
        seen, _ = env.reset()
    assert together[:3] == pytest.approx(np.stack([*seen.values()]))


def test_a_vectorised_environment_keeps_its_spaces() -> None:
    for envs in (sim.vector_env("spread", 2, agents="agent-1"), sim.vector_env("rendezvous", 2)):
        assert isinstance(envs, gymnasium.vector.VectorEnv)
        envs.action_space.seed(1)
        seen, infos = envs.reset(seed=1)
        for _ in range(5):
            assert envs.observation_space.contains(seen)
            assert infos["up"].all()
            seen, rewards, ended, cut, infos = envs.step(envs.action_space.sample())
            assert rewards.shape == ended.shape == cut.shape == (envs.num_envs,)
    assert (len(envs.agents), envs.num_envs) == (4, 8)


def test_one_agent_is_an_environment_of_gymnasium() -> None:
    with warnings.catch_warnings():
        # It advises against spaces beyond 1, and wants `gymnasium.make` for other renderings.
        advice = "A Box observation space m|symmetric and normalized|having a spec"
        warnings.filterwarnings("ignore", message=f".*({advice}).*")
        check_env(sim.agent_env("spread", "agent-1", render_mode="ansi"))
        check_env(sim.agent_env("rendezvous", "agent-1"), skip_render_check=True)


@pytest.mark.slow
def test_one_vehicle_is_an_environment_of_gymnasium() -> None:
    check_env(sim.agent_env("platoon", "vehicle-3", duration="5s"), skip_render_check=True)


def test_the_killed_come_back() -> None:
    faults = [{"at": "950ms", "kill": "agent-2", "for": "500ms"}]
    env = sim.env("spread", overrides={"faults": faults})
    seen, infos = env.reset(seed=1)
    up = []
    while env.agents:
        assert len(env.agents) == 3
        assert seen["agent-2"].any() == infos["agent-2"]["up"]
        seen, _, _, _, infos = env.step({name: 1 for name in env.agents})
        up.append(infos["agent-2"]["up"])
    assert up == [True] * 9 + [False] * 5 + [True] * 11


def paces(**options: Any) -> Any:
    world = f"{{kind: {CHECKERS / 'paces.py'}}}"
    return sim.env(plain(world, "1200ms"), **options)


def test_groups_of_different_periods() -> None:
    env = paces()
    seen, infos = env.reset()
    assert seen["slow-1"].tolist() == [0, 0]
    for step in range(1, 13):
        assert [infos[n]["due"] for n in env.agents] == [True, True, step % 3 == 1]
        names = {"quick-1": [step / 2], "quick-2": [1.0], "slow-1": [float(step)]}
        seen, rewards, _, cut, infos = env.step(names)
        in_force = float(step - (step - 1) % 3)
        assert seen["quick-1"].tolist() == [step, step / 2]
        assert rewards["quick-1"] == step / 2
        # What slow-1 did when it was due stays in force; what else it says does not count.
        assert rewards["slow-1"] == min(in_force, 9.0)
    assert all(cut.values())


def test_who_says_nothing_goes_on() -> None:
    env = paces()
    env.reset()
    env.step({"quick-1": [2.0], "quick-2": [4.0]})
    _, rewards, *_ = env.step({"quick-2": [5.0]})
    assert rewards == {"quick-1": 2.0, "quick-2": 5.0, "slow-1": 0.0}


def test_the_team_is_paid_alike() -> None:
    env = paces(reward="team")
    env.reset()
    _, rewards, *_ = env.step({"quick-1": [2.0], "quick-2": [4.0]})
    assert rewards == dict.fromkeys(env.agents, 2.0)


def test_a_world_of_a_file_has_rules_of_files() -> None:
    scenario = plain(f"{{kind: {CHECKERS / 'paces.py'}}}", "300ms")
    run = sim.run(scenario, inline=True, record=False, compare=False)
    assert run.metrics["total"].value == 0
    ruled = parse_scenario(
        f"duration: 300ms\nworld: {{kind: {CHECKERS / 'paces.py'}}}\n"
        "network: {default: {latency: 1ms}}"
    )
    run = sim.run(ruled, inline=True, record=False, compare=False)
    assert run.metrics["total"].value == 18
    env = sim.env(ruled, agents="slow-*")
    env.reset()
    assert env.step({"slow-1": [1.0]})[1] == {"slow-1": 3.0}


def test_what_came_from_pettingzoo_goes_back_there(api_test: Callable[..., None]) -> None:
    env = sim.env(plain(f'{{pettingzoo: "{CHECKERS / "zoo.py"}:Mixed"}}'))
    api_test(env, num_cycles=20)
    env.reset(seed=1)
    for step in range(1, 7):
        before = list(env.agents)
        acts = {n: env.action_space(n).sample() for n in before}
        _, rewards, ended, cut, _ = env.step(acts)
        assert rewards["scout"] == acts["scout"] + 1
        assert ended == {n: step == 6 or (n == "agent_1" and step == 3) for n in before}
        assert not any(cut.values())
    assert env.agents == []


def test_masks_are_in_the_infos() -> None:
    env = sim.env(plain(f'{{pettingzoo: "{CHECKERS / "zoo.py"}:Turns"}}'))
    _, infos = env.reset()
    assert infos["player_0"]["action_mask"].tolist() == [0, 1, 1]
    while env.agents:  # the game itself refuses what is not allowed
        acts = {n: env.action_space(n).sample(infos[n]["action_mask"]) for n in env.agents}
        _, _, ended, _, infos = env.step(acts)
    assert all(ended.values())


def test_it_is_rendered_as_text() -> None:
    env = sim.env("spread", render_mode="ansi")
    env.reset(seed=1)
    env.step({name: 0 for name in env.agents})
    text = env.render()
    assert text.startswith("spread, 100 ms, episode 0\n")
    assert "  return -" in text
    assert "\n  agent-3 sees " in text
    assert env.state().shape == (54,)
    env.close()


def test_mistakes_are_named() -> None:
    with pytest.raises(UnknownKeyError, match=r"matches 'vehicel-1'; did you mean 'vehicle-1'"):
        sim.env("platoon", agents="vehicel-1")
    with pytest.raises(UnknownKeyError, match="did you mean 'platoon'"):
        sim.env("platon")
    with pytest.raises(ScenarioError, match="say which agent is yours: agent-1, agent-2, agent-3"):
        sim.agent_env("spread")
    with pytest.raises(UnknownKeyError, match="no 'teams'; did you mean 'team'"):
        sim.env("spread", reward="teams")
    with pytest.raises(UnknownKeyError, match="no 'human'"):
        sim.env("spread", render_mode="human")
    with pytest.raises(ScenarioError, match=r"finite rate; sim\.env can, or links=\"ideal\""):
        sim.vector_env("platoon")
    with pytest.raises(ScenarioError, match="agents of one group are needed, found groups send"):
        sim.vector_env("signalling")
    with pytest.raises(BoundError, match="one copy or more"):
        sim.vector_env("spread", copies=0)
    env = sim.env("spread")
    with pytest.raises(AgentError, match="call reset"):
        env.step({})
    env.reset()
    for wrong in (7, 0.5, [1, 2], "left", None, float("nan")):
        with pytest.raises(AgentError, match=r"agent-1: expected an action of Discrete\(5\)"):
            env.step({"agent-1": wrong})
    with pytest.raises(AgentError, match=r"'agent-4' is not in the world now; did you mean"):
        env.step({"agent-4": 0})
    envs = sim.vector_env("spread", copies=2)
    with pytest.raises(BoundError, match="call reset"):
        envs.step(np.zeros(6))
    envs.reset()
    with pytest.raises(AgentError, match=r"agent-2 in copy 1: expected an action"):
        envs.step(np.array([0, 0, 0, 0, 9, 0]))
    with pytest.raises(AgentError, match="expected 6 actions, found 2"):
        envs.step(np.zeros(2))
    with pytest.raises(BoundError, match="one seed"):
        envs.reset(seed=[1, 2])
