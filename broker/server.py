"""The shell around the kernel: hosts over a transport, real time, what the run leaves behind.

Everything that depends on real time is decided here, told to the kernel as an event at a stated
virtual time, and written to the run's log before it takes effect.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from broker.history import History, completed
from broker.kernel import Kernel
from broker.pace import Pace
from broker.population import Event, Order
from broker.recovery import Recovery
from sim.clock import monotonic, pause
from sim.errors import FrameTooLargeError, WireError
from sim.limits import STALL_REPORT_SECONDS
from sim.store.runlog import Decision
from sim.units import SECOND, format_ns
from sim.wire.messages import OVERDUE, Activation, Done, Yield
from sim.wire.transport import HostLost, Transport


class Log(Protocol):
    """Where inputs from outside and folds are recorded."""

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        """The digest's value at a grid point."""

    def add(self, record: Decision) -> None:
        """What real time decided, before it takes effect."""


_WAIT_SECONDS: Final = 0.2
"""How long the loop waits for anything before it looks up: progress is shown, Ctrl-C heard."""
_LOOKS, _LOOK_SECONDS = 10, 0.05
"""How often and how long a broker that is to be killed waits until that has been told."""

_FRAME: Final = re.compile(r'File "(.+?)", line (\d+),? in (\w+)')


class Watch:
    """Who holds the clock: hosts that have not answered, and what they use."""

    def __init__(self, shell: Shell, began: float) -> None:
        self._shell = shell
        self._cpu: dict[int, float] = {}
        self._idle_since: dict[int, float] = {}
        self._cpu_at_start: dict[int, float] = {}
        self._began = began

    def heard(self, host: int) -> None:
        """It answered, or is no more: what it does next is counted from nothing."""
        for figures in (self._cpu, self._idle_since, self._cpu_at_start):
            figures.pop(host, None)

    def check(self, waiting: set[int]) -> None:
        """Says for whom the run waits, and ends hosts past the scenario's bounds."""
        kernel, transport = self._shell.kernel, self._shell.transport
        limits, infos = kernel.scenario.limits, transport.info()
        for host in sorted(waiting):
            info = infos.get(host)
            if info is None:
                continue
            now = monotonic()
            used = info.cpu_seconds - self._cpu_at_start.setdefault(host, info.cpu_seconds)
            if info.cpu_seconds > self._cpu.get(host, -1.0):
                self._cpu[host], self._idle_since[host] = info.cpu_seconds, now
            blocked = now - self._idle_since[host]
            name = kernel.agents.names[kernel.agents.hosts[host][0]]
            is_stopped = info.state == "T"
            text = (
                f"waiting {now - self._began:.0f} s for {name} (pid {info.pid}"
                f"{', stopped' * is_stopped}), processor {used:.1f} s"
                f"{'' if is_stopped else _handler(transport.stacks(host))}"
            )
            kernel.events.append(Event(kernel.now, "stall", "", text))
            if used > limits.handler_cpu_ns / SECOND + 2:
                self._end(host, "deadline", "used up its processor time in one handler")
            elif blocked > limits.handler_blocked_ns / SECOND:
                text = f"blocked for {blocked:.0f} s without using the processor"
                self._end(host, "blocked", text)
            return

    def _end(self, host: int, kind: str, cause: str) -> None:
        where = self._shell.transport.stacks(host)
        self._shell.transport.kill(host)
        self._shell.give_up(kind, host, f"{cause}\n{where}" if where else cause)


def _handler(stacks: str) -> str:
    """Where the author's code stands, as `, in run (my_agents.py:12)`; empty if unknown."""
    found = _FRAME.search(stacks)
    return f", in {found[3]} ({Path(found[1]).name}:{found[2]})" if found else ""


