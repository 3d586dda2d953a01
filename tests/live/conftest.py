"""A run that goes on in a thread, and its door."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import sim
from sim.errors import SimError
from sim.outcome import Result
from sim.scenario.load import parse_scenario
from sim.wire.control import ControlClient
from sim.wire.live import Frame, Line

SCENARIO: dict[str, Any] = {
    "name": "talk",
    "seed": 3,
    "duration": "60s",
    "world": {"kind": "rendezvous", "agents": 4, "dt": "100ms"},
    "network": {"default": {"latency": "20ms", "jitter": {"exponential": "5ms"}, "loss": "5%"}},
}


class Running:
    """A run in memory at twenty times real time; `door` asks it, `end` lets it run out."""

    def __init__(self, run_dir: Path, **options: Any) -> None:
        self.result: Result | None = None
        self._error: BaseException | None = None
        self._opened = threading.Event()
        self.address = ""
        self.lines: list[Line] = []
        self._frames: list[Frame] = []
        self._options = {
            "inline": True, "compare": False, "speed": "20x", "run_dir": run_dir, **options,
        }  # fmt: skip
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._opened.wait(30), self._error
        self.door = ControlClient(self.address)

    def _run(self) -> None:
        try:
            scenario = parse_scenario(yaml.safe_dump({**SCENARIO, **self._options.pop("over", {})}))
            self.result = sim.run(scenario, on_live=self._open, **self._options)
        except BaseException as error:
            self._error = error
            self._opened.set()

    def _open(self, address: str) -> None:
        self.address = address
        self._opened.set()

    def frame(self, until: Callable[[Frame], bool] = lambda frame: True) -> Frame:
        """The next frame for which something is so."""
        for _ in range(600):
            self._frames += self.door.news(0.1)
            while self._frames:
                frame = self._frames.pop(0)
                self.lines += frame.lines
                if until(frame):
                    return frame
        raise AssertionError("no such frame came")

    def end(self) -> Result:
        """Its result, as fast as it goes."""
        with contextlib.suppress(SimError):
            self.door.ask("speed", "max")
            self.door.ask("go")
        self._thread.join(60)
        if self._error is not None:
            raise self._error
        assert self.result is not None
        return self.result

    def close(self) -> None:
        """Stops it, if it goes on."""
        if self._thread.is_alive() and self.door.is_open:
            self.door.ask("stop")
        self._thread.join(60)
        self.door.close()


@pytest.fixture(scope="session")
def undisturbed() -> Result:
    """The same run with nobody there."""
    scenario = parse_scenario(yaml.safe_dump(SCENARIO))
    return sim.run(scenario, inline=True, compare=False, record=False)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """`start(over={...}, **options of sim.run)`."""
    begun: list[Running] = []

    def begin(**options: Any) -> Running:
        begun.append(Running(tmp_path / f"run-{len(begun)}", **options))
        return begun[-1]

    yield begin
    for each in begun:
        each.close()
