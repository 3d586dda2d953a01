"""One entry of `faults`, from a file or from a command: what it becomes, and what is told."""

from __future__ import annotations

import pytest

from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.scenario.faults import Setting, resolve_fault, resolve_faults
from sim.scenario.load import parse_scenario
from sim.scenario.read import read_fault
from sim.scenario.schema import Fault
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
        ({"kill": "ew-1"}, UnknownKeyError, "^command: fault.kill: no agent matches 'ew-1'; did "),
        ({"every": "1us", "kill": "ev-1"}, BoundError, "^command: fault.every: expected at most"),
        ({"kill": object()}, ScenarioError, "^command: expected text, a number"),
    ],
)
def test_a_mistake_in_a_command_is_told_as_in_a_file(
    entry: object, kind: type[ScenarioError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        struck(entry)
