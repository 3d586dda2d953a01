"""Every bundled scenario loads, and runs for a little while in memory with balanced books."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkers.books import check_books
from checkers.clock import ClockChecker
from checkers.memory import completed, play

from broker.kernel import Kernel
from sim.runner import load, prepare

FOLDER = Path(__file__).parents[1] / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))
STEPS = 5


def test_there_are_scenarios() -> None:
    assert {"quickstart", "microgrid", "rendezvous"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_runs_for_a_few_steps(path: Path) -> None:
    whole = load(path)
    dt_ns = prepare(whole).world.dt_ns
    seconds = STEPS * dt_ns / 1e9
    kernel = prepare(load(path, duration=seconds)).kernel()
    clock = ClockChecker()

    def check(kernel: Kernel) -> None:
        check_books(kernel)
        clock.check(kernel)

    completed(play(kernel, on_window=check))
    assert kernel.steps == STEPS
    assert kernel.now == STEPS * dt_ns
    assert kernel.activations >= len(kernel.agents.hosts)
    assert kernel.world.metrics()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_commented_and_found_by_its_name(path: Path) -> None:
    by_name = load(path.stem)
    assert by_name.name == path.stem
    assert by_name.description, "a comment opens the file and says what the scenario shows"
    assert load(path) == by_name
