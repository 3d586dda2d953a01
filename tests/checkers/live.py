"""Runs that go on while a script talks to their door from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkers.processes import wait_until

import sim.runner
from sim.outcome import Result
from sim.scenario.schema import Scenario
from sim.store.runlog import Decision, read_log
from sim.wire.control import ControlClient

ANSWER_SECONDS = 30.0
Script = Callable[[ControlClient], None]


class Conducted:
    """A run that waits before its second window for what the script asks.

    start: what is run; by default `sim.run` with the options given.
    """

    def __init__(
        self, script: Script, scenario: Scenario | None, path: Path | None = None,
        start: Callable[..., Result] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self._script = script
        self._errors: list[BaseException] = []
        self._thread: threading.Thread | None = None
        given: dict[str, Any] = {"speed": "0.001x", "compare": False, **options}
        if start is None:
            given |= {"run_dir": path, "record": path is not None}
            self.result = sim.runner.run(scenario, on_live=self._begin, **given)
        else:
            self.result = start(on_live=self._begin, **given)
        assert self._thread is not None
        self._thread.join()
        if self._errors:
            raise self._errors[0]
        records = read_log(path / "run.log") if path else []
        self.decisions = [r for r in records if isinstance(r, Decision)]
        self.kinds = [d.kind for d in self.decisions]

    def _begin(self, address: str) -> None:
        self._thread = threading.Thread(target=self._talk, args=(address,))
        self._thread.start()

    def _talk(self, address: str) -> None:
        client = ControlClient(address)
        try:
            self._script(client)
        except BaseException as error:
            self._errors.append(error)
            client.ask("stop")
        finally:
            client.close()


def ask(client: ControlClient, what: str, text: str = "") -> str:
    """What is answered; it must be obeyed."""
    answer = client.ask(what, text, ANSWER_SECONDS)
    assert answer.is_ok, answer.text
    return answer.text


def step(client: ControlClient, times: int) -> None:
    """So many steps of the world, one after another; paused after each."""
    ask(client, "watch")
    frames: list[Any] = []

    def shown() -> Any:
        frames.extend(client.news(0.2))
        return frames

    wait_until(shown)
    for _ in range(times):
        before = frames[-1].steps
        ask(client, "step")
        wait_until(lambda before=before: shown() and frames[-1].steps > before)


def finish(client: ControlClient) -> None:
    """To the end, as fast as it goes; the last word is heard before it is obeyed."""
    ask(client, "pause")
    ask(client, "speed", "max")
    ask(client, "go")
