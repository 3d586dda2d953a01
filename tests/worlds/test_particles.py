"""The particle worlds against the MPE2 package: same start, same actions, same everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sim.worlds.catalogue import make_batch
from sim.worlds.classics import particles

pytestmark = pytest.mark.torch
ATOL = 1e-12
STEPS = 25


def theirs(module: str, **kwargs: Any) -> Any:
    pytest.importorskip("mpe2", exc_type=ImportError)
    found = __import__(f"mpe2.{module}", fromlist=["parallel_env"])
    return found.parallel_env(max_cycles=STEPS, **kwargs)


CASES = [
    ("spread", "simple_spread_v3", {}, {}),
    ("spread", "simple_spread_v3", {"agents": 5, "local_ratio": 0.2}, {"N": 5, "local_ratio": 0.2}),
    ("spread", "simple_spread_v3", {"agents": 1}, {"N": 1}),
    ("speaker_listener", "simple_speaker_listener_v4", {}, {}),
    ("predator_prey", "simple_tag_v3", {}, {}),
    (
        "predator_prey",
        "simple_tag_v3",
        {"predators": 4, "prey": 3, "obstacles": 1},
        {"num_adversaries": 4, "num_good": 3, "num_obstacles": 1},
    ),
]


def our_start(world: Any, env: Any) -> dict[str, Any]:
    """The first state of ours with what MPE2 drew in its place."""
    inner = env.unwrapped.world
    movers = [a for a in inner.agents if a.movable]

    def stack(entities: Any, what: str) -> torch.Tensor:
        rows = [getattr(e.state, what).copy() for e in entities]
        return torch.from_numpy(np.stack(rows)[None])

    state = world.reset([(0, 0)])
    marks = "obstacles" if "obstacles" in state else "landmarks"
    state |= {"position": stack(movers, "p_pos"), "velocity": stack(movers, "p_vel")}
    state[marks] = stack(inner.landmarks, "p_pos")
    if "goal" in state:
        state["goal"] = torch.tensor([inner.landmarks.index(inner.agents[0].goal_b)])
    return state


def seen_by(env: Any, name: str) -> Any:
    """What MPE2 shows, before it rounds to single precision."""
    raw = env.unwrapped
    agent = next(a for a in raw.world.agents if a.name == name)
    return raw.scenario.observation(agent, raw.world)


def differences(kind: str, module: str, ours: Any, given: Any, continuous: bool) -> list[float]:
    """The largest difference of rewards and of observations, and the largest reward in size."""
    env = theirs(module, continuous_actions=continuous, **given)
    world = make_batch(kind, {**ours, "continuous": continuous})
    rng, worst = np.random.default_rng(1), [0.0, 0.0, 0.0]
    for episode in range(8):
        env.reset(seed=episode)
        state, names = our_start(world, env), env.possible_agents
        if episode % 2 and kind != "speaker_listener":
            # Crowded: bodies push each other all the time.
            for agent in env.unwrapped.world.agents:
                agent.state.p_pos *= 0.2
            state["position"] = state["position"] * 0.2
        for _ in range(STEPS):
            acts, columns, slot = {}, {g.name: [] for g in world.groups}, iter(names)
            for group in world.groups:
                for _ in group.agents:
                    name = next(slot)
                    space = env.action_space(name)
                    act = (
                        rng.random(space.shape, np.float32)
                        if continuous
                        else int(rng.integers(space.n))
                    )
                    acts[name] = act
                    columns[group.name].append(np.atleast_1d(act).astype(float))
            actions = {g: torch.from_numpy(np.stack(v)[None]) for g, v in columns.items()}
            there = {g: torch.ones(1, len(v), dtype=torch.bool) for g, v in columns.items()}
            _, rewards, _, _, _ = env.step(acts)
            state, earned = world.advance(state, actions, there)
            observed = world.observe(state)
            got = np.concatenate([earned[g.name][0, :, 0].numpy() for g in world.groups])
            want = np.array([rewards[name] for name in names])
            seen = [row for g in world.groups for row in observed[g.name][0].numpy()]
            apart = [
                np.abs(row - seen_by(env, name)).max()
                for name, row in zip(names, seen, strict=True)
            ]
            now = (np.abs(got - want).max(), max(apart), np.abs(got).max())
            worst = [max(a, float(b)) for a, b in zip(worst, now, strict=True)]
    return worst


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize(("kind", "module", "ours", "given"), CASES)
def test_it_is_the_world_of_the_literature(
    kind: str, module: str, ours: Any, given: Any, continuous: bool
) -> None:
    of_rewards, of_observations, largest = differences(kind, module, ours, given, continuous)
    assert of_rewards <= ATOL
    assert of_observations <= ATOL
    assert largest > 0.1, "something happened"


@pytest.mark.parametrize("kind", ["spread", "speaker_listener", "predator_prey"])
def test_how_a_state_lies_in_memory_does_not_matter(kind: str) -> None:
    world, draw = make_batch(kind, {}), torch.Generator().manual_seed(2)
    ours = world.reset([(i, 0) for i in range(33)])
    usual = {name: value.contiguous() for name, value in ours.items()}
    assert any(usual[name].stride() != value.stride() for name, value in ours.items()), "control"
    for _ in range(STEPS):
        actions = {
            g.name: torch.randint(3, (33, len(g.agents), g.action.size), generator=draw).double()
            for g in world.groups
        }
        there = {name: torch.ones(a.shape[:2], dtype=torch.bool) for name, a in actions.items()}
        (ours, earned), (usual, paid) = (
            world.advance(state, actions, there) for state in (ours, usual)
        )
        usual = {name: value.contiguous() for name, value in usual.items()}
        for first, second in ((ours, usual), (earned, paid), *[map(world.observe, (ours, usual))]):
            for name, value in first.items():
                assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("constant", ["DAMPING", "CONTACT_FORCE", "CONTACT_MARGIN"])
def test_control_a_small_change_of_the_physics_is_seen(
    constant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(particles, constant, getattr(particles, constant) * (1 + 1e-6))
    assert differences("predator_prey", "simple_tag_v3", {}, {}, False)[1] > 1e-9
