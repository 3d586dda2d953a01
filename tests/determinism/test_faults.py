"""All kinds of faults at once give one run, however it is run; and each kind changes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkers.books import check_books
from checkers.effort import tries
from checkers.memory import completed, kernel_of, play, trace
from checkers.sameness import assert_same_run
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.kernel import Kernel
from sim.launch.local import process_transport
from sim.prepare import prepare
from sim.scenario.faults import resolve_fault
from sim.scenario.load import parse_scenario
from sim.scenario.read import read_fault
from sim.scenario.schema import FAULTS
from sim.units import SECOND
from sim.wire.memory import MemoryTransport

AUTHORS = Path(__file__).with_name("authors.py")
BASE = f"""
seed: 11
duration: 2s
episodes: 2
world: {{kind: blank, agents: 5, step: 100ms, sees: 3}}
agents:
  "agent-*": {{behaviour: "{AUTHORS}:Meter"}}
  agent-5: {{processing: 7ms}}
network:
  topology: ring
  default: {{latency: 10ms, jitter: {{exponential: 30ms}}, loss: 5%, burst: 5%:3}}
"""
ENTRIES = {
    "kill": "{at: 900ms, kill: agent-2, for: 200ms}",
    "restart": "{at: 1250ms, restart: agent-1}",
    "heal": "{at: 1850ms, heal: true}",
    "hang": "{at: 700ms, hang: agent-3, for: 333ms}",
    "slow": "{at: 400ms, slow: 'agent-[125]', factor: 1.7, for: 777ms}",
    "skew": "{at: 350ms, skew: 'agent-*', choose: 2, offset: -2s, drift: 500ppm, for: 1s}",
    "freeze": "{at: 550ms, sensor: agent-1, freeze: true, field: time, for: 500ms}",
    "noise of a sensor": "{at: 555ms, sensor: 'agent-*', noise: 20%, for: 500ms}",
    "drop": "{at: 600ms, sensor: 'agent-[34]', drop: 50%, for: 1s}",
    "actuator": "{at: 450ms, actuator: 'agent-[23]', for: 650ms}",
    "random": "{at: 250ms, byzantine: agent-1, mode: random, topic: state, for: 1s}",
    "stale": "{at: 805ms, byzantine: agent-4, mode: stale, field: x, for: 600ms}",
    "inflate": "{every: 500ms, byzantine: 'agent-*', choose: 1, mode: 'inflate:3', for: 99ms}",
    "partition": "{at: 1s, partition: [[agent-1, agent-2], '*'], for: 300ms}",
    "link": "{at: 1100ms, link: ['agent-*', agent-4], burst: 40%:90ms, duplicate: 50%, "
    "corrupt: 9%, latency: 15ms, for: 500ms}",
    "noise": "{at: 300ms, noise: 5%, topics: [state], for: 900ms}",
    "broker": "",
}


def scenario(*without: str) -> str:
    entries = [f"  - {entry}" for kind, entry in ENTRIES.items() if entry and kind not in without]
    return BASE + "faults:\n" + "\n".join(entries) + "\n"


def finish(
    agents_per_host: int = 1,
    is_eager: bool = False,
    transport: MemoryTransport | None = None,
    text: str | None = None,
) -> Kernel:
    kernel = kernel_of(scenario() if text is None else text, agents_per_host, is_eager)
    return completed(play(kernel, transport, check_books))


@pytest.fixture(scope="module")
def expected() -> Kernel:
    return finish()


def assert_same(a: Kernel, b: Kernel) -> None:
    assert_same_run(a, b)
    assert trace(a) == trace(b)
    assert [f.text for f in a.faults_applied] == [f.text for f in b.faults_applied]
    assert a.world.state_bytes() == b.world.state_bytes()
    for name, actions in a.actions.items():
        assert actions.late.tolist() == b.actions[name].late.tolist()
        assert actions.missing.tolist() == b.actions[name].missing.tolist()


def test_all_kinds_are_there(expected: Kernel) -> None:
    kinds = {fault.kind for fault in expected.faults_applied}
    assert kinds == {*FAULTS} - {"world", "broker"}


@pytest.mark.parametrize("agents_per_host", [2, 3, 5])
def test_packing_leaves_no_trace(expected: Kernel, agents_per_host: int) -> None:
    assert_same(finish(agents_per_host), expected)


@pytest.mark.parametrize("agents_per_host", [1, 2])
def test_eager_delivery_leaves_no_trace(expected: Kernel, agents_per_host: int) -> None:
    assert_same(finish(agents_per_host, is_eager=True), expected)


@pytest.mark.parametrize("floor_us", [900, 3_000])
def test_the_cut_of_windows_leaves_no_trace(
    expected: Kernel, monkeypatch: pytest.MonkeyPatch, floor_us: int
) -> None:
    monkeypatch.setattr(Kernel, "lookahead", floor_us * 1_000)
    assert_same(finish(2), expected)


def test_the_way_through_bytes_leaves_no_trace(expected: Kernel) -> None:
    assert_same(finish(transport=MemoryTransport(through_codec=True)), expected)


def test_faults_that_only_cut_windows_leave_no_trace(expected: Kernel) -> None:
    """The broker's own death, wherever it comes, is nothing to the run."""
    text = scenario().replace("faults:\n", "faults:\n  - {every: 37ms, broker: kill}\n")
    kernel = kernel_of(text)
    orders = Kernel.orders.fget
    assert orders is not None
    died = 0

    class Immortal(Kernel):
        @property
        def orders(self):  # type: ignore[no-untyped-def]
            nonlocal died
            all_orders = orders(self)
            died += sum(order.verb == "die" for order in all_orders)
            return [order for order in all_orders if order.verb != "die"]

    kernel.__class__ = Immortal
    assert_same(completed(play(kernel)), expected)
    assert died == 2 * 54


