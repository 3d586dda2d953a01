"""What a privileged agent is handed: the state as it is, and all rewards since the last time."""

from __future__ import annotations

import numpy as np
import pytest

from broker.joint import Joint
from sim.worlds.catalogue import make_world
from sim.worlds.joint import central_of
from sim.worlds.world import World

pytestmark = pytest.mark.torch


def step(world: World) -> np.ndarray:
    """One step of random actions; everybody's rewards, summed over components."""
    rng = np.random.default_rng(1)
    shapes = {g.name: (len(g.agents), g.action.size) for g in world.groups}
    world.advance(
        {name: rng.normal(size=shape) for name, shape in shapes.items()},
        {name: np.ones(shape[0], dtype=bool) for name, shape in shapes.items()},
    )
    return np.concatenate([world.rewards()[g.name].sum(axis=1) for g in world.groups])


@pytest.mark.parametrize("mode", ["cooperative", "competitive"])
def test_rewards_add_up_until_they_are_handed_over(mode: str) -> None:
    world = make_world("rendezvous", {"agents": 3, "mode": mode}, 4)
    joint, earned = Joint(world), np.zeros(3)
    for _ in range(2):
        earned = earned + step(world)
        joint.reward(world.rewards())
    joint.observe(200)
    seen = joint.observed
    assert (seen.time, seen.missed) == (200, 0)
    assert np.frombuffer(seen.values).astype(np.float32) == pytest.approx(central_of(world))
    rewards = np.frombuffer(seen.rewards)
    assert rewards[1:] == pytest.approx(earned)
    assert rewards[0] == pytest.approx(earned.mean())
    joint.observe(300)
    assert not np.frombuffer(joint.observed.rewards).any()


def test_the_state_and_the_teams_reward_are_the_worlds_own_where_it_has_them() -> None:
    world = make_world("smart_grid", {}, 0)
    joint = Joint(world)
    step(world)
    joint.reward(world.rewards())
    joint.observe(60)
    batch, state = world.batch, world.state  # type: ignore[attr-defined]
    assert len(np.frombuffer(joint.observed.values)) == batch.central(state).shape[1]
    rewards = np.frombuffer(joint.observed.rewards)
    assert len(rewards) == 1 + sum(len(group.agents) for group in world.groups)
    assert rewards[0] != pytest.approx(rewards[1:].mean())
