"""The transport to host processes: ZeroMQ between them, pidfds for life and death.

The broker holds one ROUTER, a host one DEALER, over `ipc://` in a directory of mode 0700. A host's
routing identity is a secret of 128 bits per incarnation, so a late frame of a dead incarnation, or
one of a stranger, finds no name and falls; a second peer with the name of a first is not heard (no
ROUTER_HANDOVER: nobody comes back under an old one). One frame per message. No asyncio, no monitor
(an undrained one stops the I/O thread), no heartbeat: that a host is gone is decided by its pidfd.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import sys
import sysconfig
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import zmq

from sim import clock, limits
from sim.errors import InstallationError, MalformedFrameError, VersionMismatchError, WireError
from sim.rng import secret_bytes
from sim.wire import codec
from sim.wire.folders import make_folder
from sim.wire.messages import PROTOCOL, Activation, Hello, Yield
from sim.wire.transport import HostInfo, HostLost, Progress

FOLDER: Final = "sim-"
_FAULT: Final = "exit 70"
"""Of a host whose runtime failed; the last line of its log says why."""
_IPC_PATH_BYTES_MAX: Final = 107
_FRAMES_UNREAD_MAX: Final = 4
"""Kept here per peer; more wait in the peer. Sending has no such bound, as a full queue would lose
what it cannot take: one activation is outstanding per host, and that is bound enough."""
_QUIET_MS: Final = 10
_UNWATCHED_MAX: Final = 32
"""Frames that may come without a look at who has died."""
_NOBLOCK: Final = int(zmq.NOBLOCK)
_SNDMORE_NOBLOCK: Final = int(zmq.SNDMORE) | int(zmq.NOBLOCK)
_RCVMORE: Final = int(zmq.RCVMORE)
"""Plain integers: combining flags as enumerations costs more than sending."""
_START_SECONDS: Final = 60.0
_STARTS_MAX: Final = 3
"""How often in a row hosts may be killed before their hello, and are forked again."""
_SETTLE_SECONDS: Final = 0.1
"""How long the end of a dead host's connection is waited for: it follows death within 1 ms."""
_STACKS_SECONDS: Final = 0.5
_OUTSIDE: Final = tuple(
    str(folder)
    for folder in (
        *map(sysconfig.get_paths().__getitem__, ("stdlib", "purelib")),
        *(Path(__file__).parents[2] / name for name in ("sim", "broker", "agents")),
        "<",
    )
)
_OURS_TO_SHOW: Final = str(Path(__file__).parents[2] / "agents" / "behaviours")


class Launcher(Protocol):
    """Where host processes come from."""

    def open(self, folder: str) -> None:
        """Makes ready; hosts find the broker's socket in the folder."""

    def fork(self, hosts: Sequence[tuple[int, bytes]]) -> list[int]:
        """Starts hosts with their identities; their pids, which stay theirs until reaped."""

    def reap(self, pid: int) -> int | None:
        """Kills what is left of a host's process group, waits for it; its wait status if known."""

    def close(self) -> None:
        """Ends whatever still lives."""

    @property
    def log_tail(self) -> str:
        """The last lines that hosts wrote to their standard error."""


def serve(folder: str, identity: bytes, run: Callable[[Activation], Yield]) -> NoReturn:
    """A host's whole traffic: says hello, then answers every activation with its yield."""
    context = zmq.Context(io_threads=1)
    socket = context.socket(zmq.DEALER)
    _bound(socket)
    socket.setsockopt(zmq.ROUTING_ID, identity)
    socket.connect(f"ipc://{folder}/hosts")
    receive, send = socket.recv, socket.send
    send(codec.encode_frame(Hello(PROTOCOL, os.getpid())))
    while True:
        send(codec.encode_frame(run(codec.decode_activation(receive()))))


def _bound(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES_MAX)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, _FRAMES_UNREAD_MAX)


@dataclass(slots=True)
class _Host:
    """One incarnation. serial: of the activation it has not answered, -1 if none."""

    number: int
    name: str
    pid: int
    pidfd: int
    identity: bytes
    serial: int = -1
    greeted: bool = False
    cause: str = ""


