"""The console as a process: on this terminal, for a run that this process conducts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TypeAlias

Popen: TypeAlias = "subprocess.Popen[bytes]"


def start_console(address: str, *options: str) -> Popen:
    """Starts the console of the run's owner. It has the terminal until it ends."""
    here = os.pathsep.join(filter(None, [*sys.path, os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
        [sys.executable, "-m", "sim.console", "--live", address, "--owner", *options],
        env={**os.environ, "PYTHONPATH": here},
    )
