"""The process around agents: what makes it quiet, bounded and mortal, then the loop of its socket.

A host has a process group of its own, so Ctrl-C does not reach it (the broker decides); it dies
with its launcher, may not fork, and is watched by a timer of its own processor time. Not a session
of its own: Linux schedules sessions as rivals (autogroup), which costs a third of lockstep. The
runtime knows none of this.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import resource
import signal
from typing import Final, NoReturn

from agents.capture import captured
from sim.errors import AgentError
from sim.wire import transport, zeromq

_PR_SET_PDEATHSIG: Final = 1
_DEADLINE_TICK_SECONDS: Final = 1.0
FAULT_EXIT: Final = 70
"""The exit status of a host whose runtime, not an agent, failed."""


def main(
    host: int, identity: bytes, folder: str, spec: str, parent: int, data_bytes_max: int | None
) -> NoReturn:
    """Runs a host in a process just forked; never returns.

    parent: the launcher's pid. data_bytes_max: bound on private memory, None for none.
    """
    settle(parent)
    if data_bytes_max is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes_max, data_bytes_max))
    stacks = open(f"{folder}/stacks-{host}", "ab", buffering=0)
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    runtime = transport.load_runtime(spec, host)
    signal.signal(signal.SIGPROF, lambda number, frame: runtime.check_deadline())
    signal.setitimer(signal.ITIMER_PROF, _DEADLINE_TICK_SECONDS, _DEADLINE_TICK_SECONDS)
    refuse_forks()
    captured.is_kept = True
    zeromq.serve(folder, identity, runtime.run)


def settle(parent: int) -> None:
    """A group of its own, deaf to the terminal, dead with its parent, no collector by itself."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(FAULT_EXIT)
    for number in (signal.SIGINT, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    gc.disable()


def refuse_forks() -> None:
    """An agent that forks is told; a copy made past that ends before it touches the socket."""

    def refuse() -> NoReturn:
        raise AgentError("agents may not fork: a copy would share the host's socket with it")

    os.fork = refuse
    os.forkpty = refuse
    os.register_at_fork(after_in_child=lambda: os._exit(FAULT_EXIT))
