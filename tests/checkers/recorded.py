"""Runs in memory that are recorded as the shell records them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkers.memory import kernel_of, play
from checkers.script import Script, Stage

from broker.kernel import Kernel
from broker.ledger import REASONS
from broker.server import drive
from broker.tape import Tape
from broker.telemetry import Telemetry, intro, lines
from sim.outcome import Result
from sim.prepare import load, prepare
from sim.store.capture import FILE, Capture
from sim.store.recorder import Recorder
from sim.store.rundir import to_json
from sim.units import SECOND
from sim.wire.live import Frame
from sim.wire.memory import MemoryTransport


class Recorded:
    """A tape, a picture and a recording of a kernel; `tick` after every window."""

    def __init__(self, kernel: Kernel, folder: Path, **options: Any) -> None:
        kernel.network.tape = Tape()
        self.kernel = kernel
        self.folder = folder
        self.frames: list[Frame] = []
        self.lines = 0
        self.windows = 0
        self._telemetry = Telemetry(kernel)
        about = intro(kernel, str(folder), float("inf"), 1, "2026-01-01T00:00:00+00:00")
        self.capture = Capture(
            folder / FILE, about, reasons=REASONS, topics=kernel.network.topics, **options
        )

    def tick(self, kernel: Kernel, is_last: bool = False) -> None:
        self.windows += 1
        tape = kernel.network.tape
        assert tape is not None
        if self.windows % 3 == 0 or self.capture.is_due(kernel.now) or is_last:
            columns = tape.take()
            self._telemetry.hear(columns)
            self.capture.columns(kernel.now, columns)
        for line in lines(tuple(kernel.events), self.lines):
            self.capture.line(line)
            self.lines += 1
        kernel.events.clear()
        if self.capture.is_due(kernel.now) or is_last:
            status = kernel.status if is_last else "running"
            frame = self._telemetry.frame(status, (2.0, 3.0, float("inf")), 0.5)
            self.frames.append(frame)
            self.capture.frame(frame)

    def end(self) -> None:
        self.tick(self.kernel, is_last=True)
        self.capture.close(self.kernel.now)

    def summary(self, **more: Any) -> dict[str, Any]:
        kernel = self.kernel
        ledger, seconds = kernel.network.ledger, kernel.now / SECOND
        books = Result(
            "", 0, "", seconds, accounts=ledger.accounts(), topics=ledger.topics()
        ).record()
        return {
            "scenario": kernel.scenario.name, "seed": kernel.scenario.seed,
            "status": kernel.status, "messages": kernel.network.totals(),
            "topics": books["topics"], "accounts": books["accounts"], **more,
        }  # fmt: skip


def record_case(
    text: str, scripts: dict[str, Script], folder: Path, agents_per_host: int = 1, **options: Any
) -> Recorded:
    """A scenario of scripted agents, recorded to its end."""
    kernel = kernel_of(text, agents_per_host)
    recorded = Recorded(kernel, folder, **options)
    play(kernel, Stage(scripts).transport(), recorded.tick)
    recorded.end()
    return recorded


def record_run(
    scenario: str,
    folder: Path,
    before_end: Callable[[Recorded], None] = lambda recorded: None,
    capture: dict[str, Any] | None = None,
    **options: Any,
) -> Recorded:
    """A bundled scenario with its own agents, in memory, with its summary."""
    kernel = prepare(load(scenario, **options)).kernel()
    recorded = Recorded(kernel, folder, **(capture or {}))
    transport = MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    drive(kernel, transport, Recorder(), on_window=recorded.tick)
    before_end(recorded)
    recorded.end()
    (folder / "summary.json").write_text(to_json(recorded.summary()))
    return recorded
