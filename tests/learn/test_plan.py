"""What a training run trains: groups, algorithms, frozen policies, days."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents.behaviour import load_behaviour
from agents.networks import plan_of, role_name, save_policy, schema_of
from agents.roles import Layout
from sim.errors import ScenarioError, UnknownKeyError
from sim.learn.networks import Network, Shape
from sim.learn.plan import load_training, over_days, plan_training
from sim.prepare import load, make_world
from sim.worlds import catalogue

pytestmark = pytest.mark.torch


def test_every_group_with_a_role_learns_unless_something_is_said() -> None:
    assert plan_training(load_training("rendezvous")).groups == {"agent": "mappo"}
    assert plan_training(load_training("cartpole")).groups == {"agent": "ppo"}
    both = plan_training(load_training("signalling"))
    assert both.groups == {"sender": "mappo", "receiver": "mappo"}
    by = plan_training(load_training("signalling", algorithm="iql")).groups
    assert by == {"sender": "iql", "receiver": "iql"}
    assert plan_training(load_training("smart_grid")).groups == {
        "battery": "mappo",
        "generator": "mappo",
    }
    grid = plan_training(load_training("smart_grid", overrides=["learn={}"]))
    assert {"battery", "pv"} <= set(grid.groups)
    assert "market" not in grid.groups


def test_another_algorithm_leaves_the_options_of_the_scenarios_own_behind() -> None:
    own = load_training("spread")
    assert own.learn is not None
    assert own.learn.options["mappo"]["gamma"] == 0.95
    other = load_training("spread", algorithm="ippo", overrides=["learn.options.ippo.epochs=2"])
    assert other.learn is not None
    assert other.learn.options == {"ippo": {"epochs": 2}}
    assert load_training("spread", algorithm="mappo").learn == own.learn


def test_the_resolved_scenario_says_who_learns() -> None:
    scenario = load_training("signalling", overrides=["learn.groups={sender: vdn}"])
    assert scenario.learn is not None
    assert scenario.learn.groups == {"sender": "vdn"}
    assert scenario.document["learn"]["groups"] == {"sender": "vdn"}
    named = load_training("signalling", overrides=["learn.frames=7"], algorithm="iql")
    assert named.document["learn"] == {
        "groups": {"sender": "iql", "receiver": "iql"}, "frames": 7,
    }  # fmt: skip


def test_a_frozen_group_is_played_by_its_policy(tmp_path: Path) -> None:
    world = make_world(load("signalling"))
    group = next(group for group in world.groups if group.name == "sender")
    role = load_behaviour(catalogue.world_module("signalling").ROLES["sender"], "")(
        "sender-1", group, {}
    )
    outputs = plan_of(role.decides, role.sees).outputs
    net = Network(
        Layout(role.sees.size), outputs, group.agents, Shape(hidden=()), torch.Generator()
    )
    file = tmp_path / "sender.safetensors"
    card = {"schema": schema_of(role), "role": role_name(role), **net.card()}
    save_policy(file, net.tensors(), card)
    overrides = [f"learn.groups={{sender: 'policy:{file}', receiver: ppo}}"]
    plan = plan_training(load_training("signalling", overrides=overrides))
    assert plan.groups == {"receiver": "ppo"}
    players = {p.name: p.behaviour for p in plan.prepared.plans}
    assert players["sender-1"] == f"policy:{file}"
    still = plan_training(
        load_training("signalling", overrides=["learn.groups={sender: frozen, receiver: ppo}"])
    )
    assert still.groups == {"receiver": "ppo"}
    assert {p.name: p.behaviour for p in still.prepared.plans}["sender-1"].endswith("SenderRule")


def test_days_are_the_worlds_own() -> None:
    days = "learn={train_days: 2016-01-01..2016-10-31, held_out: 2016-11-01..2016-12-31}"
    scenario = load_training("smart_grid", overrides=[days])
    plan = plan_training(scenario)
    assert plan.prepared.scenario.world.params != scenario.world.params
    held_out = over_days(scenario, ("2016-11-01", "2016-12-31"), "held_out")
    assert held_out.world.params != plan.prepared.scenario.world.params
    assert over_days(scenario, None, "held_out") is scenario
    with pytest.raises(ScenarioError, match="world 'rendezvous' has no days"):
        plan_training(load_training("rendezvous", overrides=[days]))


def test_mistakes_name_the_nearest() -> None:
    with pytest.raises(UnknownKeyError, match="no group 'snder'; did you mean 'sender'"):
        load_training("signalling", overrides=["learn.groups={snder: ppo}"])
    with pytest.raises(UnknownKeyError, match=r"learn\.groups\.sender: no algorithm 'pp'"):
        load_training("signalling", overrides=["learn.groups={sender: pp}"])
    with pytest.raises(UnknownKeyError, match="--algorithm: no algorithm 'mapo'"):
        load_training("signalling", algorithm="mapo")
    with pytest.raises(ScenarioError, match="nobody learns"):
        load_training("signalling", overrides=["learn.groups={sender: frozen}"])
