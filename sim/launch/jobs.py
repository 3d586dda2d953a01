"""Worker processes for jobs that have nothing to do with each other: plain data in, plain data out.

A job is one line of JSON on a worker's standard input, its result one on its standard output. What
the job itself prints goes nowhere. Workers end with their parent: their input ends.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from sim.errors import SimError
from sim.launch.local import ENVIRONMENT

Worker: TypeAlias = "subprocess.Popen[bytes]"
_BOOT: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[2]); "
    "from sim.launch.jobs import serve; serve(sys.argv[1], int(sys.argv[3]))"
)


class Pool:
    """Workers for `module:function`. Use as a context manager; leaving it ends them.

    nice: added to their priority's number: 19 is the lowest.
    """

    def __init__(self, target: str, workers: int, nice: int = 0) -> None:
        self._target, self._workers, self._nice = target, workers, nice
        self._processes: list[Worker] = []
        self._is_ended = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        for process in self._processes:
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]

    def end(self) -> None:
        """Ends the workers; a `run` that goes on in another thread raises SimError then."""
        self._is_ended = True
        for process in self._processes:
            process.kill()
            process.wait()

    def run(self, jobs: Sequence[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and result of each job, as they end.

        Raises: SimError with the job's own words if one raised it, or if a worker is lost.
        """
        waiting = list(enumerate(jobs))[::-1]
        while len(self._processes) < min(self._workers, len(waiting)):
            self._processes.append(_start(self._target, self._nice))
        if self._is_ended:
            self.end()
        with selectors.DefaultSelector() as selector:
            doing: dict[int, int] = {}
            for process in self._processes[: len(waiting)]:
                selector.register(process.stdout, selectors.EVENT_READ, process)  # type: ignore[arg-type]
                doing[process.pid] = _give(process, waiting.pop())
            while doing:
                for ready, _ in selector.select():
                    process = ready.data
                    index = doing.pop(process.pid)
                    result = _take(process)
                    if waiting:
                        doing[process.pid] = _give(process, waiting.pop())
                    else:
                        selector.unregister(process.stdout)
                    yield index, result


def _start(target: str, nice: int) -> Worker:
    path = json.dumps([os.path.abspath(entry) for entry in sys.path])
    return subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
        [sys.executable, "-c", _BOOT, target, path, str(nice)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
        process_group=0,
    )


def _give(process: Worker, job: tuple[int, dict[str, Any]]) -> int:
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(job[1]).encode() + b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    return job[0]


def _take(process: Worker) -> dict[str, Any]:
    line = process.stdout.readline()  # type: ignore[union-attr]
    if not line.endswith(b"\n"):
        raise SimError(f"a worker ended unexpectedly, with exit code {process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise SimError(str(answer["error"]))
    return dict(answer["result"])


def serve(target: str, nice: int) -> None:
    """What a worker does until its input ends."""
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    module, _, name = target.partition(":")
    work = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        try:
            answer = {"result": work(json.loads(line))}
        except SimError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()
