"""What watching costs: the smart grid's morning at full speed with and without a console.

Without, with an onlooker that takes ten frames a second and draws nothing, and with the real
console drawing them on a terminal of 160 x 45. Same machine, in turns; the ratio is of wall times.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import statistics
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

from common import machine

import sim

ROUNDS = 3
DURATION = "24h"


@contextlib.contextmanager
def nobody(address: str) -> Iterator[None]:
    """No onlooker."""
    yield


@contextlib.contextmanager
def listener(address: str) -> Iterator[None]:
    """Takes frames in a process of its own."""
    code = (
        "import sys; from sim.wire.control import ControlClient\n"
        "client = ControlClient(sys.argv[1]); client.ask('watch')\n"
        "while client.is_open: client.news(0.2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, address])
    yield
    process.kill()
    process.wait()


@contextlib.contextmanager
def console(address: str) -> Iterator[None]:
    """The console, on a terminal that nobody looks at."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 160, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "sim.console", "--live", address],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip

    def drain() -> None:
        with contextlib.suppress(OSError):
            while os.read(ours, 65536):
                pass

    threading.Thread(target=drain, daemon=True).start()
    yield
    process.kill()
    process.wait()
    os.close(theirs)


def wall_seconds(watch: Callable[[str], Any]) -> float:
    """A run with that onlooker."""
    with contextlib.ExitStack() as stack:
        result = sim.run(
            "smart_grid", duration=DURATION, record=False, compare=False, speed="max",
            on_live=lambda address: stack.enter_context(watch(address)),
        )  # fmt: skip
    assert result.status == "completed"
    return result.wall_seconds


def main() -> None:
    """Prints one line of JSON."""
    found: dict[str, list[float]] = {"nobody": [], "listener": [], "console": []}
    for _ in range(ROUNDS):
        for watch in (nobody, listener, console):
            found[watch.__name__].append(wall_seconds(watch))
    best = {name: min(times) for name, times in found.items()}
    middle = {name: statistics.median(times) for name, times in found.items()}
    print(
        json.dumps(
            {
                "benchmark": "console",
                "wall_seconds": {n: [round(t, 2) for t in times] for n, times in found.items()},
                "cost_of_frames": round(best["listener"] / best["nobody"] - 1, 3),
                "cost_of_console": round(best["console"] / best["nobody"] - 1, 3),
                "cost_of_console_median": round(middle["console"] / middle["nobody"] - 1, 3),
                "aim": 0.10,
                **machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