class Shell:
    """A run's kernel, hosts and log, and all that happens to them in real time."""

    def __init__(
        self,
        kernel: Kernel,
        transport: Transport,
        log: Log,
        pace: Pace,
        history: History,
        on_window: Callable[[Kernel], None],
        idle: Callable[[float], None],
    ) -> None:
        self.kernel, self.transport, self.log = kernel, transport, log
        self.pace, self.history = pace, history
        self.on_window, self.idle = on_window, idle
        self.recovery = Recovery(kernel.scenario.supervision)
        self._waiting: set[int] = set()
        self._stand_ins: dict[int, list[Done]] = {}
        self._asked: dict[int, list[int]] = {}
        self._is_open = False
        self._late: list[tuple[int, str]] = []

    def run(self) -> None:
        """To the end."""
        kernel, written = self.kernel, 0
        self._lose_again()
        while kernel.status == "running":
            self.history.inject(kernel)
            self.pace.hold(kernel, self._hold)
            activations = kernel.open()
            self._is_open = True
            self._obey(kernel.orders)
            for host, activation in self.history.settled(activations):
                self._send(host, activation)
            folds, marks = kernel.digest.folds, kernel.digest.marks
            for (time_ns, chain), mark in zip(folds[written:], marks[written:], strict=True):
                self.log.fold(time_ns, chain, mark)
            written = len(folds)
            self._collect()
            kernel.close()
            self._is_open = False
            for host, cause in self._late:
                kernel.lose(host, cause)
            self._late.clear()
            self._lose_again()
            self.on_window(kernel)

    def _hold(self, seconds: float) -> None:
        """Between two windows: deaths are seen, whoever watches is heard."""
        for host, answer in self.transport.poll(0):
            if isinstance(answer, HostLost):
                self._bury(host, answer)
        if self.recovery.busy:
            self._collect()
        self.idle(seconds)
        self.on_window(self.kernel)

    def _obey(self, orders: list[Order]) -> None:
        """What the kernel wants done to processes."""
        for order in orders:
            if order.verb == "die":
                self._die()
                continue
            getattr(self.transport, order.verb)(order.host)
            if order.verb in ("kill", "restart"):
                self.recovery.renew(order.host)

    def _die(self) -> None:
        """The broker's own death, as the scenario or a person wants it; once only."""
        if self.history.has_died(self.kernel.now):
            return
        text = "the broker is killed, as asked; `sim resume` goes on"
        self._decide("died", -1, text)
        self.kernel.events.append(Event(self.kernel.now, "warning", "", text))
        for _ in range(_LOOKS):  # until it has been told
            if not self.kernel.events:
                break
            self.on_window(self.kernel)
            self.idle(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    def _send(self, host: int, activation: Activation) -> None:
        """Gives a host its activation, unless it is known how that ends."""
        kernel, history = self.kernel, self.history
        decision = history.missing(kernel.windows, host)
        if decision is not None:
            kernel.lose(host, decision.text)
            self.transport.kill(host)
            return
        asked = [work.agent for work in activation.work]
        activation, done = history.without_overdue(kernel.windows, activation, kernel.agents.names)
        if done and not activation.work:
            kernel.accept(host, completed(None, activation.serial, done, asked))
            return
        if done:
            self._stand_ins[host], self._asked[host] = done, asked
        self._waiting.add(host)
        try:
            self.recovery.sent(host, activation)
            self.transport.send(host, activation)
        except FrameTooLargeError as error:
            self.transport.kill(host)
            self.give_up("overfull", host, f"more messages at once than it can be given: {error}")

    # --- answers --------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Waits until every host of the window has answered or is lost, and none is on its way
        back."""
        watch: Watch | None = None
        heard = 0.0
        waiting = self._waiting
        while waiting or self.recovery.busy:
            answers = self.transport.poll(_WAIT_SECONDS)
            for host, answer in answers:
                if watch is not None:
                    watch.heard(host)
                if isinstance(answer, HostLost):
                    self._bury(host, answer)
                elif host in self.recovery.busy:
                    self._feed(host, answer)
                elif host in waiting:
                    self._take(host, answer)
            if not answers:
                heard = heard or monotonic()
                self.on_window(self.kernel)
                if monotonic() - heard < STALL_REPORT_SECONDS:
                    continue
                watch, heard = watch or Watch(self, heard), monotonic()
                watch.check(waiting | self.recovery.busy)
                waiting -= {host for host in waiting if self.kernel.agents.is_dead(host)}

    def _take(self, host: int, answer: Yield) -> None:
        """A yield that was waited for."""
        kernel = self.kernel
        self._waiting.discard(host)
        for done in answer.done:
            if done.state == OVERDUE:
                self._decide("overdue", host, done.error, agent=kernel.agents.names[done.agent])
        stand_ins = self._stand_ins.pop(host, None)
        if stand_ins:
            answer = completed(answer, answer.serial, stand_ins, self._asked[host])
        try:
            kernel.accept(host, answer)
            self.recovery.counted(host, answer)
        except WireError as error:
            self.transport.kill(host)
            self.give_up("malformed", host, str(error), counted=False)

    def _bury(self, host: int, lost: HostLost) -> None:
        """A process ended without being asked to: it is brought back, or its agents fail."""
        kernel = self.kernel
        if kernel.agents.is_dead(host):
            return
        has_yielded = host not in self._waiting
        span = f"[{format_ns(kernel.now)}, {format_ns(kernel.until)})"
        counted = "counted" if has_yielded else "lost"
        cause = f"{lost.cause}; process {lost.pid} died in {span}, its yield {counted}"
        if self.recovery.may(host, kernel.now):
            self._decide("recovered", host, cause, counted=has_yielded)
            self.transport.restart(host)
            first = self.recovery.begin(host)
            names = ", ".join(kernel.agents.names[a] for a in kernel.agents.hosts[host])
            count = self.recovery.count(host)
            text = f"{cause}; brought back by {count} recorded activations"
            kernel.events.append(Event(kernel.now, "error", names, text, "supervisor"))
            if first is not None:
                self.transport.send(host, first)
            return
        self.give_up("lost", host, cause)

    def _feed(self, host: int, answer: Yield) -> None:
        """An answer of a process that is being brought back."""
        is_same, following = self.recovery.check(host, answer)
        if not is_same:
            self.transport.kill(host)
            self.give_up("nondeterministic", host, "its recorded activations led to another yield")
        elif following is not None:
            self.transport.send(host, following)
        elif self.recovery.is_new(host) and host in self._waiting:
            self._take(host, answer)

    def give_up(self, kind: str, host: int, cause: str, counted: bool | None = None) -> None:
        """Says, writes and does that a host is no more.

        counted: whether what it yielded in this window counts; if None, whether it has yielded.
        Its agents then fail when the window has ended, as they will when the log is run again.
        """
        counted = host not in self._waiting if counted is None else counted
        self._waiting.discard(host)
        self.recovery.renew(host)
        self._decide(kind, host, cause, counted=counted)
        if counted and self._is_open:
            self._late.append((host, cause))
        else:
            self.kernel.lose(host, cause)

    def _lose_again(self) -> None:
        """What the log says was lost after this window's yields had been counted."""
        for decision in self.history.lost_after(self.kernel.windows):
            self.kernel.lose(decision.host, decision.text)
            self.transport.kill(decision.host)

    def _decide(
        self, kind: str, host: int, text: str, counted: bool = False, agent: str = ""
    ) -> None:
        kernel = self.kernel
        self.log.add(Decision(kernel.now, kind, host, text, kernel.windows, counted, agent))


def drive(
    kernel: Kernel,
    transport: Transport,
    log: Log,
    pace: Pace | None = None,
    *,
    history: History | None = None,
    on_window: Callable[[Kernel], None] = lambda kernel: None,
    idle: Callable[[float], None] = pause,
) -> None:
    """Runs a kernel to its end. The transport's hosts are up when this is called.

    history:   what an earlier run of the same log was given from outside, to be given again.
    on_window: called after every window, and several times a second while waiting; what it
               raises ends the run there, with the kernel's books in order.
    idle:      waits that many seconds of real time, or less.

    Raises: errors of the kernel.
    """
    shell = Shell(kernel, transport, log, pace or Pace(), history or History(), on_window, idle)
    try:
        shell.run()
    finally:
        shell.recovery.close()
