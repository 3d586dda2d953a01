"""Worker processes for jobs that have nothing to do with each other: plain data in, plain data out.

A job is one line of JSON on a worker's standard input, its result one on its standard output;
before it there may be news, see `tell`. What the job itself prints goes nowhere. Workers end with
their parent: their input ends.
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
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TextIO, TypeAlias

from sim.errors import SimError
from sim.launch.local import ENVIRONMENT

Worker: TypeAlias = "subprocess.Popen[bytes]"
_BOOT: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[2]); "
    "from sim.launch.jobs import serve; serve(sys.argv[1], int(sys.argv[3]))"
)
_READ_BYTES: Final = 1 << 16
_out: TextIO | None = None
"""Where a worker answers."""
OnNews = Callable[[int, Any], None]


def tell(news: Any) -> None:
    """News of the job that is being done, for `on_news` of the pool; nothing outside of a worker.

    news: plain data.
    """
    if _out is not None:
        _answer(_out, {"news": news})


class Pool:
    """Workers for `module:function`. Use as a context manager; leaving it ends them.

    nice: added to their priority's number: 19 is the lowest.
    """

    def __init__(self, target: str, workers: int, nice: int = 0) -> None:
        self._target, self._workers, self._nice = target, workers, nice
        self._processes: list[Worker] = []
        self._heard: dict[int, bytes] = {}
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

    def run(
        self, jobs: Sequence[dict[str, Any]], on_news: OnNews = lambda index, news: None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and result of each job, as they end. on_news: told a job's number and its news.

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
                    for answer in self._take(process):
                        if "news" in answer:
                            on_news(doing[process.pid], answer["news"])
                            continue
                        index = doing.pop(process.pid)
                        if waiting:
                            doing[process.pid] = _give(process, waiting.pop())
                        else:
                            selector.unregister(process.stdout)
                        yield index, dict(answer["result"])

    def _take(self, process: Worker) -> list[dict[str, Any]]:
        """The answers that have come from a worker.

        Raises: SimError with the job's own words if one raised it, or if the worker is lost.
        """
        come = os.read(process.stdout.fileno(), _READ_BYTES)  # type: ignore[union-attr]
        if not come:
            raise SimError(f"a worker ended unexpectedly, with exit code {process.wait()}")
        *lines, rest = (self._heard.get(process.pid, b"") + come).split(b"\n")
        self._heard[process.pid] = rest
        answers: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for answer in answers:
            if "error" in answer:
                raise SimError(str(answer["error"]))
        return answers


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


def serve(target: str, nice: int) -> None:
    """What a worker does until its input ends."""
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _out
    _out = out = os.fdopen(os.dup(1), "w")
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
        _answer(out, answer)


def _answer(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()
