"""Algorithms by name: what they are made of, and what they refuse in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from learn.problems import SECOND, Tiny, flat, make_side

from agents.networks import load_policy, save_policy
from sim.errors import BoundError, CheckpointError, ScenarioError, UnknownKeyError
from sim.learn.learner import Learner
from sim.learn.networks import Shape
from sim.learn.presets import PRESETS, default_critic, make_family, preset_options
from sim.spaces import Field, Space
from sim.worlds.world import Group

pytestmark = pytest.mark.torch
PLAYERS = make_side(2, 3)
POWER = Space((Field("power", "W", -1.0, 1.0),))
TWO = Space((Field("move", choices=3), Field("say", choices=2)))
SLOW = make_side(2, 3, group="slow", every_ns=4 * SECOND)
NUMBERS = make_side(1, 0, group="battery", decides=POWER)
TALKERS = make_side(1, 0, group="talker", decides=TWO)


def rollout(side: Any = PLAYERS) -> Tiny:
    return Tiny(side, 4, lambda state, decision: decision[..., 0], lambda s, d: 1 - s, steps=5)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("share", ["group", "none", "all"])
def test_every_preset_updates_and_gives_policies_that_play(
    preset: str, share: str, tmp_path: Any
) -> None:
    options: dict[str, Any] = {"decisions": 4, "learning_rate": 1e-3}
    if "warmup" in preset_options(preset):
        options |= {"warmup": 8, "batch": 8}
    shape = Shape(hidden=(8,), identity=True)
    family = make_family(preset, [PLAYERS], 2, options=options, shape=shape, share=share)
    before = flat(family.state())
    tiny = rollout()
    for _ in range(2):
        figures = family.update(tiny.collect(family.actors(), family.decisions))
    assert all(name.startswith("player/") for name in figures)
    assert any(not torch.equal(a, b) for a, b in zip(before, flat(family.state()), strict=False))
    tensors, card = family.policies()["player"]
    save_policy(tmp_path / "player.safetensors", tensors, card)
    group = Group("player", PLAYERS.agents, PLAYERS.role.sees, PLAYERS.decides, SECOND)
    factory = load_policy(tmp_path / "player.safetensors")
    greedy = family.greedy()["player"]
    record = tiny.collect(family.greedy(), 1)["player"]
    expected, _, _ = greedy.act(
        record.seen[0], record.alive[0], torch.zeros(4, 2, 0), torch.zeros(4, dtype=torch.bool)
    )
    for i, name in enumerate(PLAYERS.agents):
        policy = factory(name, group, {})
        obs = record.seen[0, :, i].double().numpy()
        action, _, _ = policy(obs, {}, policy.memory(np, 4), None)
        assert action[:, 0].tolist() == expected[:, i, 0].tolist()


REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    ("iql", NUMBERS, {}, "iql: .* battery decides power as a number"),
    ("vdn", TALKERS, {}, "vdn: takes one choice .* talker decides move, say"),
    ("qmix", PLAYERS, {"critic_sees": "state"}, "qmix: has no critic"),
    ("vdn", PLAYERS, {"reward": "own"}, "vdn: .*reward: own"),
    ("qmix", PLAYERS, {"reward": 0.5}, "qmix: .*mix of 0.5"),
    ("qmix", PLAYERS, {"state_size": 0}, "qmix: .*central state.*vdn"),
    ("vdn", PLAYERS, {"options": {"leniency": 1.0}}, "vdn: .*independent"),
    ("mappo", PLAYERS, {"critic_sees": "own"}, "mappo: .*that is ippo"),
    ("ippo", PLAYERS, {"critic_sees": "state"}, "ippo: .*that is mappo"),
    ("mappo", PLAYERS, {"state_size": 0}, "mappo: .*observations"),
    ("mappo", PLAYERS, {"critic_sees": "stat"}, "did you mean 'state'"),
    ("mapo", PLAYERS, {}, "no algorithm 'mapo'; did you mean 'mappo'"),
    ("ppo", PLAYERS, {"share": "everyone"}, "ppo: share: 'everyone'"),
    ("ppo", PLAYERS, {"reward": "teem"}, "did you mean 'team'"),
    ("ppo", PLAYERS, {"reward": 1.5}, "ppo: reward: .*between 0 and 1"),
    ("ppo", PLAYERS, {"options": {"lernrate": 1}}, "ppo: no option 'lernrate'"),
    ("ppo", PLAYERS, {"options": {"learning_rat": 1}}, "did you mean 'learning_rate'"),
    ("ppo", PLAYERS, {"options": {"epochs": 2.5}}, "ppo: epochs is a whole number"),
    ("ppo", PLAYERS, {"options": {"epochs": "2"}}, "ppo: epochs is a number"),
    ("ppo", PLAYERS, {"options": {"epochs": 0}}, "ppo: epochs is at least 1"),
    ("ppo", PLAYERS, {"options": {"gamma": 1.01}}, "ppo: gamma is between 0 and 1"),
    ("ppo", PLAYERS, {"options": {"deviation": 0}}, "ppo: deviation is above 0"),
    ("ppo", PLAYERS, {"options": {"normalise_values": 1}}, "true or false"),
]


@pytest.mark.parametrize(("preset", "side", "change", "words"), REFUSED)
def test_what_a_preset_cannot_do_is_refused_by_name(
    preset: str, side: Any, change: dict[str, Any], words: str
) -> None:
    rest = dict(change)
    with pytest.raises((ScenarioError, BoundError, UnknownKeyError), match=words):
        make_family(preset, [side], rest.pop("state_size", 2), **rest)


def test_sides_that_cannot_be_one_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"share: all .* player and battery do not decide"):
        make_family("mappo", [PLAYERS, NUMBERS], 2, share="all")
    with pytest.raises(ScenarioError, match="do not act every the same"):
        make_family("mappo", [PLAYERS, SLOW], 2, share="all")
    with pytest.raises(ScenarioError, match=r"vdn: .*different ones: player every 1 s, slow"):
        make_family("vdn", [PLAYERS, SLOW], 2)
    with pytest.raises(ScenarioError, match="no group"):
        make_family("mappo", [], 2)
    make_family("iql", [PLAYERS, SLOW], 2)  # independent learners may


def test_options_replace_the_preset_s() -> None:
    family: Any = make_family("mappo", [PLAYERS], 2, options={"epochs": 3, "gamma": 1})
    assert (family.options.epochs, family.options.gamma) == (3, 1.0)
    assert family.options.clip == preset_options("mappo")["clip"]
    assert preset_options("hysteretic")["hysteresis"] < 1.0 == preset_options("iql")["hysteresis"]
    assert [default_critic(p) for p in ("ppo", "mappo", "qmix")] == ["own", "state", ""]


@pytest.mark.parametrize("preset", ["mappo", "iql"])
def test_one_network_for_all_groups(preset: str) -> None:
    """Both groups' records teach one network, and each plays its own part of it."""
    first, second = make_side(2, 3, features=2), make_side(1, 3, features=2, group="other")
    options = {"warmup": 4} if preset == "iql" else {}
    family: Any = make_family(
        preset, [first, second], 2, options={"decisions": 4} | options, share="all",
        shape=Shape(hidden=(8,), identity=True),
    )  # fmt: skip
    tiny = {s.group: rollout(s) for s in (first, second)}
    actors = family.actors()
    records = {g: t.collect({g: actors[g]}, 4)[g] for g, t in tiny.items()}
    assert records["other"].decision.shape == (4, 4, 1, 1)
    figures = family.update(records)
    assert all(name.startswith("player+other/") for name in figures)
    policies = family.policies()
    assert policies.keys() == {"player", "other"}
    assert policies["other"][1]["agents"] == [*first.agents, *second.agents]
    assert [c["group"] for _, c in policies.values()] == ["player", "other"]


