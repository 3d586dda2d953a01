"""The shell around the kernel: hosts over a transport, real time, what the run leaves behind.

Everything that depends on real time is decided here, told to the kernel as an event at a stated
virtual time, and written to the run's log before it takes effect.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from broker.kernel import Kernel
from broker.population import Event
from sim.clock import monotonic, pause
from sim.errors import WireError
from sim.limits import STALL_REPORT_SECONDS
from sim.units import SECOND
from sim.wire.messages import OVERDUE
from sim.wire.transport import HostLost, Transport


class Log(Protocol):
    """Where inputs from outside and folds are recorded."""

    def fold(self, time_ns: int, chain: str) -> None:
        """The digest's value at a grid point."""

    def decision(self, time_ns: int, kind: str, host: int, text: str) -> None:
        """What real time decided, before it takes effect."""


_WAIT_SECONDS: Final = 0.2
"""How long the loop waits for anything before it looks up: progress is shown, Ctrl-C heard."""


_FRAME: Final = re.compile(r'File "(.+?)", line (\d+),? in (\w+)')


class Pacer:
    """Holds virtual time back to `speed` virtual seconds per real second."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._real = monotonic()
        self._virtual = 0

    def wait(self, instant_ns: int, on_wait: Callable[[], None]) -> None:
        """Sleeps until real time has come to a virtual instant."""
        due = self._real + (instant_ns - self._virtual) / SECOND / self.speed
        while (left := due - monotonic()) > 0:
            pause(min(left, _WAIT_SECONDS))
            on_wait()


class Watch:
    """Who holds the clock: hosts that have not answered, and what they use."""

    def __init__(self, kernel: Kernel, transport: Transport, log: Log, began: float) -> None:
        self._kernel = kernel
        self._transport = transport
        self._log = log
        self._cpu: dict[int, float] = {}
        self._idle_since: dict[int, float] = {}
        self._cpu_at_start: dict[int, float] = {}
        self._began = began

    def check(self, waiting: set[int]) -> None:
        """Says for whom the run waits, and ends hosts past the scenario's bounds."""
        limits, infos = self._kernel.scenario.limits, self._transport.info()
        for host in sorted(waiting):
            info = infos.get(host)
            if info is None:
                continue
            now = monotonic()
            used = info.cpu_seconds - self._cpu_at_start.setdefault(host, info.cpu_seconds)
            if info.cpu_seconds > self._cpu.get(host, -1.0):
                self._cpu[host], self._idle_since[host] = info.cpu_seconds, now
            blocked = now - self._idle_since[host]
            name = self._kernel.agents.names[self._kernel.agents.hosts[host][0]]
            is_stopped = info.state == "T"
            self._say(
                f"waiting {now - self._began:.0f} s for {name} (pid {info.pid}"
                f"{', stopped' * is_stopped}), processor {used:.1f} s"
                f"{'' if is_stopped else _handler(self._transport.stacks(host))}"
            )
            if used > limits.handler_cpu_ns / SECOND + 2:
                self._end(host, "used up its processor time in one handler")
            elif blocked > limits.handler_blocked_ns / SECOND:
                self._end(host, f"blocked for {blocked:.0f} s without using the processor")
            return

    def _say(self, text: str) -> None:
        self._kernel.events.append(Event(self._kernel.now, "stall", "", text))

    def _end(self, host: int, cause: str) -> None:
        where = self._transport.stacks(host)
        self._log.decision(self._kernel.now, "deadline", host, cause)
        self._transport.kill(host)
        self._kernel.lose(host, f"{cause}\n{where}" if where else cause)


def _handler(stacks: str) -> str:
    """Where the author's code stands, as `, in run (my_agents.py:12)`; empty if unknown."""
    found = _FRAME.search(stacks)
    return f", in {found[3]} ({Path(found[1]).name}:{found[2]})" if found else ""


def drive(
    kernel: Kernel,
    transport: Transport,
    log: Log,
    speed: float = float("inf"),
    on_window: Callable[[Kernel], None] = lambda kernel: None,
) -> None:
    """Runs a kernel to its end. The transport's hosts are up when this is called.

    on_window: called after every window, and several times a second while waiting; what it
    raises ends the run there, with the kernel's books in order.
    Raises: errors of the kernel.
    """
    pacer = Pacer(speed)
    folded = 0
    while kernel.status == "running":
        if speed != float("inf"):
            pacer.wait(kernel.next_instant(), lambda: on_window(kernel))
        activations = kernel.open()
        for order in kernel.orders:
            getattr(transport, order.verb)(order.host)
        waiting = set()
        for host, activation in activations:
            transport.send(host, activation)
            waiting.add(host)
        for time_ns, chain in kernel.digest.folds[folded:]:
            log.fold(time_ns, chain)
        folded = len(kernel.digest.folds)
        _collect(kernel, transport, log, waiting, on_window)
        kernel.close()
        on_window(kernel)


def _collect(
    kernel: Kernel,
    transport: Transport,
    log: Log,
    waiting: set[int],
    on_wait: Callable[[Kernel], None],
) -> None:
    """Waits until every host of the window has answered or is lost."""
    watch: Watch | None = None
    heard = 0.0
    while waiting:
        answers = transport.poll(_WAIT_SECONDS)
        for host, answer in answers:
            if isinstance(answer, HostLost):
                log.decision(kernel.now, "lost", host, answer.cause)
                kernel.lose(host, answer.cause)
            elif host in waiting:
                for done in answer.done:
                    if done.state == OVERDUE:
                        log.decision(kernel.now, "deadline", host, done.error)
                try:
                    kernel.accept(host, answer)
                except WireError as error:
                    transport.kill(host)
                    log.decision(kernel.now, "malformed", host, str(error))
                    kernel.lose(host, str(error))
            waiting.discard(host)
        if not answers:
            heard = heard or monotonic()
            on_wait(kernel)
            if monotonic() - heard < STALL_REPORT_SECONDS:
                continue
            watch, heard = watch or Watch(kernel, transport, log, heard), monotonic()
            watch.check(waiting)
            waiting -= {host for host in waiting if kernel.agents.is_dead(host)}
