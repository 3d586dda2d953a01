"""The central controller: what it plans, what followers do with it, and what its failure costs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import sim
from agents.behaviours import smart_grid as rules
from agents.behaviours.smart_grid_central import table
from agents.behaviours.smart_grid_follower import Follower
from agents.behaviours.smart_grid_plan import Report, Values, plan, report_of
from sim.worlds.smart_grid import SmartGrid, make

pytestmark = pytest.mark.torch
torch.set_num_threads(1)

QUARTER = 0.25


@pytest.fixture(scope="module")
def world() -> SmartGrid:
    return make({})


def report(world: SmartGrid, role: str, **changed: Any) -> Report:
    """What the first device of a role reports at midnight, with other values."""
    (group,) = (g for g in world.groups if g.name == role)
    row = world.observe(world.reset([(0, 0)]))[role][0, 0].numpy().copy()
    for name, value in changed.items():
        row[group.observation.slices[name]] = value
    found = report_of(role, 0.0, row)
    assert found is not None
    return found


def prices(now: float, later: float) -> dict[str, Any]:
    return {"import_price": now, "price_day": np.array([now] + 23 * [later])}


def test_a_battery_charges_before_it_becomes_dear_and_serves_what_is_needed_then(
    world: SmartGrid,
) -> None:
    dear = {"battery": prices(0.10, 0.50), "commercial": prices(0.10, 0.50)}
    reports = {i: report(world, role, **values) for i, (role, values) in enumerate(dear.items())}
    energy, price = plan(reports, {}, Values())
    assert energy[0] == pytest.approx(20_000 * QUARTER)
    assert price == pytest.approx((0.10 + reports[0]["feed_in_price"]) / 2)
    cheap = {"battery": prices(0.50, 0.10), "commercial": prices(0.50, 0.10)}
    reports = {i: report(world, role, **values) for i, (role, values) in enumerate(cheap.items())}
    energy, _ = plan(reports, {}, Values())
    assert energy[0] == pytest.approx(-energy[1])  # what is fed in beyond that earns too little
    assert 0 < energy[1] < 20_000 * QUARTER


def test_a_plan_counts_what_was_told_for_this_quarter(world: SmartGrid) -> None:
    full = {"energy_kwh": 34.0, "minute": 30.0, **prices(0.10, 0.50)}
    free, _ = plan({0: report(world, "battery", **full)}, {}, Values())
    told, _ = plan({0: report(world, "battery", **full)}, {0: 4000.0}, Values())
    assert free[0] == pytest.approx(5000.0)
    assert told[0] == pytest.approx(1000 * (40 - 34 - 4 * 0.95) / 0.95)


def test_a_vehicle_is_ready_in_time_and_no_earlier_than_is_cheap(world: SmartGrid) -> None:
    needs = {"need_kwh": 11.0, "is_connected": 1.0, **prices(0.50, 0.10)}
    soon, _ = plan({0: report(world, "ev", left_min=60.0, **needs)}, {}, Values())
    late, _ = plan({0: report(world, "ev", left_min=480.0, **needs)}, {}, Values())
    assert soon[0] == pytest.approx(22_000 * QUARTER)
    assert late[0] == pytest.approx(0.0, abs=1e-6)


def test_a_message_that_is_no_report_is_none() -> None:
    assert report_of("battery", 0.0, np.zeros(3)) is None
    assert report_of("generator", 0.0, np.full(34, np.nan)) is None


def test_what_is_settled_adds_up_to_nothing_and_cuts_the_longer_side() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        wanted = {int(i): float(x) for i, x in enumerate(draw.normal(size=9) * 3000)}
        awards = table(wanted, 15_000, 12)
        energy = awards[:, 0]
        assert energy.sum() == 0
        values = np.array([wanted.get(i, 0.0) for i in range(12)])
        assert np.all(np.abs(energy) <= np.abs(values) + 1)
        assert np.all(energy * values >= 0)
        shorter = min(values.clip(min=0).sum(), (-values).clip(min=0).sum())
        assert energy.clip(min=0).sum() == int(shorter)
        assert set(awards[energy != 0, 1].tolist()) == {15_000}
    assert not table({0: 500.0, 1: 20.0}, 15_000, 3).any()


@pytest.mark.parametrize("role", ["household", "ev", "battery", "generator", "commercial", "pv"])
def test_a_follower_obeys_while_it_is_told_and_is_the_rule_without_trades_else(
    world: SmartGrid, role: str
) -> None:
    (group,) = (g for g in world.groups if g.name == role)
    state = world.reset([(0, 0)])
    state["backlog_kwh"] = state["backlog_kwh"] + 3.0
    obs = world.observe(state)[role][:, 0].numpy()
    rule_class = {
        "household": rules.Household, "ev": rules.Vehicle, "battery": rules.Battery,
        "generator": rules.Generator, "commercial": rules.Consumer, "pv": rules.Inverter,
    }[role]  # fmt: skip
    rule, follower = rule_class("x", group, {}), Follower("x", group, {})

    def heard(wh: float | None) -> dict[str, Any]:
        limit = np.zeros((1, 1, rule.hears["limit"]))
        there = np.array([[wh is not None]])
        award = np.array([[[wh or 0.0, 0.0]]])
        no = np.zeros((1, 1), dtype=bool)
        return {
            "limit": SimpleNamespace(values=limit, present=no, age_s=np.zeros((1, 1))),
            "award": SimpleNamespace(values=award, present=there, age_s=np.full((1, 1), 800.0)),
        }

    alone = follower(obs, heard(None), follower.memory(np, 1), 0)
    by_rule = rule(obs, heard(None), rule.memory(np, 1), 0)
    np.testing.assert_array_equal(alone[0], by_rule[0])
    assert set(alone[1]) == {"measurement", f"status-{role}"} == set(follower.speaks)
    np.testing.assert_array_equal(alone[1][f"status-{role}"], obs)
    if role in ("battery", "ev", "generator"):
        sign = {"battery": -1, "ev": 1, "generator": -1}[role]
        told = follower(obs, heard(sign * 1000.0), follower.memory(np, 1), 0)
        assert told[0][0, 0] == pytest.approx(4.0)
    if role == "household":
        base = obs[0, group.observation.slices["base_kw"]][0]
        told = follower(obs, heard(250 * (base + 2.0)), follower.memory(np, 1), 0)
        assert told[0][0, 0] == pytest.approx(2.0)


@pytest.mark.slow
def test_it_beats_no_control_and_its_death_costs() -> None:
    few = {
        "world.households": 3, "world.pvs": 2, "world.batteries": 2, "world.evs": 2,
        "world.winds": 0,
    }  # fmt: skip

    def run(faults: list[dict[str, str]], behaviours: dict[str, str] | None = None) -> sim.Result:
        return sim.run(
            "central_grid", duration="12h", inline=True, record=False, compare=False,
            overrides={**few, "faults": faults}, behaviours=behaviours or {},
        )  # fmt: skip

    kill = [{"at": "5h", "kill": "market"}]
    led, again, dead = run([]), run([]), run(kill)
    idle = run([], {"*": "none"})
    assert led.digest == again.digest
    costs = [result.metrics["cost"].value for result in (led, dead, idle)]
    print(costs)
    assert costs[0] < min(costs[1:]) - 5
