"""What recording costs: the same run with and without tape, frames and `events.mcap`.

Two cases over real processes: deliveries per second (32 agents broadcast 64 bytes a tick, links of
20 ms + exponential 5 ms, loss 1 %), and steps per second of the smart-grid day's first six hours.
Runs alternate, without and with; the figures are medians, the ratio is of pairs. `parts_s` is where
the time goes. Aim: recording costs at most 15 %.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from common import NOISY, NoLog, build, machine

from broker.kernel import Kernel
from broker.ledger import REASONS
from broker.server import drive
from broker.tape import Tape
from broker.telemetry import Telemetry, intro, lines
from sim.launch.local import process_transport
from sim.prepare import load, prepare
from sim.store.capture import FILE, Capture

EVERY_SECONDS = 0.1
"""Real time between two takings of the tape, as the shell does it."""


class Shell:
    """Records a kernel as the run's shell does; `tick` after every window."""

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        kernel.network.tape = Tape()
        self.kernel, self.telemetry = kernel, Telemetry(kernel)
        about = intro(kernel, str(folder), float("inf"), 1, "")
        self.capture = Capture(folder / FILE, about, reasons=REASONS, topics=kernel.network.topics)
        self.parts: Counter[str] = Counter()
        self.frames = self.lines = 0
        self.next = 0.0

    def tick(self, kernel: Kernel) -> None:
        now = time.perf_counter()
        is_due = self.capture.is_due(kernel.now)
        if is_due or now >= self.next:
            self.next = now + EVERY_SECONDS
            self.take(now)
        if is_due:
            self.frame()

    def take(self, began: float) -> None:
        columns = self.kernel.network.tape.take()  # type: ignore[union-attr]
        self.telemetry.hear(columns)
        self.capture.columns(self.kernel.now, columns)
        for line in lines(tuple(self.kernel.events), self.lines):
            self.capture.line(line)
            self.lines += 1
        self.kernel.events.clear()
        self.parts["tape"] += time.perf_counter() - began

    def frame(self) -> None:
        began = time.perf_counter()
        frame = self.telemetry.frame("running", (1.0, 1.0, 1.0), 0.0)
        made = time.perf_counter()
        self.capture.frame(frame)
        self.frames += 1
        self.parts["frames_made"] += made - began
        self.parts["frames_written"] += time.perf_counter() - made

    def end(self) -> None:
        self.take(time.perf_counter())
        self.frame()
        self.capture.close(self.kernel.now)
        if self.capture.failed:
            raise SystemExit(self.capture.failed)


def run(kernel: Kernel, is_recorded: bool) -> tuple[float, dict[str, Any]]:
    """Seconds from the first window to the closed file, and what was recorded."""
    transport = process_transport()
    with tempfile.TemporaryDirectory() as folder:
        try:
            transport.start(range(len(kernel.agents.hosts)))
            began = time.perf_counter()
            if not is_recorded:
                drive(kernel, transport, NoLog())
                return time.perf_counter() - began, {}
            shell = Shell(kernel, Path(folder))
            drive(kernel, transport, NoLog(), on_window=shell.tick)
            shell.end()
            seconds = time.perf_counter() - began
            size = Path(folder, FILE).stat().st_size
            parts = {name: round(value, 3) for name, value in shell.parts.items()}
            return seconds, {"frames": shell.frames, "file_bytes": size, "parts_s": parts}
        finally:
            transport.close()


def deliveries() -> tuple[Kernel, str]:
    return build("AtNextTick", 32, 300, NOISY), "delivered"


def smart_grid() -> tuple[Kernel, str]:
    return prepare(load("smart_grid", duration="6h")).kernel(), "steps"


def amount(kernel: Kernel, unit: str) -> int:
    return kernel.steps if unit == "steps" else int(kernel.network.totals()["delivered"])


def main(repeats: int) -> None:
    torch.set_num_threads(1)
    cases = {}
    for case in (deliveries, smart_grid):
        rates: dict[bool, list[float]] = {False: [], True: []}
        told: dict[str, Any] = {}
        for _ in range(repeats):
            for is_recorded in (False, True):
                kernel, unit = case()
                seconds, about = run(kernel, is_recorded)
                rates[is_recorded].append(amount(kernel, unit) / seconds)
                told = about or told
        pairs = zip(rates[True], rates[False], strict=True)
        cases[case.__name__] = {
            "unit": f"{unit}/s",
            "without": round(statistics.median(rates[False])),
            "with": round(statistics.median(rates[True])),
            "ratio": round(statistics.median(a / b for a, b in pairs), 3),
            **told,
        }
    worst = min(each["ratio"] for each in cases.values())
    result = {"benchmark": "recording", **machine(), "cases": cases, "ratio": worst}
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
