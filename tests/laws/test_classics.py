"""The classics against their formulas and closed forms; their rules against doing nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import BoundError, UnknownKeyError
from sim.worlds.catalogue import make_batch, make_world, reference, rules
from sim.worlds.classics import commons, double_integrator, lqr, matrix, payoffs
from sim.worlds.classics.particles import Bodies, move

pytestmark = pytest.mark.torch
SECOND = 1_000_000_000
ALL = [
    ("spread", {}),
    ("spread", {"continuous": True, "agents": 7}),
    ("speaker_listener", {}),
    ("speaker_listener", {"channel": "network"}),
    ("speaker_listener", {"continuous": True}),
    ("predator_prey", {}),
    ("predator_prey", {"continuous": True, "prey": 2, "obstacles": 0}),
    ("signalling", {"states": 5}),
    ("lqr", {}),
    ("double_integrator", {}),
    ("commons", {"noise": 0.1}),
    ("matrix", {}),
    ("matrix", {"game": "prisoners_dilemma", "sees": "nothing", "steps": 0}),
    ("matrix", {"payoffs": [[[1, 2], [3, 4], [5, 6]]]}),
]
IDS = [f"{kind}-{i}" for i, (kind, _) in enumerate(ALL)]


def everybody(world, value):
    """All play the same numbers in a batch of one."""
    actions, present = {}, {}
    for g in world.groups:
        shape = (1, len(g.agents), g.action.size)
        actions[g.name] = torch.as_tensor(value, dtype=torch.float64).expand(shape)
        present[g.name] = torch.ones(shape[:2], dtype=torch.bool)
    return actions, present


def mean_return(kind, params, steps, rollout, *, rows=60, **how):
    world = make_batch(kind, params)
    state, _ = rollout(
        world, how.pop("rules", rules(kind)), steps, [(i, 0) for i in range(rows)], **how
    )
    return float(state["return"].mean())


# --- what holds of all ----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "params"), ALL, ids=IDS)
def test_a_row_depends_on_its_own_seed_alone(kind, params, rollout):
    world, seeds = make_batch(kind, params), [(seed, 2) for seed in range(6)]
    many, _ = rollout(world, rules(kind), 12, seeds)
    one, _ = rollout(world, rules(kind), 12, [seeds[4]])
    for name in many:
        assert torch.allclose(many[name][4:5], one[name], rtol=0, atol=1e-9), name
    starts = world.reset([(4, 2), (4, 3)])
    if kind != "matrix":
        assert any(not torch.equal(v[0], v[1]) for k, v in starts.items() if k != "key")


@pytest.mark.parametrize(("kind", "params"), ALL, ids=IDS)
def test_rules_are_the_same_in_both_libraries(kind, params, rollout):
    world = make_batch(kind, params)
    first, _ = rollout(world, rules(kind), 12, [(1, 0)])
    second, _ = rollout(world, rules(kind), 12, [(1, 0)], use_numpy=True)
    for name in first:
        assert torch.allclose(first[name], second[name], rtol=0, atol=1e-9), name


@pytest.mark.parametrize(("kind", "params"), ALL, ids=IDS)
def test_it_runs_as_one_world(kind, params):
    world = make_world(kind, params, 4)
    before = world.state_bytes()
    world.advance(
        {g.name: np.zeros((len(g.agents), g.action.size)) for g in world.groups},
        {g.name: np.zeros(len(g.agents), dtype=bool) for g in world.groups},
    )
    seen = world.observe()
    for g in world.groups:
        assert seen[g.name].shape == (len(g.agents), g.observation.size)
        assert (seen[g.name] >= g.observation.low).all()
        assert (seen[g.name] <= g.observation.high).all()
        assert world.rewards()[g.name].shape == (len(g.agents), 1)
    assert world.state_bytes() != before
    assert not world.is_terminated
    assert sum(m.objective for m in world.metrics().values()) == 1
    assert world.scene()["kind"] in ("points", "numbers")
    with pytest.raises(UnknownKeyError, match="no physical events"):
        world.inject("line-trip", "a", True)


@pytest.mark.parametrize(
    ("kind", "params", "steps", "at_least", "nothing_at_most"),
    [
        ("spread", {}, 25, -30, -60),
        ("spread", {"continuous": True}, 25, -32, -60),
        ("speaker_listener", {}, 25, -25, -55),
        ("speaker_listener", {"channel": "network"}, 25, -25, -55),
        ("lqr", {}, 50, -3, -20),
        ("double_integrator", {}, 50, -6, -100),
        ("commons", {}, 100, 8, 0),
        ("signalling", {}, 20, 20, 0),
        ("matrix", {}, 25, 500, 0),
    ],
)
def test_the_rule_beats_doing_nothing(kind, params, steps, at_least, nothing_at_most, rollout):
    assert mean_return(kind, params, steps, rollout) >= at_least
    assert mean_return(kind, params, steps, rollout, rules={}) <= nothing_at_most


@pytest.mark.parametrize(("kind", "known"), [("spread", -79.0), ("speaker_listener", -81.0)])
def test_a_random_team_earns_what_it_earns_in_mpe2(kind, known):
    """Known: the sum over agents of 25 steps in mpe2 1.1.1, uniformly random actions."""
    world, rows, draw = make_batch(kind, {}), 1000, torch.Generator().manual_seed(0)
    state = world.reset([(i, 0) for i in range(rows)])
    for _ in range(25):
        actions, present = {}, {}
        for g in world.groups:
            shape = (rows, len(g.agents), 1)
            top = g.action.fields[0].choices
            actions[g.name] = torch.randint(top, shape, generator=draw).double()
            present[g.name] = torch.ones(shape[:2], dtype=torch.bool)
        state, _ = world.advance(state, actions, present)
    error = float(state["return"].std()) / rows**0.5
    assert abs(float(state["return"].mean()) - known) < 4 * error


def test_predators_catch_more_when_they_hunt(rollout):
    world, seeds = make_batch("predator_prey", {}), [(i, 0) for i in range(60)]
    hunted, _ = rollout(world, rules("predator_prey"), 25, seeds)
    only_prey = {"prey": rules("predator_prey")["prey"]}
    resting, _ = rollout(world, only_prey, 25, seeds)
    only_predators = {"predator": rules("predator_prey")["predator"]}
    standing, _ = rollout(world, only_predators, 25, seeds)
    caught = [float(s["caught"].mean()) for s in (resting, hunted, standing)]
    assert caught[0] + 0.5 < caught[1] < 0.3 * caught[2]


# --- matrix games ---------------------------------------------------------------------------------


@settings(max_examples=tries(40), deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans(), st.data())
def test_everybody_earns_what_the_table_says(shape, is_shared, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    full = (() if is_shared else (len(shape),)) + tuple(shape)
    table = rng.normal(size=full)
    world = make_batch("matrix", {"payoffs" if is_shared else "own_payoffs": table.tolist()})
    joint = tuple(int(rng.integers(k)) for k in shape)
    acts = torch.tensor(joint, dtype=torch.float64)[None, :, None]
    sizes = [len(g.agents) for g in world.groups]
    actions = {g.name: a for g, a in zip(world.groups, acts.split(sizes, 1), strict=True)}
    there = {name: torch.ones(a.shape[:2], dtype=torch.bool) for name, a in actions.items()}
    state, rewards = world.advance(world.reset([(0, 0)]), actions, there)
    got = torch.cat([rewards[g.name][0, :, 0] for g in world.groups]).numpy()
    want = [table[joint]] * len(shape) if is_shared else table[(slice(None), *joint)]
    assert got.tolist() == pytest.approx(list(want))
    assert tuple(state["choice"][0].tolist()) == joint


def test_known_games_have_their_known_equilibria():
    def found(**params):
        return payoffs.equilibria(matrix.make(params).table)

    assert found(game="prisoners_dilemma") == [(1, 1)]
    assert found(game="battle_of_the_sexes") == [(0, 0), (1, 1)]
    assert found(game="climbing") == [(0, 0), (1, 1)]
    assert found(game="penalty", k=-5.0) == [(0, 0), (1, 1), (2, 2)]
    assert found(own_payoffs=[[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]]) == []
    assert reference("matrix", {"game": "climbing"}, 0, SECOND) == {
        "optimum": {"reward": 11.0},
        "selfish": {"reward": 7.0},
    }
    assert set(reference("matrix", {"payoffs": [[0.0]]}, 0, SECOND)) == {"optimum", "selfish"}


def test_tit_for_tat_answers(rollout):
    world = make_batch("matrix", {"game": "prisoners_dilemma"})
    spec = {"player": "agents.behaviours.classics:TitForTat"}
    state, _ = rollout(world, spec, 10, [(0, 0)])
    assert float(state["return"]) == 60
    state = world.reset([(0, 0)])
    acts, there = everybody(world, 0.0)
    state, _ = world.advance(
        state, {"player": acts["player"] + torch.tensor([[[0.0], [1.0]]])}, there
    )
    from agents.behaviours.classics import TitForTat

    answers = [
        float(
            TitForTat(name, world.groups[0], {})(world.observe(state)["player"][:, i], {}, None, 0)[
                0
            ]
        )
        for i, name in enumerate(world.groups[0].agents)
    ]
    assert answers == [1, 0]


def test_a_game_ends_after_its_steps_and_pays_nothing_to_the_lonely():
    world = make_batch("matrix", {"steps": 3})
    state = world.reset([(0, 0)])
    acts, there = everybody(world, 2.0)
    for step in range(3):
        assert not bool(world.terminated(state))
        assert world.observe(state)["player"][0, 0, -1] == step / 3
        state, rewards = world.advance(state, acts, there)
        assert rewards["player"].flatten().tolist() == [10, 10]
    assert bool(world.terminated(state))
    there["player"] = torch.tensor([[True, False]])
    _, rewards = world.advance(state, acts, there)
    assert not rewards["player"].any()
    endless = make_batch("matrix", {"steps": 0, "sees": "nothing", "payoffs": [1.0]})
    assert not bool(endless.terminated({**endless.reset([(0, 0)]), "step": torch.tensor([10**6])}))


# --- signalling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("states", [2, 5])
def test_what_the_receiver_knows_comes_by_message(states, rollout):
    params = {"states": states}
    steps, rows = 40, 100

    def right(**how):
        return mean_return("signalling", params, steps, rollout, rows=rows, **how) / steps

    assert right() == 1.0
    chance, margin = 1 / states, 4 * (0.25 / (rows * steps / 2)) ** 0.5
    assert abs(right(delay=2) - chance) < margin
    assert abs(right(loss=1.0) - chance) < margin
    assert right(rules={}) == 0


def test_only_the_receivers_turn_pays(rollout):
    world = make_batch("signalling", {"games": 3})
    state, record = rollout(world, rules("signalling"), 6, [(0, 0)])
    paid = [float(r["rewards"]["sender"]) for r in record]
    assert paid == [float(r["rewards"]["receiver"]) for r in record] == [0, 1, 0, 1, 0, 1]
    assert bool(world.terminated(state))
    assert world.metrics(state)["right"].value == 1


# --- linear control -------------------------------------------------------------------------------


def values(world, gain, count=4000):
    """Average cost per step of u = -gain x: the noise through the closed loop's own covariance."""
    closed = world.a - world.b @ gain
    cost = np.diag(world.q) + gain.T @ np.diag(world.r) @ gain
    spread = np.zeros_like(world.a)
    for _ in range(count):
        spread = closed @ spread @ closed.T + world.params.noise**2 * np.eye(len(world.a))
    return float(np.trace(cost @ spread))


