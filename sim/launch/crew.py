"""Worker processes of this machine, each on a socketpair, asked and answering in whole messages.

A worker runs `main(channel)` of a module. It has one math thread, a process group of its own (so
that Ctrl-C does not reach it), and ends with its parent, however that ends: by its parent-death
signal at once, and by the closed channel. Messages are bytes behind their length; what is in them
is the matter of both ends.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Final

from agents.host import settle
from sim.errors import WorkerError
from sim.launch.local import ENVIRONMENT

_BOOT: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[4]); "
    "from sim.launch.crew import begin; begin(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
)
_LENGTH: Final = struct.Struct("<Q")
_CHUNK_BYTES: Final = 1 << 20
_TAIL_BYTES: Final = 4000
_END_SECONDS: Final = 2.0


class Channel:
    """One end of the way between two processes."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def send(self, *parts: bytes) -> None:
        """One message, made of parts. Raises: OSError if nobody is there any more."""
        self.connection.sendall(_LENGTH.pack(sum(map(len, parts))))
        for part in parts:
            self.connection.sendall(part)

    def receive(self) -> bytes | None:
        """The next message; None if the other end is gone."""
        head = self._read(_LENGTH.size)
        return None if head is None else self._read(_LENGTH.unpack(head)[0])

    def _read(self, size: int) -> bytes | None:
        found, at = bytearray(size), 0
        view = memoryview(found)
        while at < size:
            try:
                count = self.connection.recv_into(view[at : at + _CHUNK_BYTES])
            except ConnectionError:
                return None
            if not count:
                return None
            at += count
        return bytes(found)


class Crew:
    """Workers 0 ... count - 1 that run `main` of one module."""

    def __init__(self, module: str, count: int) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()
        self._channels: list[Channel] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        path = json.dumps([os.path.abspath(entry) for entry in sys.path])
        for _ in range(count):
            ours, theirs = socket.socketpair()
            self._channels.append(Channel(ours))
            arguments = (str(theirs.fileno()), str(os.getpid()), module, path)
            with theirs:
                self._processes.append(
                    subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
                        [sys.executable, "-c", _BOOT, *arguments],
                        stdin=subprocess.DEVNULL,
                        stdout=self._log,
                        stderr=self._log,
                        pass_fds=[theirs.fileno()],
                        env={**os.environ, **ENVIRONMENT},
                    )
                )

    @property
    def pids(self) -> list[int]:
        """Of the workers."""
        return [process.pid for process in self._processes]

    def send(self, worker: int, *parts: bytes) -> None:
        """Raises: WorkerError if it has ended."""
        try:
            self._channels[worker].send(*parts)
        except OSError:
            raise self._lost(worker) from None

    def gather(self) -> list[bytes]:
        """One message of each, whatever the order in which they come.

        Raises: WorkerError as soon as one of them has ended.
        """
        answers: list[bytes] = [b""] * len(self._channels)
        with selectors.DefaultSelector() as selector:
            for worker, channel in enumerate(self._channels):
                selector.register(channel.connection, selectors.EVENT_READ, worker)
            while selector.get_map():
                for key, _ in selector.select():
                    answer = self._channels[key.data].receive()
                    if answer is None:
                        raise self._lost(key.data)
                    answers[key.data] = answer
                    selector.unregister(key.fileobj)
        return answers

    def _lost(self, worker: int) -> WorkerError:
        process = self._processes[worker]
        try:
            status = process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            why = "hung up"
        else:
            why = f"ended with status {status}"
            if status < 0:
                with contextlib.suppress(ValueError):
                    why = f"was ended by {signal.Signals(-status).name}"
        text = f"worker {worker + 1} of {len(self._processes)} (pid {process.pid}) {why}"
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return WorkerError(f"{text}\n{self._log.read().decode(errors='replace')}".rstrip())

    def close(self) -> None:
        """Ends all workers; what they do just now is lost."""
        for channel in self._channels:
            channel.connection.close()
        for process in self._processes:
            process.kill()
            process.wait()
        self._channels, self._processes = [], []
        self._log.close()


def begin(descriptor: int, parent: int, module: str) -> None:
    """The life of a worker: runs `main(channel)` of a module."""
    import gc
    import importlib

    settle(parent)
    gc.enable()
    with socket.socket(fileno=descriptor) as connection:
        importlib.import_module(module).main(Channel(connection))


def shares(total: int, count: int) -> Sequence[range]:
    """`total` things among `count` workers, as equally as can be, in order."""
    bounds = [total * worker // count for worker in range(count + 1)]
    return [range(low, high) for low, high in itertools.pairwise(bounds)]
