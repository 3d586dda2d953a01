"""The process that forks hosts: small, single-threaded, everything loaded once.

It knows fork and reap, one answer each, and leave, on a socketpair to the broker. When the
broker ends, however it ends, every host with its process group is killed and reaped, the folders of
the run's sockets are removed, and the launcher exits. Hosts carry a parent-death signal towards
this process, so they end with it, too. Pids stay reserved until the broker asks to reap them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import shutil
import signal
import socket
import traceback
from typing import Final

import msgspec

from agents import host
from sim.wire import control
from sim.wire.folders import remove_folders

REQUEST_BYTES_MAX: Final = 4096
_END_MS: Final = 2000
NOT_OURS: Final = -1
"""Answer to reaping a process that is no child of this launcher."""
_PR_SET_CHILD_SUBREAPER: Final = 36


class Config(msgspec.Struct, frozen=True):
    """What a launcher is told when it starts. preload: modules loaded before the first fork."""

    broker: int
    folder: str
    runtime: str
    preload: list[str]
    data_bytes_max: int | None


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Asks for a host; the answer is its pid. identity: hexadecimal."""

    host: int
    identity: str


class Reap(msgspec.Struct, frozen=True, tag="reap"):
    """Asks to end and forget a host; the answer is its wait status."""

    pid: int


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """Says that the broker needs no hosts any more, and goes on; there is no answer."""


def main(descriptor: int, text: str) -> None:
    """Serves until the broker is gone, and clears up after it."""
    config = msgspec.json.decode(text, type=Config)
    hosts: set[int] = set()
    is_told = False
    try:
        _quiet()
        broker = os.pidfd_open(config.broker)
        if os.getppid() == config.broker:
            for name in config.preload:
                importlib.import_module(name)
            gc.collect()
            gc.freeze()
            is_told = _serve(config, socket.socket(fileno=descriptor), broker, hosts)
    except ProcessLookupError:
        pass
    finally:
        for pid in hosts:
            _kill(pid)
        _sweep(set())
        shutil.rmtree(config.folder, ignore_errors=True)
        if not is_told and _has_ended(config.broker):
            remove_folders(control.FOLDER, config.broker)


def _quiet() -> None:
    """Whatever the user's program does with signals: default here, except Ctrl-C, which is its."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    subreaper(True)


def _has_ended(broker: int) -> bool:
    """Whether the broker ends; its socket closes a moment before its process is gone."""
    try:
        watch = select.poll()
        watch.register(os.pidfd_open(broker), select.POLLIN)
        return bool(watch.poll(_END_MS))
    except ProcessLookupError:
        return True


def _serve(config: Config, channel: socket.socket, broker: int, hosts: set[int]) -> bool:
    """Whether the broker said that it leaves; else it has ended, or hung up."""
    decode = msgspec.json.Decoder(Fork | Reap | Leave).decode
    watch = select.poll()
    watch.register(channel, select.POLLIN)
    watch.register(broker, select.POLLIN)
    while all(descriptor != broker for descriptor, _ in watch.poll()):
        try:
            received = channel.recv(REQUEST_BYTES_MAX)
            if not received:
                return False
            request = decode(received)
            if isinstance(request, Leave):
                return True
            if isinstance(request, Fork):
                answer = _fork(config, request, (channel.fileno(), broker))
                hosts.add(answer)
            else:
                answer = _reap(request.pid, hosts)
            channel.send(msgspec.json.encode(answer))
        except ConnectionError:
            return False
    return False


def _fork(config: Config, request: Fork, private: tuple[int, int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        for descriptor in private:
            os.close(descriptor)
        identity = bytes.fromhex(request.identity)
        memory = config.data_bytes_max
        host.main(request.host, identity, config.folder, config.runtime, parent, memory)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(host.FAULT_EXIT)


def _reap(pid: int, hosts: set[int]) -> int:
    if pid not in hosts:
        return NOT_OURS
    _kill(pid)
    _, status = os.waitpid(pid, 0)
    hosts.discard(pid)
    _sweep(hosts)
    return status


def _kill(pid: int) -> None:
    """A host and its group; the group may not exist yet, or no more."""
    for kill in (os.kill, os.killpg):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _sweep(keep: set[int]) -> None:
    """Ends processes that agents started and left behind; they are this subreaper's children."""
    while True:
        found: set[int] = set()
        with contextlib.suppress(FileNotFoundError), open("/proc/thread-self/children") as file:
            found = {int(pid) for pid in file.read().split()} - keep
        if not found:
            return
        for pid in found:
            _kill(pid)
            os.waitpid(pid, 0)


def subreaper(on: bool) -> None:
    """Whether processes below that lose their parent become children of this one."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)
