"""A terminal that goes away ends the console, and nothing is written about it."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

from rich.traceback import Traceback

from sim.console import terminal

_PLAYER = """
import sys
from console.fakes import FakeRecording, stored
from sim.console.run import run_recorded
sys.exit(run_recorded(FakeRecording(*stored("quickstart"))))
"""


def test_a_terminal_that_is_hung_up_ends_the_console(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    written = tmp_path / "stderr"
    with written.open("wb") as errors:
        player = subprocess.Popen(
            [sys.executable, "-c", _PLAYER], stdin=slave, stdout=slave, stderr=errors,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "TERM": "xterm"},
        )  # fmt: skip
    os.close(slave)
    try:
        until = time.monotonic() + 20
        while b"quickstart" not in written.read_bytes() and time.monotonic() < until:
            time.sleep(0.05)
        assert player.poll() is None
        os.close(master)
        assert player.wait(10) == 1
    finally:
        player.kill()
    assert b"Traceback" not in written.read_bytes()
    assert b"Error" not in written.read_bytes()


def test_only_a_terminal_that_cannot_be_read_is_passed_over() -> None:
    def drawn(error: Exception) -> Traceback:
        return Traceback.from_exception(type(error), error, None)

    assert terminal._is_unread(drawn(OSError(errno.EIO, "Input/output error")))
    assert terminal._is_unread(OSError(errno.EIO, "Input/output error"))
    assert not terminal._is_unread(drawn(OSError(errno.ENOENT, "no such file")))
    assert not terminal._is_unread(drawn(ValueError("[Errno 5]")))
