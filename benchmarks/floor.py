"""The floor under lockstep: plain synchronous pyzmq, and our transport with nothing behind it.

Each tick every process gets 16 float32 and answers 4 float32. The raw floor is one ROUTER, a DEALER
per process, blocking calls on both sides and no framing; what stands on it can only be slower.
Run alone, it prints both and their ratio as one line of JSON.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time

import zmq

from sim.launch.local import process_transport
from sim.wire.messages import Act, Activation, Done, Observed, Work, Yield

OBSERVATION, ACTION = bytes(64), bytes(16)
FAR = 2**62


def raw_lockstep(n: int, ticks: int) -> float:
    """Agent-steps per second of n processes over synchronous pyzmq without any framing."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{folder}/floor"
        pids = [_fork_echo(address, str(i).encode()) for i in range(n)]
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        router.bind(address)
        try:
            names = [router.recv_multipart()[0] for _ in range(n)]
            started = time.perf_counter()
            for _ in range(ticks):
                for name in names:
                    router.send_multipart((name, OBSERVATION))
                for _ in names:
                    router.recv_multipart()
            return n * ticks / (time.perf_counter() - started)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            router.close()
            context.term()


def _fork_echo(address: str, name: bytes) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        dealer = zmq.Context().socket(zmq.DEALER)
        dealer.setsockopt(zmq.ROUTING_ID, name)
        dealer.connect(address)
        dealer.send(b"")
        while True:
            dealer.recv()
            dealer.send(ACTION)
    finally:
        os._exit(1)


class Echo:
    """A runtime that does nothing: one action for one observation."""

    def __init__(self, host: int) -> None:
        self.host = host

    def run(self, activation: Activation) -> Yield:
        """Answers as a host with one agent would."""
        act = Act(activation.now, "", ACTION)
        return Yield(activation.serial, [Done(self.host, FAR, awaits_observation=True, acts=[act])])

    def check_deadline(self) -> None:
        """It has none."""


def transport_lockstep(n: int, ticks: int) -> float:
    """Agent-steps per second over the transport, with activations and yields but no agents."""
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    transport = process_transport(runtime="floor:Echo")
    try:
        transport.start(range(n))
        started = time.perf_counter()
        for tick in range(ticks):
            for host in range(n):
                observed = Observed(tick, 0, OBSERVATION, b"")
                work = [Work(host, tick, observed=observed)]
                transport.send(host, Activation(tick, tick, tick + 1, work))
            left = n
            while left:
                left -= len(transport.poll(None))
        return n * ticks / (time.perf_counter() - started)
    finally:
        transport.close()


def compare(n: int, steps: int = 12_000, repeats: int = 9) -> dict[str, float]:
    """Medians of alternating runs, and the median of their ratios."""
    pairs = [
        (raw_lockstep(n, max(1, steps // n)), transport_lockstep(n, max(1, steps // n)))
        for _ in range(repeats)
    ]
    raw, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "raw_per_s": round(raw),
        "transport_per_s": round(ours),
        "ratio": round(statistics.median(b / a for a, b in pairs), 3),
    }


if __name__ == "__main__":
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(json.dumps({"machine": machine, **{str(n): compare(n) for n in (8, 32, 100)}}))
