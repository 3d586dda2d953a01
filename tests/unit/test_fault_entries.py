"""One entry of `faults`, from a file or from a command: what it becomes, and what is told."""

from __future__ import annotations

import pytest

from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.scenario.faults import Setting, resolve_fault, resolve_faults
from sim.scenario.load import parse_scenario
from sim.scenario.read import read_fault
from sim.scenario.schema import Fault
from sim.scenario.tree import parse
from sim.units import SECOND

EVS = tuple(f"ev-{i}" for i in range(1, 10))
SETTING = Setting(
    (*EVS, "watcher"), (*EVS, "watcher", "hub"), {"storm": ()},
    dict.fromkeys(EVS, ("minute", "need_kwh", "left_min")),
    {"offer": ("energy", "price", "energy", "price"), "award": ("energy", "price")},
)  # fmt: skip
BASE = """
duration: 1h
world: {kind: blank}
network: {default: {latency: 20ms}}
"""


def struck(entry: object, at_s: float = 100, until_s: float = 3600) -> tuple[Fault, ...]:
    """The records of a command that comes at `at_s`."""
    at_ns, until_ns = round(at_s * SECOND), round(until_s * SECOND)
    return resolve_fault(read_fault(entry), SETTING, 7, "command-0", at_ns, until_ns, 40)


def from_file(entry: str) -> tuple[Fault, ...]:
    scenario = parse_scenario(f"{BASE}faults:\n  - {entry}\n", "grid.yaml")
    return resolve_faults(scenario, SETTING, 7)


# --- commands -----------------------------------------------------------------------------------


def test_a_command_needs_no_time_and_strikes_at_the_stated_instant() -> None:
    spec = read_fault({"kill": "ev-1", "for": "10s"})
    assert (spec.at_ns, spec.for_ns, spec.where) == (None, 10 * SECOND, "command: fault")
    on, off = struck({"kill": "ev-1", "for": "10s"})
    assert (on.time_ns, on.kind, on.id, on.is_on) == (100 * SECOND, "kill", 40, True)
    assert (off.time_ns, off.kind, off.id) == (110 * SECOND, "restart", 40)
    assert on.text == "ev-1 killed for 10s"


def test_a_command_may_repeat_itself_until_the_end() -> None:
    found = struck({"every": "1s", "hang": "ev-*", "choose": 2, "for": 0.25}, 100, 103)
    assert [(f.time_ns / SECOND, f.id, f.is_on) for f in found] == [
        (100, 40, True), (100.25, 40, False), (101, 41, True), (101.25, 41, False),
        (102, 42, True), (102.25, 42, False),
    ]  # fmt: skip
    chosen = {f.targets for f in found if f.is_on}
    assert len(chosen) > 1
    assert {len(names) for names in chosen} == {2}
    again = struck({"every": "1s", "hang": "ev-*", "choose": 2, "for": 0.25}, 100, 103)
    assert again == found


def test_a_command_that_says_when_keeps_its_time() -> None:
    assert read_fault({"at": "5min", "restart": ["ev-1", "ev-2"]}).at_ns == 300 * SECOND


