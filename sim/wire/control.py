"""The broker's door for onlookers: one ROUTER in a directory of mode 0700, its peers DEALERs.

What comes in is typed and bounded; bytes that are no `Ask` count against the process that sent
them, and after three it is heard no more. What goes out never waits: a peer whose queue is full
misses a frame. Only processes of the same user can reach the door at all.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec
import zmq

from sim import clock
from sim.errors import SimError, WireError
from sim.wire.folders import make_folder
from sim.wire.live import Answer, Ask, Frame, News

FOLDER: Final = "sim-live-"
ASK_BYTES_MAX: Final = 64 * 1024
STRIKES_MAX: Final = 3
_UNREAD_MAX: Final = 64
_UNSENT_MAX: Final = 4
"""Frames that wait for one onlooker; further ones it misses."""
_BURST_MAX: Final = 100
"""Requests read at once, so that a flood does not hold up the run."""
_PEERS_MAX: Final = 10_000
_REPLY_SECONDS: Final = 5.0

_read_ask: Final = msgspec.msgpack.Decoder(Ask).decode
_read_reply: Final = msgspec.msgpack.Decoder(Answer | News).decode
_write: Final = msgspec.msgpack.Encoder().encode


class ControlServer:
    """The broker's side. `address` is what a client connects to.

    refused: frames that were no requests, by process.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self._folder = make_folder(FOLDER, "control")
        self.address = f"ipc://{self._folder}/control"
        self._socket = zmq.Context(io_threads=1).socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 100)
        self._socket.setsockopt(zmq.MAXMSGSIZE, ASK_BYTES_MAX)
        self._socket.setsockopt(zmq.RCVHWM, _UNREAD_MAX)
        self._socket.setsockopt(zmq.SNDHWM, _UNSENT_MAX)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._end = weakref.finalize(self, _end, os.getpid(), self._socket, self._folder)
        self._socket.bind(self.address)

    def poll(self, timeout_s: float) -> list[tuple[bytes, Ask]]:
        """What is asked, by whom; waits for the first up to the timeout."""
        if timeout_s > 0 and not self._socket.poll(int(timeout_s * 1000) + 1):
            return []
        found = []
        for _ in range(_BURST_MAX):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            sender = _name_of(parts[-1])
            if self.refused[sender] >= STRIKES_MAX:
                continue
            try:
                if len(parts) != 2:
                    raise WireError(f"{len(parts) - 1} frames")
                found.append((parts[0].bytes, _read_ask(parts[1].buffer)))
            except (msgspec.MsgspecError, WireError):
                if len(self.refused) < _PEERS_MAX:
                    self.refused[sender] += 1
        return found

    def offenders(self) -> list[str]:
        """Processes that are heard no more."""
        return [name for name, strikes in self.refused.items() if strikes >= STRIKES_MAX]

    def send(self, peer: bytes, record: Answer | News) -> bool | None:
        """True if it is on its way, False if the peer is too slow, None if it is gone."""
        try:
            self._socket.send_multipart((peer, _write(record)), zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return None
        return True

    def close(self) -> None:
        """Closes the door; may be called again."""
        self._end()


def _end(owner: int, socket: zmq.Socket[bytes], folder: str) -> None:
    if os.getpid() == owner:
        context = socket.context
        socket.close()
        context.term()
        shutil.rmtree(folder, ignore_errors=True)


def _name_of(frame: zmq.Frame) -> str:
    """`process 4121`, as the kernel says of the other end of a local socket."""
    try:
        address = str(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return "an unknown process"
    return f"process {address.rpartition(':')[2]}"


class ControlClient:
    """An onlooker's side.

    Raises: SimError if there is no such door.
    """

    def __init__(self, address: str) -> None:
        self._path = Path(address.removeprefix("ipc://"))
        if not self._path.exists():
            raise SimError("the run is over, or its broker was killed")
        self._number = 0
        self._frames: list[Frame] = []
        self._socket = zmq.Context(io_threads=1).socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, _UNREAD_MAX)
        self._socket.connect(address)

    def ask(self, what: str, text: str = "", timeout_s: float = _REPLY_SECONDS) -> Answer:
        """Asks, and waits for the answer; frames that come meanwhile are kept for `news`.

        Raises: SimError if the broker is gone or silent.
        """
        self._number += 1
        self._socket.send(_write(Ask(self._number, what, text)))
        until = clock.monotonic() + timeout_s
        while (left := until - clock.monotonic()) > 0:
            record = self._receive(min(left, 0.2))
            if isinstance(record, Answer) and record.number == self._number:
                return record
            if record is None and not self._path.exists():
                break
        gone = not self._path.exists()
        raise SimError("the run has ended" if gone else f"the broker did not answer {what!r}")

    def _receive(self, timeout_s: float) -> Answer | News | None:
        if not self._socket.poll(int(timeout_s * 1000)):
            return None
        record: Answer | News = _read_reply(self._socket.recv())
        if isinstance(record, News):
            self._frames.append(record.frame)
        return record

    def news(self, timeout_s: float = 0.0) -> list[Frame]:
        """Frames that have come, oldest first; waits for one up to the timeout."""
        if not self._frames:
            self._receive(timeout_s)
        while self._receive(0.0) is not None:
            pass
        frames, self._frames = self._frames, []
        return frames

    @property
    def is_open(self) -> bool:
        """Whether the broker still keeps its door."""
        return self._path.exists()

    def close(self) -> None:
        """Leaves; may be called again."""
        if not self._socket.closed:
            context = self._socket.context
            self._socket.close(0)
            context.term()
