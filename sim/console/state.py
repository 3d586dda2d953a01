"""What the console knows of the run it shows: one record that every panel reads.

Takes frames and keeps what they only tell once: the story, the past, the frames missed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from sim import clock
from sim.console.drawings import Drawing, figures
from sim.console.history import History
from sim.console.words import clock as clock_text
from sim.console.words import is_coarse
from sim.online import LEARNED, figures_of
from sim.wire.live import Frame, Intro, Line

LINES_MAX: Final = 5000
ENDED: Final = ("completed", "failed", "interrupted")
_WAITING_SECONDS: Final = 2.0
_OF_AGENTS: Final = ("kill", "hang", "slow", "skew", "sensor", "actuator", "byzantine")
_NAMES: Final = re.compile(r"[^\s,]+")


class State:
    """The newest frame and what led to it.

    lost: why there are no more frames, "" while there are. now: real time, for tests another.
    """

    def __init__(
        self, intro: Intro, is_read_only: bool, now: Callable[[], float] = clock.monotonic
    ) -> None:
        self.intro = intro
        self.is_read_only = is_read_only
        self.frame: Frame | None = None
        self.history = History(figures)
        self.drawing = Drawing()
        self.lines: deque[Line] = deque(maxlen=LINES_MAX)
        self.skipped = 0
        self.lost = ""
        self.selected = 0
        """The agent that keys act on, by its place in the intro."""
        self.gaps: list[float] = []
        """Per agent, how long it usually is without a message: nanoseconds, 0 if not known yet."""
        self._now = now
        self._moved = (now(), -1)
        self._last_line = -1
        self.learned: dict[str, dict[str, float]] = {}
        """Per group that learns in this run, the figures of its last update."""
        self._fault_times: list[tuple[int, bool]] = []
        self._faults_of = -1
        self._struck_by: tuple[str, ...] = ()
        self._struck: set[int] = set()

    def take(self, frame: Frame) -> None:
        """A frame, which may be earlier than the last if the run is a recorded one."""
        before = self.frame
        if before is not None and frame.now_ns < before.now_ns:
            self._turn_back(frame.now_ns)
        elif before is not None and not self.intro.is_recorded:
            self.skipped += max(frame.serial - before.serial - 1, 0)
        if frame.now_ns != self._moved[1]:
            self._moved = (self._now(), frame.now_ns)
        self.add_lines(frame.lines)
        self._learn_gaps(before, frame)
        self.history.add(frame)
        self.drawing.see(frame.scene)
        self.frame = frame

    def _learn_gaps(self, before: Frame | None, frame: Frame) -> None:
        """The longest gap lately, forgotten slowly."""
        ages = frame.agents.age_ns
        if len(self.gaps) != len(ages):
            self.gaps = [0.0] * len(ages)
        if before is None or before.now_ns >= frame.now_ns:
            return
        passed = frame.now_ns - before.now_ns
        for i, (was, age) in enumerate(zip(before.agents.age_ns, ages, strict=False)):
            if 0 <= age < passed and was >= 0:
                self.gaps[i] = max(float(was), float(age), 0.8 * self.gaps[i])

    def add_lines(self, lines: Iterable[Line]) -> None:
        """Takes news, each once."""
        for line in lines:
            if line.serial > self._last_line:
                self._last_line = line.serial
                self.lines.append(line)
                self._note(line)

    def _note(self, line: Line) -> None:
        found = figures_of(line.text) if line.kind == LEARNED else None
        if found is not None:
            self.learned[found[0]] = found[1]

    def _turn_back(self, now_ns: int) -> None:
        """Forgets what has not happened yet."""
        while self.lines and self.lines[-1].time_ns > now_ns:
            self.lines.pop()
        self._last_line = self.lines[-1].serial if self.lines else -1
        if self.learned:
            self.learned.clear()
            for line in self.lines:
                self._note(line)

    # --- read -----------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return self.frame.now_ns if self.frame else 0

    @property
    def total_ns(self) -> int:
        """Virtual time of the whole run."""
        return max(self.intro.duration_ns * max(self.intro.episodes, 1), 1)

    @property
    def status(self) -> str:
        """In one word: of the frame, or what this onlooker knows better."""
        frame = self.frame
        if self.is_over:
            return frame.status if frame else "lost"
        if self.lost:
            return "lost"
        if frame is None:
            return "connecting"
        if frame.status == "running" and not self.intro.is_recorded and self._is_waiting(frame):
            return "waiting"
        return frame.status

    def _is_waiting(self, frame: Frame) -> bool:
        """Whether virtual time stands for longer than pacing explains."""
        since = self._now() - self._moved[0]
        return since > _WAITING_SECONDS and since * frame.wanted * 1e9 > 3 * self.intro.dt_ns

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.frame is not None and self.frame.status in ENDED

    def struck(self) -> set[int]:
        """Agents with a fault of their own in force, as far as the faults' texts name them."""
        faults = self.frame.faults if self.frame else []
        texts = tuple(fault.text for fault in faults if fault.kind in _OF_AGENTS)
        if texts != self._struck_by:
            self._struck_by = texts
            words = {word for text in texts for word in _NAMES.findall(text)}
            cards = enumerate(self.intro.agents)
            self._struck = {i for i, card in cards if card.name in words}
        return self._struck

    @property
    def is_lost(self) -> bool:
        """Whether the broker is gone though the run has not ended."""
        return bool(self.lost) and not self.is_over

    @property
    def lost_text(self) -> str:
        """When the broker was lost, and how the run goes on."""
        at = clock_text(self.now_ns, is_coarse(self.intro))
        name = Path(self.intro.directory).name
        return f"broker lost at {at} (virtual); sim resume {name or 'DIRECTORY'} goes on"

    @property
    def is_paused(self) -> bool:
        """Whether the clock stands because somebody wants it to."""
        return self.frame is not None and self.frame.status == "paused" and not self.lost

    def fault_times(self) -> list[tuple[int, bool]]:
        """(virtual time, whether a person did it) of every fault, past or scheduled."""
        if self._faults_of != self._last_line:
            self._faults_of = self._last_line
            own = {(line.time_ns, True) for line in self.lines if is_own(line)}
            self._fault_times = sorted({(time, False) for time, _ in self.intro.scheduled} | own)
        return self._fault_times

    def select(self, name: str) -> bool:
        """Makes an agent the one that keys act on."""
        for i, card in enumerate(self.intro.agents):
            if card.name == name:
                self.selected = i
                return True
        return False

    @property
    def agent(self) -> str:
        """Name of the agent that keys act on."""
        agents = self.intro.agents
        return agents[min(self.selected, len(agents) - 1)].name if agents else ""


def is_own(line: Line) -> bool:
    """Whether a person brought it about."""
    return line.cause.startswith("you")
