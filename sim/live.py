"""A run while it goes on: its kernel and hosts, what is recorded of it, who watches it.

All that is shown or recorded is made here, between windows, from what the kernel tells; nothing of
it reaches back into the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from broker.control import Control
from broker.history import History
from broker.kernel import Kernel
from broker.ledger import REASONS
from broker.pace import Pace
from broker.population import DOWN, ENDED, HUNG, UNPLAYED, UP, VENUE, Event, Failure
from broker.server import drive
from broker.tape import Tape
from broker.telemetry import Telemetry, intro
from sim.clock import monotonic, pause, timestamp
from sim.errors import (
    AgentError,
    CheckpointError,
    InstallationError,
    InvariantError,
    SimError,
)
from sim.outcome import Result
from sim.prepare import Prepared
from sim.process import Interrupts, no_collector
from sim.progress import PROGRESS_SECONDS, OnProgress, Progress
from sim.scenario.faults import idle_faults
from sim.scenario.schema import Fault
from sim.store.capture import FILE, Capture
from sim.store.columns import Columns
from sim.store.recorder import Recorder
from sim.units import SECOND
from sim.wire.live import Frame
from sim.wire.transport import HostInfo, Transport

_EVENTS_MAX: Final = 100_000
"""Events kept in a result; the file of the run's directory has them all."""
_INFO_SECONDS: Final = 1.0
"""Real time between two looks at what processes use."""
OnLive = Callable[[str], None]
"""Called with the address of the run's door, once it is open."""


