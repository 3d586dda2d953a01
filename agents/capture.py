"""What agents print or log becomes an event with their name and virtual time."""

from __future__ import annotations

import io
import logging
import os
import sys
from asyncio import events
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TextIO

from agents.loop import AgentLoop
from sim.errors import AgentError

if TYPE_CHECKING:
    from agents.runtime import Cell


class _Current:
    cell: Cell | None = None


current = _Current()
"""The agent that is running now; None between agents."""


class _Capture(io.TextIOBase):
    """A standard stream that gives whole lines to the agent which is running."""

    def __init__(self, stream: TextIO, level: str) -> None:
        self.stream = stream
        self.level = level

    def write(self, text: str) -> int:
        if current.cell is None:
            return self.stream.write(text)
        current.cell.write(self.level, text)
        return len(text)

    def flush(self) -> None:
        if not self.stream.closed:
            self.stream.flush()


class _Handler(logging.Handler):
    """Gives what is logged to the agent which is running; what nobody logged goes where it would
    have gone without this handler.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if current.cell is not None:
            current.cell.log(record.levelname.lower(), self.format(record))
        elif logging.getLogger().handlers == [self] and logging.lastResort is not None:
            if record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)


_handler = _Handler()


def _debug(*args: object, **options: object) -> None:
    """`breakpoint()` in an agent: a debugger on the real terminal."""
    if captured.is_kept:
        raise AgentError("breakpoint(): a process of agents has no terminal; use sim run --inline")
    import pdb

    streams = sys.stdout, sys.stderr
    real = [s.stream if isinstance(s, _Capture) else s for s in streams]
    pdb.Pdb(stdin=sys.stdin, stdout=real[0]).set_trace(sys._getframe(1))


_NO_FORK: Final = "agents may not fork: a copy would run the simulation a second time"
_NO_EXIT: Final = "os._exit() in memory would end the whole run, and without a word"


def _guarded(call: Callable[..., Any], why: str) -> Callable[..., Any]:
    """What agents of this process may not do; other threads of it may."""

    def guarded(*args: Any) -> Any:
        if isinstance(events._get_running_loop(), AgentLoop):
            raise AgentError(why)
        return call(*args)

    return guarded


class _Captured:
    """While inside, standard streams and logging belong to the running agent."""

    __slots__ = ("_calls", "_depth", "_streams", "is_kept")

    def __init__(self) -> None:
        self._streams: tuple[TextIO, TextIO, Callable[..., object]] | None = None
        self._calls = os.fork, os.forkpty, os._exit
        self._depth = 0
        self.is_kept = False
        """In a process of agents only, the streams are theirs once and for all."""

    def __enter__(self) -> None:
        if self.is_kept and self._streams is not None:
            return
        self._depth += 1
        if type(sys.stdout) is _Capture:
            return
        self._streams = sys.stdout, sys.stderr, sys.breakpointhook
        sys.stdout = _wrapped(sys.stdout, "print")
        sys.stderr = _wrapped(sys.stderr, "error")
        sys.breakpointhook = _debug
        if not self.is_kept:
            self._calls = fork, forkpty, leave = os.fork, os.forkpty, os._exit
            os.fork, os.forkpty = _guarded(fork, _NO_FORK), _guarded(forkpty, _NO_FORK)
            os._exit = _guarded(leave, _NO_EXIT)
        root = logging.getLogger()
        if _handler not in root.handlers:
            if not root.handlers and root.level == logging.WARNING:
                root.setLevel(logging.INFO)
            root.addHandler(_handler)

    def __exit__(self, *fault: object) -> None:
        if self.is_kept:
            return
        self._depth -= 1
        if self._depth == 0 and self._streams is not None:
            sys.stdout, sys.stderr, sys.breakpointhook = self._streams
            self._streams = None
            os.fork, os.forkpty, os._exit = self._calls


_wraps: dict[str, _Capture] = {}


def _wrapped(stream: TextIO, level: str) -> _Capture:
    """The capture of a stream, made anew only when the stream changes."""
    wrap = _wraps.get(level)
    if wrap is None or wrap.stream is not stream:
        wrap = _wraps[level] = _Capture(stream, level)
    return wrap


captured = _Captured()
