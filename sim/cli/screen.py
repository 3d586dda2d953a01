"""The console of `sim run`: a process of its own on this terminal, and what is shown without it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from sim.console.progress import Display
from sim.launch.console import Popen, start_console
from sim.launch.launcher import subreaper
from sim.progress import Progress

_RESET: Final = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[0m"
"""Back from the other screen, with a cursor and without reports of the mouse: what a console that
was killed did not do."""


def is_terminal() -> bool:
    """Whether a person sits at both ends, at a terminal that can be drawn on."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM") not in (
        None, "", "dumb",
    )  # fmt: skip


def stand_by() -> None:
    """Leaves a process in the foreground that outlives the run's, and goes on as its child.

    Should the broker be killed, the shell would take the terminal from under the console; like
    this, the console has it until a person leaves. Signals are the child's; its end is ours.
    """
    subreaper(True)
    child = os.fork()
    if child == 0:
        subreaper(False)
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _passing_on(child, number))
    status = 0
    while True:
        try:
            pid, ended = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        if pid == child:
            status = os.waitstatus_to_exitcode(ended)
    if status < 0:
        sys.stdout.write(_RESET)
        print("the run's broker was killed; `sim resume` goes on from its log", file=sys.stderr)
    sys.stdout.flush()
    os._exit(status if status >= 0 else 128 - status)


def _passing_on(child: int, number: int) -> Callable[[int, Any], None]:
    """A terminal's own Ctrl-C reaches the child anyway; the other signals are handed on."""

    def handle(signum: int, frame: Any) -> None:
        if number != signal.SIGINT:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    return handle


class Screen:
    """Opens the console once the run has a door; where there is no console (any more), shows the
    progress instead. Use as a context manager, which is left when the person leaves the console.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._process: Popen | None = None
        self._attributes: list[Any] = []
        self._is_shown = True

    def open(self, address: str) -> None:
        """Starts the console on the run behind this address."""
        self._display.__exit__()
        self._is_shown = False
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(sys.stdin.fileno())
        self._process = start_console(address)

    def __call__(self, progress: Progress) -> None:
        """Takes news, for when there is no console."""
        if self._process is not None and self._process.poll() is not None:
            self._restore()
            self._display.__enter__()
            self._is_shown = True
        if self._process is None:
            self._display(progress)

    def _restore(self) -> None:
        """The terminal as it was."""
        process, self._process = self._process, None
        if process is not None and process.returncode < 0:
            sys.stdout.write(_RESET)
            sys.stdout.flush()
        if self._attributes:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._attributes)

    def __enter__(self) -> Screen:
        self._display.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            if error is not None:
                self._process.terminate()
            while self._process.poll() is None:
                with contextlib.suppress(KeyboardInterrupt):
                    self._process.wait()
            self._restore()
        if self._is_shown:
            self._display.__exit__()
