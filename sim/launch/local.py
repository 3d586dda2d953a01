"""The launcher of this machine, seen from the broker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from sim.errors import InstallationError
from sim.launch import launcher
from sim.wire import transport
from sim.wire.transport import Progress
from sim.wire.zeromq import ZeroMQTransport

PRELOAD: Final = ("numpy", "msgspec", "zmq", "agents.host")
ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
"""What hosts find whatever the user has set: equal hashes, one thread for linear algebra."""
_BOOT: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[2]); "
    "from sim.launch.launcher import main; main(int(sys.argv[1]), sys.argv[3])"
)
_MARK: Final = "SIM_HOSTS"
"""In the environment of hosts and of all they start: the transport's folder, as nobody else's."""
_BATCH: Final = 32
"""Requests sent ahead of their answers: more would fill the socket from both ends."""
_ANSWER_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 5.0
_DEATH_SECONDS: Final = 1.0
"""How long a launcher that hung up is waited for: hosts end with it, and may be seen to before."""
_LAUNCHERS_MAX: Final = 4
"""How often in a row a launcher may be killed while it is asked for hosts."""
_TAIL_BYTES: Final = 4000


def process_transport(
    *,
    runtime: str = transport.RUNTIME,
    preload: Sequence[str] = (),
    log: str | Path | None = None,
    data_bytes_max: int | None = None,
    environment: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> ZeroMQTransport:
    """Hosts as processes of this machine.

    runtime: `module:class`. preload: loaded before the forks, what many agents import. log: where
    what hosts write past the capture of `print` goes; removed at the end if None. data_bytes_max:
    private memory of a host. environment: over the fixed one.
    """
    modules = [*PRELOAD, runtime.partition(":")[0], *preload]
    local = LocalLauncher(runtime, modules, log, data_bytes_max, environment or {})
    return ZeroMQTransport(local, progress=progress)


class LocalLauncher:
    """Starts the launcher process, and again should it have been killed; asks it for hosts."""

    def __init__(
        self,
        runtime: str,
        preload: Sequence[str],
        log: str | Path | None,
        data_bytes_max: int | None,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = (runtime, list(dict.fromkeys(preload)), data_bytes_max)
        self._environment = {**os.environ, **ENVIRONMENT, **environment}
        self._log_path = log
        self._log: IO[bytes] | None = None
        self._folder = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    @property
    def pid(self) -> int:
        """The launcher process."""
        assert self._process is not None
        return self._process.pid

    def open(self, folder: str) -> None:
        """Starts the launcher process; what it loads, it loads while the broker goes on."""
        if self._log is None:
            self._log = open(self._log_path or f"{folder}/hosts.log", "a+b")
            _adopt(1)
        self._folder = folder
        runtime, preload, data_bytes_max = self._settings
        config = launcher.Config(os.getpid(), folder, runtime, preload, data_bytes_max)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_ANSWER_SECONDS)
        with theirs:
            arguments = (
                str(theirs.fileno()),
                json.dumps([os.path.abspath(entry) for entry in sys.path]),
                msgspec.json.encode(config).decode(),
            )
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
                [sys.executable, "-c", _BOOT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                env={**self._environment, _MARK: folder},
                process_group=0,
            )

    def fork(self, hosts: Sequence[tuple[int, bytes]]) -> list[int]:
        """Starts hosts; the answers are their pids, in order.

        A launcher that was killed, before this or meanwhile, is replaced; hosts follow the old one.
        """
        for _ in range(_LAUNCHERS_MAX):
            self._replace_killed()
            try:
                return self._ask_for(hosts)
            except OSError as error:
                reason = f"the launcher of the hosts ended or does not answer ({error})"
                if not self._is_killed(_DEATH_SECONDS):
                    break
        raise InstallationError(f"{reason}\n{self.log_tail}".rstrip())

    def _ask_for(self, hosts: Sequence[tuple[int, bytes]]) -> list[int]:
        pids: list[int] = []
        for at in range(0, len(hosts), _BATCH):
            batch = hosts[at : at + _BATCH]
            for host, identity in batch:
                self._send(launcher.Fork(host, identity.hex()))
            pids.extend(self._answer() for _ in batch)
        return pids

    def _is_killed(self, timeout_s: float = 0.0) -> bool:
        """Whether the launcher ended by a signal; waits so long for an end that is under way."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_s) < 0
        except subprocess.TimeoutExpired:
            return False

    def _replace_killed(self) -> None:
        if self._is_killed():
            self._hang_up()
            self._end_strays()
            self.open(self._folder)

    def reap(self, pid: int) -> int | None:
        """Ends a host's process group and waits for it; if the launcher is gone, in its place."""
        try:
            self._send(launcher.Reap(pid))
            status = self._answer()
            if status != launcher.NOT_OURS:
                return status
        except OSError:
            pass
        try:
            os.killpg(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            # This is how hosts follow their launcher, which is then the cause.
            return None if status == signal.SIGKILL else status
        except (ProcessLookupError, ChildProcessError):
            return None

    def _send(self, request: launcher.Fork | launcher.Reap | launcher.Leave) -> None:
        assert self._channel is not None
        self._channel.send(msgspec.json.encode(request))

    def _answer(self) -> int:
        assert self._channel is not None
        answer = self._channel.recv(launcher.REQUEST_BYTES_MAX)
        if not answer:
            raise ConnectionResetError("it hung up")
        return msgspec.json.decode(answer, type=int)

    @property
    def log_tail(self) -> str:
        """The end of what the launcher and the hosts wrote."""
        assert self._log is not None
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return self._log.read().decode(errors="replace")

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _end_strays(self) -> None:
        """Ends what a launcher that was killed left to this process, by its mark."""
        mark = f"{_MARK}={self._folder}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    os.kill(int(path.name), signal.SIGKILL)
                    os.waitpid(int(path.name), 0)
            except (OSError, ValueError):
                continue

    def close(self) -> None:
        """Leaves, upon which the launcher ends every host and itself."""
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._send(launcher.Leave())
        self._hang_up()
        if self._process is not None:
            try:
                self._process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.returncode < 0:
                self._end_strays()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None
            _adopt(-1)


_adopting = 0
_adopting_lock = threading.Lock()


def _adopt(change: int) -> None:
    """While a launcher runs, orphans of it come to this process, which can then reap them."""
    global _adopting
    with _adopting_lock:
        _adopting += change
        launcher.subreaper(_adopting > 0)