@pytest.mark.parametrize("module", [lqr, double_integrator])
def test_the_gain_is_the_best_there_is(module):
    world = module.make({})
    gain = world.gain()
    best = values(world, gain)
    assert best == pytest.approx(world.average_cost(), rel=1e-6)
    for i in range(gain.size):
        for change in (-0.05, 0.05):
            other = gain.copy()
            other.flat[i] += change
            assert values(world, other) > best


def test_the_golden_ratio():
    gain = lqr.make({}).gain()
    assert gain[0, 0] == pytest.approx((5**0.5 - 1) / 2, abs=1e-12)
    assert lqr.make({}).average_cost() == pytest.approx(0.01 * (5**0.5 + 1) / 2, rel=1e-12)


@pytest.mark.parametrize("kind", ["lqr", "double_integrator"])
def test_the_reference_is_what_the_rule_earns(kind, rollout):
    world = make_batch(kind, {})
    state, _ = rollout(world, rules(kind), 40, [(7, 0)])
    column = reference(kind, {}, 7, 4 * SECOND)["optimum"]
    assert world.metrics(state)["reward"].value == pytest.approx(column["reward"], rel=1e-4)


# --- the commons ----------------------------------------------------------------------------------


def settled(world, efforts, steps=400):
    """What each earns per step, and the stock, once nothing changes any more."""
    state = world.reset([(0, 0)])
    acts = {"harvester": torch.tensor(efforts, dtype=torch.float64)[None, :, None]}
    there = {"harvester": torch.ones(1, len(efforts), dtype=torch.bool)}
    for _ in range(steps):
        state, rewards = world.advance(state, acts, there)
    return rewards["harvester"][0, :, 0].numpy(), float(state["stock"])


