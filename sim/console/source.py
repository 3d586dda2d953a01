"""Where the console's frames come from: a broker that is alive, or a recording.

A source never blocks the screen: `news` returns at once, `ask` is called from a worker thread.
"""

from __future__ import annotations

import math
import os
import queue
import re
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from sim import clock
from sim.errors import SimError
from sim.units import SECOND, duration_ns, speed_factor
from sim.wire.control import ControlClient
from sim.wire.live import OPEN_ASKS, Answer, Detail, Frame, Intro, Line

BACK: Final = "back"
SEEK: Final = "seek"
"""What may be asked of a recording beside `sim.wire.live.ASKS`: a frame back; a time to go to."""
_ASK_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 0.5
_FRAMES_MAX: Final = 1000
_CLOCK: Final = re.compile(r"(?:d(\d+)\s+)?(\d{1,3}):(\d{2})(?::(\d{2}(?:\.\d+)?))?")


class Source(Protocol):
    """What the console is fed by."""

    intro: Intro
    is_read_only: bool
    is_recorded: bool

    def news(self) -> list[Frame]:
        """Frames that have come since the last call, newest last. Never blocks.

        Raises: SimError once there will be no more.
        """

    def ask(self, what: str, text: str = "") -> Answer:
        """Asks and waits for the answer, up to a few seconds. Raises: SimError."""

    def close(self) -> None:
        """Leaves; the run goes on."""


def refusal(what: str) -> Answer:
    """What an onlooker is told who may only look."""
    return Answer(number=0, is_ok=False, text=f"read-only: {what!r} would change the run")


# --- alive --------------------------------------------------------------------------------------


class LiveSource:
    """A broker's door. One thread alone holds the socket; asks and frames pass through it.

    Raises: SimError if nobody answers there.
    """

    is_recorded = False

    def __init__(
        self,
        address: str,
        is_read_only: bool = False,
        connect: Callable[[str], Any] = ControlClient,
    ) -> None:
        self.is_read_only = is_read_only
        self._client = connect(address)
        try:
            intro = self._client.ask("intro").intro
            if intro is None:
                raise SimError("the broker does not say which run it is; is it of this version?")
            self._client.ask("watch")
        except BaseException:
            self._client.close()
            raise
        self.intro: Intro = intro
        self._asks: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._frames: deque[Frame] = deque(maxlen=_FRAMES_MAX)
        self._lost = ""
        self._looked = clock.monotonic()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sim-console", daemon=True)
        self._thread.start()

    def news(self) -> list[Frame]:
        """Frames since the last call. Raises: SimError if the broker is gone."""
        frames = []
        while self._frames:
            frames.append(self._frames.popleft())
        if not frames and not self._lost and clock.monotonic() - self._looked > _SILENT_SECONDS:
            self._look()
        if not frames and self._lost:
            raise SimError(self._lost)
        return frames

    def ask(self, what: str, text: str = "") -> Answer:
        """Asks the broker. Raises: SimError if it does not answer in time."""
        if self.is_read_only and what not in OPEN_ASKS:
            return refusal(what)
        if self._lost:
            raise SimError(self._lost)
        request = _Request(what, text)
        self._asks.put(request)
        if not request.is_done.wait(2 * _ASK_SECONDS):
            raise SimError(f"the broker did not answer {what!r}")
        if request.answer is None:
            raise SimError(request.error)
        return request.answer

    def close(self) -> None:
        """Leaves; the run goes on. May be called again."""
        self._is_closed.set()
        self._thread.join(timeout=2 * _ASK_SECONDS)

    def _serve(self) -> None:
        try:
            while not self._is_closed.is_set():
                while not self._asks.empty():
                    self._pass_on(self._asks.get())
                frames = self._client.news(0.05)
                if frames:
                    self._frames.extend(frames)
                    self._looked = clock.monotonic()
                elif clock.monotonic() - self._looked > _SILENT_SECONDS:
                    self._look()
                if self._lost:
                    break
        except SimError as error:
            self._lost = self._lost or str(error)
        finally:
            self._lost = self._lost or "the console has left"
            self._leave()

    def _pass_on(self, request: _Request) -> None:
        try:
            request.answer = self._client.ask(request.what, request.text, timeout_s=_ASK_SECONDS)
        except SimError as error:
            request.error = str(error)
        request.is_done.set()

    def _look(self) -> None:
        """Whether a silent broker is still there; also while an ask waits for its answer."""
        self._looked = clock.monotonic()
        if not getattr(self._client, "is_open", True):
            self._lost = "the run has ended"
        elif self.intro.pid > 0 and not _is_alive(self.intro.pid):
            self._lost = f"the run was lost: its broker (pid {self.intro.pid}) is gone"

    def _leave(self) -> None:
        while not self._asks.empty():
            request = self._asks.get()
            request.error = self._lost
            request.is_done.set()
        try:
            if self._lost == "the console has left":
                self._client.ask("leave", timeout_s=0.5)
        except SimError:
            pass
        finally:
            self._client.close()


class _Request:
    """An ask on its way to the thread that holds the socket."""

    def __init__(self, what: str, text: str) -> None:
        self.what, self.text = what, text
        self.answer: Answer | None = None
        self.error = "the broker is gone"
        self.is_done = threading.Event()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[:1] not in (["Z"], ["X"])


# --- recorded -----------------------------------------------------------------------------------


class Recording(Protocol):
    """A run as it was stored. times: virtual nanoseconds of each frame.

    `frame(i).lines` is the story between frame i - 1 and i.
    """

    intro: Intro

    @property
    def times(self) -> Sequence[int]:
        """Virtual nanoseconds of each frame."""

    def frame(self, i: int) -> Frame:
        """The frame with this number."""


