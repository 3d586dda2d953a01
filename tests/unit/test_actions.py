"""When an action counts: from the first boundary at or after its time, until it is replaced."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from checkers.effort import tries
from checkers.memory import completed, play
from checkers.script import Script, Stage
from checkers.worlds import Noting, kernel_with
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.actions import Actions
from broker.kernel import Kernel
from sim.spaces import Field, Space
from sim.units import NEVER
from sim.worlds.world import Group

MS = 1_000_000
SCENARIO = """
duration: {duration}
world: {{kind: blank, agents: 2, step: 100ms}}
agents: {{agent-2: {{processing: {processing}}}}}
network: {{default: {{latency: 10ms}}}}
faults: [{faults}]
"""


def simulate(
    world: Noting,
    acts: dict[str, list[tuple[int, float]]],
    duration: str = "1s",
    processing: str = "0s",
    faults: str = "",
) -> Kernel:
    """Agents act at stated milliseconds; the world's diary says what counted when."""
    scripts = {
        name: Script(acts=tuple((t * MS, (value,)) for t, value in script), sees=True)
        for name, script in acts.items()
    }
    text = SCENARIO.format(duration=duration, processing=processing, faults=faults)
    return completed(play(kernel_with(world, text), Stage(scripts).transport()))


def of_agent(world: Noting, slot: int) -> list[float | None]:
    return [actions[slot] for actions in world.applied]


def test_an_action_counts_from_the_first_boundary_at_or_after_its_time() -> None:
    world = Noting()
    simulate(world, {"agent-1": [(0, 1.0), (200, 2.0), (201, 3.0), (499, 4.0)]})
    # Steps begin at 0, 100, ...: at 200 the 2 counts, 3 (201 ms) waits for the boundary at 300.
    assert of_agent(world, 0) == [1, 1, 2, 3, 3, 4, 4, 4, 4, 4]
    assert of_agent(world, 1) == [None] * 10


def test_of_several_within_a_step_the_last_counts() -> None:
    world = Noting()
    simulate(world, {"agent-1": [(10, 1.0), (20, 2.0), (99, 3.0), (100, 4.0), (100, 5.0)]})
    assert of_agent(world, 0)[:3] == [None, 5, 5]


def test_hold_default_counts_for_one_period_of_decision() -> None:
    world = Noting(every="300ms", hold="default")
    simulate(world, {"agent-1": [(0, 1.0), (600, 2.0)]})
    assert of_agent(world, 0) == [1, 1, 1, None, None, None, 2, 2, 2, None]


def test_an_action_within_a_period_holds_for_a_period_from_its_own_time() -> None:
    world = Noting(every="300ms", hold="default")
    simulate(world, {"agent-1": [(50, 1.0)]})
    assert of_agent(world, 0) == [None, 1, 1, 1, *[None] * 6]


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [(1, [1]), (100, [1]), (101, [1, 1]), (200, [1, 1]), (250, [1, 1, 1]), (900, [1] * 9)],
)
def test_time_to_live_counts_from_the_time_stamp(ttl: int, expected: list[float]) -> None:
    world = Noting(ttl_ns=ttl * MS)
    simulate(world, {"agent-1": [(0, 1.0)]})
    assert of_agent(world, 0) == expected + [None] * (10 - len(expected))


def test_what_has_expired_before_its_boundary_never_counts() -> None:
    world = Noting(ttl_ns=40 * MS)
    simulate(world, {"agent-1": [(30, 1.0), (70, 2.0)]})
    assert of_agent(world, 0) == [None, 2, *[None] * 8]


