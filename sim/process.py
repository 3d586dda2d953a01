"""This process while it drives a run: signals, garbage collection, threads; all put back after."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

_GRACE_SECONDS: Final = 1.0
"""How long Ctrl-C waits for the end of a window; an agent that blocks never reaches it."""


class Interrupts:
    """Ctrl-C. While virtual time runs it is noted, and acted upon between two windows, so that the
    books are in order; a second one, or a window that does not end, is acted upon at once, and
    further ones do not disturb the end. A termination is the same, and is then let through.
    Elsewhere than in the main thread, and where handlers of others are, signals are somebody
    else's.

    grace_seconds: how long what is deferred may take until Ctrl-C is acted upon at once; None
    waits for it.
    on_request:    called on a thread of its own as soon as a deferred one is noted.
    """

    def __init__(
        self,
        grace_seconds: float | None = _GRACE_SECONDS,
        on_request: Callable[[], None] | None = None,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._on_request = on_request
        self._is_deferred = False
        self._is_requested = False
        self._is_termination = False
        self._before: dict[int, Any] = {}
        self._again: threading.Timer | None = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._handle)
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._is_termination:
            signal.raise_signal(signal.SIGTERM)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._is_termination = self._is_termination or number == signal.SIGTERM
        if self._is_deferred and not self._is_requested:
            self._is_requested = True
            if self._on_request is not None:
                # The main thread may hold a lock of what is to be told: it is not told here.
                threading.Thread(target=self._on_request, daemon=True).start()
            if self._grace_seconds is not None:
                self._again = threading.Timer(self._grace_seconds, self._insist, (number,))
                self._again.daemon = True
                self._again.start()
        elif self._is_deferred or not self._is_requested:
            self._is_requested = True
            raise KeyboardInterrupt

    def _insist(self, number: int) -> None:
        """The same signal again: it wakes the main thread from whatever it does."""
        main = threading.main_thread().ident
        if self._is_deferred and main is not None:
            signal.pthread_kill(main, number)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While inside, Ctrl-C waits for `check`."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
            if self._again is not None:
                self._again.cancel()

    @property
    def is_requested(self) -> bool:
        """Whether one is due."""
        return self._is_requested

    def check(self) -> None:
        """Raises: KeyboardInterrupt if one is due."""
        if self._is_requested:
            raise KeyboardInterrupt


@contextlib.contextmanager
def no_collector(is_inline: bool) -> Iterator[None]:
    """Inline agents collect garbage on their grid of virtual time, and not in between."""
    if not is_inline or not gc.isenabled():
        yield
        return
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in torch do not depend on how many cores there are; small tensors are faster, too."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)