def test_a_learner_is_its_families() -> None:
    other = make_side(1, 0, group="battery", decides=POWER)

    def begin() -> Learner:
        return Learner(
            [
                make_family("iql", [PLAYERS], 2, options={"warmup": 8, "batch": 8}),
                make_family("ppo", [other], 2, options={"decisions": 12}),
            ]
        )

    learner = begin()
    assert learner.decisions == 12
    assert [s.group for s in learner.sides] == ["player", "battery"]
    games = {s.group: rollout(s) for s in learner.sides}

    def collect(learner: Learner) -> dict[str, Any]:
        actors = learner.actors()
        return {g: r.collect({g: actors[g]}, 12)[g] for g, r in games.items()}

    records = collect(learner)
    figures = learner.update(records)
    assert {"player/loss", "battery/policy_loss"} <= figures.keys()
    assert learner.policies().keys() == learner.greedy().keys() == {"player", "battery"}
    saved = learner.state()
    again = begin()
    again.load(saved)
    learner.update(records)
    again.update(records)
    pairs = zip(flat(learner.state()), flat(again.state()), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(CheckpointError, match="trains player, battery"):
        Learner([make_family("iql", [PLAYERS], 2)]).load(saved)
    with pytest.raises(BoundError, match="player: trained twice"):
        Learner([make_family(p, [PLAYERS], 2) for p in ("iql", "vdn")])