class ZeroMQTransport:
    """Hosts as processes that a launcher forks.

    counters: frames refused so far: `unknown` identities, `malformed` content, `late` ones of
    incarnations that are gone.
    """

    def __init__(self, launcher: Launcher, *, progress: Progress | None = None) -> None:
        if zmq.zmq_version_info() < (4, 3, 5):
            raise InstallationError(
                f"libzmq {zmq.zmq_version()} has known holes; install pyzmq >= 26.2 from a wheel"
            )
        self.counters = {"unknown": 0, "malformed": 0, "late": 0}
        self._launcher = launcher
        self._progress = progress
        self._hosts: dict[int, _Host] = {}
        self._by_identity: dict[bytes, _Host] = {}
        self._by_pidfd: dict[int, _Host] = {}
        self._retired: set[bytes] = set()
        self._backlog: list[tuple[int, Yield | HostLost]] = []
        self._unwatched = 0
        self._folder = make_folder(FOLDER, "hosts")
        self._router = zmq.Context(io_threads=1).socket(zmq.ROUTER)
        self._epoll = select.epoll()
        self._send, self._receive = self._router.send, self._router.recv
        self._pollset: list[tuple[Any, int]] = [
            (self._router, zmq.POLLIN),
            (self._epoll.fileno(), zmq.POLLIN),
        ]
        self._end = weakref.finalize(
            self, _end, os.getpid(), launcher, self._router, self._epoll, self._folder
        )
        try:
            self._listen()
            launcher.open(self._folder)
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        path = f"{self._folder}/hosts"
        if len(os.fsencode(path)) > _IPC_PATH_BYTES_MAX:
            raise InstallationError(f"the path of the socket is too long: {path}; set TMPDIR")
        _bound(self._router)
        self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._router.setsockopt(zmq.RCVTIMEO, _QUIET_MS)
        self._router.bind(f"ipc://{path}")

    @property
    def processes(self) -> int:
        """Host processes alive."""
        return len(self._hosts)

    def start(self, hosts: Sequence[int]) -> None:
        """Forks hosts and waits for their hellos; again those that were killed meanwhile.

        Raises: InstallationError with the end of their log if one ends before its hello.
        """
        for left in range(_STARTS_MAX, -1, -1):
            lost = self._start(hosts)
            for each in lost:
                if each.cause.startswith("exit") or not left:
                    self._fail_start(each.cause, each.host)
            hosts = [each.host for each in lost]
            if not hosts:
                return

    def _start(self, hosts: Sequence[int]) -> list[HostLost]:
        """Forks hosts; when each has said hello or ended, returns those that ended."""
        _raise_descriptor_limit(2 * (len(self._hosts) + len(hosts)) + 256)
        secret = [(host, b"h" + secret_bytes(16)) for host in hosts]
        for (host, identity), pid in zip(secret, self._launcher.fork(secret), strict=True):
            entry = _Host(host, f"host {host}", pid, os.pidfd_open(pid), identity)
            self._hosts[host] = self._by_identity[identity] = entry
            self._by_pidfd[entry.pidfd] = entry
            self._epoll.register(entry.pidfd, select.EPOLLIN)
        until = clock.monotonic() + _START_SECONDS
        missing = set(hosts)
        lost: list[HostLost] = []
        while missing:
            for host, answer in self._wait(max(0.0, until - clock.monotonic())):
                if isinstance(answer, HostLost) and host in missing:
                    lost.append(answer)
                    missing.discard(host)
                else:
                    self._backlog.append((host, answer))
            missing = {host for host in missing if not self._hosts[host].greeted}
            if self._progress:
                self._progress(len(hosts) - len(missing), len(hosts))
            if missing and clock.monotonic() > until:
                self._fail_start(f"no hello in {_START_SECONDS:.0f} s", min(missing))
        return lost

    def _fail_start(self, cause: str, host: int) -> NoReturn:
        tail = self._launcher.log_tail
        raise InstallationError(f"host {host} did not come up ({cause})\n{tail}".rstrip())

    def send(self, host: int, activation: Activation) -> None:
        """Hands over an activation. That a host cannot be reached is no news: its pidfd tells."""
        entry = self._hosts.get(host)
        if entry is None:
            return
        entry.serial = activation.serial
        frame = codec.encode_frame(activation)
        try:
            self._send(entry.identity, _SNDMORE_NOBLOCK)
            self._send(frame, _NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise

    def poll(self, timeout_s: float | None) -> list[tuple[int, Yield | HostLost]]:
        """What has come. May be empty before a timeout, if only noise came."""
        answers, self._backlog = self._backlog, []
        if not answers:
            answers = self._wait(timeout_s)
            while not answers and timeout_s is None:
                answers = self._wait(None)
        return answers

    def _wait(self, timeout_s: float | None) -> list[tuple[int, Yield | HostLost]]:
        """Blocks on the socket alone while hosts are busy, as that costs half of a poll; after a
        quiet moment on deaths, too."""
        answers: list[tuple[int, Yield | HostLost]] = []
        if timeout_s is None or timeout_s * 1000 >= _QUIET_MS:
            try:
                self._take(self._receive(), answers)
            except zmq.Again:
                timeout_s = timeout_s and timeout_s - _QUIET_MS / 1000
            else:
                self._unwatched += 1
                if self._unwatched > _UNWATCHED_MAX:
                    self._unwatched = 0
                    self._bury(answers)
                return answers
        wait_ms = -1 if timeout_s is None else int(timeout_s * 1000) + (timeout_s > 0)
        for item, _ in zmq.zmq_poll(self._pollset, wait_ms):
            if item is self._router:
                self._drain(answers)
            else:
                self._bury(answers)
        return answers

    def _drain(self, answers: list[tuple[int, Yield | HostLost]]) -> None:
        """Takes all frames that are there."""
        try:
            while True:
                self._take(self._receive(_NOBLOCK), answers)
        except zmq.Again:
            return

    def _take(self, identity: bytes, answers: list[tuple[int, Yield | HostLost]]) -> None:
        """Reads the frame behind an identity, and judges it."""
        frame = self._receive(_NOBLOCK)
        while self._router.getsockopt(_RCVMORE):
            self._receive(_NOBLOCK)
            frame = b""
        entry = self._by_identity.get(identity)
        if entry is None:
            self.counters["late" if identity in self._retired else "unknown"] += 1
            return
        if entry.cause:  # it is being ended for an earlier one; whatever follows does not count
            self.counters["malformed"] += 1
            return
        try:
            record = codec.decode_reply(frame, entry.name)
            if isinstance(record, Hello):
                self._greet(entry, record)
            elif record.serial == entry.serial:
                entry.serial = -1
                answers.append((entry.number, record))
            else:
                raise MalformedFrameError(f"{entry.name}: yield {record.serial} unasked")
        except WireError as error:
            self.counters["malformed"] += 1
            entry.cause = str(error)
            self._signal(entry.number, signal.SIGKILL)

    def _greet(self, entry: _Host, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            raise VersionMismatchError(f"{entry.name} speaks protocol {hello.protocol}")
        if hello.pid != entry.pid or entry.greeted:
            raise MalformedFrameError(f"{entry.name}: a hello of process {hello.pid}")
        entry.greeted = True

    def _bury(self, answers: list[tuple[int, Yield | HostLost]]) -> None:
        """Reports hosts whose processes have ended, after everything they still said."""
        for pidfd, _ in self._epoll.poll(0):
            entry = self._by_pidfd[pidfd]
            self._settle(entry, answers)
            cause = _cause(entry, self._remove(entry))
            if cause == _FAULT:
                cause += f": {self._launcher.log_tail.rstrip().rpartition(chr(10))[2]}"
            answers.append((entry.number, HostLost(entry.number, cause, entry.pid)))

    def _settle(self, entry: _Host, answers: list[tuple[int, Yield | HostLost]]) -> None:
        """Reads until the end of a dead host's connection, which shows as an unreachable peer."""
        until = clock.monotonic() + _SETTLE_SECONDS
        while True:
            self._drain(answers)
            if entry.serial < 0 or clock.monotonic() > until:
                return
            try:
                self._send(entry.identity, _SNDMORE_NOBLOCK)
                self._send(b"", _NOBLOCK)
            except zmq.ZMQError:
                self._drain(answers)
                return
            self._router.poll(1)

    def _remove(self, entry: _Host) -> int | None:
        status = self._launcher.reap(entry.pid)
        self._epoll.unregister(entry.pidfd)
        del self._hosts[entry.number], self._by_pidfd[entry.pidfd]
        del self._by_identity[entry.identity]
        self._retired.add(entry.identity)
        os.close(entry.pidfd)
        return status

    def kill(self, host: int) -> None:
        """Ends a host with its process group."""
        entry = self._hosts.get(host)
        if entry is not None:
            self._signal(host, signal.SIGKILL)
            self._remove(entry)
        self._backlog = [answer for answer in self._backlog if answer[0] != host]

    def restart(self, host: int) -> None:
        """A fresh incarnation, with a new secret. One that ends at once is reported as lost."""
        self.kill(host)
        self._backlog.extend((host, lost) for lost in self._start([host]))

    def stop(self, host: int) -> None:
        """SIGSTOP."""
        self._signal(host, signal.SIGSTOP)

    def resume(self, host: int) -> None:
        """SIGCONT."""
        self._signal(host, signal.SIGCONT)

    def _signal(self, host: int, number: signal.Signals) -> None:
        entry = self._hosts.get(host)
        if entry is not None:
            try:
                signal.pidfd_send_signal(entry.pidfd, number)
            except ProcessLookupError:
                pass

    def info(self) -> dict[int, HostInfo]:
        """Processor time, memory and state of each host, from /proc."""
        found = {}
        for host, entry in self._hosts.items():
            try:
                fields = Path(f"/proc/{entry.pid}/stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            size = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            found[host] = HostInfo(entry.pid, ticks, size, fields[0])
        return found

    def stacks(self, host: int) -> str:
        """The author's frames a host is in, innermost first; nothing from a frozen host."""
        path = Path(self._folder, f"stacks-{host}")
        if host not in self._hosts or not path.exists():
            return ""
        os.truncate(path, 0)
        self._signal(host, signal.SIGUSR1)
        until = clock.monotonic() + _STACKS_SECONDS
        text = ""
        while clock.monotonic() < until:
            clock.pause(0.005)
            before, text = text, path.read_text(errors="replace")
            if text and text == before:
                break
        return "\n".join(line for line in text.splitlines() if _is_authors(line))

    def close(self) -> None:
        """Ends every host and the launcher, closes the sockets, removes the folder."""
        for entry in self._hosts.values():
            self._signal(entry.number, signal.SIGKILL)
        self._end()
        for entry in self._hosts.values():
            os.close(entry.pidfd)
        self._hosts.clear()
        self._by_pidfd.clear()
        self._by_identity.clear()
        self._backlog.clear()


def _end(
    owner: int, launcher: Launcher, router: zmq.Socket[bytes], epoll: select.epoll, folder: str
) -> None:
    """What close does, once; also when the interpreter ends without it, but not in a copy of it."""
    if os.getpid() != owner:
        return
    try:
        launcher.close()
    finally:
        epoll.close()
        router.close(0)
        router.context.term()
        shutil.rmtree(folder, ignore_errors=True)


def _cause(entry: _Host, status: int | None) -> str:
    """Why a process ended, in words."""
    if entry.cause:
        return entry.cause
    if status is None:
        return "its launcher ended"
    code = os.waitstatus_to_exitcode(status)
    return f"exit {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"


def _is_authors(line: str) -> bool:
    """Whether a line of a dump is a frame in code that is not the library's or Python's."""
    head, _, rest = line.partition('File "')
    return head.isspace() and (
        rest.startswith(_OURS_TO_SHOW) or not rest.startswith((*_OUTSIDE, sys.prefix))
    )


def _raise_descriptor_limit(needed: int) -> None:
    """Each host takes two file descriptors here: a pidfd and a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise InstallationError(f"{needed} open files are needed, {hard} allowed; see ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
