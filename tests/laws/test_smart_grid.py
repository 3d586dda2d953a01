"""Laws of the smart grid: energy, power, money, time, fall-backs, and what messages are worth."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.learn.batched import BatchedRollout
from sim.prepare import load, prepare
from sim.worlds.smart_grid import RULES, SmartGrid, feeders, make
from sim.worlds.smart_grid_droop import DROOP_Q, droop_kvar
from sim.worlds.smart_grid_outcome import SUMS
from sim.worlds.smart_grid_settlement import EUR
from sim.worlds.world import BatchWorld, single

pytestmark = pytest.mark.torch
torch.set_num_threads(1)

COUNTS = (
    "households", "pvs", "batteries", "evs", "commercials", "industrials", "winds", "generators",
)  # fmt: skip
SCENARIO = Path(__file__).parents[2] / "scenarios" / "smart_grid.yaml"


@pytest.fixture(scope="module")
def world() -> SmartGrid:
    return make({})


def absent(world: SmartGrid, batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    shapes = {g.name: (batch, len(g.agents), g.action.size) for g in world.groups}
    return (
        {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()},
        {name: torch.zeros(shape[:2], dtype=torch.bool) for name, shape in shapes.items()},
    )


def anything(world: SmartGrid, batch: int, draw: np.random.Generator) -> tuple[Any, Any]:
    """Random actions beyond the bounds, randomly present, with a market that clears to zero."""
    actions, present = absent(world, batch)
    for group in world.groups:
        high = np.where(np.isfinite(group.action.high), group.action.high, 1.0)
        values = draw.normal(size=actions[group.name].shape) * high
        actions[group.name] = torch.from_numpy(values)
        present[group.name] = torch.from_numpy(draw.random(present[group.name].shape) < 0.8)
    table = draw.integers(-5000, 5000, (batch, len(world.roster.names), 2)).astype(float)
    table[..., 1] = draw.integers(8000, 30000, (batch, 1))
    table[:, -1, 0] -= table[..., 0].sum(1)
    actions["market"] = torch.from_numpy(table.reshape(batch, 1, -1))
    return actions, present


def at_minute(world: SmartGrid, minute: int, seeds: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """A state as at this minute of an untouched day, without running up to it."""
    state = world.reset([(seed, 0) for seed in seeds])
    state["step"] = state["step"] + minute
    return state


def run(world: SmartGrid, state: Any, minutes: int, seed: int = 0) -> list[Any]:
    """Random actions; the states before, between and after."""
    draw, states = np.random.default_rng(seed), [state]
    for _ in range(minutes):
        actions, present = anything(world, len(state["step"]), draw)
        state, _ = world.advance(state, actions, present)
        states.append(state)
    return states


# --- conservation -------------------------------------------------------------------------------


def test_it_is_a_batch_world_of_thirty_agents(world: SmartGrid) -> None:
    protocol: BatchWorld = world
    agents = [name for group in protocol.groups for name in group.agents]
    assert len(agents) == len(set(agents)) == 30
    assert set(RULES) == {group.name for group in world.groups}


def test_observations_have_the_size_of_their_spaces(world: SmartGrid) -> None:
    views = world.observe(world.reset([(0, 0), (1, 0)]))
    for group in world.groups:
        assert views[group.name].shape == (2, len(group.agents), group.observation.size)
        assert bool(torch.isfinite(views[group.name]).all())


def test_a_battery_stores_what_it_took_less_its_losses(world: SmartGrid) -> None:
    states = run(world, at_minute(world, 600), 60)
    eta, at = world.params.battery_efficiency, world.roster.slices["battery"]
    for before, after in itertools.pairwise(states):
        power = after["p_kw"][:, at]
        stored = (-power).clamp(min=0) * eta - power.clamp(min=0) / eta
        change = after["energy_kwh"] - before["energy_kwh"]
        torch.testing.assert_close(change, stored / 60, rtol=0, atol=1e-9)
        assert bool((after["energy_kwh"] >= 0).all())
        assert bool((after["energy_kwh"] <= world.params.battery_kwh).all())


def test_inverters_stay_within_their_rating(world: SmartGrid) -> None:
    for role in ("pv", "wind"):
        at = world.roster.slices[role]
        s = torch.from_numpy(world.roster.s_kva[at])
        for state in run(world, at_minute(world, 720), 40)[1:]:
            p, q = state["p_kw"][:, at], state["q_kvar"][:, at]
            assert bool((p * p + q * q <= s * s * (1 + 1e-12)).all())
            assert bool((p >= 0).all())


def test_demand_that_waits_is_served_or_still_waits(world: SmartGrid) -> None:
    at, share = world.roster.slices["household"], world.params.household_flexible_share
    states = run(world, at_minute(world, 1080), 45)
    for before, after in itertools.pairwise(states):
        own = after["own_kw"][:, at]
        served = -after["p_kw"][:, at] - (1 - share) * own
        change = after["backlog_kwh"] - before["backlog_kwh"]
        torch.testing.assert_close(change, (share * own - served) / 60, rtol=0, atol=1e-9)
        assert float(after["backlog_kwh"].max()) <= world.params.household_backlog_kwh + 1e-9


def test_power_balances_in_every_minute(world: SmartGrid) -> None:
    states = run(world, at_minute(world, 660, (0, 1)), 60)
    assert float(states[-1]["peaks"][:, 1].max()) <= 1e-6
    metrics = world.metrics({k: v[:1] for k, v in states[-1].items()})
    assert metrics["unsolved_minutes"].value == 0
    assert metrics["power_residual"].value <= 1e-6


def test_what_does_not_converge_is_reported() -> None:
    world = make({"load_scale": 100.0})
    actions, present = absent(world, 1)
    state = at_minute(world, 1140)
    for _ in range(3):
        state, _ = world.advance(state, actions, present)
    metrics = world.metrics(state)
    assert metrics["unsolved_minutes"].value == 3
    assert all(np.isfinite(m.value) for m in metrics.values())
    views = world.observe(state).values()
    assert all(bool(torch.isfinite(view).all()) for view in views)


def test_money_is_conserved_to_the_last_unit(world: SmartGrid) -> None:
    for state in run(world, at_minute(world, 600, (0, 1, 2)), 65)[1:]:
        assert state["paid"].sum(1).tolist() == state["books"].sum(1).tolist()
    assert int(state["paid"].abs().sum()) > 0
    assert world.metrics({k: v[:1] for k, v in state.items()})["money_residual"].value == 0


def test_meters_lose_nothing_by_rounding(world: SmartGrid) -> None:
    state, (actions, present) = at_minute(world, 600), absent(world, 1)
    fed = torch.zeros_like(state["p_kw"])
    for _ in range(60):
        state, _ = world.advance(state, actions, present)
        fed += state["p_kw"] * (1000 / 60)
    buy, sell = world.tariff(state)[0], round(world.params.feed_in_eur_per_kwh * 1e5)
    assert int(buy) > sell
    assert float(state["metered_wh"].abs().max()) <= 0.5 + 1e-6
    solar = world.roster.slices["pv"]
    paid = -state["paid"][:, solar].to(torch.float64) / sell
    torch.testing.assert_close(paid, fed[:, solar], rtol=0, atol=0.51)


def test_what_a_battery_gives_back_is_not_generated_again(world: SmartGrid) -> None:
    made = SUMS.index("generated_kwh")
    states = []
    for power in (0.0, 20.0):
        actions, present = absent(world, 1)
        actions["battery"][:], present["battery"][:] = power, True
        states.append(world.advance(at_minute(world, 720), actions, present)[0])
    rests, gives = states
    assert float(gives["p_kw"].sum()) > float(rests["p_kw"].sum())
    assert float(rests["sums"][0, made]) > 0
    torch.testing.assert_close(gives["sums"][0, made], rests["sums"][0, made])


# --- batches and replay -------------------------------------------------------------------------


def test_rows_of_a_batch_equal_single_copies(world: SmartGrid) -> None:
    draw, seeds = np.random.default_rng(3), [(0, 0), (7, 0), (7, 4)]
    batch, alone = world.reset(seeds), [world.reset([seed]) for seed in seeds]
    for _ in range(40):
        actions, present = anything(world, 3, draw)
        batch, rewards = world.advance(batch, actions, present)
        for i, state in enumerate(alone):
            one = ({k: v[i : i + 1] for k, v in part.items()} for part in (actions, present))
            alone[i], given = world.advance(state, *one)
            for name, reward in given.items():
                torch.testing.assert_close(rewards[name][i : i + 1], reward, rtol=0, atol=1e-9)
    for i, state in enumerate(alone):
        for name, value in state.items():
            torch.testing.assert_close(batch[name][i : i + 1], value, rtol=1e-9, atol=1e-9)


def test_a_copy_may_be_at_another_minute_than_its_neighbour(world: SmartGrid) -> None:
    draw = np.random.default_rng(5)
    mixed = world.reset([(1, 0), (2, 0)])
    mixed["step"] = torch.tensor([607, 715])
    alone = [at_minute(world, 607, (1,)), at_minute(world, 715, (2,))]
    for _ in range(20):
        actions, present = anything(world, 2, draw)
        mixed, _ = world.advance(mixed, actions, present)
        for i, state in enumerate(alone):
            one = ({k: v[i : i + 1] for k, v in part.items()} for part in (actions, present))
            alone[i], _ = world.advance(state, *one)
    for i, state in enumerate(alone):
        assert mixed["paid"][i].tolist() == state["paid"][0].tolist()
        torch.testing.assert_close(mixed["sums"][i : i + 1], state["sums"], rtol=1e-9, atol=1e-9)


def test_recorded_actions_replay_to_the_bit(world: SmartGrid) -> None:
    draw = np.random.default_rng(4)
    record = [anything(world, 1, draw) for _ in range(50)]
    copies = [single(world), single(world)]
    for copy in copies:
        copy.reset(11, 0)
    for actions, present in record:
        for copy in copies:
            copy.advance(
                {k: v[0].numpy() for k, v in actions.items()},
                {k: v[0].numpy() for k, v in present.items()},
            )
        assert copies[0].state_bytes() == copies[1].state_bytes()


def test_a_state_is_never_changed_in_place(world: SmartGrid) -> None:
    state = at_minute(world, 614)
    before = {name: value.clone() for name, value in state.items()}
    for _ in range(3):
        world.advance(state, *anything(world, 1, np.random.default_rng(1)))
    world.inject(state, "line-trip", world.grid.branches.names[-1], is_on=True)
    assert all(torch.equal(before[name], value) for name, value in state.items())


def test_seeds_episodes_and_days_differ() -> None:
    world = make({"day_choices": ("2016-05-27", "2016-02-17")})
    state = world.reset([(seed, episode) for seed in range(6) for episode in (0, 1)])
    assert set(state["day"].tolist()) == {0, 1}
    assert len({tuple(row) for row in state["price_mc"].tolist()}) == 12


# --- devices on their own -----------------------------------------------------------------------


def test_a_vehicle_never_played_charges_at_once_and_a_lost_one_at_least_power(
    world: SmartGrid,
) -> None:
    at, (actions, present) = world.roster.slices["ev"], absent(world, 1)
    state, _ = world.advance(world.reset([(0, 0)]), actions, present)
    assert state["p_kw"][0, at].tolist() == [-world.params.ev_kw] * 4
    actions["ev"][:], present["ev"][:] = 10.0, True
    state, _ = world.advance(state, actions, present)
    assert state["p_kw"][0, at].tolist() == [-10.0] * 4
    present["ev"][:] = False
    state, _ = world.advance(state, actions, present)
    assert state["p_kw"][0, at].tolist() == pytest.approx([-world.params.ev_min_kw] * 4)


def test_batteries_rest_and_generators_go_down_their_ramp(world: SmartGrid) -> None:
    battery, generator = world.roster.slices["battery"], world.roster.slices["generator"]
    actions, present = absent(world, 1)
    actions["battery"][:], present["battery"][:] = 5.0, True
    actions["generator"][:], present["generator"][:] = 30.0, True
    state, ramp = world.reset([(0, 0)]), []
    for _ in range(4):
        state, _ = world.advance(state, actions, present)
    assert state["p_kw"][0, battery].tolist() == [5.0] * 4
    for _ in range(4):
        state, _ = world.advance(state, *absent(world, 1))
        assert float(state["p_kw"][0, battery].abs().sum()) == 0
        ramp.append(float(state["p_kw"][0, generator]))
    assert ramp == [20.0, 10.0, 0.0, 0.0]


def test_an_inverter_that_lost_its_agent_follows_its_droop(world: SmartGrid) -> None:
    at, (actions, present) = world.roster.slices["pv"], absent(world, 1)
    state = at_minute(world, 720)
    for _ in range(3):
        state, _ = world.advance(state, actions, present)
    assert float(state["q_kvar"][:, at].abs().sum()) == 0
    present["pv"][:] = True
    actions["pv"][..., 0] = 5.0
    state, _ = world.advance(state, actions, present)
    assert float(state["p_kw"][:, at].max()) == 5.0
    present["pv"][:] = False
    for _ in range(30):
        state, _ = world.advance(state, actions, present)
    assert float(state["p_kw"][:, at].min()) > 5.0
    assert float(state["q_kvar"][:, at].max()) < 0


def test_droop() -> None:
    v = np.array([0.9, 0.93, 0.95, 0.97, 1.0, 1.03, 1.05, 1.07, 1.2])
    expected = DROOP_Q * 10 * np.array([1, 1, 0.5, 0, 0, 0, -0.5, -1, -1])
    np.testing.assert_allclose(droop_kvar(v, 10.0), expected, atol=1e-12)


def test_a_vehicle_that_was_not_charged_is_missed_once(world: SmartGrid) -> None:
    actions, present = absent(world, 1)
    present["ev"][:] = True
    state, needed = world.reset([(0, 0)]), 0.0
    needed = float(state["need_kwh"].sum())
    state["step"] = state["step"] + 380
    for _ in range(110):
        state, _ = world.advance(state, actions, present)
    metrics = world.metrics(state)
    assert metrics["unserved"].value == pytest.approx(needed)
    assert metrics["unserved_cost"].value == pytest.approx(
        needed * world.params.ev_unserved_eur_per_kwh
    )


# --- market, network, events --------------------------------------------------------------------


def test_an_award_counts_for_the_next_quarter_only(world: SmartGrid) -> None:
    n, traded = len(world.roster.names), []
    state = at_minute(world, 600)
    for minute in range(46):
        actions, present = absent(world, 1)
        if 1 <= minute < 15:
            table = torch.zeros(n, 2, dtype=torch.float64)
            table[0], table[10] = torch.tensor([500.0, 9000.0]), torch.tensor([-500.0, 9000.0])
            actions["market"][0, 0], present["market"][:] = table.reshape(-1), True
        state, _ = world.advance(state, actions, present)
        traded.append((int(state["traded_wh"][0, 0]), int(state["traded_mc"][0])))
    assert set(traded[:15]) == {(0, 0)}
    assert set(traded[15:30]) == {(500, 9000)}
    assert {wh for wh, _ in traded[30:]} == {0}


def test_trade_moves_money_between_traders_and_none_to_upstream(world: SmartGrid) -> None:
    results = []
    for wh in (0, 200):
        state = at_minute(world, 600)
        for minute in range(30):
            actions, present = absent(world, 1)
            if 1 <= minute < 15:
                table = torch.zeros(len(world.roster.names), 2, dtype=torch.float64)
                table[25, 0], table[10, 0] = wh, -wh
                table[:, 1] = 15000
                actions["market"][0, 0], present["market"][:] = table.reshape(-1), True
            state, _ = world.advance(state, actions, present)
        results.append(world.metrics(state))
    saved = results[0]["cost"].value - results[1]["cost"].value
    hour = int(at_minute(world, 615)["price_mc"][0, 10])
    assert saved == pytest.approx(0.2 * (hour / 1e5 - world.params.feed_in_eur_per_kwh))
    assert results[1]["welfare"].value == pytest.approx(saved)


def test_a_line_trip_darkens_what_lies_behind_it_until_it_is_closed(world: SmartGrid) -> None:
    line, names = "LV3.101 Line 26", world.roster.names
    state = world.inject(at_minute(world, 1020), "line-trip", line, is_on=True)
    dark = {
        name for name, on in zip(names, state["is_supplied"][0].tolist(), strict=True) if not on
    }
    assert dark
    assert dark <= set(feeders({})["g"])
    state, _ = world.advance(state, *absent(world, 1))
    unserved = world.metrics(state)["unserved"].value
    assert unserved > 0
    for name in dark:
        i = names.index(name)
        assert float(state["v_pu"][0, i]) == float(state["p_kw"][0, i]) == 0
    state = world.inject(state, "line-trip", line, is_on=False)
    state, _ = world.advance(state, *absent(world, 1))
    assert world.metrics(state)["unserved"].value == unserved
    assert float(state["v_pu"].min()) > 0.9


def test_copies_with_different_lines_open_are_solved_each_for_itself(world: SmartGrid) -> None:
    both, line = at_minute(world, 1020, (0, 1)), "LV3.101 Line 26"
    tripped = world.inject(at_minute(world, 1020, (1,)), "line-trip", line, is_on=True)
    for name in ("is_open", "is_supplied"):
        both[name] = torch.cat((both[name][:1], tripped[name]))
    mixed, _ = world.advance(both, *absent(world, 2))
    alone, _ = world.advance(tripped, *absent(world, 1))
    calm, _ = world.advance(at_minute(world, 1020), *absent(world, 1))
    torch.testing.assert_close(mixed["bus_v"][1:], alone["bus_v"], rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed["bus_v"][:1], calm["bus_v"], rtol=0, atol=1e-12)


def test_mistakes_are_named(world: SmartGrid) -> None:
    state = world.reset([(0, 0)])
    with pytest.raises(UnknownKeyError, match=r"LV3\.101 Line 26"):
        world.inject(state, "line-trip", "LV3.101 Line 260", is_on=True)
    with pytest.raises(UnknownKeyError, match="line-trip"):
        world.inject(state, "storm", "x", is_on=True)
    with pytest.raises(UnknownKeyError, match="pv_scale"):
        make({"pv_scal": 2})
    with pytest.raises(BoundError, match="ev_kwh"):
        make({"ev_kwh": [40, 20]})
    with pytest.raises(BoundError, match="at least one device"):
        make(dict.fromkeys(COUNTS, 0))
    with pytest.raises(ScenarioError, match="2016-13-01"):
        make({"day": "2016-13-01"}).reset([(0, 0)])


def test_more_agents_find_places() -> None:
    world = make({"households": 130, "pvs": 30, "winds": 3, "industrials": 7, "generators": 2})
    state, _ = world.advance(world.reset([(0, 0)]), *absent(world, 1))
    assert world.metrics(state)["unsolved_minutes"].value == 0
    assert len(set(world.roster.names)) == 130 + 30 + 4 + 4 + 1 + 7 + 3 + 2


def test_the_scene_is_plain_data(world: SmartGrid) -> None:
    state, _ = world.advance(at_minute(world, 720), *absent(world, 1))
    scene = json.loads(json.dumps(world.scene(state)))
    assert len(scene["buses"]) == 129
    assert {device["name"] for device in scene["devices"]} == set(world.roster.names)
    assert scene["buses"][0]["parent"] == -1


def test_the_scenario_cuts_one_whole_feeder_and_trips_a_line_that_exists() -> None:
    scenario = load(SCENARIO)
    on_feeder = feeders(scenario.world.params)
    (cut,) = (f.partition[0] for f in scenario.faults if f.partition)
    (trip,) = (f.target[0] for f in scenario.faults if f.world == "line-trip")
    assert set(cut) in [set(names) for names in on_feeder.values()]
    assert trip in make(scenario.world.params).events[0].targets


def test_rewards_add_up_to_the_cost(world: SmartGrid) -> None:
    draw, total = np.random.default_rng(9), dict.fromkeys(world.reward_components, 0.0)
    state = at_minute(world, 600)
    for _ in range(60):
        state, rewards = world.advance(state, *anything(world, 1, draw))
        for name in world.roster.slices:
            for i, component in enumerate(world.reward_components):
                total[component] -= float(rewards[name][..., i].sum())
    m = {name: metric.value for name, metric in world.metrics(state).items()}
    assert total["wear"] == pytest.approx(m["throughput_cost"])
    assert total["comfort"] == pytest.approx(m["discomfort_cost"] + m["unserved_cost"])
    assert total["curtailment"] == pytest.approx(m["curtailment_cost"])
    assert total["energy"] == pytest.approx(m["energy_cost"], abs=1e-4)
    parts = ("energy", "throughput", "discomfort", "unserved", "curtailment", "end")
    assert m["cost"] == pytest.approx(sum(m[f"{part}_cost"] for part in parts))


# --- policies -----------------------------------------------------------------------------------


def test_rules_are_the_same_in_numpy_and_torch(world: SmartGrid) -> None:
    draw = np.random.default_rng(2)
    states = run(world, at_minute(world, 592), 10)
    for state in states[5:]:
        views = world.observe(state)
        for group in world.groups:
            if group.name == "market":
                continue
            module, _, factory = RULES[group.name].partition(":")
            policy = getattr(importlib.import_module(module), factory)(group.agents[0], group, {})
            inbox = _inbox(policy, draw)
            torched = {
                topic: SimpleNamespace(**{k: torch.from_numpy(v) for k, v in vars(heard).items()})
                for topic, heard in inbox.items()
            }
            obs = views[group.name][:, 0]
            plain = policy(obs.numpy().copy(), inbox, policy.memory(np, 1), 0)
            other = policy(obs, torched, policy.memory(torch, 1), 0)
            np.testing.assert_allclose(other[0].numpy(), plain[0], rtol=1e-12, atol=1e-9)
            assert set(plain[1]) == set(other[1]) <= set(policy.speaks)
            for topic, said in plain[1].items():
                assert said.shape == (1, policy.speaks[topic])
                np.testing.assert_allclose(other[1][topic].numpy(), said, rtol=1e-9, atol=1e-9)


def _inbox(policy: Any, draw: np.random.Generator) -> dict[str, SimpleNamespace]:
    inbox = {}
    for topic, width in policy.hears.items():
        values = draw.random((1, 30, width))
        values[..., 0] = np.arange(30) if topic == "measurement" else 130.0
        inbox[topic] = SimpleNamespace(
            values=values, present=draw.random((1, 30)) < 0.7, age_s=60 + 0 * values[..., 0]
        )
    return inbox


def outcomes(
    episodes: int, minutes: int, behaviour: str = "rule", loss: float = 0.0
) -> list[dict[str, float]]:
    """The metrics of so many episodes of the scenario without its faults, in one batch."""
    options = ["faults=[]", f"duration={minutes}min"]
    scenario = load(SCENARIO, overrides=options, behaviours={"*": behaviour})
    rollout = BatchedRollout(prepare(scenario), [], episodes, links={"loss": [loss, loss]})
    rollout.collect({}, minutes)
    ended = sorted(rollout.finished(), key=lambda episode: episode.episode)
    return [dict(episode.metrics) for episode in ended]


@pytest.mark.slow
def test_rules_relieve_the_network_and_pay_less() -> None:
    """Two hours before noon are enough to see it: the sun's overload and voltage are gone."""
    (untouched,) = outcomes(1, 780, "none")
    (ruled,) = outcomes(1, 780)
    assert untouched["overvoltage_bus_minutes"] > 3000
    assert untouched["overload_minutes"] > 60
    assert ruled["overvoltage_bus_minutes"] < 0.02 * untouched["overvoltage_bus_minutes"]
    assert ruled["overload_minutes"] < 0.2 * untouched["overload_minutes"]
    assert ruled["cost"] < 0.7 * untouched["cost"]


