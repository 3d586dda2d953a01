"""What becomes of the console when its terminal goes away: it ends, and says nothing to nobody."""

from __future__ import annotations

import errno
import os
import sys
import termios
import threading
from typing import Final

from rich.traceback import Traceback

from sim.clock import pause
from sim.errors import SimError

_LOOK_SECONDS: Final = 0.5
_EIO: Final = f"[Errno {errno.EIO}]"


def is_gone() -> bool:
    """Whether there was a terminal at the standard input and it has been hung up."""
    try:
        termios.tcgetattr(0)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    return False


def end_if_gone(*failures: object) -> None:
    """Ends this process at once if its terminal is gone: whatever is written would wait for ever.

    failures: exceptions, or tracebacks as drawn by rich. One of them that says that the terminal
    cannot be read, as whoever is left behind in the background of a shell is told, counts too.
    The run knows nothing of it; to the broker this is an onlooker that takes no more frames.
    """
    if is_gone() or any(map(_is_unread, failures)):
        os._exit(SimError.exit_code)


def _is_unread(failure: object) -> bool:
    if isinstance(failure, Traceback):
        stacks = failure.trace.stacks
        return any(s.exc_type == "OSError" and _EIO in s.exc_value for s in stacks)
    return isinstance(failure, OSError) and failure.errno == errno.EIO


def watch() -> None:
    """From now on ends the process when the terminal goes."""
    before = threading.excepthook

    def failed(what: threading.ExceptHookArgs) -> None:
        end_if_gone(what.exc_value)
        before(what)

    def look() -> None:
        while True:
            pause(_LOOK_SECONDS)
            end_if_gone()

    if sys.stdin.isatty():
        threading.excepthook = failed
        threading.Thread(target=look, name="sim-terminal", daemon=True).start()
