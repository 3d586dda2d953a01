"""What the broker does for those who watch: it answers, obeys, and shows.

A command that touches the run (a fault) is stamped with the next instant between two windows,
written to the log, and only then given to the kernel; that is all that a replay needs. Pausing,
stepping and speed touch real time alone. A slow onlooker misses frames, and nobody waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from broker.inspection import Inspection
from broker.kernel import Kernel
from broker.pace import Pace
from broker.population import Event
from broker.tape import Columns
from broker.telemetry import Telemetry, lines
from sim.clock import monotonic, pause
from sim.errors import InvariantError, ScenarioError, SimError
from sim.ids import did_you_mean
from sim.scenario.faults import Setting, resolve_fault
from sim.scenario.radio import NO_RADIO
from sim.scenario.read import read_fault
from sim.scenario.schema import LIVE_ID, Fault
from sim.scenario.tree import parse
from sim.store.runlog import Input
from sim.units import format_ns, speed_factor
from sim.wire.control import ControlServer
from sim.wire.live import ASKS, Answer, Ask, Frame, Intro, Line, News
from sim.worlds.world import has_positions

FRAME_SECONDS: Final = 0.1
"""Real time between frames: ten a second."""
STORY_MAX: Final = 2_000
"""Lines kept for those who come later; the run's directory has them all."""
_FIRST_LINES: Final = 500
_RECENT_MAX: Final = 4 * 1024 * 1024
"""Bytes of messages kept, sent lately, whoever sent them; at least those of one look."""
_LAST_SECONDS: Final = 1.0
"""How long the last frame is offered to an onlooker that is slow."""


class Log(Protocol):
    """Where a command is written before it takes effect."""

    def add(self, record: Input) -> None: ...


@dataclass
class _Onlooker:
    """Who watches. unread: serial of the next line it has not been sent."""

    unread: int
    inspection: Inspection | None = None


