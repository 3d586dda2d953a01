"""Faults of what an agent is made of: its pace, its clock, its sensors and actuators.

Exact times and values, in the kernel with scripted agents or with the small programs below.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from checkers.books import check_books
from checkers.memory import completed, kernel_of, play, run, trace
from checkers.sameness import assert_same_run
from checkers.scenes import MS, TICKS, heard, sends, simulate, text
from checkers.script import Script, Stage
from checkers.worlds import Noting, kernel_with

import sim
from broker.kernel import Kernel
from sim.rng import generator

HERE = Path(__file__)


def acted(
    world: Noting, script: list[tuple[int, float]], faults: str, more: str = ""
) -> list[float | None]:
    """What counts of agent-1's actions (ms, value), step by step of 100 ms; None is no action."""
    acts = tuple((t * MS, (value,)) for t, value in script)
    scenario = text(agents=2, faults=faults, more=more)
    kernel = kernel_with(world, scenario)
    stage = Stage({"agent-1": Script(acts=acts, sees=True)})
    completed(play(kernel, stage.transport(), check_books))
    return [actions[0] for actions in world.applied]


EVERY_STEP = [(t, float(t)) for t in range(0, 1000, 100)]


# --- slow ---------------------------------------------------------------------------------------


def test_what_a_slow_agent_sends_leaves_later_and_is_never_overtaken() -> None:
    """Without a processing time of its own, 100 ms are multiplied."""
    _, stage = simulate(
        text(faults="{at: 200ms, slow: agent-1, factor: 3, for: 400ms}"),
        agent_1=Script(TICKS), agent_2=Script(awaits=True),
    )  # fmt: skip
    left = [(round(h.sent / MS), round(h.arrival / MS)) for h in stage.heard["agent-2"]]
    # What it sends from 600 ms on leaves at once, but not before what it began at 550 ms.
    due = [*range(0, 200, 50), *range(500, 900, 50), *[850] * 5, *range(850, 1000, 50)]
    assert left == [(t, t + 10) for t in due]


def test_a_slow_agent_takes_a_multiple_of_its_own_processing_time() -> None:
    own = "agents: {agent-1: {processing: 20ms}}"
    _, stage = simulate(
        text(faults="{at: 200ms, slow: agent-1, for: 400ms}", more=own),
        agent_1=Script(sends((0, "agent-2"), (300, "agent-2"), (600, "agent-2"))),
        agent_2=Script(awaits=True),
    )
    assert [h.arrival / MS for h in stage.heard["agent-2"]] == [30, 510, 630]


def test_two_slow_faults_multiply_and_each_is_lifted_by_itself() -> None:
    faults = (
        "{at: 100ms, slow: agent-1, factor: 2, for: 800ms}, "
        "{at: 300ms, slow: 'agent-*', factor: 1.5, for: 300ms}"
    )
    _, stage = simulate(
        text(faults=faults, duration="2s"),
        agent_1=Script(sends(*((t, "agent-2") for t in (0, 100, 300, 700))), awaits=True),
        agent_2=Script(sends((400, "agent-1"), (700, "agent-1")), awaits=True),
    )
    assert [h.sent / MS for h in stage.heard["agent-2"]] == [0, 300, 600, 900]
    assert [h[0] for h in heard(stage, "agent-1")] == [560, 710]


def test_what_a_slow_agent_does_counts_later_and_in_order() -> None:
    found = acted(Noting(), EVERY_STEP, "{at: 200ms, slow: agent-1, factor: 2, for: 400ms}")
    # 200 ... 500 count 200 ms later; 600 waits until 700, when 700 itself counts, too.
    assert found == [0, 100, 100, 100, 200, 300, 400, 700, 800, 900]
    assert acted(Noting(), EVERY_STEP, "") == [t for t, _ in EVERY_STEP]


