"""Broken scenario files: whatever stands in them, the answer is a ScenarioError with a place."""

from __future__ import annotations

import contextlib
import string
from dataclasses import dataclass

from checkers.effort import tries
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim.errors import ScenarioError
from sim.scenario.faults import resolve_faults, setting_of
from sim.scenario.keys import keys_of
from sim.scenario.load import bundled, dump, parse_scenario
from sim.scenario.roster import resolve_roster
from sim.scenario.schema import RECORDS, Scenario
from sim.scenario.topology import link_table

GOOD = (
    bundled()["quickstart"].read_text()
    + """
  - {at: 5s, link: ["*", agent-1], loss: 0.3, latency: 80ms, jitter: {normal: [5ms, 1ms]}, for: 1s}
  - {at: 5s, link: ["*", agent-1], burst: {loss: 5%, length: 9, good: 1%}, for: 1s}
  - {at: 5s, link: ["*", agent-1], burst: 10%:200ms, for: 1s}
  - {at: 5s, link: ["*", agent-1], outages: [{every: 9s, for: 1s}, [1s, 2s]], preset: lora, for: 1s}
  - {at: 5s, link: ["*", agent-1], radio: {range: 1km, fading: {nakagami: 2}}, expiry: 9s, for: 1s}
  - {every: 7s, hang: "agent-*", choose: 1, for: 1s}
  - {at: 5s, slow: agent-1, factor: 3}
  - {at: 5s, skew: agent-1, offset: -2s, drift: 50ppm}
  - {at: 5s, byzantine: "agent-*", topic: [a, b], field: [x, 1], mode: inflate:3, for: 1s}
  - {at: 5s, broker: kill}
supervision: {on_failure: restart, restarts: 3, within: 1h}
limits: {handler_cpu: 10s}
record: {every: 1min}
"""
)
PIECES = [
    *"{}[]:,#&*!|>'\"%@`?-~\n\t \0\x85\ufeff",
    "<<", "null", ".nan", ".inf", "-1", "1e999", "9" * 30, "0x1F", "*", "[", "]" * 40,
    "!!python/object:os.system ", "!!binary ", "&a ", "*a ", "---\n", "...\n", "? ", "\\U00110000",
    "%YAML 9.9\n", "6h10min", "-5ms", "50ppm", "stale", "1e400s", "101%",
    "extends: x\n", "agents:\n", "\n  ",
]  # fmt: skip


@dataclass(frozen=True)
class Group:
    name: str = "agent"
    agents: tuple[str, ...] = ("agent-1", "agent-2", "agent-3")


@dataclass(frozen=True)
class World:
    groups: tuple[Group, ...] = (Group(),)


def resolve(scenario: Scenario) -> None:
    """Everything that a run asks of a scenario before it starts."""
    names = [plan.name for plan in resolve_roster(scenario, World())]
    faults = resolve_faults(scenario, setting_of(scenario.network, names), scenario.seed)
    table = link_table(scenario.network, names, faults)
    table.lookahead()
    table.warnings()


def check(text: str, *overrides: str) -> None:
    """Loads and resolves; a mistake has a place and one line, a success can be written again."""
    try:
        scenario = parse_scenario(text, "fuzz.yaml", overrides=overrides)
        resolve(scenario)
    except ScenarioError as error:
        message = str(error)
        assert message.startswith(("fuzz.yaml", "--set "))
        assert len(message) < 2_000
    else:
        assert parse_scenario(dump(scenario), "fuzz.yaml").document == scenario.document


def test_the_good_one_is_good() -> None:
    resolve(parse_scenario(GOOD, "fuzz.yaml"))


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD)),
            st.integers(0, 12),
            st.sampled_from(PIECES) | st.text(max_size=4),
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=tries(150), deadline=None)
def test_mutated_text(edits: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    check(text)


@given(st.text(alphabet=string.printable + "äß\x00\u2028", max_size=60))
@example("a: !!int x")
@example('a: "\\UFFFFFFFF"')
@example("[" * 1000)
@example("? " * 100)
@example("- " * 100)
@example("a: |\n  x\n b: 1")
@settings(max_examples=tries(200), deadline=None)
def test_any_text(text: str) -> None:
    check(text)


KEYS = sorted({key for record in RECORDS.values() for key in keys_of(record)})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["5ms", "1%", "agent-*", "agent-1", "nobody", "rule", "star", "max"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
PATHS = st.lists(st.sampled_from([*KEYS, "agent-1"]), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(PATHS | st.text(max_size=12), VALUES, min_size=1, max_size=3))
@settings(max_examples=tries(200), deadline=None)
def test_any_values_at_any_keys(overrides: dict[str, object]) -> None:
    with contextlib.suppress(ScenarioError):
        resolve(parse_scenario(GOOD, "fuzz.yaml", overrides=overrides))


@given(PATHS | st.text(max_size=12), st.sampled_from(PIECES) | st.text(max_size=12))
@settings(max_examples=tries(200), deadline=None)
def test_any_option(path: str, value: str) -> None:
    check(GOOD, f"{path}={value}")
