"""Runs a scenario's kernel in memory, for tests: no process, no socket, no directory.

A test makes a kernel with `kernel_of(text)`, runs it with `play`, and asserts on what `trace` tells
or on the kernel itself.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.kernel import Kernel
from broker.server import drive
from sim.prepare import prepare
from sim.scenario.load import parse_scenario
from sim.store.runlog import Decision
from sim.wire.memory import MemoryTransport

STORY = ("info", "print")
"""Kinds of events that agents themselves tell."""


class Silent:
    """A log that keeps nothing, and refuses decisions taken from real time."""

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        pass

    def add(self, record: Decision) -> None:
        raise AssertionError(f"decided by real time: {record}")


def kernel_of(text: str, agents_per_host: int = 1, is_eager: bool = False) -> Kernel:
    """The kernel of a scenario given as YAML, at virtual time 0."""
    return prepare(parse_scenario(text)).kernel(agents_per_host, is_eager)


def play(
    kernel: Kernel,
    transport: MemoryTransport | None = None,
    on_window: Callable[[Kernel], None] = lambda kernel: None,
) -> Kernel:
    """Runs a kernel until its status is no longer "running", whatever it is then."""
    transport = transport or MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    try:
        drive(kernel, transport, Silent(), on_window=on_window)
    finally:
        transport.close()
    return kernel


def completed(kernel: Kernel) -> Kernel:
    """The kernel, if its run ended as it should; otherwise the failures are shown."""
    if kernel.status != "completed":
        told = "\n".join(f"{f.agent} at {f.time_ns} ns: {f.error}" for f in kernel.agents.failures)
        raise AssertionError(f"{kernel.status}: {kernel.error}\n{told}")
    return kernel


def run(text: str, agents_per_host: int = 1, is_eager: bool = False) -> Kernel:
    """A scenario from beginning to end, which must be "completed"."""
    return completed(play(kernel_of(text, agents_per_host, is_eager)))


def trace(kernel: Kernel, kinds: tuple[str, ...] = STORY) -> list[tuple[float, str, str]]:
    """What was told: (virtual time in ms, agent, text), in order of time and then of agent."""
    index = kernel.agents.index
    told = [e for e in kernel.events if e.kind in kinds]
    told.sort(key=lambda e: (e.time_ns, index.get(e.agent, -1)))
    return [(e.time_ns / 1e6, e.agent, e.text) for e in told]