def test_a_slow_agent_that_starts_anew_is_slow_and_waits_for_nothing_of_before() -> None:
    faults = "{at: 0s, slow: agent-1, factor: 4, for: 500ms}, {at: 300ms, restart: agent-1}"
    _, stage = simulate(
        text(faults=faults),
        agent_1=Script(sends((250, "agent-2"), (310, "agent-2"), (520, "agent-2"))),
        agent_2=Script(awaits=True),
    )
    assert [h.arrival / MS for h in stage.heard["agent-2"]] == [660, 720, 720]


# --- skew ---------------------------------------------------------------------------------------


class Clockwatch(sim.Agent):
    """Says what time it is, truly and by its own clock, in ns."""

    async def run(self) -> None:
        async for _ in self.every(0.1):
            self.log(f"{round(self.now * 1e9)} {round(self.clock * 1e9)}")


def ahead(kernel: Kernel, name: str = "agent-1") -> dict[int, int]:
    """By true ms, how many ns the clock of an agent is ahead."""
    lines = [told.split() for _, who, told in trace(kernel) if who == name]
    return {int(now) // MS: int(clock) - int(now) for now, clock in lines}


def watch(faults: str, agents_per_host: int = 1, is_eager: bool = False, more: str = "") -> Kernel:
    scenario = text(behaviour=f"{HERE}:Clockwatch", faults=faults, more=more)
    return run(scenario, agents_per_host, is_eager)


def test_a_clock_is_ahead_from_the_instant_of_the_fault_until_it_is_lifted() -> None:
    kernel = watch("{at: 200ms, skew: agent-1, offset: 2s, for: 300ms}")
    assert ahead(kernel) == {t: 2_000_000_000 * (200 <= t < 500) for t in range(0, 1000, 100)}
    assert set(ahead(kernel, "agent-2").values()) == {0}


def test_a_drift_counts_from_the_start_of_the_fault_and_adds_to_others() -> None:
    kernel = watch(
        "{at: 150ms, skew: agent-1, offset: -20ms, drift: 50ppm}, "
        "{at: 500ms, skew: 'agent-*', drift: -0.01, for: 300ms}"
    )
    for t, found in ahead(kernel).items():
        expected = -20 * MS + (t - 150) * 50 if t >= 150 else 0
        expected -= (t - 500) * MS // 100 if 500 <= t < 800 else 0
        assert found == expected, t
    assert ahead(kernel, "agent-2")[700] == -2 * MS


def test_a_skew_outlives_the_process_and_what_is_lifted_meanwhile_is_lifted() -> None:
    faults = (
        "{at: 100ms, skew: agent-1, offset: 1s}, {at: 200ms, kill: agent-1, for: 200ms}, "
        "{at: 250ms, skew: agent-1, offset: 4s, for: 100ms}, {at: 600ms, restart: agent-1}, "
        "{at: 300ms, hang: agent-2, for: 400ms}, {at: 400ms, skew: agent-2, offset: 7s}"
    )
    kernel = watch(faults)
    seconds = {t: found / 1e9 for t, found in ahead(kernel).items()}
    assert seconds == {0: 0, 100: 1, 400: 1, 500: 1, 600: 1, 700: 1, 800: 1, 900: 1}
    other = {t: found / 1e9 for t, found in ahead(kernel, "agent-2").items()}
    assert other == {0: 0, 100: 0, 200: 0, 700: 7, 800: 7, 900: 7}
    for agents_per_host, is_eager in ((2, False), (1, True)):
        again = watch(faults, agents_per_host, is_eager)
        assert trace(again) == trace(kernel)


def test_clocks_are_right_in_the_next_episode() -> None:
    kernel = watch("{at: 900ms, skew: agent-1, offset: 1s}", more="episodes: 2")
    assert {t for t, found in ahead(kernel).items() if found} == {900, 1900}


# --- sensors ------------------------------------------------------------------------------------


class Observer(sim.Agent):
    """Says what it observes: the instant in ms, the numbers, how many it missed."""

    async def run(self) -> None:
        async for obs in self.observations():
            self.log(json.dumps([obs.time_ns // MS, obs.values.tolist(), obs.missed]))
            await asyncio.sleep(self.params.get("busy", 0))


def observe(
    faults: str,
    agents_per_host: int = 1,
    is_eager: bool = False,
    sees: int = 1,
    params: str = "",
    more: str = "",
    at: str = "",
) -> Kernel:
    scenario = f"""
duration: 1s
seed: 5
world: {{kind: blank, agents: 2, step: 100ms, sees: {sees}}}
agents: {{"agent-*": {{behaviour: "{HERE}:Observer", params: {{{params}}}}}}}
network: {{default: {{latency: 10ms}}}}
faults: [{faults}]
{more}
"""
    return run(scenario, agents_per_host, is_eager)


def seen(kernel: Kernel, name: str = "agent-1") -> list[tuple[int, list[float], int]]:
    return [tuple(json.loads(told)) for _, who, told in trace(kernel) if who == name]


TRUE = [(t, [t / 1000], 0) for t in range(0, 1000, 100)]


def test_a_frozen_sensor_repeats_its_last_reading() -> None:
    kernel = observe("{at: 300ms, sensor: agent-1, freeze: true, for: 300ms}")
    # At the instant of the fault the observation is frozen already; the next episode is whole.
    stands = [(t, [0.2] if 300 <= t < 600 else [t / 1000], 0) for t, _, _ in TRUE]
    assert seen(kernel) == stands
    assert seen(kernel, "agent-2") == TRUE


def test_a_sensor_that_never_read_freezes_at_its_first_reading_of_each_episode() -> None:
    kernel = observe(
        "{at: 0s, sensor: agent-1, freeze: true}", more="episodes: 2", params="busy: 0"
    )
    assert [numbers for _, numbers, _ in seen(kernel)] == [[0.0]] * 20
    late = observe("{at: 500ms, sensor: agent-1, freeze: true}", more="episodes: 2")
    assert [n[0] for _, n, _ in seen(late)] == [0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4] * 2


def test_sensor_noise_is_relative_and_keyed_by_agent_and_instant() -> None:
    kernel = observe("{at: 300ms, sensor: agent-1, noise: 20%, for: 300ms}")
    expected = []
    for t, [x], _ in TRUE:
        draw = generator(5, "sensor", "agent-1", 0, t * MS).normal(size=1)[0]
        expected.append((t, [x + x * 0.2 * draw if 300 <= t < 600 else x], 0))
    assert seen(kernel) == expected
    assert seen(observe("{at: 300ms, sensor: 'agent-*', noise: 20%, for: 300ms}")) == expected


def test_two_noises_add_in_square_and_frozen_numbers_have_none() -> None:
    faults = "{at: 300ms, sensor: agent-1, noise: 0.3}, {at: 300ms, sensor: agent-1, noise: 0.4}"
    draw = generator(5, "sensor", "agent-1", 0, 900 * MS).normal(size=1)[0]
    assert seen(observe(faults))[9][1] == [0.9 + 0.9 * 0.5 * draw]
    frozen = seen(observe(f"{faults}, {{at: 400ms, sensor: agent-1, freeze: true}}"))
    assert len({numbers[0] for t, numbers, _ in frozen if t >= 300}) == 1


def test_only_the_fields_named_are_wrong() -> None:
    noise = observe("{at: 300ms, sensor: agent-1, noise: 1, field: nothing}", sees=3)
    assert [n[0] for _, n, _ in seen(noise)] == [t / 1000 for t in range(0, 1000, 100)]
    frozen = observe("{at: 300ms, sensor: agent-1, freeze: true, field: [0, nothing]}", sees=3)
    assert [n[0] for _, n, _ in seen(frozen)][3:] == [0.2] * 7


def test_a_lost_observation_counts_as_missed_by_the_next_that_comes() -> None:
    kernel = observe("{at: 300ms, sensor: agent-1, drop: 1, for: 300ms}")
    assert seen(kernel) == [(t, x, 3 * (t == 600)) for t, x, _ in TRUE if not 300 <= t < 600]


def test_which_observations_are_lost_is_keyed_by_agent_and_instant() -> None:
    kernel = observe("{at: 0s, sensor: agent-1, drop: 50%}")
    lost = [
        generator(5, "sensor", "agent-1", 0, t * MS, "drop").random() < 0.5
        for t in range(0, 1000, 100)
    ]
    assert 2 < sum(lost) < 8
    found = seen(kernel)
    assert [t for t, _, _ in found] == [100 * i for i in range(10) if not lost[i]]
    last = [i for i in range(10) if not lost[i]][-1]
    assert sum(missed for _, _, missed in found) == sum(lost[:last])
    assert seen(observe("{at: 0s, sensor: 'agent-*', drop: 50%}")) == found


def test_who_is_busy_finds_the_latest_observation_that_came_however_it_is_delivered() -> None:
    """Read at 0, 350, 700 ms; of 100 ... 300 ms only the first comes, then none until 700 ms."""
    faults = "{at: 150ms, sensor: agent-1, drop: 1, for: 500ms}"
    kernel = observe(faults, params="busy: 0.35")
    assert seen(kernel) == [(0, [0.0], 0), (100, [0.1], 0), (700, [0.7], 5)]
    for agents_per_host, is_eager in ((1, True), (2, False), (2, True)):
        other = observe(faults, agents_per_host, is_eager, params="busy: 0.35")
        assert trace(other) == trace(kernel)


# --- actuators ----------------------------------------------------------------------------------


def test_a_stuck_actuator_keeps_the_action_in_force_whatever_the_agent_does() -> None:
    script = [(0, 1.0), (100, 2.0), (240, 3.0), (300, 4.0), (500, 5.0), (540, 6.0), (640, 7.0)]
    found = acted(Noting(), script, "{at: 250ms, actuator: agent-1, stuck: true, for: 300ms}")
    # 3 would count from 300 ms on, 6 from 600 ms: both were given before the actuator was free.
    assert found == [1, 2, 2, 2, 2, 2, 2, 7, 7, 7]
    assert acted(Noting(), script, "") == [1, 2, 2, 4, 4, 5, 6, 7, 7, 7]


def test_a_fault_at_a_boundary_comes_before_the_actions_of_that_boundary() -> None:
    found = acted(Noting(), EVERY_STEP, "{at: 300ms, actuator: agent-1, for: 200ms}")
    assert found == [0, 100, 200, 200, 200, 500, 600, 700, 800, 900]


def test_what_is_stuck_outlives_its_time_to_live_until_it_is_free() -> None:
    script = [(0, 1.0), (200, 2.0)]
    world = Noting(ttl_ns=150 * MS)
    found = acted(world, script, "{at: 250ms, actuator: agent-1, for: 400ms}")
    assert found == [1, 1, 2, 2, 2, 2, 2, None, None, None]
    assert acted(Noting(ttl_ns=150 * MS), script, "") == [1, 1, 2, 2, *[None] * 6]


def test_an_actuator_stuck_without_an_action_does_what_it_does_by_itself() -> None:
    found = acted(Noting(), EVERY_STEP[1:], "{at: 50ms, actuator: agent-1, for: 300ms}")
    assert found == [None, None, None, None, 400, 500, 600, 700, 800, 900]
    first = acted(Noting(), EVERY_STEP, "{at: 0s, actuator: agent-1, for: 250ms}")
    assert first == [None, None, None, 300, 400, 500, 600, 700, 800, 900]


def test_an_actuator_held_twice_is_free_when_both_are_lifted() -> None:
    faults = (
        "{at: 150ms, actuator: agent-1, for: 300ms}, {at: 250ms, actuator: agent-1, for: 400ms}"
    )
    found = acted(Noting(), EVERY_STEP, faults)
    assert found == [0, 100, 100, 100, 100, 100, 100, 700, 800, 900]


def test_actuators_are_free_in_the_next_episode() -> None:
    script = [(t, float(t)) for t in range(0, 2000, 100)]
    found = acted(Noting(), script, "{at: 900ms, actuator: agent-1}", "episodes: 2")
    assert found == [*range(0, 900, 100), 800, *range(1000, 1900, 100), 1800]


def test_an_actuator_stuck_at_the_start_of_a_later_episode_has_no_action() -> None:
    script = [(t, float(t)) for t in range(0, 2000, 100)]
    found = acted(Noting(), script, "{at: 0s, actuator: agent-1, for: 250ms}", "episodes: 2")
    assert found == [*[None] * 3, *range(300, 1000, 100), *[None] * 3, *range(1300, 2000, 100)]


# --- the broker ---------------------------------------------------------------------------------


def stepped(kernel: Kernel) -> list[tuple[int, str, int]]:
    """Runs a kernel by hand; the orders it gave, each with its instant in ms."""
    transport, orders = Stage({"agent-1": Script(TICKS)}).transport(), []
    transport.start(range(len(kernel.agents.hosts)))
    while kernel.status == "running":
        waiting = dict(kernel.open())
        orders += [(kernel.now // MS, order.verb, order.host) for order in kernel.orders]
        for host, activation in waiting.items():
            transport.send(host, activation)
        while waiting:
            for host, answer in transport.poll(None):
                kernel.accept(host, answer)
                del waiting[host]
        kernel.close()
    transport.close()
    completed(kernel)
    return orders


def test_a_broker_that_is_to_die_is_an_order_and_leaves_no_trace() -> None:
    killed = kernel_of(text(faults="{at: 205ms, broker: kill}, {every: 333ms, broker: kill}"))
    assert stepped(killed) == [(t, "die", -1) for t in (205, 333, 666, 999)]
    whole = kernel_of(text())
    assert stepped(whole) == []
    assert_same_run(killed, whole)
    assert killed.digest.chain == whole.digest.chain
    assert killed.faults_applied == []
    assert not [e for e in killed.events if e.kind == "fault"]


# --- told by word -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "on", "off"),
    [
        ("slow: agent-1", "agent-1 slowed down 10 times for 1s", "agent-1 as fast as before"),
        (
            "skew: agent-1, offset: -2s, drift: 50ppm",
            "clock of agent-1 2s behind and 50 ppm fast for 1s",
            "clock of agent-1 right again",
        ),
        (
            "sensor: 'agent-*', freeze: true",
            "sensors of agent-1, agent-2 frozen for 1s",
            "sensors of agent-1, agent-2 as before",
        ),
        (
            "sensor: agent-1, noise: 20%, field: time",
            "sensors of agent-1 with noise of 20 % in time for 1s",
            "sensors of agent-1 as before",
        ),
        (
            "sensor: agent-1, drop: 0.5",
            "sensors of agent-1 losing 50 % of what they read for 1s",
            "sensors of agent-1 as before",
        ),
        ("actuator: agent-1", "actuators of agent-1 stuck for 1s", "actuators of agent-1 free"),
        (
            "byzantine: agent-1, mode: inflate:3, topic: offer, field: [price, 0]",
            "numbers from agent-1 3 times as large in price, 0 on offer for 1s",
            "numbers from agent-1 as they are in price, 0 on offer",
        ),
        (
            "byzantine: agent-1, mode: sign-flip",
            "numbers from agent-1 of the wrong sign for 1s",
            "numbers from agent-1 as they are",
        ),
    ],
)
def test_each_fault_is_told_in_a_sentence(entry: str, on: str, off: str) -> None:
    kernel = run(text(duration="3s", faults=f"{{at: 1s, {entry}, for: 1s}}"))
    told = [event.text for event in kernel.events if event.kind == "fault"]
    assert told[0] == on
    assert told[1].startswith(off)
    assert len(told) == 2
