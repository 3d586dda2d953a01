"""Makes the frames that the console's tests show: real runs, in memory, thinned out.

python tests/console/make_frames.py            all of them
python tests/console/make_frames.py quickstart
"""

from __future__ import annotations

import gzip
import sys

import msgspec
from fakes import FRAMES

from broker.kernel import Kernel
from broker.server import drive
from broker.tape import Tape
from broker.telemetry import Telemetry, intro, lines
from sim.prepare import load, prepare
from sim.runner import baselines
from sim.store.recorder import Recorder
from sim.units import duration_ns
from sim.wire.live import Frame
from sim.wire.memory import MemoryTransport
from sim.worlds import catalogue

RUNS = {
    "quickstart": ("60s", "1s"),
    "smart_grid": ("24h", "60min"),
    "microgrid": ("5min", "10s"),
    "rendezvous": ("2min", "6s"),
    "large_grid": ("10h", "5h"),
}
"""Duration, and virtual time between frames."""


def make(name: str) -> None:
    duration, every = RUNS[name]
    scenario = load(name, duration=duration)
    prepared = prepare(scenario)
    kernel = prepared.kernel()
    kernel.network.tape = Tape()
    telemetry = Telemetry(kernel)
    reference = ({}, [])
    if name in ("quickstart", "smart_grid"):
        columns = {c: dict(v) for c, v in baselines(scenario).items()}
        spec = scenario.world
        columns |= catalogue.reference(spec.kind, spec.params, scenario.seed, scenario.duration_ns)
        reference = (columns, list(columns))
    frames: list[Frame] = []
    due, told = 0, 0
    step = duration_ns(every)

    def take(status: str) -> None:
        nonlocal told
        assert kernel.network.tape is not None
        telemetry.hear(kernel.network.tape.take())
        frame = telemetry.frame(status, (900.0, 9400.0, 900.0), len(frames) * 1.0, reference)
        frame.lines = lines(list(kernel.events), told)
        told += len(kernel.events)
        kernel.events.clear()
        frame.serial = len(frames) + 1
        frames.append(msgspec.convert(msgspec.to_builtins(frame), Frame))

    def tick(kernel: Kernel) -> None:
        nonlocal due
        if kernel.now >= due:
            due = kernel.now + step
            take("running")

    transport = MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    about = intro(kernel, f"runs/{name}-0042", 900.0, 4100, "2026-05-27T12:00:00+00:00")
    drive(kernel, transport, Recorder(), on_window=tick)
    take("completed")
    packed = gzip.compress(msgspec.msgpack.encode((about, frames)), 9, mtime=0)
    FRAMES.mkdir(exist_ok=True)
    (FRAMES / f"{name}.msgpack.gz").write_bytes(packed)
    print(f"{name}: {len(frames)} frames, {len(packed):,} bytes")


if __name__ == "__main__":
    for name in sys.argv[1:] or RUNS:
        make(name)
