"""What recording costs: the same run with and without tape, frames and `events.mcap`.

Over real processes: deliveries per second (32 agents broadcast 64 bytes a tick over links of 20 ms
+ exponential 5 ms, loss 1 %; a frame every ten ticks, or each), and steps per second of the first
six hours of the smart-grid day by `sim.run`, which keeps its log either way. Runs alternate,
without and with; the figures are medians, the ratio is of pairs. `parts_s` is processor time of
the broker's thread. Aim: recording costs at most 15 %.
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

import sim
from broker.kernel import Kernel
from broker.ledger import REASONS
from broker.server import drive
from broker.tape import Tape
from broker.telemetry import Telemetry, intro, lines
from sim.launch.local import process_transport
from sim.store.capture import FILE, Capture
from sim.units import SECOND

EVERY_SECONDS = 0.1
"""Real time between two takings of the tape, as the shell does it."""


class Shell:
    """Records a kernel as the run's shell does; `tick` after every window."""

    def __init__(self, kernel: Kernel, folder: Path, every_ns: int | None) -> None:
        kernel.network.tape = Tape()
        self.kernel, self.telemetry = kernel, Telemetry(kernel)
        about = intro(kernel, str(folder), float("inf"), 1, "")
        self.capture = Capture(
            folder / FILE, about, reasons=REASONS, topics=kernel.network.topics, every_ns=every_ns
        )
        self.parts: Counter[str] = Counter()
        self.frames = self.lines = 0
        self.next = 0.0

    def tick(self, kernel: Kernel) -> None:
        now = time.perf_counter()
        is_due = self.capture.is_due(kernel.now)
        if is_due or now >= self.next:
            self.next = now + EVERY_SECONDS
            self.take()
        if is_due:
            self.frame()

    def take(self) -> None:
        began = time.thread_time()
        columns = self.kernel.network.tape.take()  # type: ignore[union-attr]
        self.telemetry.hear(columns)
        self.capture.columns(self.kernel.now, columns)
        for line in lines(tuple(self.kernel.events), self.lines):
            self.capture.line(line)
            self.lines += 1
        self.kernel.events.clear()
        self.parts["tape"] += time.thread_time() - began

    def frame(self) -> None:
        began = time.thread_time()
        frame = self.telemetry.frame("running", (1.0, 1.0, 1.0), 0.0)
        made = time.thread_time()
        self.capture.frame(frame)
        self.frames += 1
        self.parts["frames_made"] += made - began
        self.parts["frames_written"] += time.thread_time() - made

    def end(self) -> None:
        self.take()
        self.frame()
        self.capture.close(self.kernel.now)
        if self.capture.failed:
            raise SystemExit(self.capture.failed)


def size_of(folder: str) -> int:
    path = Path(folder, FILE)
    return path.stat().st_size if path.is_file() else 0


def deliveries(is_recorded: bool, every_ns: int | None = SECOND) -> tuple[float, dict[str, Any]]:
    """Messages delivered per second, and what was recorded."""
    kernel = build("AtNextTick", 32, 300, NOISY)
    transport = process_transport()
    with tempfile.TemporaryDirectory() as folder:
        try:
            transport.start(range(len(kernel.agents.hosts)))
            began = time.perf_counter()
            shell = Shell(kernel, Path(folder), every_ns) if is_recorded else None
            drive(kernel, transport, NoLog(), on_window=shell.tick if shell else lambda k: None)
            if shell:
                shell.end()
            rate = int(kernel.network.totals()["delivered"]) / (time.perf_counter() - began)
            if shell is None:
                return rate, {}
            parts = {name: round(value, 3) for name, value in shell.parts.items()}
            about = {"frames": shell.frames, "file_bytes": size_of(folder), "parts_s": parts}
            return rate, about
        finally:
            transport.close()


def each_tick(is_recorded: bool) -> tuple[float, dict[str, Any]]:
    """The same with a frame a tick, as in a run of less than 150 s: the worst there is."""
    return deliveries(is_recorded, None)


def smart_grid(is_recorded: bool) -> tuple[float, dict[str, Any]]:
    """World steps per second, and what was recorded."""
    overrides = {} if is_recorded else {"record.every": 0}
    with tempfile.TemporaryDirectory() as folder:
        result = sim.run(
            "smart_grid", duration="6h", compare=False, run_dir=folder, overrides=overrides
        )
        about = {"file_bytes": size_of(folder)} if is_recorded else {}
        return result.steps / result.wall_seconds, about


CASES = {
    "deliveries": ("delivered/s", deliveries),
    "deliveries_each_tick": ("delivered/s", each_tick),
    "smart_grid": ("steps/s", smart_grid),
}


def main(repeats: int) -> None:
    torch.set_num_threads(1)
    cases = {}
    for name, (unit, measure) in CASES.items():
        measure(True)
        rates: dict[bool, list[float]] = {False: [], True: []}
        told: dict[str, Any] = {}
        for _ in range(repeats):
            for is_recorded in (False, True):
                rate, about = measure(is_recorded)
                rates[is_recorded].append(rate)
                told = about or told
        pairs = zip(rates[True], rates[False], strict=True)
        cases[name] = {
            "unit": unit,
            "without": round(statistics.median(rates[False]), 1),
            "with": round(statistics.median(rates[True]), 1),
            "ratio": round(statistics.median(a / b for a, b in pairs), 3),
            **told,
        }
    ratios = {name: each["ratio"] for name, each in cases.items()}
    print(json.dumps({"benchmark": "recording", **machine(), "cases": cases, "ratio": ratios}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
