"""How activations reach hosts and yields come back: what every transport promises.

The broker's loop uses nothing else. At most one activation is outstanding per host; sending never
blocks; a host is lost only if its process has ended, and never by a missing answer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from sim.wire.messages import Activation, Yield

RUNTIME: Final = "agents.runtime:HostRuntime"
"""What runs the agents in a host, unless told otherwise: `module:class`."""


class Runtime(Protocol):
    """The agents of one host. Made with the host's number."""

    def run(self, activation: Activation) -> Yield:
        """Runs the agents until all are at rest."""

    def check_deadline(self) -> None:
        """Called for every second of processor time; may raise into the agent that holds it."""


@dataclass(frozen=True)
class HostLost:
    """A host's process ended without being asked to. cause: `exit 3`, `signal 9 (SIGKILL)`."""

    host: int
    cause: str
    pid: int


@dataclass(frozen=True)
class HostInfo:
    """What the operating system says of a host. state: the letter of /proc, T is stopped."""

    pid: int
    cpu_seconds: float
    rss_bytes: int
    state: str


Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many hosts are up, and how many there will be."""


class Transport(Protocol):
    """Hosts and the way to them."""

    @property
    def processes(self) -> int:
        """Host processes alive."""

    def start(self, hosts: Sequence[int]) -> None:
        """Brings hosts up and returns when all have said hello."""

    def send(self, host: int, activation: Activation) -> None:
        """Hands over an activation; never blocks. To a host that has ended it is dropped."""

    def poll(self, timeout_s: float | None) -> list[tuple[int, Yield | HostLost]]:
        """Whatever has come, by host; waits for the first up to the timeout, None for ever."""

    def kill(self, host: int) -> None:
        """Ends a host at once, with everything it started. Not reported as a loss."""

    def restart(self, host: int) -> None:
        """A fresh incarnation of a host, alive or not; returns when it has said hello."""

    def stop(self, host: int) -> None:
        """Freezes a host's process."""

    def resume(self, host: int) -> None:
        """Lets a frozen host go on."""

    def info(self) -> dict[int, HostInfo]:
        """The hosts alive, as the operating system sees them."""

    def stacks(self, host: int) -> str:
        """Where the author's Python stands in a host now; empty if nothing is known."""

    def close(self) -> None:
        """Ends every process and removes every file of the transport. May be called again."""


def load_runtime(spec: str, host: int) -> Runtime:
    """The runtime named `module:class`, made for a host."""
    module, _, name = spec.partition(":")
    runtime: Runtime = getattr(importlib.import_module(module), name)(host)
    return runtime