@pytest.mark.parametrize(
    ("entry", "kind", "message"),
    [
        ({"kil": "ev-1"}, UnknownKeyError, "^command: fault: unknown key 'kil'; did you mean 'ki"),
        ({"kill": "ev-1", "loss": 1}, ScenarioError, "^command: fault.loss: does not belong to a "),
        ({"for": "1s"}, ScenarioError, "^command: fault: expected exactly one of kill, restart"),
        ("kill", ScenarioError, "^command: fault: expected a mapping, found 'kill'"),
        ({"kill": "ew-1"}, UnknownKeyError, "^command: fault.kill: no agent or relay matches"),
        ({"every": "1us", "kill": "ev-1"}, BoundError, "^command: fault.every: expected at most"),
        ({"kill": object()}, ScenarioError, "^command: expected text, a number"),
    ],
)
def test_a_mistake_in_a_command_is_told_as_in_a_file(
    entry: object, kind: type[ScenarioError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        struck(entry)


# --- what each kind becomes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{at: 1s, slow: ev-3}", {"kind": "slow", "targets": ("ev-3",), "number": 10.0}),
        ("{at: 1s, slow: ev-3, factor: 2.5}", {"number": 2.5}),
        ("{at: 1s, skew: ev-3, offset: 2s}", {"offset_ns": 2 * SECOND, "number": 0.0}),
        ("{at: 1s, skew: ev-3, offset: -1min30s}", {"offset_ns": -90 * SECOND}),
        ("{at: 1s, skew: ev-3, offset: -0.5}", {"offset_ns": -SECOND // 2}),
        ("{at: 1s, skew: ev-3, drift: 50ppm}", {"offset_ns": 0, "number": 0.00005}),
        ("{at: 1s, skew: ev-3, drift: -50 ppm}", {"number": -0.00005}),
        ("{at: 1s, skew: ev-3, drift: 0.01%}", {"number": 0.0001}),
        ("{at: 1s, skew: ev-3, drift: 1e-6, offset: 1}", {"number": 1e-6, "offset_ns": SECOND}),
        ("{at: 1s, sensor: ev-3, freeze: true}", {"kind": "sensor", "mode": "freeze"}),
        ("{at: 1s, sensor: ev-3, noise: 0.2}", {"kind": "sensor", "mode": "noise", "number": 0.2}),
        ("{at: 1s, sensor: ev-3, noise: 0}", {"kind": "sensor", "mode": "noise", "number": 0.0}),
        ("{at: 1s, noise: 0}", {"kind": "noise", "targets": ("*",), "number": 0.0}),
        ("{at: 1s, sensor: 'ev-[12]', drop: 50%}", {"targets": ("ev-1", "ev-2"), "number": 0.5}),
        ("{at: 1s, sensor: '*', freeze: true, field: [minute, 1]}", {"targets": EVS,
                                                                  "fields": ("minute", 1)}),
        ("{at: 1s, actuator: ev-3}", {"kind": "actuator", "targets": ("ev-3",)}),
        ("{at: 1s, actuator: ev-3, stuck: true}", {"kind": "actuator"}),
        ("{at: 1s, byzantine: watcher, mode: random}", {"kind": "byzantine", "mode": "random",
                                                       "topics": (), "fields": ()}),
        ("{at: 1s, byzantine: ev-1, topic: offer, field: price, mode: inflate:-3.5}",
         {"mode": "inflate", "number": -3.5, "topics": ("offer",), "fields": ("price",)}),
        ("{at: 1s, byzantine: ev-1, topic: [offer, 'p*'], field: [a, 2], mode: stale}",
         {"topics": ("offer", "p*"), "fields": ("a", 2)}),
        ("{at: 1s, byzantine: ev-1, topic: [award, offer], field: 3, mode: sign-flip}",
         {"fields": (3,)}),
        ("{at: 1s, broker: kill}", {"kind": "broker", "targets": ()}),
    ],
)  # fmt: skip
def test_what_an_entry_becomes(entry: str, expected: dict[str, object]) -> None:
    (fault,) = from_file(entry)
    assert {name: getattr(fault, name) for name in expected} == expected
    assert fault.text


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "slow: ev-1, factor: 0.5",
            r"faults\[0\].factor: expected a value from 1 to 1e\+06, found ",
        ),
        ("slow: ev-10", r"faults\[0\].slow: no agent matches 'ev-10'; did you mean 'ev-1'\?"),
        ("skew: ev-1", r"faults\[0\]: expected at least one of offset, drift$"),
        (
            "skew: ev-1, drift: 50",
            r"faults\[0\].drift: expected a drift in ppm, or a fraction from "
            r"-0.5 to 0.5, such as 50ppm or 0.00005; found 50$",
        ),
        (
            "skew: ev-1, drift: 50 pm",
            r"expected a drift \(a number and one of ppm, %\), found '50 pm'",
        ),
        ("skew: ev-1, offset: --2s", r"faults\[0\].offset: expected a duration"),
        ("skew: ev-1, offset: 2m", r"faults\[0\].offset: expected a duration"),
        ("skew: ev-1, ofset: 2s", r"unknown key 'ofset'; did you mean 'offset'\?"),
        (
            "sensor: ev-1",
            r"faults\[0\]: expected exactly one of freeze, noise, drop, found none of",
        ),
        ("sensor: ev-1, freeze: true, drop: 1", r"of freeze, noise, drop, found freeze, drop$"),
        (
            "sensor: ev-1, freeze: false",
            r"faults\[0\].freeze: expected true, or no such fault, found",
        ),
        ("sensor: ev-1, drop: 2", r"faults\[0\].drop: expected a value from 0 to 1, found 2"),
        (
            "sensor: ev-1, noise: 0.1, topics: a",
            r"topics: does not belong to a sensor fault; it takes",
        ),
        ("sensor: ev-1, drop: 0.1, field: minute", r"faults\[0\].field: does not belong to drop"),
        (
            "sensor: ev-1, noise: 0.1, field: minutes",
            r"faults\[0\].field: no sensor of these agents "
            r"reads 'minutes'; did you mean 'minute'\?",
        ),
        (
            "sensor: ev-1, noise: 0.1, field: 3",
            r"no sensor of these agents reads a number \[3\]; there "
            r"are 3, from 0",
        ),
        (
            "sensor: watcher, freeze: true",
            r"faults\[0\].sensor: no agent with a slot in the world "
            r"matches 'watcher'; there is: ev-1",
        ),
        ("actuator: watcher", r"faults\[0\].actuator: no agent with a slot in the world matches"),
        ("actuator: ev-1, stuck: false", r"faults\[0\].stuck: expected true, or no such fault"),
        ("byzantine: ev-1", r"faults\[0\]: expected mode: random, sign-flip, stale or inflate:3$"),
        (
            "byzantine: ev-1, mode: sing-flip",
            r"faults\[0\].mode: expected random, sign-flip, stale or "
            r"inflate:3, found 'sing-flip'; did you mean 'sign-flip'\?",
        ),
        (
            "byzantine: ev-1, mode: inflate",
            r"mode: expected inflate with a factor, such as inflate:3",
        ),
        ("byzantine: ev-1, mode: inflate:x", r"mode: expected inflate with a factor"),
        ("byzantine: ev-1, mode: inflate:1e999", r"mode: expected a finite number, found inf"),
        (
            "byzantine: ev-1, mode: stale:3",
            r"mode: expected stale without a number, found 'stale:3'",
        ),
        (
            "byzantine: ev-1, mode: stale, field: []",
            r"field: expected a name, an index from 0, or a li",
        ),
        ("byzantine: ev-1, mode: stale, field: -1", r"field: expected a name, an index from 0"),
        (
            "byzantine: ev-1, mode: stale, topic: offer, field: prise",
            r"faults\[0\].field: nobody says "
            r"on offer 'prise'; did you mean 'price'\?",
        ),
        (
            "byzantine: ev-1, mode: stale, topic: [offer, award], field: 4",
            r"nobody says on offer, "
            r"award a number \[4\]; there are 4, from 0",
        ),
        (
            "byzantine: ev-1, mode: stale, topics: offer",
            r"topics: does not belong to a byzantine fault",
        ),
        ("broker: crash", r"faults\[0\].broker: expected one of kill, found 'crash'"),
        (
            "broker: kill, for: 1s",
            r"faults\[0\].for: does not belong to a broker fault; it takes at, ",
        ),
        ("slow: ev-1, hang: ev-1", r"expected exactly one of kill, .*, found hang, slow$"),
        (
            "noise: 0.1, sensor: ev-1, kill: ev-2",
            r"expected exactly one of .*, found kill, sensor$",
        ),
    ],
)
def test_mistakes_are_told_with_what_was_meant(entry: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=r"^grid.yaml:6: .*" + message):
        from_file(f"{{at: 1s, {entry}}}")
    plain = parse(f"{{{entry}}}", "x").plain()
    with pytest.raises(ScenarioError, match=r"^command: "):
        struck(plain)


def test_a_field_of_a_topic_that_no_round_names_may_be_anything() -> None:
    (fault,) = from_file("{at: 1s, byzantine: ev-1, topic: [offer, other], field: x, mode: stale}")
    assert fault.fields == ("x",)
    assert from_file("{at: 1s, byzantine: ev-1, field: x, mode: stale}")


def test_choice_works_for_the_kinds_that_name_agents() -> None:
    for entry in ("slow", "skew", "sensor", "actuator", "byzantine"):
        part = {"skew": ", offset: 1s", "sensor": ", drop: 1", "byzantine": ", mode: stale"}
        text = f"{{every: 1s, for: 500ms, {entry}: 'ev-*', choose: 2{part.get(entry, '')}}}"
        found = from_file(text)[:6]
        assert [f.is_on for f in found] == [True, False] * 3
        assert {len(f.targets) for f in found} == {2}
        assert [f.targets for f in found[::2]] == [f.targets for f in found[1::2]]
