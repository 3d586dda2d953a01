"""The kernel in memory: windows, rounds at one instant, the world, noise, live commands.

Who sends and acts are scripts; where a program matters, it is one of the agents below.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from checkers.memory import completed, kernel_of, play
from checkers.scenes import MS, TICKS, heard, sends, simulate, text
from checkers.script import Heard, Script, Stage
from checkers.worlds import Noting, kernel_with

from broker.kernel import Kernel
from sim.errors import AgentError, InvariantError, WireError
from sim.limits import ROUNDS_PER_INSTANT_MAX
from sim.scenario.link import LinkValues
from sim.scenario.schema import Fault
from sim.units import NEVER
from sim.wire.codec import decode_payload, encode_payload
from sim.wire.messages import DIRECT, PUBLISH, Act, Done, Send, Yield

# --- windows ------------------------------------------------------------------------------------


def test_windows_are_half_open_and_as_long_as_the_lookahead() -> None:
    windows: list[tuple[float, float]] = []
    kernel, stage = simulate(
        text(duration="100ms"),
        lambda k: windows.append((k.now / MS, k.until / MS)),
        agent_1=Script(sends((0, "agent-2"), (3, "agent-2"))),
        agent_2=Script(awaits=True),
    )
    # The message sent at 0 arrives at 10 ms: not in [0, 10), but at the start of the next window.
    assert windows[:3] == [(0, 10), (10, 20), (100, 20)]
    assert heard(stage, "agent-2") == [(10, 10, "agent-1", "0"), (13, 13, "agent-1", "1")]
    assert kernel.status == "completed"


def test_windows_end_at_world_steps_and_faults() -> None:
    windows: list[tuple[float, float]] = []
    simulate(
        text(latency="1h", faults="{at: 130ms, hang: agent-2}"),
        lambda k: windows.append((k.now / MS, k.until / MS)),
        agent_1=Script(sees=True),
    )
    assert (100, 130) in windows
    assert (130, 200) in windows
    assert all(until - now <= 100 for now, until in windows[:-1])


def test_nothing_happens_outside_what_is_due() -> None:
    """A scenario in which nobody does anything costs a window per step of the world."""
    kernel, _ = simulate(text(latency="1us", duration="10s"))
    assert kernel.steps == 100
    assert kernel.windows <= 101
    assert kernel.activations == 2


def test_a_longer_lookahead_needs_fewer_windows() -> None:
    def windows(latency: str) -> int:
        ticks = sends(*((t, "agent-2") for t in range(0, 900, 3)))
        return simulate(text(latency=latency), agent_1=Script(ticks))[0].windows

    assert windows("50ms") < windows("5ms") < windows("1ms")


def test_lookahead_is_the_smallest_floor_and_faults_count() -> None:
    assert kernel_of(text(latency="7ms")).lookahead == 7 * MS
    fault = "{at: 500ms, link: [agent-1, agent-2], latency: 2ms}"
    assert kernel_of(text(latency="7ms", faults=fault)).lookahead == 2 * MS


def test_answers_nobody_asked_for_are_refused() -> None:
    kernel = kernel_of(text())
    activations = kernel.open()
    assert [host for host, _ in activations] == [0, 1]
    with pytest.raises(WireError, match="host 0"):
        kernel.accept(0, Yield(7, []))
    kernel = kernel_of(text())
    list(kernel.open())
    with pytest.raises(WireError, match="other agents"):
        kernel.accept(0, Yield(0, [Done(1, 0)]))
    kernel.accept(1, Yield(0, [Done(1, NEVER)]))
    with pytest.raises(WireError, match="nobody asked"):
        kernel.accept(1, Yield(0, [Done(1, NEVER)]))


def test_a_window_is_not_closed_before_all_have_answered() -> None:
    kernel = kernel_of(text())
    list(kernel.open())
    with pytest.raises(InvariantError, match="without hosts"):
        kernel.close()


@pytest.mark.parametrize(
    "done",
    [
        Done(0, NEVER, sends=[Send(-1, DIRECT, "t", "agent-2", 0, b"")]),
        Done(0, NEVER, sends=[Send(10 * MS, DIRECT, "t", "agent-2", 0, b"")]),
        Done(0, NEVER, sends=[Send(0, DIRECT, "t", "nobody", 0, b"")]),
        Done(0, NEVER, sends=[Send(0, PUBLISH, "t", "agent-2", 0, b"")]),
        Done(0, NEVER, sends=[Send(0, 17, "t", "agent-2", 0, b"")]),
        Done(0, NEVER, sends=[Send(0, PUBLISH, "no topic", "", 0, b"")]),
        Done(0, NEVER, acts=[Act(10 * MS, "", bytes(8))]),
        Done(0, 10 * MS - 1),
        Done(0, NEVER, subscribes=[(10 * MS, "t", True)]),
        Done(0, NEVER, subscribes=[(0, "no topic", True)]),
        Done(0, NEVER, acts=[Act(0, "", bytes(7))]),
        Done(0, NEVER, acts=[Act(0, "", bytes(16))]),
        Done(0, NEVER, acts=[Act(0, "", struct.pack("<d", math.nan))]),
    ],
)
def test_what_no_honest_host_would_send_is_refused_at_the_door(done: Done) -> None:
    kernel = kernel_of(text())
    list(kernel.open())
    with pytest.raises(WireError, match=r"agent-1"):
        kernel.accept(0, Yield(0, [done]))
    kernel.accept(1, Yield(0, [Done(1, NEVER)]))
    kernel.lose(0, "cut off")
    kernel.close()
    assert kernel.network.totals()["sent"] == 0


# --- rounds at one instant ----------------------------------------------------------------------


def relay(to: dict[str, str]) -> Callable[[str, Heard], list[tuple[str, str, bytes]]]:
    return lambda name, message: [("t", to[name], message.body)] if name in to else []


def test_links_without_latency_pass_messages_on_in_rounds_of_one_instant() -> None:
    answer = relay({"agent-2": "agent-3", "agent-3": "agent-4"})
    kernel, stage = simulate(
        text(latency="0s", agents=4),
        agent_1=Script(sends((5, "agent-2"), (5, "agent-4"))),
        agent_2=Script(awaits=True, answer=answer),
        agent_3=Script(awaits=True, answer=answer),
        agent_4=Script(awaits=True),
    )
    assert kernel.status == "completed"
    assert heard(stage, "agent-3") == [(5, 5, "agent-2", "0")]
    assert heard(stage, "agent-4") == [(5, 5, "agent-1", "1"), (5, 5, "agent-3", "0")]


def test_endless_rounds_are_stopped_by_an_error_that_names_the_agents() -> None:
    answer = relay({"agent-2": "agent-3", "agent-3": "agent-2"})
    echo = Script(awaits=True, answer=answer)
    with pytest.raises(AgentError, match=r"1000 rounds .* at 5 ms among agent-[23].*latency"):
        simulate(
            text(latency="0s", agents=3),
            agent_1=Script(sends((5, "agent-2"))),
            agent_2=echo,
            agent_3=echo,
        )
    assert ROUNDS_PER_INSTANT_MAX == 1000


def test_a_cycle_with_latency_goes_on_in_time() -> None:
    echo = Script(awaits=True, answer=relay({"agent-1": "agent-2", "agent-2": "agent-1"}))
    kernel, stage = simulate(
        text(latency="1ms", agents=3), agent_1=echo, agent_2=echo,
        agent_3=Script(sends((0, "agent-1"))),
    )  # fmt: skip
    assert kernel.status == "completed"
    assert len(heard(stage, "agent-1")) == 500


# --- the world ----------------------------------------------------------------------------------


def test_physical_events_reach_the_world_at_their_instant() -> None:
    world = Noting()
    kernel = kernel_with(
        world, text(duration="400ms", faults="{at: 150ms, world: trip, target: line-2, for: 100ms}")
    )
    completed(play(kernel, Stage({}).transport()))
    assert [entry for entry in world.diary if entry[0] in ("inject", "advance")] == [
        ("advance", 1, [None, None]),
        ("inject", "trip", "line-2", True),
        ("advance", 2, [None, None]),
        ("inject", "trip", "line-2", False),
        ("advance", 3, [None, None]),
        ("advance", 4, [None, None]),
    ]


def test_at_one_instant_faults_come_before_the_step_and_the_step_before_observations() -> None:
    world = Noting()
    faults = "{at: 200ms, world: trip, target: line-1}"
    kernel = kernel_with(world, text(duration="300ms", faults=faults))
    completed(play(kernel, Stage({}).transport()))
    assert world.diary == [
        ("reset", 0, 0),
        ("observe", 0),
        ("advance", 1, [None, None]),
        ("observe", 1),
        ("inject", "trip", "line-1", True),
        ("advance", 2, [None, None]),
        ("observe", 2),
        ("advance", 3, [None, None]),
    ]


def test_observations_deliver_the_latest_and_count_what_was_missed() -> None:
    kernel, stage = simulate(
        text(), agent_1=Script(sees=True), agent_2=Script(sends((350, "agent-1"), (750, "agent-1")))
    )
    assert [t // MS for t, _ in stage.seen["agent-1"]] == [*range(0, 1000, 100)]
    assert all(missed == 0 for _, missed in stage.seen["agent-1"])
    # agent-2 awaits no observation: it gets the latest whenever it runs for another reason.
    assert [(t // MS, n) for t, n in stage.seen["agent-2"]] == [(0, 0), (300, 2), (700, 3)]
    assert kernel.steps == 10


# --- noise --------------------------------------------------------------------------------------


def noisy(
    topic: str, payload: object, network: str, n: int = 400, faults: str = ""
) -> list[object]:
    """Payloads as agent-2 gets them."""
    body = encode_payload(payload)
    many = tuple((round(i * 900 / n * MS), topic, "agent-2", body) for i in range(n))
    scenario = text(network=network, faults=faults)
    _, stage = simulate(scenario, agent_1=Script(many), agent_2=Script(awaits=True))
    return [decode_payload(h.body) for h in stage.heard["agent-2"]]


def test_noise_has_its_mean_and_spread_on_topics_that_opt_in() -> None:
    n = 2_000
    network = ", topics: {price: {noise: 10%, noise_absolute: 3}}"
    found = np.array(noisy("price", 40.0, network, n), dtype=float)
    spread = float(np.hypot(4.0, 3.0))
    assert abs(found.mean() - 40.0) < 5 * spread / n**0.5
    assert abs(found.std() - spread) < 5 * spread / (2 * n) ** 0.5
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 5 / n**0.5


def test_other_topics_and_what_is_no_float_arrive_as_sent() -> None:
    network = ', topics: {"price.*": {noise: 50%}}'
    assert set(noisy("load", 40.0, network, 20)) == {40.0}
    payload = {"n": 3, "text": "x", "on": True, "raw": b"1"}
    assert noisy("price.a", payload, network, 5) == [payload] * 5
    found = noisy("price.a", {"values": np.ones(4), "list": [1.0, 1]}, network, 5)
    assert all((each["values"] != 1.0).all() and each["list"][1] == 1 for each in found)
    assert len({each["list"][0] for each in found}) == 5


def test_noises_of_one_topic_add_in_square() -> None:
    n = 2_000
    network, faults = ", topics: {price: {noise: 3%}}", "{at: 0s, noise: 4%}"
    found = np.array(noisy("price", 1.0, network, n, faults), dtype=float)
    assert abs(found.std() - 0.05) < 5 * 0.05 / (2 * n) ** 0.5


def test_noise_as_a_fault_lasts_its_time() -> None:
    faults = "{at: 200ms, noise: 10%, topics: [price], for: 400ms}"
    found = noisy("price", 1.0, "", 90, faults)
    assert [value != 1.0 for value in found] == [200 <= 10 * i + 10 < 600 for i in range(90)]


# --- live commands ------------------------------------------------------------------------------


def live(fault: Fault, at_ms: int, scenario: str, **scripts: Script) -> tuple[Kernel, Stage, Fault]:
    """Injects a fault after the first window that begins at or after an instant."""
    stamped: list[Fault] = []

    def press(kernel: Kernel) -> None:
        if not stamped and kernel.now >= at_ms * MS:
            stamped.append(msgspec.structs.replace(fault, time_ns=kernel.next_gap))
            kernel.inject(stamped)

    kernel, stage = simulate(scenario, press, **scripts)
    return kernel, stage, stamped[0]


def test_a_live_command_takes_effect_at_the_next_instant_between_windows() -> None:
    fault = Fault(time_ns=0, id=1_000, kind="kill", targets=("agent-2",), text="by hand")
    kernel, stage, stamped = live(
        fault, 302, text(), agent_1=Script(TICKS), agent_2=Script(awaits=True)
    )
    assert stamped.time_ns == 320 * MS
    assert kernel.faults_applied == [stamped]
    assert [int(h[0]) for h in heard(stage, "agent-2")] == [*range(10, 320, 50)]
    # Scheduled at the instant it was stamped with, the same fault gives the same run.
    scenario = text(faults="{at: 320ms, kill: agent-2}")
    again, _ = simulate(scenario, agent_1=Script(TICKS), agent_2=Script(awaits=True))
    assert again.network.totals() == kernel.network.totals()


def test_a_live_link_fault_lowers_the_lookahead_while_it_lasts() -> None:
    fault = Fault(
        time_ns=0, id=1_000, kind="link", targets=("agent-1",), targets_b=("agent-2",),
        values=LinkValues(latency_ns=MS),
    )  # fmt: skip
    found: dict[int, int] = {}

    def press(kernel: Kernel) -> None:
        if kernel.now == 300 * MS and kernel.now // MS not in found:
            off = Fault(time_ns=600 * MS, id=1_000, kind="link", targets=(), is_on=False)
            kernel.inject([msgspec.structs.replace(fault, time_ns=kernel.next_gap), off])
        found[kernel.now // MS] = kernel.lookahead

    _, stage = simulate(text(), press, agent_1=Script(TICKS), agent_2=Script(awaits=True))
    assert found[200] == 10 * MS
    assert found[400] == MS
    assert found[600] == 10 * MS
    delays = {int(h.sent // MS): int(h.arrival - h.sent) // MS for h in stage.heard["agent-2"]}
    assert delays == {t: 1 if 350 <= t < 600 else 10 for t in range(0, 1000, 50) if t < 990}