class RecordedSource:
    """Plays a recording: at its speed, or as fast as it was stored if that is unlimited.

    Asks: pause, go, step, back, speed, seek; what would change the run is refused.
    """

    is_recorded = True
    is_read_only = True
    WALK: Final = 240
    """Frames handed over at most for a leap forward, so that charts have something to show."""

    def __init__(self, recording: Recording, now: Callable[[], float] = clock.monotonic) -> None:
        if not recording.times:
            raise SimError("the recording holds no frames")
        self.intro = msgspec.structs.replace(recording.intro, is_recorded=True)
        self._recording = recording
        self._times = list(recording.times)
        self._now = now
        self._lock = threading.Lock()
        self._shown = -1
        self._pending: list[Frame] = []
        self._inspected = ""
        self._is_paused = False
        self._speed = self.intro.speed
        self._mark = (now(), self._times[0])

    def news(self) -> list[Frame]:
        """The frame that is due now, with the story since the last one."""
        with self._lock:
            if self._pending:
                frames, self._pending = self._pending, []
                return frames
            due = self._due()
            return self._walk(due) if due != self._shown else []

    def ask(self, what: str, text: str = "") -> Answer:
        """Moves through the recording; refuses what would change it."""
        with self._lock:
            try:
                return Answer(number=0, is_ok=True, text=self._do(what, text))
            except (SimError, ValueError) as error:
                return Answer(number=0, is_ok=False, text=str(error))

    def close(self) -> None:
        """Nothing is held but the recording."""
        close = getattr(self._recording, "close", None)
        if close is not None:
            close()

    # --- playing --------------------------------------------------------------------------------

    def _due(self) -> int:
        """Number of the frame for now."""
        last = len(self._times) - 1
        if self._shown < 0:
            return 0
        if self._is_paused or self._shown >= last:
            return self._shown
        if math.isinf(self._speed):
            return self._shown + 1
        began, from_ns = self._mark
        at_ns = from_ns + (self._now() - began) * self._speed * SECOND
        return max(min(bisect_right(self._times, at_ns) - 1, last), self._shown)

    def _walk(self, to: int) -> list[Frame]:
        """Frames up to `to`; all their lines, some of their pictures if they are many."""
        if to <= self._shown:
            self._shown = to
            return [self._frame(to, [])]
        stride = max((to - self._shown) // self.WALK, 1)
        frames: list[Frame] = []
        lines: list[Line] = []
        for i in range(self._shown + 1, to + 1):
            frame = self._recording.frame(i)
            lines += frame.lines
            if i == to or i % stride == 0:
                frames.append(self._dressed(frame, i, lines))
                lines = []
        self._shown = to
        return frames

    def _frame(self, i: int, lines: list[Line]) -> Frame:
        return self._dressed(self._recording.frame(i), i, lines)

    def _dressed(self, frame: Frame, i: int, lines: list[Line]) -> Frame:
        """The frame as it is shown: with this player's state, unless the run has ended in it."""
        is_last = i == len(self._times) - 1
        status = frame.status if is_last else "paused" if self._is_paused else "running"
        speed = 0.0 if self._is_paused else self._speed
        detail = self._detail(i)
        return msgspec.structs.replace(
            frame, status=status, speed=speed, wanted=self._speed, possible=self._speed,
            lines=list(lines), detail=detail,
        )  # fmt: skip

    def _detail(self, i: int) -> Detail | None:
        read = getattr(self._recording, "detail", None)
        if not self._inspected or read is None:
            return None
        found: Detail | None = read(i, self._inspected)
        return found

    def _go_to(self, i: int, pause: bool) -> None:
        i = min(max(i, 0), len(self._times) - 1)
        self._is_paused = self._is_paused or pause
        self._pending += self._walk(i)
        self._mark = (self._now(), self._times[i])

    def _again(self) -> None:
        """From here on, at the speed that is wanted now; shows the state at once."""
        i = max(self._shown, 0)
        self._mark = (self._now(), self._times[i])
        self._pending.append(self._frame(i, []))

    # --- asked ----------------------------------------------------------------------------------

    def _do(self, what: str, text: str) -> str:
        if what == "pause":
            self._is_paused = True
            self._again()
            return "paused"
        if what == "go":
            if self._shown >= len(self._times) - 1:
                self._go_to(0, False)
            self._is_paused = False
            self._again()
            return "playing"
        if what in ("step", "window", BACK):
            self._go_to(self._shown + (-1 if what == BACK else 1), True)
            return ""
        if what == "speed":
            self._speed = speed_factor(text)
            self._again()
            return ""
        if what == SEEK:
            at_ns = time_ns(text, self._times[-1])
            self._go_to(bisect_right(self._times, at_ns) - 1, False)
            return ""
        if what == "inspect":
            self._inspected = text
            self._again()
            return ""
        if what in ("watch", "leave", "intro"):
            return ""
        raise SimError(
            f"this run is recorded: {what!r} would change it; `sim run` makes another one"
        )


def time_ns(text: str, end_ns: int) -> int:
    """A virtual time as typed: `13:45`, `d2 06:00`, `6h10min`, `90` (seconds), `50%`, `end`.

    Raises: ValueError.
    """
    text = text.strip()
    if text in ("start", "end"):
        return end_ns if text == "end" else 0
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = match.groups(default="0")
        days_before = max(int(days) - 1, 0)
        whole = (days_before * 24 + int(hours)) * 3600 + int(minutes) * 60
        return whole * SECOND + round(float(seconds) * SECOND)
    try:
        if text.endswith("%"):
            return round(float(text[:-1]) / 100 * end_ns)
        return duration_ns(text)
    except ValueError:
        raise ValueError(f"expected a time such as 13:45 or 6h10min, found {text!r}") from None
