"""The console as a program: for a run that is alive, for one that was recorded."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from sim.console import terminal
from sim.console.app import DETACHED, STOPPED, Console
from sim.console.source import LiveSource, RecordedSource, Recording, Source
from sim.errors import SimError

_NICE: Final = 5
"""Priority given up to the run that is watched: on a full machine frames come less often."""


def run_live(address: str, is_owner: bool = False, is_read_only: bool = False) -> int:
    """Shows the run behind this address until the person leaves. Returns an exit code.

    Raises: SimError if nobody answers there, or this is no terminal.
    """
    _need_terminal()
    os.nice(_NICE)
    source = LiveSource(address, is_read_only)
    return _show(source, is_owner)


def run_recorded(recording: Recording) -> int:
    """Plays a recording until the person leaves. Returns an exit code.

    Raises: SimError if it is empty, or this is no terminal.
    """
    _need_terminal()
    return _show(RecordedSource(recording), False)


def _need_terminal() -> None:
    if "TEXTUAL_DRIVER" not in os.environ and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SimError("the console needs a terminal; plain lines come from `sim run` itself")


def _show(source: Source, is_owner: bool) -> int:
    app = Console(source, is_owner)
    terminal.watch()
    try:
        left = app.run()
    except OSError as error:
        terminal.end_if_gone(error)
        raise
    finally:
        source.close()
    if app.return_code:
        return app.return_code
    if app.state.is_lost:
        print(app.state.lost_text)
        return SimError.exit_code
    if left == DETACHED and not source.is_recorded:
        name = Path(source.intro.directory).name or "the run"
        print(f"{name} goes on; `sim watch` looks at it again")
    if left == STOPPED:
        print("the run was stopped")
    return 0