@pytest.mark.parametrize("params", [{}, {"agents": 2, "cost": 0.3, "growth": 0.8, "capacity": 2.0}])
def test_selfish_and_best_efforts_are_what_they_claim(params):
    world, effort = commons.make(params), {}
    n, p = world.params.agents, world.params
    for name, column in reference("commons", params, 0, SECOND).items():
        # In a steady state what is taken, n q e S, grows back: r S (1 - S / K).
        effort[name] = p.growth * (1 - column["stock"] / p.capacity) / (n * p.catchability)
        earned, stock = settled(world, [effort[name]] * n)
        assert earned == pytest.approx(column["reward"], rel=1e-6)
        assert stock == pytest.approx(column["stock"], rel=1e-6)

    def own(effort_of_first, rest):
        return settled(world, [effort_of_first, *[rest] * (n - 1)])[0][0]

    selfish, best = effort["selfish"], effort["optimum"]
    assert best < selfish
    for change in (0.9, 1.1):
        assert own(selfish * change, selfish) < own(selfish, selfish)
        team = settled(world, [best * change] * n)[0].sum()
        assert team < settled(world, [best] * n)[0].sum()
    assert own(best * 1.1, best) > own(best, best), "control: the team's optimum tempts"


def test_nobody_takes_what_is_not_there():
    world = commons.make({"effort_max": 10.0})
    state = world.reset([(0, 0)])
    acts, there = everybody(world, 10.0)
    after, _ = world.advance(state, acts, there)
    assert float(after["harvest"].sum()) == pytest.approx(float(state["stock"]))
    assert float(after["stock"]) >= 0


