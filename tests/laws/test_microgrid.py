"""The microgrid: swing equation, droop, energy, relays, and that control and its delay matter."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import BoundError, UnknownKeyError
from sim.scenario.load import load_scenario
from sim.worlds.catalogue import make_batch, make_world, reference, rules

SECOND = 1_000_000_000
STILL = {"demand_noise": 0.0, "cloud_noise": 0.0, "start_hour": 0.0}
"""No noise and no sun, so that a step of load is all that happens."""
SEEDS = [(seed, 0) for seed in range(6)]


def idle(world, batch=1):
    sizes = {g.name: (batch, len(g.agents), g.action.size) for g in world.groups}
    actions = {name: torch.zeros(size, dtype=torch.float64) for name, size in sizes.items()}
    return actions, {name: torch.zeros(size[:2], dtype=torch.bool) for name, size in sizes.items()}


def coast(world, steps, state):
    """The states of some steps without any action."""
    states = [state]
    for _ in range(steps):
        states.append(world.advance(states[-1], *idle(world, len(state["f"])))[0])
    return states


def trip(world, at=20, back=None):
    """A generator fails at step `at`."""

    def before(step, state):
        if step in (at, back):
            return world.inject(state, "generator-trip", "generator-1", step == at)
        return state

    return before


def test_nothing_moves_without_an_imbalance():
    world = make_batch("microgrid", STILL)
    last = coast(world, 50, world.reset([(0, 0)]))[-1]
    assert float(last["f"][0]) == pytest.approx(50.0, abs=1e-9)


def test_droop_settles_where_its_closed_form_says():
    world = make_batch("microgrid", {**STILL, "load_step_kw": 20.0, "storage_kwh": 1e4})
    start = world.inject(world.reset([(0, 0)]), "load-step", "consumer-2", True)
    last = coast(world, 400, start)[-1]
    stiffness = 200 * 1.0 / 50 + 2 * 100 / (0.05 * 50) + 2 * 40 / (0.08 * 50)
    assert float(last["f"][0]) - 50 == pytest.approx(-20 / stiffness, rel=1e-6)


def test_the_first_slope_is_that_of_the_swing_equation():
    slow = {"governor_s": 1e6, "storage_lag_s": 1e6, "damping": 0.0, "load_step_kw": 25.0}
    world = make_batch("microgrid", {**STILL, **slow})
    start = world.inject(world.reset([(0, 0)]), "load-step", "consumer-1", True)
    after = coast(world, 1, start)[-1]
    energy_kws = 4.0 * 200 + 0.2 * 200
    assert float(after["rocof"][0]) == pytest.approx(-25 * 50 / (2 * energy_kws), rel=1e-4)
    tripped = world.inject(start, "generator-trip", "generator-2", True)
    lost = float(tripped["generator_kw"][0, 1])
    after = coast(world, 1, tripped)[-1]
    slope = -(25 + lost) * 50 / (2 * (4.0 * 100 + 0.2 * 200))
    assert float(after["rocof"][0]) == pytest.approx(slope, rel=1e-4)


def test_energy_balances_in_every_step():
    world = make_batch("microgrid", {"load_step_kw": 60.0})
    start = world.inject(world.reset([(3, 0)]), "load-step", "consumer-1", True)
    states = coast(world, 150, start)
    inertia_kws, hours = 4.0 * 200 + 0.2 * 200, 0.1 / 3600
    for before, after in pairwise(states):

        def flow(name, before=before, after=after):
            return float(after[name][0] - before[name][0])

        # Below 50 Hz storage only gives, and the damping only withholds.
        assert float(after["f"][0]) < 50
        stored = float((after["stored_kwh"] - before["stored_kwh"]).sum())
        made = flow("made_kwh") + float(after["panel_kw"].sum()) * hours - 0.95 * stored
        used = flow("served_kwh") - flow("short_kwh")
        rotation = 2 * inertia_kws / 50 * (float(after["f"][0]) - float(before["f"][0])) / 3600
        assert made - used == pytest.approx(rotation, abs=1e-10)
        demand = float(after["demand_kw"].sum()) * hours
        assert flow("served_kwh") + flow("unserved_kwh") == pytest.approx(demand, abs=1e-12)


@given(st.integers(0, 1000), st.floats(-1, 1), st.floats(0, 1))
@settings(max_examples=tries(10), deadline=None)
def test_storage_stays_within_its_charge(seed, lean, start):
    world = make_batch(
        "microgrid", {"storage_kwh": 0.05, "charge": 0.1 + 0.8 * start, "start_hour": 12.0}
    )
    rng = np.random.default_rng(seed)
    state = world.reset([(seed, 0)])
    actions, present = idle(world)
    present["storage"] |= True
    for _ in range(40):
        draw = np.clip(rng.uniform(-1, 1, (1, 2, 1)) + lean, -1, 1)
        actions["storage"] = torch.from_numpy(40 * draw)
        state, _ = world.advance(state, actions, present)
        assert (state["stored_kwh"] >= 0.1 * 0.05).all()
        assert (state["stored_kwh"] <= 0.9 * 0.05).all()


def test_storage_gives_what_it_held_less_its_losses():
    world = make_batch("microgrid", {**STILL, "storage_kwh": 0.1, "storage_droop": 1.0})
    state = world.reset([(0, 0)])
    actions, present = idle(world)
    present["storage"] |= True
    actions["storage"] += 20.0
    for _ in range(300):
        state, _ = world.advance(state, actions, present)
    assert state["stored_kwh"].tolist() == [[pytest.approx(0.01)] * 2]
    assert float(state["moved_kwh"][0]) == pytest.approx(2 * 0.04 * 0.95, rel=1e-3)
    assert float(state["storage_kw"].abs().max()) < 1e-6


def test_relays_shed_stage_by_stage_and_restore():
    world = make_batch("microgrid", {**STILL, "load_step_kw": 100.0, "restore": "2s"})
    start = world.inject(world.reset([(0, 0)]), "load-step", "consumer-1", True)
    states = coast(world, 100, start)
    f = [float(s["f"][0]) for s in states]
    stages = [int(s["stage"][0]) for s in states]
    first = next(i for i, x in enumerate(f) if x < 49.0)
    assert stages[first] == 0
    assert stages[first + 1] >= 1, "seen low at the end of two steps running"
    for before, after in pairwise(states):
        kept = 1 - 0.075 * float(before["stage"][0])
        served, demand = float(after["served_kw"].sum()), float(after["demand_kw"].sum())
        assert served == pytest.approx(kept * demand)
    lifted = world.inject(states[-1], "load-step", "consumer-1", False)
    assert int(coast(world, 600, lifted)[-1]["stage"][0]) == 0


def test_a_grid_that_cannot_hold_goes_dark_and_serves_nobody():
    world = make_batch("microgrid", {**STILL, "load_step_kw": 1000.0})
    start = world.inject(world.reset([(0, 0)]), "load-step", "consumer-1", True)
    assert not world.terminated(start).any()
    states = coast(world, 40, start)
    last, before = states[-1], states[-2]
    assert world.terminated(last).all()
    assert float(last["f"][0]) == float(before["f"][0])
    lost = float(last["unserved_kwh"][0] - before["unserved_kwh"][0])
    assert lost == pytest.approx(float(last["demand_kw"].sum()) * 0.1 / 3600)
    assert not last["generator_kw"].any()
    assert world.metrics(last)["blackout"].value == 1


def test_rewards_add_up_to_the_cost(rollout):
    world = make_batch("microgrid", {})
    state, record = rollout(world, rules("microgrid"), 60, [(1, 0)], before=trip(world))
    total = sum(float(r[..., 0].sum()) for step in record for r in step["rewards"].values())
    assert world.metrics(state)["cost"].value == pytest.approx(-total)


@pytest.mark.slow
def test_the_rule_beats_no_control_and_neither_beats_the_bound(rollout):
    """A generator fails for 30 s: the rule costs at most two thirds of no control in every seed,
    and less than a third on average."""
    world = make_batch("microgrid", {})
    before = trip(world, 50, 350)
    ruled, _ = rollout(world, rules("microgrid"), 450, SEEDS, before=before)
    alone, _ = rollout(world, {}, 450, SEEDS, before=before)
    assert (ruled["cost_eur"] <= 2 / 3 * alone["cost_eur"]).all()
    assert ruled["cost_eur"].mean() <= 1 / 3 * alone["cost_eur"].mean()
    assert (ruled["lowest_hz"] > alone["lowest_hz"] + 0.2).all()
    assert (ruled["outside_s"] < 0.6 * alone["outside_s"]).all()
    assert (ruled["unserved_kwh"] == 0).all()
    for row, (seed, _) in enumerate(SEEDS[:3]):
        bound = reference("microgrid", {}, seed, 45 * SECOND)["bound"]["cost"]
        assert bound <= float(ruled["cost_eur"][row])
        assert bound <= float(alone["cost_eur"][row])
        assert bound > 0.5 * float(ruled["cost_eur"][row])


def test_a_hundred_milliseconds_of_delay_matter(rollout):
    """Each step of delay of every message lowers the nadir; after five, relays shed."""
    world = make_batch("microgrid", {})
    lowest, shed = [], []
    for delay in (1, 2, 3, 5):
        state, _ = rollout(world, rules("microgrid"), 60, SEEDS, before=trip(world), delay=delay)
        lowest.append(float(state["lowest_hz"].mean()))
        shed.append(float(state["stage_max"].max()))
    assert np.all(np.diff(lowest) < -0.05)
    assert shed[0] == shed[1] == 0
    assert shed[3] >= 1


@pytest.mark.slow
def test_the_scenario_keeps_what_its_comments_promise(rollout):
    world = make_batch("microgrid", load_scenario("microgrid").world.params)
    how = {"steps": 450, "seeds": SEEDS, "before": trip(world, 50, 400)}
    prompt, _ = rollout(world, rules("microgrid"), **how)
    late, _ = rollout(world, rules("microgrid"), delay=5, **how)
    alone, _ = rollout(world, {}, **how)
    assert (prompt["lowest_hz"] > 49.2).all()
    assert (prompt["stage_max"] == 0).all()
    assert (late["stage_max"] > 0).all()
    assert (alone["stage_max"] > 0).all()
    assert (prompt["cost_eur"] < 0.75 * alone["cost_eur"]).all()


def test_without_messages_the_rule_is_the_fall_back(rollout):
    world = make_batch("microgrid", {})
    deaf, _ = rollout(world, rules("microgrid"), 80, SEEDS, before=trip(world), loss=1.0)
    alone, _ = rollout(world, {}, 80, SEEDS, before=trip(world))
    assert torch.allclose(deaf["f"], alone["f"], atol=0.02)


def test_the_bound_follows_the_world_it_bounds():
    """Where nothing needs storage, the bound is the fuel for demand less sun."""
    for seconds in (10, 60):
        world = make_batch("microgrid", {"start_hour": 8.0})
        states = coast(world, seconds * 10, world.reset([(9, 0)]))
        hours = 0.1 / 3600
        net = sum(float(s["demand_kw"].sum() - s["available_kw"].sum()) for s in states[1:])
        lent = 2 * (4.0 * 200 + 0.2 * 200) * 2.5 / 50 / 3600
        bound = reference("microgrid", {"start_hour": 8.0}, 9, seconds * SECOND)["bound"]["cost"]
        assert bound == pytest.approx(0.3 * (net * hours - lent), rel=1e-9)


def test_a_row_does_not_depend_on_its_batch(rollout):
    world = make_batch("microgrid", {})
    many, _ = rollout(world, rules("microgrid"), 40, SEEDS, before=trip(world))
    one, _ = rollout(world, rules("microgrid"), 40, [SEEDS[4]], before=trip(world))
    for name in many:
        assert torch.equal(many[name][4:5], one[name]), name


def test_rules_are_the_same_in_both_libraries(rollout):
    world = make_batch("microgrid", {})
    first, _ = rollout(world, rules("microgrid"), 40, [(1, 0)], before=trip(world))
    second, _ = rollout(world, rules("microgrid"), 40, [(1, 0)], before=trip(world), use_numpy=True)
    assert torch.allclose(first["f"], second["f"], rtol=0, atol=1e-9)


def test_a_silent_device_falls_back_but_a_consumer_is_not_cut():
    world = make_world("microgrid", {}, 2)
    actions = {g.name: np.ones((len(g.agents), g.action.size)) for g in world.groups}
    absent = {g.name: np.zeros(len(g.agents), dtype=bool) for g in world.groups}
    world.advance(actions, absent)
    generator, consumer = world.observe()["generator"], world.observe()["consumer"]
    assert np.array_equal(generator[:, 1], generator[:, 2])
    assert np.array_equal(consumer[:, 0], consumer[:, 1])


def test_as_one_world_it_shows_and_measures_itself():
    world = make_world("microgrid", {"storages": 3}, 4)
    before = world.state_bytes()
    present = {g.name: np.zeros(len(g.agents), dtype=bool) for g in world.groups}
    actions = {g.name: np.zeros((len(g.agents), g.action.size)) for g in world.groups}
    world.advance(actions, present)
    assert world.state_bytes() != before
    for group in world.groups:
        assert world.observe()[group.name].shape == (len(group.agents), group.observation.size)
        assert world.rewards()[group.name].shape == (len(group.agents), 2)
    assert [name for name, m in world.metrics().items() if m.objective] == ["cost"]
    scene = json.loads(json.dumps(world.scene()))
    assert sum(d["role"] == "storage" for d in scene["devices"]) == 3
    assert not world.is_terminated


def test_mistakes_are_named():
    world = make_world("microgrid", {}, 0)
    with pytest.raises(UnknownKeyError, match="did you mean 'generator-trip'"):
        world.inject("generator-tripp", "generator-1", True)
    with pytest.raises(UnknownKeyError, match="did you mean 'generator-"):
        world.inject("generator-trip", "generator-9", True)
    with pytest.raises(UnknownKeyError, match="did you mean 'storage_kwh'"):
        make_world("microgrid", {"storage_kwhs": 2}, 0)
    for key, value in {"dt": "2s", "charge": 0.95, "droop": 0, "storages": 0}.items():
        with pytest.raises(BoundError, match=rf"world\.{key}"):
            make_world("microgrid", {key: value}, 0)
