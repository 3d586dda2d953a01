"""A process that works out, beside a run that goes on, what its outcome is read against.

It runs at the lowest priority, so that it takes only what the run leaves, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, TypeAlias

from sim.launch.local import ENVIRONMENT

Popen: TypeAlias = "subprocess.Popen[bytes]"
_BOOT: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[3]); "
    "from sim.comparison import main; main(sys.argv[1], int(sys.argv[2]))"
)


def start_columns(run_dir: Path) -> Popen:
    """Begins to fill `columns.json` in the directory of a run."""
    path = json.dumps([os.path.abspath(entry) for entry in sys.path])
    return subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
        [sys.executable, "-c", _BOOT, str(run_dir), str(os.getpid()), path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
        process_group=0,
    )