@pytest.mark.slow
def test_what_gets_lost_costs_and_overloads() -> None:
    """Cost and overload grow from 0 to 30 to 100 % loss beyond the 95 % interval, ten episodes."""
    days, day = 10, 1440
    outcome = {loss: outcomes(days, day, loss=loss) for loss in (0.0, 0.3, 1.0)}
    untouched = outcomes(days, day, "none")
    student = 2.262  # t of 9 degrees of freedom, 97.5 %
    for less, more in ((0.0, 0.3), (0.3, 1.0)):
        for metric in ("cost", "overload_minutes"):
            pairs = zip(outcome[less], outcome[more], strict=True)
            worse = np.array([b[metric] - a[metric] for a, b in pairs])
            assert worse.mean() > student * worse.std(ddof=1) / np.sqrt(days), metric
    ruled, alone = (
        {name: np.mean([row[name] for row in rows]) for name in rows[0]}
        for rows in (outcome[0.0], untouched)
    )
    assert ruled["cost"] < 0.6 * alone["cost"]
    assert ruled["overload_minutes"] < 0.2 * alone["overload_minutes"]
    assert ruled["overvoltage_bus_minutes"] < 0.01 * alone["overvoltage_bus_minutes"]


def test_amounts_are_whole_units(world: SmartGrid) -> None:
    state = run(world, at_minute(world, 600), 20)[-1]
    assert state["paid"].dtype == state["traded_wh"].dtype == torch.int64
    assert EUR == 10**8