@pytest.mark.process
def test_processes_equal_memory(expected: Kernel) -> None:
    kernel = completed(play(kernel_of(scenario(), 2), process_transport()))
    assert_same(kernel, expected)


@pytest.mark.parametrize("kind", [kind for kind, entry in ENTRIES.items() if entry])
def test_control_each_fault_changes_what_agents_go_through(expected: Kernel, kind: str) -> None:
    assert trace(finish(text=scenario(kind))) != trace(expected)


PARTS = {
    "slow": {"factor": st.sampled_from([1, 1.5, 10, 1000])},
    "skew": {"offset": st.sampled_from(["2s", "-20ms"]), "drift": st.sampled_from(["50ppm", -0.1])},
    "actuator": {},
    "byzantine": {
        "mode": st.sampled_from(["random", "sign-flip", "stale", "inflate:2"]),
        "field": st.sampled_from(["x", "n", "seen", 0, ["x", 1]]),
    },
    "hang": {},
    "kill": {},
}
WHEN = st.integers(0, 1000).map(lambda ms: f"{ms}ms")
WHO = st.sampled_from(["agent-1", "agent-2", "agent-*", "agent-[13]"])


@st.composite
def entries(draw: st.DrawFn) -> dict[str, object]:
    kind = draw(st.sampled_from([*PARTS, "sensor"]))
    entry: dict[str, object] = {"at": draw(WHEN), kind: draw(WHO)}
    entry |= {name: draw(values) for name, values in PARTS.get(kind, {}).items()}
    if kind == "sensor":
        mode = draw(st.sampled_from(["freeze", "noise", "drop"]))
        entry[mode] = True if mode == "freeze" else draw(st.sampled_from([0.1, 0.5]))
    if draw(st.booleans()):
        entry["for"] = draw(st.integers(1, 600).map(lambda ms: f"{ms}ms"))
    return entry


@given(st.lists(entries(), min_size=1, max_size=5), st.integers(2, 5), st.integers(1, 9))
@settings(max_examples=tries(15), deadline=None)
def test_any_schedule_of_faults_gives_one_run(
    faults: list[dict[str, object]], agents_per_host: int, floor_ms: int
) -> None:
    def once(agents_per_host: int, is_eager: bool, floor_ns: int | None) -> Kernel:
        made = parse_scenario(BASE.replace("episodes: 2", "episodes: 1"), overrides={
            "faults": faults, "duration": "1s",
        })  # fmt: skip
        kernel = prepare(made).kernel(agents_per_host, is_eager)
        if floor_ns is not None:
            kernel._table_floor = min(kernel._table_floor, floor_ns)
        return completed(play(kernel, on_window=check_books))

    first = once(1, False, None)
    assert_same(once(agents_per_host, True, floor_ms * 1_000_000), first)


# --- live ---------------------------------------------------------------------------------------


def with_commands(agents_per_host: int = 1, is_eager: bool = False) -> Kernel:
    """A run into which faults come by command, as soon as a stated instant is reached."""
    prepared = prepare(parse_scenario(BASE))
    kernel = prepared.kernel(agents_per_host, is_eager)
    commands: list[tuple[int, dict[str, object]]] = [
        (500, {"byzantine": "agent-1", "mode": "stale", "topic": "state", "for": "300ms"}),
        (800, {"skew": "agent-*", "offset": "-1s", "every": "400ms", "for": "100ms", "choose": 1}),
        (900, {"actuator": "agent-3"}),
        (1000, {"sensor": "agent-2", "drop": 1, "for": "500ms"}),
    ]

    def command(kernel: Kernel) -> None:
        check_books(kernel)
        while commands and kernel.until + 50_000_000 >= commands[0][0] * 1_000_000:
            at_ms, entry = commands.pop(0)
            at_ns, number = at_ms * 1_000_000, 4 - len(commands)
            faults = resolve_fault(
                read_fault(entry), prepared.setting, 11, f"command-{number}", at_ns, 2 * SECOND,
                1_000 * number,
            )  # fmt: skip
            kernel.inject(faults)

    return completed(play(kernel, on_window=command))


def test_faults_by_command_are_applied_and_lifted_like_those_of_the_file() -> None:
    kernel = with_commands()
    applied = [(f.time_ns // 1_000_000, f.kind, f.is_on) for f in kernel.faults_applied]
    assert applied == [
        (500, "byzantine", True), (800, "byzantine", False), (800, "skew", True),
        (900, "skew", False), (900, "actuator", True), (1000, "sensor", True),
        (1200, "skew", True), (1300, "skew", False), (1500, "sensor", False),
        (1600, "skew", True), (1700, "skew", False),
    ]  # fmt: skip
    assert_same(with_commands(2, is_eager=True), kernel)
