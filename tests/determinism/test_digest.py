"""The same seed gives the same run, to the bit, however it is run; and the control does not."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from broker.kernel import Kernel
from broker.pace import Pace
from broker.server import drive
from sim.launch.local import process_transport
from sim.runner import prepare
from sim.scenario.load import parse_scenario
from sim.store.runlog import Decision
from sim.wire.memory import MemoryTransport

AUTHORS = Path(__file__).with_name("authors.py")
SCENARIO = """
name: chatter
seed: {seed}
duration: 4s
world: {{kind: blank, agents: 6, step: 100ms}}
agents:
  "agent-*": {{behaviour: "{authors}:Chatter"}}
  agent-6: {{processing: 7ms}}
network:
  topology: {topology}
  default: {{latency: {latency}, jitter: {{exponential: 30ms}}, loss: 0.1, rate: 20kB/s,
            burst: 4%:200ms, duplicate: 5%, corrupt: 3%, expiry: 2s, order: keep,
            outages: {{every: 1s, for: 30ms, offset: 100ms}}}}
  topics: {{ticked: {{noise: 0.1}}}}
faults:
  - {{at: 1s, kill: agent-2, for: 600ms}}
  - {{at: 1500ms, hang: agent-3, for: 333ms}}
  - {{at: 2s, partition: [[agent-1, agent-2], "*"], for: 300ms}}
  - {{at: 2500ms, link: ["agent-*", agent-4], loss: 0.5, burst: 20%:4, latency: 15ms, for: 1s}}
"""


class Silent:
    """A log that keeps nothing."""

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        pass

    def add(self, record: Decision) -> None:
        raise AssertionError(f"decided by real time: {record}")


def make(
    seed: int = 1, latency: str = "10ms", topology: str = "ring", text: str = SCENARIO,
    agents_per_host: int = 1, is_eager: bool = False,
) -> Kernel:  # fmt: skip
    filled = text.format(seed=seed, authors=AUTHORS, latency=latency, topology=topology)
    return prepare(parse_scenario(filled)).kernel(agents_per_host, is_eager)


def finish(kernel: Kernel, transport: object = None, speed: float = float("inf")) -> list[object]:
    """Runs to the end in memory, or over a transport: the folds, and the books."""
    transport = transport or MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    try:
        drive(kernel, transport, Silent(), Pace(speed))
    finally:
        transport.close()
    assert kernel.status == "completed", (kernel.error, kernel.agents.failures)
    return [kernel.digest.folds, kernel.network.totals()]


@pytest.fixture(scope="module")
def expected() -> list[object]:
    return finish(make())


def test_runs_are_repeated_and_seeds_differ(expected: list[object]) -> None:
    assert finish(make()) == expected
    assert finish(make(seed=2)) != expected
    books = expected[1]
    assert books["delivered"] > 100
    assert {
        "loss", "burst", "partition", "down", "corrupt", "outage"
    } <= set(books["dropped"])  # fmt: skip
    assert books["duplicated"] > 20


@pytest.mark.parametrize("agents_per_host", [2, 3, 8])
def test_packing_leaves_no_trace(expected: list[object], agents_per_host: int) -> None:
    assert finish(make(agents_per_host=agents_per_host)) == expected


def test_eager_delivery_leaves_no_trace(expected: list[object]) -> None:
    kernel = make(is_eager=True)
    assert finish(kernel) == expected
    lazy = make()
    finish(lazy)
    assert kernel.activations > lazy.activations


@pytest.mark.parametrize("floor_ms", [1, 3])
def test_the_cut_of_windows_leaves_no_trace(
    expected: list[object], monkeypatch: pytest.MonkeyPatch, floor_ms: int
) -> None:
    monkeypatch.setattr(Kernel, "lookahead", floor_ms * 1_000_000)
    assert finish(make()) == expected


def test_the_way_through_bytes_leaves_no_trace(expected: list[object]) -> None:
    assert finish(make(), MemoryTransport(through_codec=True)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_order_of_arrival_leaves_no_trace(expected: list[object], seed: int) -> None:
    assert finish(make(), MemoryTransport(arrival=_shuffled(seed))) == expected


def test_control_a_kernel_that_trusts_arrival_is_caught(
    expected: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    transmit = Kernel._transmit

    def by_arrival(self: Kernel, sends: list, subscribes: list) -> None:
        came = {done.agent: i for i, done in enumerate(self._reports)}
        transmit(self, sorted(sends, key=lambda s: (s[0], came[s[1]])), subscribes)

    monkeypatch.setattr(Kernel, "_transmit", by_arrival)
    runs = [finish(make(), MemoryTransport(arrival=_shuffled(seed)))[0] for seed in range(3)]
    assert any(run != expected[0] for run in runs)


def _shuffled(seed: int):
    draw = random.Random(seed)
    return lambda answers: draw.sample(answers, len(answers))


@pytest.mark.parametrize("topology", ["complete", "star\n  hub: agent-1", "tree"])
def test_topologies_repeat(topology: str) -> None:
    first = finish(make(topology=topology))
    assert finish(make(topology=topology, agents_per_host=4)) == first


def test_links_without_latency_repeat() -> None:
    first = finish(make(latency="0s"))
    assert finish(make(latency="0s", agents_per_host=3)) == first
    assert finish(make(latency="0s", is_eager=True)) == first


@pytest.mark.process
def test_processes_equal_memory(expected: list[object]) -> None:
    assert finish(make(), process_transport()) == expected


@pytest.mark.process
def test_packed_processes_on_a_loaded_machine_equal_memory(expected: list[object]) -> None:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        assert finish(make(agents_per_host=2), process_transport()) == expected
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@pytest.mark.process
def test_pacing_and_the_users_hash_seed_leave_no_trace(tmp_path: Path) -> None:
    """A whole `sim run` in an interpreter with another hash seed, paced and not."""
    path = tmp_path / "chatter.yaml"
    path.write_text(SCENARIO.format(seed=1, authors=AUTHORS, latency="10ms", topology="ring"))
    program = (
        "import sim, sys; r = sim.run(sys.argv[1], speed=sys.argv[2], run_dir=sys.argv[3]);"
        "print(r.digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, str(path), speed, str(tmp_path / f"run-{i}")],
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
            capture_output=True, text=True, check=True,
        ).stdout
        for i, (speed, hash_seed) in enumerate([("max", "1"), ("8x", "2"), ("max", "3")])
    }  # fmt: skip
    assert len(digests) == 1
