"""Typed commands become entries of `faults:`; a mistake is told with the nearest name."""

from __future__ import annotations

import pytest
import yaml

from sim.errors import ScenarioError, UnknownKeyError
from sim.scenario.commands import COMMANDS, complete, parse_command, split_words
from sim.scenario.read import read_record
from sim.scenario.schema import FaultSpec
from sim.scenario.tree import parse
from sim.wire.live import LIVE, AgentCard, Intro

NAMES = ("battery-1", "battery-2", "ev-1", "ev-3", "pv-1", "market", "meter-4", "a-1", "b-1")


@pytest.fixture(name="about")
def make_intro() -> Intro:
    return Intro(
        live=LIVE, scenario="grid", seed=0, directory="", pid=0, started="",
        duration_ns=10**12, episodes=1, dt_ns=10**9, speed=1.0,
        agents=[AgentCard(n, n.partition("-")[0], "rule", 0) for n in NAMES],
        metrics=[], actions={}, observations={},
        events={"line-trip": ["line-12", "LV3.101 Line 26"], "dark": []}, scheduled=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("kill battery-2 --for 10min", {"kill": "battery-2", "for": "10min"}),
        ("kill battery-2 ev-3", {"kill": ["battery-2", "ev-3"]}),
        ("kill battery-1,battery-2", {"kill": ["battery-1", "battery-2"]}),
        ("kill 'ev-*' --choose 1", {"kill": "ev-*", "choose": 1}),
        ("hang market --for=90", {"hang": "market", "for": 90}),
        ("restart battery-2", {"restart": "battery-2"}),
        ("slow ev-* --factor 10", {"slow": "ev-*", "factor": 10}),
        ("slow ev-3", {"slow": "ev-3"}),
        ("sensor ev-3 --drop 50% --field v_pu", {"sensor": "ev-3", "drop": "50%", "field": "v_pu"}),
        (
            "byzantine ev-3 --mode inflate:3 --field 0 --field 1 --choose 1",
            {"byzantine": "ev-3", "mode": "inflate:3", "field": [0, 1], "choose": 1},
        ),
        (
            "link a-1 b-1 --loss 0.3 --latency 80ms --for 60s",
            {"link": ["a-1", "b-1"], "loss": 0.3, "latency": "80ms", "for": "60s"},
        ),
        ("link a-1 b-1 --burst 10%:200ms", {"link": ["a-1", "b-1"], "burst": "10%:200ms"}),
        ("link a-1 b-1 --preset lora", {"link": ["a-1", "b-1"], "preset": "lora"}),
        (
            "link a-1 b-1 --duplicate 5% --corrupt 0.1",
            {"link": ["a-1", "b-1"], "duplicate": "5%", "corrupt": 0.1},
        ),
        ("link a-1 b-1 --burst 0", {"link": ["a-1", "b-1"], "burst": 0}),
        ("link a-1 '*' --loss 30%", {"link": ["a-1", "*"], "loss": "30%"}),
        ("link a-1 hub --loss 1 --one-way", {"link": ["a-1", "hub"], "loss": 1, "both": False}),
        ("partition ev-1,ev-3 * --for 2min", {"partition": [["ev-1", "ev-3"], "*"], "for": "2min"}),
        ("heal", {"heal": True}),
        ("noise 0.1 --topic offer", {"noise": 0.1, "topics": "offer"}),
        ("noise 10% --topic a --topic b", {"noise": "10%", "topics": ["a", "b"]}),
        ("skew ev-3 --offset 2s --drift 50ppm", {"skew": "ev-3", "offset": "2s", "drift": "50ppm"}),
        ("skew ev-3 --offset -2s", {"skew": "ev-3", "offset": "-2s"}),
        ("sensor ev-3 --freeze", {"sensor": "ev-3", "freeze": True}),
        ("sensor ev-3 --noise 0.2", {"sensor": "ev-3", "noise": 0.2}),
        ("sensor ev-3 --drop 0.5", {"sensor": "ev-3", "drop": 0.5}),
        ("actuator pv-1 --stuck", {"actuator": "pv-1", "stuck": True}),
        (
            "byzantine meter-4 --topic offer --field price --mode random",
            {"byzantine": "meter-4", "topic": "offer", "field": "price", "mode": "random"},
        ),
        (
            "world line-trip line-12 --for 1h",
            {"world": "line-trip", "target": "line-12", "for": "1h"},
        ),
        ("world line-trip LV3.101 Line 26", {"world": "line-trip", "target": "LV3.101 Line 26"}),
        ("world dark", {"world": "dark"}),
        ("broker kill", {"broker": "kill"}),
    ],
)
def test_a_command_is_an_entry(line: str, entry: dict[str, object], about: Intro) -> None:
    text = parse_command(split_words(line), about)
    assert yaml.safe_load(text) == entry
    assert text.startswith("{")
    assert "\n" not in text


