"""What the smart grid offers to learners: rewards that are the cost, states, days, and roles."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import sim
from agents.behaviours import smart_grid_roles as roles
from agents.behaviours.smart_grid_roles import CALM, REACH, calmed
from agents.decisions import plan_of
from agents.networks import save_policy
from agents.roles import layout_of
from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.learn.acting import policy_file
from sim.learn.batched import BatchedRollout
from sim.learn.cast import cast_rollout
from sim.learn.networks import Network, Shape
from sim.learn.record import Side
from sim.prepare import load, prepare
from sim.worlds.smart_grid import ROLES, RULES, SmartGrid, make, over_days
from sim.worlds.smart_grid_devices import ROLES as DEVICES

pytestmark = pytest.mark.torch
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world() -> SmartGrid:
    return make({})


def anything(world: SmartGrid, batch: int, draw: np.random.Generator) -> tuple[Any, Any]:
    """Random actions, randomly present, with a market whose table adds up to nothing."""
    actions, present = {}, {}
    for group in world.groups:
        high = np.where(np.isfinite(group.action.high), group.action.high, 1.0)
        shape = (batch, len(group.agents))
        actions[group.name] = torch.from_numpy(draw.normal(size=(*shape, len(high))) * high)
        present[group.name] = torch.from_numpy(draw.random(shape) < 0.8)
    table = draw.integers(-3000, 3000, (batch, len(world.roster.names), 2)).astype(float)
    table[..., 1] = draw.integers(8000, 30000, (batch, 1))
    table[:, -1, 0] -= table[..., 0].sum(1)
    actions["market"] = torch.from_numpy(table.reshape(batch, 1, -1))
    return actions, present


def run(world: SmartGrid, minutes: int, seeds: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """The state after so many minutes, with a line open meanwhile; team rewards, those stored."""
    draw = np.random.default_rng(1)
    state = world.reset([(seed, 0) for seed in seeds])
    team, stored = torch.zeros(len(seeds)).double(), torch.zeros(len(seeds)).double()
    at = world.reward_components.index("stored")
    for minute in range(minutes):
        if minute in (20, 50):
            state = world.inject(state, "line-trip", "LV3.101 Line 26", is_on=minute == 20)
        state, rewards = world.advance(state, *anything(world, len(seeds), draw))
        team += world.team_reward(rewards)
        stored += sum(rewards[role][..., at].sum(1) for role in DEVICES)
    return state, team, stored


def test_the_team_reward_adds_up_to_minus_the_cost(world: SmartGrid) -> None:
    state, team, stored = run(world, 75, (3, 4))
    for i in range(2):
        row = {name: value[i : i + 1] for name, value in state.items()}
        metrics = {name: m.value for name, m in world.metrics(row).items()}
        assert metrics["unserved_cost"] > 1.0  # in the dark, of devices and of the background
        assert float(team[i]) == pytest.approx(-metrics["cost"], abs=0.02)
        assert float(stored[i]) == pytest.approx(-metrics["end_cost"], abs=1e-9)
        assert abs(metrics["end_cost"]) > 1.0  # so that without it the sum would be another


def test_the_central_state_is_small_and_each_row_for_itself(world: SmartGrid) -> None:
    state, _, _ = run(world, 3, (3, 4))
    central = world.central(state)
    assert central.shape == (2, 64)
    assert bool(torch.isfinite(central).all())
    assert float(central.abs().max()) < 10
    alone = world.central({name: value[1:] for name, value in state.items()})
    torch.testing.assert_close(alone, central[1:], rtol=0, atol=1e-12)
    fuller = state | {"energy_kwh": state["energy_kwh"] + 4.0}
    assert int((world.central(fuller) != central).sum()) == 6


def test_the_central_state_has_one_size_for_all_rosters() -> None:
    others = make({"households": 0, "evs": 0, "batteries": 0, "generators": 0, "pvs": 2})
    assert others.central(others.reset([(0, 0)])).shape == (1, 64)


def test_episodes_over_a_range_of_days() -> None:
    params = over_days({"pvs": 2}, "2016-11-01", "2016-12-31")
    assert params["pvs"] == 2
    assert len(params["day_choices"]) == 61
    assert params["day_choices"][0] == "2016-11-01"
    week = over_days({"days": 7}, "2016-11-01", "2016-11-10")
    assert week["day_choices"][-1] == "2016-11-04"  # it ends with the last day
    days = make(params).reset([(seed, 0) for seed in range(50)])["day"]
    assert len(set(days.tolist())) > 20


@pytest.mark.parametrize(
    ("first", "last", "error", "words"),
    [
        ("2015-12-31", "2016-01-05", ScenarioError, "2016-01-01 to 2016-12-31"),
        ("2016-01-01", "2016-02-30", ScenarioError, "2016-02-30"),
        ("2016-05-02", "2016-05-01", BoundError, r"2016-05-02\.\.2016-05-01"),
    ],
)
def test_days_that_are_not_there(first: str, last: str, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        over_days({}, first, last)


def at_minute(world: SmartGrid, minute: int) -> Any:
    """The state as at this minute of an untouched day."""
    state = world.reset([(0, 0)])
    return state | {"step": state["step"] + minute}


# --- roles --------------------------------------------------------------------------------------


def role_of(world: SmartGrid, name: str, params: dict[str, Any] | None = None) -> Any:
    module, _, factory = ROLES[name].partition(":")
    (group,) = (g for g in world.groups if g.name == name)
    return getattr(importlib.import_module(module), factory)(group.agents[0], group, params or {})


class Still:
    """Decides nothing."""

    memory_size = 0

    def __init__(self, side: Side) -> None:
        self.size = side.decides.size

    def act(self, seen: Any, alive: Any, memory: Any, is_first: Any) -> tuple[Any, Any, Any]:
        assert bool(torch.isfinite(seen).all())
        return torch.zeros(*seen.shape[:2], self.size), torch.zeros_like(seen[..., 0]), memory


def ended(learning: list[str]) -> list[Any]:
    """How two lossy episodes of 90 minutes end, if these groups learn and decide nothing."""
    scenario = load("smart_grid", overrides=["faults=[]", "duration=90min", "world.evs=2"])
    rollout = BatchedRollout(prepare(scenario), learning, 2, links={"loss": [0.3, 0.3]})
    actors = {side.group: Still(side) for side in rollout.sides}
    rollout.collect(actors, 6 if learning else 90)
    return [(e.returns, e.team, dict(e.metrics)) for e in rollout.finished()]


def test_every_device_has_a_role() -> None:
    assert set(ROLES) == set(DEVICES) == set(RULES) - {"market", "operator"}


def test_deciding_nothing_is_the_rule_to_the_bit() -> None:
    rule, role = ended([]), ended(list(ROLES))
    assert len(rule) == 2
    assert role == rule


def test_a_policy_file_that_decides_nothing_acts_as_the_rule_in_a_run(tmp_path: Path) -> None:
    shifts = {"battery": {"shifts": ["sells_at", "unheard"]}}
    (side,) = cast_rollout(prepare(load("smart_grid")), ["battery"], shifts).sides
    plan = plan_of(side.decides, side.role.sees)
    draw = torch.Generator().manual_seed(0)
    network = Network(
        side.layout, plan.outputs, side.agents, Shape((8,)), draw, 0.0, free=plan.free
    )
    save_policy(tmp_path / "still.safetensors", *policy_file(side, network))

    def run(behaviours: dict[str, str]) -> sim.Result:
        return sim.run(
            "smart_grid", duration="46min", inline=True, record=False, compare=False,
            overrides=["network.default.loss=20%"], behaviours=behaviours,
        )  # fmt: skip

    learned = run({"battery-*": f"policy:{tmp_path}/still.safetensors"})
    assert learned.metrics == run({}).metrics


def test_power_charges_a_battery_and_small_shifts_do_not(world: SmartGrid) -> None:
    scene = Scene(world, "battery")
    scene.heard["limit"][..., 0] = 0.0  # expired
    scene.memory[:] = 0.0
    at = scene.role.decides.slices["power"]
    for value, charges in ((-1.0, True), (-0.9 * CALM, False)):
        scene.decision[:] = 0.0
        scene.decision[:, at] = value / REACH
        _, action, *_ = scene.play(is_answered=False)
        assert np.all(action == (-20.0 if charges else 0.0))


def test_calm() -> None:
    shift = np.array([-1.0, -0.7, -CALM, 0.0, CALM, 0.7, 1.0])
    np.testing.assert_allclose(calmed(shift), [-1, -0.5, 0, 0, 0, 0.5, 1], atol=1e-12)


class Scene:
    """A group in the middle of a day, with messages, memories and decisions of any kind."""

    def __init__(self, world: SmartGrid, name: str) -> None:
        draw = np.random.default_rng(3)
        state = at_minute(world, 1125)
        state["backlog_kwh"] = state["backlog_kwh"] + 3.0
        state["price_mc"] = state["price_mc"] + 12_000  # dearer than what anybody forgoes
        self.role = role_of(world, name)
        self.obs = world.observe(state)[name][0].numpy()
        self.n = n = len(self.obs)
        limits = draw.normal(size=(n, 1, self.role.hears["limit"])) * 30
        limits[..., 0] = 130.0
        self.heard = {"limit": limits, "award": draw.normal(size=(n, 1, 2)) * 2000}
        self.memory = draw.uniform(2000, 9000, self.role.memory(np, n).shape)
        self.decision = draw.normal(size=(n, self.role.decides.size))

    def play(
        self, xp: Any = np.asarray, rows: slice = slice(None), is_answered: bool = True
    ) -> list[Any]:
        """What is seen, done, reported, offered and kept by these agents."""
        age = np.full((self.n, 1), 60.0)
        there = {"limit": age > 0, "award": (age > 0) & is_answered}
        inbox = {
            topic: SimpleNamespace(
                values=xp(values[rows]), present=xp(there[topic][rows]), age_s=xp(age[rows])
            )
            for topic, values in self.heard.items()
        }
        obs, memory = xp(self.obs[rows]), xp(self.memory[rows])
        seen = self.role.see(obs, inbox, memory)
        action, said, after = self.role.act(xp(self.decision[rows]), obs, inbox, memory, 0)
        return [np.asarray(x) for x in (seen, action, said["measurement"], said["offer"], after)]


@pytest.mark.parametrize("name", sorted(ROLES))
def test_one_object_plays_a_whole_group_in_numpy_and_torch(world: SmartGrid, name: str) -> None:
    scene = Scene(world, name)
    whole = scene.play()
    size = layout_of(scene.role, {"limit": 1, "award": 1}).size
    assert whole[0].shape == (scene.n, size) == (scene.n, scene.role.sees.size)
    for i in range(scene.n):
        for one, all_ in zip(scene.play(rows=slice(i, i + 1)), whole, strict=True):
            np.testing.assert_array_equal(one[0], all_[i])
    for one, all_ in zip(scene.play(torch.from_numpy), whole, strict=True):
        np.testing.assert_allclose(one, all_, rtol=1e-9, atol=1e-9)
    assert bool(scene.role.is_due(scene.obs).all())
    assert not bool(scene.role.is_due(scene.obs + 1).any())


@pytest.mark.parametrize(
    ("name", "shift"),
    [
        (name, shift)
        for name, path in ROLES.items()
        for shift in getattr(roles, path.partition(":")[2]).shifts
    ],
)
def test_every_shift_changes_what_is_done_or_offered(
    world: SmartGrid, name: str, shift: str
) -> None:
    scene = Scene(world, name)
    scene.decision[:] = 0.0
    is_answered = shift != "unheard"
    rule = scene.play(is_answered=is_answered)
    changed = []
    for value in (-1.0, 1.0):
        scene.decision[:, scene.role.decides.slices[shift]] = value / REACH
        shifted = scene.play(is_answered=is_answered)
        np.testing.assert_array_equal(shifted[0], rule[0])  # not what it sees
        changed.append(any(not np.array_equal(a, b) for a, b in zip(shifted, rule, strict=True)))
    assert any(changed)


def test_a_role_decides_the_shifts_it_is_told(world: SmartGrid) -> None:
    role = role_of(world, "battery", {"shifts": ["sells_at", "buys"]})
    assert list(role.decides.slices) == ["sells_at", "buys"]
    with pytest.raises(UnknownKeyError, match="sells_at"):
        role_of(world, "battery", {"shifts": ["sell_at"]})
    assert REACH < CALM  # first trials rarely move power that nobody traded
