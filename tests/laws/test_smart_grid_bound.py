"""The bound of the smart grid: nothing beats it, it is reached where nothing is in the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sim
from sim.units import SECOND
from sim.worlds.smart_grid import SmartGrid, make, reference
from sim.worlds.smart_grid_bound import bound
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR, exogenous
from sim.worlds.smart_grid_spaces import MINUTE_NS

torch.set_num_threads(1)

Actions = dict[str, torch.Tensor]
Play = Callable[[SmartGrid, int], tuple[Actions, Actions]]
"""Actions and presence of a batch at a minute."""

METER_EUR = 0.002
"""What the meters' half Wh may be worth in three hours."""
NOBODY: dict[str, Any] = dict.fromkeys(
    ("households", "pvs", "batteries", "evs", "commercials", "industrials", "winds", "generators"),
    0,
)
RIGID: dict[str, Any] = {
    **NOBODY, "households": 4, "commercials": 1, "industrials": 1,
    "household_flexible_share": 0.0, "commercial_share": 0.0, "industrial_share": 0.0,
}  # fmt: skip


def cost(
    params: dict[str, Any], seeds: list[int], minutes: int, play: Play, trips: tuple[Any, ...] = ()
) -> list[float]:
    """The cost of each copy. trips: (minute, line's position, whether it opens)."""
    world = make(params)
    state = world.reset([(seed, 0) for seed in seeds])
    for minute in range(minutes):
        for at, line, is_on in trips:
            if at == minute:
                state = world.inject(state, "line-trip", world.grid.branches.names[line], is_on)
        state, _ = world.advance(state, *play(world, minute))
    rows = [{k: v[i : i + 1] for k, v in state.items()} for i in range(len(seeds))]
    return [world.metrics(row)["cost"].value for row in rows]


def least(params: dict[str, Any], seed: int, minutes: int) -> float:
    return bound(params, seed, minutes * MINUTE_NS)["cost"]


def nobody(batch: int) -> Play:
    """No control."""

    def play(world: SmartGrid, minute: int) -> tuple[Actions, Actions]:
        shapes = {g.name: (batch, len(g.agents), g.action.size) for g in world.groups}
        return (
            {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()},
            {name: torch.zeros(shape[:2], dtype=torch.bool) for name, shape in shapes.items()},
        )

    return play


def beside(*plays: Play) -> Play:
    """Several of them, one copy after the other."""

    def play(world: SmartGrid, minute: int) -> tuple[Actions, Actions]:
        parts = [each(world, minute) for each in plays]
        actions, present = (
            {name: torch.cat([part[i][name] for part in parts]) for name in parts[0][i]}
            for i in range(2)
        )
        return actions, present

    return play