def test_every_example_is_an_entry_that_a_scenario_takes(about: Intro) -> None:
    for command in COMMANDS.values():
        text = parse_command(split_words(command.example), about)
        if command.name != "heal":
            node = parse(text.replace("{", "{at: 1h, ", 1), "command")
            assert read_record(FaultSpec, node, "faults[0]").kind == command.name


def test_the_entry_reads_as_a_scenario_writes_it(about: Intro) -> None:
    words = "kill battery-2 --for 10min".split()
    assert parse_command(words, about) == "{kill: battery-2, for: 10min}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("kil battery-2", "did you mean 'kill'"),
        ("kill batery-2", "did you mean 'battery-2'"),
        ("kill", "expected an agent"),
        ("kill battery-2 --fro 10min", "did you mean '--for'"),
        ("kill battery-2 --for", "expected DURATION"),
        ("kill battery-2 --for soon", "expected a duration"),
        ("kill battery-2 --for 0s", "above 0"),
        ("kill ev-* --choose some", "whole number from 1"),
        ("slow ev-3 --factor 0.5", "from 1"),
        ("byzantine ev-3", "expected --mode"),
        ("byzantine ev-3 --mode sign-flap", "did you mean 'sign-flip'"),
        ("link a-1", "expected two ends, found 1"),
        ("link a-1 b-1", "at least one of --loss"),
        ("link a-11 b-1 --loss 1", "did you mean 'a-1'"),
        ("link a-1 b-1 --loss 130%", "from 0 to 1"),
        ("link a-1 b-1 --burst 50%:1", "--burst: a length in messages is from 2 "),
        ("link a-1 b-1 --preset wify", "--preset: there is no preset 'wify'; did you mean 'wifi'"),
        ("link a-1 b-1 --burst 5", "--burst: expected none, LOSS:LENGTH"),
        ("partition a-1 , ", "expected two ends"),
        ("heal battery-1", "takes no name"),
        ("noise loud", "noise: expected"),
        ("noise -0.1", "from 0"),
        ("skew ev-3", "--offset or --drift"),
        ("sensor ev-3", "--freeze or --noise or --drop"),
        ("sensor ev-3 --freeze --drop 1", "--freeze or --noise or --drop"),
        ("sensor ev-3 --freeze=yes", "takes no value"),
        ("actuator pv-1", "--stuck"),
        ("world line-tripp line-12", "did you mean 'line-trip'"),
        ("world line-trip line-13", "did you mean 'line-12'"),
        ("world line-trip", "expected a target"),
        ("world", "there is: line-trip, dark"),
        ("broker stop", "expected kill"),
        ("kill 'battery", "quote is not closed"),
    ],
)
def test_a_mistake_is_told(line: str, said: str, about: Intro) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_command(split_words(line), about)
    assert said in str(caught.value)


def test_no_words(about: Intro) -> None:
    with pytest.raises(ScenarioError, match="expected a command"):
        parse_command([], about)


def test_an_unknown_name_is_an_unknown_key(about: Intro) -> None:
    with pytest.raises(UnknownKeyError):
        parse_command(["kill", "nobody"], about)


def test_every_command_has_a_sentence_and_an_example() -> None:
    for name, command in COMMANDS.items():
        assert command.name == name
        assert command.usage.startswith(name)
        assert command.help.endswith(".")
        assert command.example.startswith(name)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", "kill"),
        ("pa", "partition"),
        ("qu", "quit"),
        ("kill bat", "kill battery-2"),
        ("kill bat", "kill battery-*"),
        ("kill ery-2", "kill battery-2"),
        ("kill battery-1,bat", "kill battery-1,battery-2"),
        ("kill battery-2 --f", "kill battery-2 --for"),
        ("partition a-1 b", "partition a-1 b-1"),
        ("partition a-1 b-1 ", "partition a-1 b-1 --for"),
        ("world li", "world line-trip"),
        ("world line-trip ", "world line-trip 'LV3.101 Line 26'"),
        ("byzantine meter-4 --mode ra", "byzantine meter-4 --mode random"),
        ("broker k", "broker kill"),
    ],
)
def test_completion(line: str, found: str, about: Intro) -> None:
    assert found in complete(line, about, ("quit",))


def test_completion_of_nonsense_is_nothing(about: Intro) -> None:
    assert complete("fly to the moon", about) == []
