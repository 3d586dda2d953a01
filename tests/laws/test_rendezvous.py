"""The rendezvous world against its formula, its closed form, and a Riccati equation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are

from agents.behaviours.rendezvous import own_gain
from sim.errors import BoundError, UnknownKeyError
from sim.worlds.catalogue import make_world, reference, rules
from sim.worlds.rendezvous import make, optimum

SECOND = 1_000_000_000


def constant(world, batch, a):
    n, size = len(world.group.agents), world.group.action.size
    actions = torch.as_tensor(a, dtype=torch.float64).expand(batch, n, size)
    return {world.group.name: actions}, {world.group.name: torch.ones(batch, n, dtype=torch.bool)}


def test_transition_and_rewards_follow_the_formula():
    rng = np.random.default_rng(3)
    for mode in ("cooperative", "competitive"):
        for norm in ("l2", "quadratic"):
            world = make({"agents": 3, "dimension": 2, "mode": mode, "norm": norm})
            start = world.reset([(5, 0)])
            a = rng.uniform(-2, 2, (3, 2))
            state, rewards = world.advance(start, *constant(world, 1, a))
            still, _ = world.advance(start, *constant(world, 1, np.zeros((3, 2))))
            moved = (state["s"] - still["s"])[0].numpy()
            assert moved == pytest.approx(0.1 * a.mean(axis=0))

            def size(x, norm=norm):
                return float(x @ x if norm == "quadratic" else np.sqrt(x @ x))

            s = start["s"][0].numpy()
            got = rewards[world.group.name][0].sum(-1).numpy()
            for i in range(3):
                if mode == "cooperative":
                    expected = -size(s) - np.mean([size(x - a.mean(axis=0)) for x in a])
                else:
                    expected = -size(s - a[i]) - 0.1 * sum(size(a[i] - x) for x in a)
                assert got[i] == pytest.approx(expected)


def test_the_noise_has_unit_variance_and_belongs_to_seed_and_episode():
    world = make({"agents": 1, "dimension": 16})
    seeds = [(seed, 0) for seed in range(500)]
    start = world.reset(seeds)
    after, _ = world.advance(start, *constant(world, 500, 0.0))
    noise = ((after["s"] - 0.9 * start["s"]) / 0.1).numpy()
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    for field in ("s", "key"):
        again = world.reset([(3, 1), (3, 0), (4, 0)])[field]
        assert torch.equal(again[1:], start[field][3:5])
        assert not torch.equal(again[0], again[1])


@pytest.mark.parametrize("mode", ["cooperative", "competitive"])
def test_a_row_does_not_depend_on_its_batch(mode, rollout):
    world = make({"agents": 5, "dimension": 3, "mode": mode, "observation_noise": 0.1})
    seeds = [(seed, 0) for seed in range(7)]
    many, _ = rollout(world, rules("rendezvous"), 12, seeds)
    one, _ = rollout(world, rules("rendezvous"), 12, [seeds[4]])
    for name in many:
        assert torch.equal(many[name][4:5], one[name]), name


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_the_optimum_solves_the_riccati_equation(discount):
    n = 3
    a, b = np.array([[0.9]]), np.full((1, n), 0.1 / n)
    root = np.sqrt(discount)
    # The cost of spread, mean_i (a_i - mean a)^2, is flat along equal actions: the equation is
    # solved with a vanishing price on actions added.
    cost = (np.eye(n) - np.full((n, n), 1 / n)) / n + 1e-9 * np.eye(n)
    p = solve_discrete_are(root * a, root * b, np.eye(1), cost)
    gain = -np.linalg.solve(cost + discount * b.T @ p @ b, discount * b.T @ p @ a)
    ours, average = optimum(dimension=1)
    assert gain.ravel() == pytest.approx([ours] * n, rel=1e-4)
    assert p[0, 0] * 0.01 == pytest.approx(average, rel=1e-4)


def test_the_reference_is_what_the_optimum_earns(rollout):
    for norm in ("l2", "quadratic"):
        params = {"norm": norm, "agents": 3}
        world = make(params)
        state, _ = rollout(world, rules("rendezvous"), 50, [(11, 0)])
        column = reference("rendezvous", params, 11, 5 * SECOND)["optimum"]
        assert world.metrics(state)["reward"].value == pytest.approx(column["reward"], rel=1e-9)
    long = reference("rendezvous", {"norm": "quadratic"}, 1, 2000 * SECOND)["optimum"]
    assert long["distance"] == pytest.approx(optimum(2)[1], rel=0.03)


@pytest.mark.parametrize(("norm", "margin"), [("quadratic", 0.6), ("l2", 0.85)])
def test_the_rule_beats_silence_and_messages_pay(norm, margin, rollout):
    """With noisy views the rule costs at most `margin` of doing nothing; unheard, it is silent."""
    params = {"norm": norm, "observation_noise": 0.1, "agents": 4}
    world, seeds = make(params), [(seed, 0) for seed in range(40)]

    def cost(**how):
        chosen = how.pop("rules", rules("rendezvous"))
        state, _ = rollout(world, chosen, 60, seeds, params={"observation_noise": 0.1}, **how)
        return float((state["distance"] + state["spread"]).mean()) / 60

    heard, patchy, deaf, silent = cost(), cost(loss=0.3), cost(loss=1.0), cost(rules={})
    best = np.mean(
        [reference("rendezvous", params, s, 6 * SECOND)["optimum"]["distance"] for s in range(40)]
    )
    assert best < heard < patchy < deaf == silent
    assert heard < margin * silent


def test_rivals_at_the_point_earn_all_there_is(rollout):
    world = make({"mode": "competitive"})
    state, record = rollout(world, rules("rendezvous"), 20, [(0, 0)])
    assert not any(r["rewards"]["rival"].any() for r in record)
    assert world.metrics(state)["reward"].value == 0


def test_rule_is_the_same_in_both_libraries(rollout):
    params = {"observation_noise": 0.1}
    world = make(params)
    first, _ = rollout(world, rules("rendezvous"), 20, [(1, 0)], params=params)
    second, _ = rollout(world, rules("rendezvous"), 20, [(1, 0)], params=params, use_numpy=True)
    assert torch.allclose(first["s"], second["s"], rtol=0, atol=1e-12)


def test_the_own_view_counts_most_where_it_is_exact_or_alone():
    one = np.ones((1, 1))
    assert own_gain(np, 1e-9, 4, one)[0, 0] == pytest.approx(9.0)
    gains = [float(own_gain(np, noise, 4, 4 * one)[0, 0]) for noise in (0.05, 0.1, 0.3)]
    assert gains == sorted(gains, reverse=True)
    # The optimum of the stated cost, by brute force.
    grid = np.linspace(0, 9, 90001)
    v = 0.01 + 0.81 * 0.01 / 4
    cost = (0.9 - 0.1 * grid) ** 2 * v + grid**2 * 0.01 * (0.01 / 4 + 0.75)
    assert gains[1] == pytest.approx(grid[cost.argmin()], abs=1e-4)


def test_an_absent_agent_acts_nothing():
    world = make({"agents": 2, "dimension": 1})
    start = world.reset([(0, 0)])
    actions, present = constant(world, 1, 5.0)
    present["agent"][:, 1] = False
    state, _ = world.advance(start, actions, present)
    assert state["action"][0].tolist() == [[5.0], [0.0]]


def test_mistakes_are_named():
    with pytest.raises(UnknownKeyError, match="did you mean 'rendezvous'"):
        make_world("rendezvouz", {}, 0)
    with pytest.raises(UnknownKeyError, match="did you mean 'dimension'"):
        make_world("rendezvous", {"dimensions": 2}, 0)
    with pytest.raises(BoundError, match=r"world\.agents: expected `int` >= 1"):
        make_world("rendezvous", {"agents": 0}, 0)
    with pytest.raises(BoundError, match=r"world\.mode"):
        make_world("rendezvous", {"mode": "both"}, 0)
    with pytest.raises(BoundError, match=r"world\.dt"):
        make_world("rendezvous", {"dt": "0ms"}, 0)
    with pytest.raises(UnknownKeyError, match="no physical events"):
        make_world("rendezvous", {}, 0).inject("line-trip", "a", True)


def test_it_runs_as_one_world():
    world = make_world("rendezvous", {"agents": 3}, 4)
    before = world.state_bytes()
    group = world.groups[0]
    world.advance({"agent": np.zeros((3, 2))}, {"agent": np.zeros(3, dtype=bool)})
    assert world.observe()["agent"].shape == (3, group.observation.size)
    assert world.rewards()["agent"].shape == (3, 2)
    assert world.state_bytes() != before
    assert not world.is_terminated
    assert {"reward", "distance", "spread"} == set(world.metrics())
    assert len(world.scene()["points"]) == 4