def test_processing_time_puts_an_action_off() -> None:
    world = Noting()
    acts = [(0, 1.0), (300, 2.0)]
    simulate(world, {"agent-1": acts, "agent-2": acts}, processing="150ms")
    assert of_agent(world, 0) == [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    assert of_agent(world, 1) == [None, None, 1, 1, 1, 2, 2, 2, 2, 2]


def test_late_and_missing_decisions_are_counted() -> None:
    """Decisions are due at 0, 200, 400, 600 and 800 ms."""
    world = Noting(every="200ms")
    acts = {
        "agent-1": [(0, 1.0), (200, 1.0), (350, 1.0), (400, 1.0), (600, 1.0), (800, 1.0)],
        "agent-2": [(50, 1.0), (200, 1.0), (650, 1.0), (700, 1.0)],
    }
    kernel = simulate(world, acts)
    actions = kernel.actions["agent"]
    assert actions.late.tolist() == [0, 2]
    # agent-2 owes that of 400 ms; what is due at 800 ms still has time when the run ends.
    assert actions.missing.tolist() == [0, 1]


def test_who_is_down_owes_no_decision_and_its_action_holds() -> None:
    world = Noting()
    kernel = simulate(
        world,
        {"agent-1": [(t, float(t)) for t in range(0, 1000, 100)]},
        faults="{at: 250ms, kill: agent-1, for: 400ms}",
    )
    assert of_agent(world, 0) == [0, 100, 200, 200, 200, 200, 200, 700, 800, 900]
    # agent-2 is there and never acts: it owes the decisions of 0 to 800 ms.
    assert kernel.actions["agent"].missing.tolist() == [0, 9]


def test_a_new_episode_begins_without_actions() -> None:
    world = Noting()
    text = SCENARIO.format(duration="300ms\nepisodes: 2", processing="0s", faults="")
    scripts = {"agent-1": Script(acts=((0, (1.0,)), (500 * MS, (2.0,))))}
    completed(play(kernel_with(world, text), Stage(scripts).transport()))
    assert of_agent(world, 0) == [1, 1, 1, None, None, 2]


# --- the columns themselves ---------------------------------------------------------------------


def group(n: int = 2, ttl_ns: int = NEVER) -> Group:
    space = Space((Field("value"), Field("other", default=0.5)))
    return Group("agent", tuple(f"a{i}" for i in range(n)), space, space, 100, "last", ttl_ns)


def body(*values: float) -> bytes:
    return np.array(values, dtype=np.float64).tobytes()


def test_malformed_actions_are_not_accepted() -> None:
    actions = Actions(group(), answers_in_period=True)
    assert actions.accepts(body(1.0, -2.0))
    assert actions.accepts(body(1.7e308, 1.7e308))
    assert not actions.accepts(body(1.0))
    assert not any(actions.accepts(body(1.0, bad)) for bad in (np.nan, np.inf))


def test_collectors_of_a_round_are_not_counted_as_late() -> None:
    actions = Actions(group(), answers_in_period=False)
    for now in (0, 100, 200):
        actions.expect(now, np.array([True, True]))
    actions.submit([230], [0], [body(1.0, 1.0)])
    assert actions.late.tolist() == actions.missing.tolist() == [0, 0]


@settings(max_examples=tries(100), deadline=None, print_blob=True)
@given(
    acts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2)), max_size=25),
    cut=st.lists(st.integers(0, 25), max_size=3),
    ttl=st.sampled_from([1, 40, 100, 1_000, NEVER]),
)
def test_columns_agree_with_the_rule_applied_one_by_one(
    acts: list[tuple[int, int]], cut: list[int], ttl: int
) -> None:
    acts = sorted(acts, key=lambda a: a[0])
    actions = Actions(group(3, ttl), answers_in_period=True)
    bounds = [0, *sorted(min(c, len(acts)) for c in cut), len(acts)]
    for low, high in itertools.pairwise(bounds):
        part = list(enumerate(acts))[low:high]
        if part:
            times, slots = [a[0] for _, a in part], [a[1] for _, a in part]
            actions.submit(times, slots, [body(i, 0) for i, _ in part])
    for boundary in range(0, 600, 100):
        values, present = actions.at(boundary)
        for slot in range(3):
            mine = [(i, t) for i, (t, s) in enumerate(acts) if s == slot and t <= boundary]
            assert present[slot] == bool(mine and boundary < mine[-1][1] + ttl)
            if present[slot]:
                assert values[slot, 0] == mine[-1][0]