# --- bodies ---------------------------------------------------------------------------------------


@settings(max_examples=tries(40), deadline=None)
@given(st.integers(2, 6), st.floats(0.01, 1.0), st.integers(0, 999))
def test_bodies_push_each_other_alike(n, scale, seed):
    rng = np.random.default_rng(seed)
    place = torch.from_numpy(scale * rng.normal(size=(3, n, 2)))
    speed = torch.from_numpy(rng.normal(size=(3, n, 2)))
    bodies = Bodies((0.15,) * n, (float("inf"),) * n, (5.0,) * n)
    _, after = move(bodies, place, speed, torch.zeros_like(place))
    assert torch.allclose(after.sum(1), 0.75 * speed.sum(1), rtol=0, atol=1e-9)
    limited = Bodies((0.15,) * n, (0.5,) * n, (5.0,) * n)
    _, slow = move(limited, place, speed, torch.zeros_like(place))
    assert float(slow.norm(dim=-1).max()) <= 0.5 + 1e-12


def test_bodies_in_one_place_stay_finite():
    bodies = Bodies((0.1, 0.1), (1.0, 1.0), (5.0, 5.0))
    zero = torch.zeros(1, 2, 2, dtype=torch.float64)
    assert all(bool(part.isfinite().all()) for part in move(bodies, zero, zero, zero))


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "params", "says"),
    [
        ("matrix", {"payoffs": [[1, 2], [3]]}, r"world\.payoffs: expected nested lists"),
        ("matrix", {"payoffs": "high"}, r"world\.payoffs: expected nested lists"),
        ("matrix", {"own_payoffs": [[1, 2], [3, 4]]}, "each must be 2 lists deep, found 1"),
        ("matrix", {"game": "chess"}, r"world\.game: expected one of climbing"),
        ("matrix", {"k": 3.0}, r"world\.k"),
        ("spread", {"agents": 0}, r"world\.agents"),
        ("lqr", {"dt": 0}, r"world\.dt"),
        ("signalling", {"states": 1}, r"world\.states"),
    ],
)
def test_mistakes_are_named(kind, params, says):
    with pytest.raises(BoundError, match=says):
        make_world(kind, params, 0)


def test_a_world_that_nearly_exists_is_named():
    with pytest.raises(UnknownKeyError, match="did you mean 'spread'"):
        make_world("spreads", {}, 0)
