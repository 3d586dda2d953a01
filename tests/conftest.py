"""What many tests share: a run of an author's agents in a small blank world."""

from __future__ import annotations

import itertools
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers.effort import tries
from hypothesis import settings

import sim.runner
from sim.outcome import Result
from sim.scenario.load import parse_scenario

BASE: dict[str, Any] = {
    "seed": 1,
    "duration": "1s",
    "world": {"kind": "blank", "agents": 1, "step": "100ms"},
    "agents": {},
    "network": {"default": {"latency": "10ms"}},
}
HEADER = "import asyncio\nimport sim\n"

settings.register_profile("sim", max_examples=tries(100))
settings.load_profile("sim")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a shell Ctrl-C is ignored, by all that a test starts too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


class Outcome:
    """A result, and what single agents said in it."""

    def __init__(self, result: Result) -> None:
        self.result = result

    def lines(self, agent: str = "agent-1", *kinds: str) -> list[tuple[float, str]]:
        """(time, text) of what an agent printed, or of its events of the given kinds."""
        wanted = kinds or ("print", "info")
        return [
            (e["time"], e["text"])
            for e in self.result.events
            if e["agent"] == agent and e["kind"] in wanted
        ]

    def said(self, agent: str = "agent-1") -> list[str]:
        return [text for _, text in self.lines(agent)]

    @property
    def failure(self) -> dict[str, Any]:
        (failure,) = self.result.agent_failures
        return failure


def _merged(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    both = {key: _merged(base[key], over[key]) if key in base else over[key] for key in over}
    return {**base, **both}


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """`run(source, scenario)`: all agents play class A of `source`, those named in `cast` another.

    scenario: what differs from BASE, merged into it. options: those of `sim.run`; in memory, and
    nothing recorded, unless they say otherwise.
    """
    numbers = itertools.count(1)

    def start(
        source: str,
        scenario: dict[str, Any] | None = None,
        cast: dict[str, str] | None = None,
        **options: Any,
    ) -> Outcome:
        path = tmp_path / f"authors{next(numbers)}.py"
        path.write_text(HEADER + textwrap.dedent(source))
        players = {"agent-*": "A", **(cast or {})}
        agents = {name: {"behaviour": f"{path}:{player}"} for name, player in players.items()}
        document = _merged(_merged(BASE, {"agents": agents}), scenario or {})
        loaded = parse_scenario(yaml.safe_dump(document, sort_keys=False), folder=str(tmp_path))
        settings = {"inline": True, "record": False, "compare": False, **options}
        return Outcome(sim.runner.run(loaded, **settings))

    yield start
    for name in [n for n in sys.modules if n.startswith("sim_author_authors")]:
        del sys.modules[name]
