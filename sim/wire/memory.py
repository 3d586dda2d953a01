"""The transport without processes: hosts are objects here, and run while the broker polls.

For `--inline`, where breakpoints work, for tests, and for rollouts of many kernels. An error of a
runtime itself (not of an agent, which the runtime reports) passes straight through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from sim import clock
from sim.wire import codec, transport
from sim.wire.messages import Activation, Yield
from sim.wire.transport import HostInfo, HostLost, Progress, Runtime

Answers: TypeAlias = list[tuple[int, Yield | HostLost]]


class MemoryTransport:
    """Hosts in this process.

    through_codec: records take the way through bytes, as they do between processes.
    arrival: the order in which the answers of one poll come back; as sent if None.
    """

    def __init__(
        self,
        runtime: str | Callable[[int], Runtime] = transport.RUNTIME,
        *,
        through_codec: bool = False,
        arrival: Callable[[Answers], Answers] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._runtime = runtime
        self._through_codec = through_codec
        self._arrival = arrival
        self._progress = progress
        self._hosts: dict[int, Runtime] = {}
        self._queue: dict[int, Activation] = {}
        self._stopped: set[int] = set()

    @property
    def processes(self) -> int:
        """None: everything is here."""
        return 0

    def start(self, hosts: Sequence[int]) -> None:
        """Makes the runtimes."""
        for number, host in enumerate(hosts, 1):
            self.restart(host)
            if self._progress:
                self._progress(number, len(hosts))

    def send(self, host: int, activation: Activation) -> None:
        """Queues; nothing runs yet."""
        if host in self._hosts:
            self._queue[host] = activation

    def poll(self, timeout_s: float | None) -> Answers:
        """Runs every host that has something to do and is not stopped."""
        ready = [host for host in self._queue if host not in self._stopped]
        answers: Answers = [(host, self._run(host, self._queue.pop(host))) for host in ready]
        if not answers and timeout_s:
            clock.pause(timeout_s)
        return self._arrival(answers) if self._arrival else answers

    def _run(self, host: int, activation: Activation) -> Yield:
        if not self._through_codec:
            return self._hosts[host].run(activation)
        given = codec.decode_activation(codec.encode_frame(activation))
        record = codec.decode_reply(
            codec.encode_frame(self._hosts[host].run(given)), f"host {host}"
        )
        assert isinstance(record, Yield)
        return record

    def kill(self, host: int) -> None:
        """Forgets the runtime."""
        close = getattr(self._hosts.pop(host, None), "close", None)
        if close is not None:
            close()
        self._queue.pop(host, None)
        self._stopped.discard(host)

    def restart(self, host: int) -> None:
        """A new runtime in place of the old."""
        self.kill(host)
        make = self._runtime
        self._hosts[host] = (
            transport.load_runtime(make, host) if isinstance(make, str) else make(host)
        )

    def stop(self, host: int) -> None:
        """Holds what is sent to the host."""
        self._stopped.add(host)

    def resume(self, host: int) -> None:
        """Lets it run again."""
        self._stopped.discard(host)

    def info(self) -> dict[int, HostInfo]:
        """All are this process; what each uses of it is not known."""
        return {
            host: HostInfo(os.getpid(), 0.0, 0, "T" if host in self._stopped else "R")
            for host in self._hosts
        }

    def stacks(self, host: int) -> str:
        """Unknown: a host here is never busy while anybody asks."""
        return ""

    def close(self) -> None:
        """Forgets all hosts."""
        for host in list(self._hosts):
            self.kill(host)