def anything(batch: int, draw: np.random.Generator, honest: bool = True) -> Play:
    """Whatever comes to mind, awards that add up or not included."""

    def play(world: SmartGrid, minute: int) -> tuple[Actions, Actions]:
        actions, present = {}, {}
        for g in world.groups:
            shape = (batch, len(g.agents), g.action.size)
            low, high = np.maximum(g.action.low, -100.0), np.minimum(g.action.high, 100.0)
            values = draw.uniform(low, high, shape)
            if g.name == "market":
                table = draw.integers(-9000, 9000, (batch, g.action.size // 2, 2))
                table[..., 1] = draw.integers(0, 50_000, (batch, 1))
                if honest:
                    table[:, 0, 0] -= table[..., 0].sum(1)
                values = table.reshape(shape)
            actions[g.name] = torch.from_numpy(values.astype(np.float64))
            present[g.name] = torch.from_numpy(draw.random(shape[:2]) < 0.8)
        return actions, present

    return play


@settings(max_examples=tries(8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**40),
    minutes=st.integers(1, 180),
    draw=st.integers(0, 2**32).map(np.random.default_rng),
    honest=st.booleans(),
    line=st.none() | st.integers(0, 127),
    unserved=st.sampled_from([0.0, 0.1, 3.0]),
    end=st.sampled_from([0.0, 0.2, 0.9]),
)
def test_no_actions_beat_it(seed, minutes, draw, honest, line, unserved, end):
    params = {"unserved_eur_per_kwh": unserved, "end_eur_per_kwh": end, "household_backlog_kwh": 1}
    trips = () if line is None else ((5, line, True), (65, line, False))
    played = beside(nobody(1), anything(2, draw, honest))
    found = cost(params, [seed] * 3, minutes, played, trips)
    assert min(found) >= least(params, seed, minutes)


@pytest.mark.slow
def test_no_actions_beat_it_in_a_day():
    seeds = list(range(6))
    bounds = [least({}, seed, 1440) for seed in seeds]
    for play in (nobody(6), anything(6, np.random.default_rng(3))):
        trips = ((600, 40, True), (700, 40, False))
        for found in (cost({}, seeds, 1440, play), cost({}, seeds, 1440, play, trips)):
            assert np.all(np.array(found) >= bounds)


def test_reached_where_nothing_can_be_moved_or_traded():
    for minutes in (180, 100):
        found = cost(RIGID, [4], minutes, nobody(1))[0]
        assert found - METER_EUR <= least(RIGID, 4, minutes) <= found


def test_a_rigid_neighbourhood_pays_for_its_sum():
    """Half of the plants' noon feeds the neighbours; the rest is bought and sold upstream."""
    params = {**RIGID, "pvs": 3, "winds": 1, "feed_in_eur_per_kwh": 0.08}
    world = make(params)
    given_ = exogenous(world.params, world.roster, 2, 0, 1440)
    kw = given_["own_kw"].copy()
    for role in ("pv", "wind"):
        at = world.roster.slices[role]
        kw[:, at] = -np.minimum(kw[:, at], world.roster.s_kva[at])
    net = kw.sum(1).reshape(96, 15).sum(1) / 60
    price = given_["import_mc"][::15] / MILLICENT_PER_EUR
    expected = (np.clip(net, 0, None) * price - np.clip(-net, 0, None) * 0.08).sum()
    found = least(params, 2, 1440)
    assert found == pytest.approx(expected, abs=0.02)
    assert found <= expected
    assert net.min() < 0 < net.max()


def test_reached_by_a_generator_at_full_power():
    """It climbs 10 kW a minute, and the programme knows."""
    params = {
        **NOBODY,
        "generators": 1,
        "generator_eur_per_kwh": 0.05,
        "generator_kw": 30.0,
        "generator_ramp_kw": 10.0,
        "feed_in_eur_per_kwh": 0.08,
    }

    def play(world: SmartGrid, minute: int) -> tuple[Actions, Actions]:
        actions, present = nobody(1)(world, minute)
        return (
            actions | {"generator": torch.full((1, 1, 1), 30.0, dtype=torch.float64)},
            present | {"generator": torch.ones(1, 1, dtype=torch.bool)},
        )

    found = cost(params, [0], 60, play)[0]
    assert found == pytest.approx(-0.03 * (30 - (20 + 10) / 60), abs=METER_EUR)
    assert found - METER_EUR <= least(params, 0, 60) <= found


def test_a_vehicle_charges_when_it_is_cheapest():
    """Against filling the cheapest quarters of a stay by hand."""
    params = {
        **NOBODY,
        "evs": 1,
        "end_eur_per_kwh": 0.9,
        "ev_kwh": [60.0, 60.0],
        "ev_kw": 22.0,
        "ev_unserved_eur_per_kwh": 1.0,
    }
    world = make(params)
    for minutes in (240, 1440):
        given_ = exogenous(world.params, world.roster, 9, 0, minutes)
        price = given_["import_mc"] / MILLICENT_PER_EUR
        there = given_["is_connected"][:, 0]
        left = int(np.argmin(there)) if not there.all() else minutes
        expected = fill(price[:left], 36.0, 1.0 if left < minutes else 0.9)
        if minutes == 1440:
            expected += fill(price[left:][there[left:]], 60.0, 0.9)
        assert least(params, 9, minutes) == pytest.approx(expected, abs=METER_EUR)


def fill(price: np.ndarray, need: float, otherwise: float) -> float:
    """What need costs at 22 kW in the cheapest minutes, and what is missing at its value."""
    total = 0.0
    for p in sorted(price):
        taken = min(need, 22.0 / 60) if p < otherwise else 0.0
        total, need = total + taken * p, need - taken
    return total + need * otherwise


def test_a_battery_against_dynamic_programming():
    """Levels of 25 Wh can do a little less than the programme, and not much less."""
    params = {
        **NOBODY, "households": 2, "household_flexible_share": 0.0, "batteries": 1,
        "battery_kw": 10.0, "battery_kwh": 20.0, "battery_efficiency": 1.0, "load_scale": 3.0,
        "battery_charge": 0.3, "battery_eur_per_kwh": 0.02, "end_eur_per_kwh": 0.2,
        "feed_in_eur_per_kwh": 0.08,
    }  # fmt: skip
    world = make(params)
    given_ = exogenous(world.params, world.roster, 5, 0, 1440)
    demand = given_["own_kw"][:, :2].sum(1).reshape(96, 15).sum(1) / 60
    price = given_["import_mc"][::15] / MILLICENT_PER_EUR
    levels = np.arange(801) * 0.025
    ahead = -0.2 * (levels - 6.0)
    for k in reversed(range(96)):
        change = levels[None, :] - levels[:, None]
        net = demand[k] + change
        now = np.clip(net, 0, None) * price[k] - np.clip(-net, 0, None) * 0.08
        step = np.where(np.abs(change) <= 2.5 + 1e-9, now + 0.02 * np.abs(change), np.inf)
        ahead = (step + ahead[None, :]).min(1)
    by_hand, found = ahead[240], least(params, 5, 1440)
    assert found <= by_hand
    assert found == pytest.approx(by_hand, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("battery_kwh", [1.0, 40.0, 80.0]),
        ("battery_kw", [1.0, 20.0, 40.0]),
        ("battery_efficiency", [0.7, 0.95, 1.0]),
        ("household_flexible_share", [0.0, 0.4, 1.0]),
        ("household_backlog_kwh", [0.1, 8.0, 20.0]),
        ("ev_kw", [2.0, 11.0, 22.0]),
        ("generator_ramp_kw", [0.01, 0.1, 10.0]),
        ("commercial_eur_per_kwh", [0.9, 0.42, 0.1]),
        ("import_eur_per_kwh", [0.5, 0.3, 0.2]),
    ],
)
def test_whoever_can_do_more_pays_no_more(name, values):
    found = [least({name: value}, 1, 1440) for value in values]
    assert all(later <= before + 1e-6 for before, later in itertools.pairwise(found))
    assert found[-1] < found[0] - 1e-3


def test_the_reference_column():
    column = reference({"households": 2}, 3, 3600 * SECOND)["bound"]
    assert column == bound({"households": 2}, 3, 3600 * SECOND)
    assert np.isfinite(column["cost"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_rules_stay_above_it(seed):
    """Through links that lose and delay, with their trades and limits."""
    result = sim.run(
        "smart_grid", seed=seed, duration="3h", inline=True, record=False,
        overrides={"network.default.loss": 0.1},
    )  # fmt: skip
    costs = {name: column["cost"] for name, column in result.reference.items()}
    assert result.metrics["cost"].value >= costs["bound"]
    assert costs["rule"] >= costs["bound"] < costs["no control"]


@pytest.mark.slow
def test_the_large_grid():
    """What the scenario's first lines promise."""
    result = sim.run("large_grid", inline=True, record=False)
    costs = {name: column["cost"] for name, column in result.reference.items()}
    assert result.agents == 125
    assert costs["bound"] <= costs["rule"] <= 0.8 * costs["no control"]
    assert result.metrics["cost"].value == costs["rule"]
    assert result.metrics["overload_minutes"].value == 0
