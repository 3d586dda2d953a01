"""The `learn` block of a scenario: what it reads to, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from sim.errors import ScenarioError
from sim.scenario.editor import scenario_schema
from sim.scenario.learning import LearnSpec, NetworkShape, Ranges
from sim.scenario.load import dump, parse_scenario

BASE = """\
duration: 1s
world: {kind: rendezvous}
network: {default: {latency: 20ms}}
"""


def learn(text: str) -> LearnSpec:
    found = parse_scenario(BASE + f"learn: {text}\n").learn
    assert found is not None
    return found


def test_everything_has_a_default() -> None:
    found = learn("{}")
    assert found.groups == {}
    assert (found.share, found.critic_sees, found.reward) == ("group", "", "team")
    assert (found.links, found.frames, found.plateau) == ("scenario", 1_000_000, 0.0)
    assert found.network == NetworkShape()
    assert parse_scenario(BASE).learn is None


def test_a_whole_block() -> None:
    found = learn(
        "{groups: {battery: mappo, pv: 'policy:pv.safetensors', ev: frozen}, share: none, "
        "critic_sees: own, reward: {mix: 0.5}, links: {loss: [0, 40%], latency: [0s, 10s]}, "
        "frames: 2e6, train_days: 2016-01-01..2016-10-31, held_out: 2016-11-01..2016-12-31, "
        "copies: 64, seed: 3, plateau: 30%, options: {mappo: {learning_rate: 0.0005}}, "
        "network: {hidden: [128], recurrent: 32, activation: relu}, "
        "roles: {battery: {speaks: {offer: 2}}}}"
    )
    assert found.groups == {"battery": "mappo", "pv": "policy:pv.safetensors", "ev": "frozen"}
    assert found.reward == 0.5
    assert found.links == Ranges((0.0, 0.4), (0, 10_000_000_000))
    assert (found.frames, found.copies, found.seed, found.plateau) == (2_000_000, 64, 3, 0.3)
    assert found.train_days == ("2016-01-01", "2016-10-31")
    assert found.network == NetworkShape(hidden=(128,), recurrent=32, activation="relu")
    assert found.options == {"mappo": {"learning_rate": 0.0005}}
    assert found.roles == {"battery": {"speaks": {"offer": 2}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{group: {}}", "learn: unknown key 'group'; did you mean 'groups'"),
        ("{groups: mappo}", "learn.groups: expected a mapping such as"),
        ("{groups: {a: 3}}", "learn.groups.a: expected an algorithm such as mappo"),
        ("{share: grup}", "expected one of group, none, all, found 'grup'; did you mean 'group'"),
        ("{reward: both}", "learn.reward: expected team, own or {mix: x}"),
        ("{reward: {mix: 2}}", "learn.reward.mix: expected a value from 0 to 1, found 2"),
        ("{links: idel}", "learn.links: expected ideal, scenario or {loss"),
        ("{links: {los: [0, 1]}}", "learn.links: unknown key 'los'; did you mean 'loss'"),
        ("{links: {loss: 0.4}}", "learn.links.loss: expected two bounds such as"),
        ("{links: {loss: [0.4, 0.1]}}", "learn.links.loss: expected the lower bound first"),
        ("{links: {loss: [0, 3]}}", r"learn.links.loss\[1\]: expected a value from 0 to 1"),
        ("{links: {latency: [0s, [1]]}}", r"learn.links.latency\[1\]: "),
        ("{frames: 1.5}", "learn.frames: expected a whole number, found 1.5"),
        ("{frames: 0}", "learn.frames: expected a value from 1"),
        ("{train_days: 2016-01-01}", "learn.train_days: expected two days such as"),
        ("{train_days: 2016-13-01..2016-10-31}",
         "learn.train_days: expected days of the calendar, which 2016-13-01 is not"),
        ("{train_days: 2016-02-01..2016-01-01}", "learn.train_days: expected the first day first"),
        ("{train_days: 2016-01-01..2016-06-30, held_out: 2016-06-30..2016-12-31}",
         "learn.held_out: expected days that are not in train_days"),
        ("{options: {mappo: 3}}", "learn.options.mappo: expected a mapping"),
        ("{network: {hidden: []}}", "learn.network.hidden: expected a list of at least one"),
        ("{network: {hidden: [0]}}", r"learn.network.hidden\[0\]: expected a value from 1"),
    ],
)  # fmt: skip
def test_mistakes_are_answered(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message.replace("{", r"\{")):
        learn(text)


@pytest.mark.parametrize(
    "text", ["{}", "{links: {loss: [0, 0.4]}}", "{reward: {mix: 0.5}, frames: 2e6}"]
)
def test_a_resolved_file_reads_to_the_same(text: str) -> None:
    scenario = parse_scenario(BASE + f"learn: {text}\n")
    again = parse_scenario(dump(scenario)).learn
    assert _plain(again) == _plain(scenario.learn)


def _plain(spec: LearnSpec | None) -> dict[str, Any]:
    assert spec is not None
    return {f: getattr(spec, f) for f in spec.__struct_fields__ if f not in ("where", "folder")}


def test_editors_know_the_block() -> None:
    known = scenario_schema()["$defs"]["LearnSpec"]["properties"]
    assert known["frames"]["type"] == "number"
    assert known["share"]["enum"] == ["group", "none", "all"]
    assert known["links"]["oneOf"][0] == {"enum": ["ideal", "scenario"]}
    assert known["network"]["$ref"] == "#/$defs/NetworkShape"