@dataclass
class Live:
    """One run, driven by `run`.

    columns: what the outcome is read against, as far as it is known. on_watched: called once, when
    somebody begins to watch. on_live: see OnLive; without a directory to be found by, a run has no
    door unless somebody wants to be told.
    """

    prepared: Prepared
    kernel: Kernel
    transport: Transport
    recorder: Recorder
    interrupts: Interrupts
    report: OnProgress
    pace: Pace
    history: History = field(default_factory=History)
    columns: Columns | None = None
    on_live: OnLive | None = None
    on_watched: Callable[[], None] = lambda: None
    events: list[dict[str, Any]] = field(default_factory=list)
    _control: Control | None = None
    _capture: Capture | None = None
    _began: float = 0.0
    _next: float = 0.0
    _infos: dict[int, HostInfo] = field(default_factory=dict)
    _next_info: float = 0.0
    _status: str = "running"
    _is_watched: bool = False
    _text: str = ""

    def __post_init__(self) -> None:
        self.kernel.network.tape = Tape()
        self._telemetry = Telemetry(self.kernel)

    def run(self, inline: bool) -> Result:
        """Drives the kernel to its end, whichever it is, and ends the hosts."""
        kernel, recorder = self.kernel, self.recorder
        for text in (*kernel.network.table.warnings(), *idle_faults(kernel.scenario)):
            kernel.events.append(Event(0, "warning", "", text))
        self._open()
        self._began = monotonic()
        status, is_whole, processes = "failed", False, 0
        error: SimError | None = None
        try:
            self.transport.start(range(len(kernel.agents.hosts)))
            processes = self.transport.processes
            with self.interrupts.deferred(), no_collector(inline):
                drive(
                    kernel, self.transport, recorder, self.pace, history=self.history,
                    on_window=self.tick, idle=self.idle,
                )  # fmt: skip
            status, error, is_whole = kernel.status, kernel.error, True
        except KeyboardInterrupt:
            status = "interrupted"
        except InvariantError as fault:
            where = f"{kernel.scenario.name}, seed {kernel.scenario.seed}"
            raise InvariantError(f"{fault} ({where}, {recorder.path or 'no log'})") from fault
        except (InstallationError, CheckpointError):
            raise
        except SimError as raised:
            error, is_whole = raised, isinstance(raised, AgentError)
        finally:
            wall_seconds = monotonic() - self._began
            recorder.end(status if is_whole else "interrupted", kernel.digest.chain.hex())
            self.transport.close()
            self._status = status
            self._tell()
            if self._capture is not None:
                self._capture.frame(self._frame())
                self._capture.close(kernel.now)
        return self._result(status, error, wall_seconds, processes)

    def _open(self) -> None:
        """The recording, and the door for onlookers."""
        kernel, recorder, spec = self.kernel, self.recorder, self.kernel.scenario.record
        directory = str(recorder.path.resolve()) if recorder.path else ""
        card = intro(kernel, directory, self.pace.speed, os.getpid(), timestamp())
        if recorder.path is not None and spec.every_ns != 0:
            self._capture = Capture(
                recorder.path / FILE, card, reasons=REASONS, topics=kernel.network.topics,
                every_ns=spec.every_ns, messages=spec.messages == "all", payloads=spec.payloads,
            )  # fmt: skip
        if recorder.path is not None or self.on_live is not None:
            self._control = Control(
                kernel, self.pace, recorder, self.prepared.setting, card, self._telemetry
            )
            recorder.announce(self._control.server.address)
            if self.on_live is not None:
                self.on_live(self._control.server.address)

    def close(self) -> None:
        """Shows the last frame, with all that has come to be known, and closes the door."""
        if self._control is not None:
            self._control.serve()
            self._control.show(self._frame, is_last=True)
            self._control.close()
            self.recorder.announce(None)
            self._control = None

    def warn(self) -> None:
        """Says what the disk refused after the end."""
        now = self.kernel.now
        news = tuple(Event(now, "error", "", text) for text in self.recorder.take_refused())
        if news:
            self.report(self._progress(news))

    def say(self, status: str, text: str) -> None:
        """What goes on when virtual time has ended: shown, and asked for, as before."""
        self._status, self._text = status, text
        if self._control is not None:
            self._control.serve()
            self._control.show(self._frame)

    # --- between windows ------------------------------------------------------------------------

    def tick(self, kernel: Kernel) -> None:
        """After every window and while waiting. Raises: KeyboardInterrupt if one is due."""
        self.interrupts.check()
        if self._capture is not None and self._capture.is_due(kernel.now):
            self._listen()
            self._capture.frame(self._frame())
        now = monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self._tell()

    def idle(self, seconds: float) -> None:
        """Waits a while, and hears whoever asks. Raises: KeyboardInterrupt if one is due."""
        if self._control is None:
            pause(seconds)
        else:
            self._serve(seconds)

    def _serve(self, seconds: float) -> None:
        assert self._control is not None
        self._control.serve(seconds)
        if self._control.is_stopped:
            raise KeyboardInterrupt

    def _listen(self) -> None:
        """Hands the tape to all who want it."""
        tape = self.kernel.network.tape
        assert tape is not None
        columns = tape.take()
        self._telemetry.hear(columns)
        if self._capture is not None:
            self._capture.columns(self.kernel.now, columns)
        if self._control is not None:
            self._control.hear(columns)

    def _tell(self) -> None:
        """Hands out the news."""
        kernel = self.kernel
        self.pace.measure(kernel.now)
        self._listen()
        if self._control is not None and self._status == "running":
            self._serve(0.0)
        if self._capture is not None and self._capture.failed:
            self.recorder.refused.append(self._capture.failed)
            self._capture = None
        for text in self.recorder.take_refused():
            kernel.events.append(Event(kernel.now, "error", "", text))
        news = tuple(kernel.events)
        kernel.events.clear()
        plain = [_event(event) for event in news]
        self.recorder.add_events(plain)
        self.recorder.flush()
        self.events.extend(plain[: _EVENTS_MAX - len(self.events)])
        if self._control is not None:
            for line in self._control.tell(news):
                if self._capture is not None:
                    self._capture.line(line)
            if self._control.has_onlookers and not self._is_watched:
                self._is_watched = True
                self.on_watched()
            self._control.show(self._frame)
        self.report(self._progress(news))

    def _progress(self, news: tuple[Event, ...]) -> Progress:
        kernel = self.kernel
        state, finished = kernel.agents.state, len(kernel.agents.finished)
        return Progress(
            "running",
            kernel.now,
            kernel.scenario.duration_ns * kernel.scenario.episodes,
            up=int(((state == UP) | (state == VENUE)).sum()),
            down=int(((state == DOWN) | (state == HUNG)).sum()) - finished,
            sent=kernel.network.ledger.sent,
            events=news,
            ended=int((state == ENDED).sum()) + finished,
        )

    def _frame(self) -> Frame:
        kernel, pace = self.kernel, self.pace
        now = monotonic()
        if now >= self._next_info:
            self._next_info = now + _INFO_SECONDS
            self._infos = self.transport.info()
        status = "paused" if pace.is_paused and self._status == "running" else self._status
        return self._telemetry.frame(
            status,
            (pace.measured, pace.possible, pace.speed),
            now - self._began,
            self.columns.at(kernel.now) if self.columns else ({}, []),
            self._infos,
            self._text,
        )

    # --- the end --------------------------------------------------------------------------------

    def _result(
        self, status: str, error: SimError | None, wall_seconds: float, processes: int
    ) -> Result:
        kernel, scenario = self.kernel, self.kernel.scenario
        return Result(
            scenario=scenario.name,
            seed=scenario.seed,
            status=status,
            virtual_seconds=kernel.now / SECOND,
            wall_seconds=wall_seconds,
            steps=kernel.steps,
            agents=int((kernel.agents.state != UNPLAYED).sum()),
            processes=processes,
            digest=kernel.digest.chain.hex(),
            messages=kernel.network.totals(),
            agent_failures=[_failure(each) for each in kernel.agents.failures],
            faults=[_fault(each) for each in kernel.faults_applied],
            metrics=dict(kernel.world.metrics()),
            activations=kernel.activations,
            real_time_decisions=kernel.real_time_decisions,
            actions=_unpunctual(kernel),
            folds=list(kernel.digest.folds),
            accounts=kernel.network.ledger.accounts(),
            topics=kernel.network.ledger.topics(),
            events=self.events,
            run_dir=self.recorder.path,
            error=str(error) if error is not None else "",
            exit_code=130 if status == "interrupted" else error.exit_code if error else 0,
        )


def _event(event: Event) -> dict[str, Any]:
    plain = {
        "time": event.time_ns / SECOND,
        "kind": event.kind,
        "agent": event.agent,
        "text": event.text,
    }
    return {**plain, "cause": event.cause} if event.cause else plain


def _unpunctual(kernel: Kernel) -> dict[str, dict[str, int]]:
    """Per agent that was late with an action, or gave none for a decision: how often."""
    return {
        agent: {"late": late, "missing": missing}
        for actions in kernel.actions.values()
        for agent, late, missing in zip(
            actions.group.agents, actions.late.tolist(), actions.missing.tolist(), strict=True
        )
        if late or missing
    }


def _failure(failure: Failure) -> dict[str, Any]:
    cause, _, frames = failure.error.partition("\n")
    return {
        "agent": failure.agent,
        "time": failure.time_ns / SECOND,
        "cause": cause,
        "frames": frames,
        "policy": failure.policy,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "time": fault.time_ns / SECOND,
        "kind": fault.kind,
        "targets": list(fault.targets),
        "is_on": fault.is_on,
        "text": fault.text,
        "cause": fault.cause,
    }
