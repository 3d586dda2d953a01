"""The processes of a run, as /proc shows them, and the killing of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_SECONDS = 30.0


def children(pid: int) -> list[int]:
    """Direct children that have not ended, oldest first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append((int(fields[19]), int(path.parent.name)))
    return [number for _, number in sorted(found)]


def launcher_of(broker: int) -> int:
    """The launcher of a broker's run; 0 if there is none just now."""
    for pid in children(broker):
        try:
            if b"sim.launch.launcher" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        except OSError:
            continue
    return 0


def hosts_of(broker: int) -> list[int]:
    """The host processes of a broker's run, oldest first."""
    launcher = launcher_of(broker)
    return children(launcher) if launcher else []


def marked(mark: str) -> list[int]:
    """Processes whose environment holds a text, zombies aside."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def kill(pid: int) -> None:
    """kill -9; nothing if it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_until(condition: Callable[[], object]) -> None:
    """Waits for a condition; fails if it does not come true in good time."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.01)