class Control:
    """The door of a run, and those who stand there."""

    def __init__(
        self, kernel: Kernel, pace: Pace, log: Log, setting: Setting, intro: Intro,
        telemetry: Telemetry,
    ) -> None:  # fmt: skip
        self.server = ControlServer()
        self.is_stopped = False
        self._kernel, self._pace, self._log = kernel, pace, log
        self._setting, self._intro, self._telemetry = setting, intro, telemetry
        self._onlookers: dict[bytes, _Onlooker] = {}
        self._story: deque[Line] = deque(maxlen=STORY_MAX)
        self._told = 0
        self._recent: deque[Columns] = deque()
        self._kept = 0
        self._frames = 0
        self._next = 0.0
        self._offenders = 0

    @property
    def has_onlookers(self) -> bool:
        return bool(self._onlookers)

    # --- what happens ---------------------------------------------------------------------------

    def tell(self, events: Iterable[Event]) -> list[Line]:
        """Adds to the story; the events as numbered lines."""
        told = lines(list(events), self._told)
        self._told += len(told)
        self._story.extend(told)
        return told

    def hear(self, columns: Columns) -> None:
        """Takes what the tape told, and keeps the last of it for who begins to inspect."""
        self._recent.append(columns)
        self._kept += columns.size
        while self._kept > _RECENT_MAX and len(self._recent) > 1:
            self._kept -= self._recent.popleft().size
        for onlooker in self._onlookers.values():
            if onlooker.inspection is not None:
                onlooker.inspection.hear(columns)

    def show(self, make: Callable[[], Frame], is_last: bool = False) -> None:
        """Sends a frame to all who watch, if one is due. is_last: none comes after it."""
        now = monotonic()
        if not self._onlookers or (now < self._next and not is_last):
            return
        self._next = now + FRAME_SECONDS
        self._frames += 1
        frame = msgspec.structs.replace(make(), serial=self._frames)
        for peer, onlooker in list(self._onlookers.items()):
            detail = onlooker.inspection.detail(self._story) if onlooker.inspection else None
            news = [line for line in self._story if line.serial >= onlooker.unread]
            own = msgspec.structs.replace(frame, lines=news[-_FIRST_LINES:], detail=detail)
            until = now + _LAST_SECONDS * is_last
            while (sent := self.server.send(peer, News(own))) is False and monotonic() < until:
                pause(0.02)
            if sent:
                onlooker.unread = self._told
            elif sent is None:
                del self._onlookers[peer]

    # --- what is asked --------------------------------------------------------------------------

    def serve(self, timeout_s: float = 0.0) -> None:
        """Answers all that is asked; waits for the first up to the timeout."""
        for peer, ask in self.server.poll(timeout_s):
            try:
                answer = self._answer(peer, ask)
            except InvariantError:
                raise
            except SimError as error:
                answer = Answer(number=ask.number, is_ok=False, text=str(error))
            except ValueError as error:
                answer = Answer(number=ask.number, is_ok=False, text=f"{ask.what}: {error}")
            self.server.send(peer, answer)
        offenders = self.server.offenders()
        for name in offenders[self._offenders :]:
            text = f"{name} sent what is no request, three times: it is heard no more"
            self._kernel.events.append(Event(self._kernel.now, "warning", "", text))
        self._offenders = len(offenders)

    def _answer(self, peer: bytes, ask: Ask) -> Answer:
        kernel, pace = self._kernel, self._pace
        text, intro = "", None
        if ask.what == "intro":
            intro = self._intro
        elif ask.what == "watch":
            self._onlookers[peer] = _Onlooker(max(0, self._told - _FIRST_LINES))
            self._next = 0.0
        elif ask.what == "leave":
            self._onlookers.pop(peer, None)
        elif ask.what == "inspect":
            onlooker = self._onlookers.setdefault(peer, _Onlooker(self._told))
            onlooker.inspection = self._inspect(ask.text) if ask.text else None
            self._next = 0.0
        elif ask.what == "pause":
            pace.pause()
            text = f"paused at {format_ns(kernel.now)}"
        elif ask.what == "go":
            pace.go()
        elif ask.what == "step":
            pace.step(kernel)
        elif ask.what == "window":
            pace.window(kernel)
        elif ask.what == "speed":
            pace.change(speed_factor(ask.text))
        elif ask.what == "inject":
            text = self._inject(ask.text)
        elif ask.what == "stop":
            self.is_stopped = True
            text = "the run stops between two windows"
        else:
            raise ScenarioError(f"no request {ask.what!r}; {did_you_mean(ask.what, ASKS)}")
        return Answer(number=ask.number, is_ok=True, text=text, intro=intro)

    def _inspect(self, text: str) -> Inspection:
        """An inspection that knows what was sent lately. Raises: UnknownKeyError."""
        inspection = Inspection(self._kernel, text)
        for columns in self._recent:
            inspection.hear(columns)
        return inspection

    def _inject(self, text: str) -> str:
        """Faults as an entry of `faults:` says; what a person is told of it.

        Raises: ScenarioError, as for a scenario's entry.
        """
        kernel = self._kernel
        entry = parse(text, "command", line=False).plain()
        now = kernel.next_gap
        spec = read_fault(entry)
        at = now if spec.at_ns is None else spec.at_ns
        if at < now:
            raise ScenarioError(f"command: at {format_ns(at)} is past; it is {format_ns(now)}")
        if spec.kind == "heal" and spec.at_ns is None and not kernel.in_force.faults:
            return "nothing is in force that could be lifted"
        if spec.radio not in (None, NO_RADIO) and not has_positions(kernel.world):
            raise ScenarioError("command: radio: this world does not say where its agents are")
        first = 1 + max((f.id for f in self._known() if f.id >= LIVE_ID), default=LIVE_ID - 1)
        index = f"live-{first - LIVE_ID}"
        seed = kernel.scenario.seed
        faults = resolve_fault(spec, self._setting, seed, index, at, kernel.horizon, first)
        if not faults:
            raise ScenarioError("command: the episode ends before it could strike")
        self._log.add(Input(now, kernel.windows, list(faults), text))
        kernel.inject(faults)
        first_of = {fault.id: fault for fault in reversed(faults)}
        texts = dict.fromkeys(f.text for f in reversed(first_of.values()))
        return f"{format_ns(faults[0].time_ns)}: {'; '.join(texts)}"

    def _known(self) -> tuple[Fault, ...]:
        return (*self._kernel.scheduled, *self._kernel.faults_applied)

    def close(self) -> None:
        """Closes the door."""
        self.server.close()
