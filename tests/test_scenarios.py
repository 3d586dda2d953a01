"""Every bundled scenario loads, and runs for a little while in memory with balanced books."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checkers.books import check_books
from checkers.clock import ClockChecker
from checkers.memory import completed, play

from broker.kernel import Kernel
from sim.prepare import load, prepare
from sim.scenario.load import parse_scenario

FOLDER = Path(__file__).parents[1] / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))
NEEDS = {"sumo": "libsumo"}
"""A package, as pip install 'sim-agents[sumo]' brings it."""
STEPS = 5


def test_there_are_scenarios() -> None:
    assert {"quickstart", "microgrid", "rendezvous"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_runs_for_a_few_steps(path: Path) -> None:
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
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


PAGE = FOLDER.parent / "docs/network.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
REST = {
    "world": "world: {kind: blank, agents: 6}\n",
    "duration": "duration: 12h\n",
    "network": "network: {default: {latency: 5ms}}\n",
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_network_page_are_scenarios(example: str) -> None:
    rest = "".join(text for key, text in REST.items() if f"{key}:" not in example)
    prepared = prepare(parse_scenario(example + rest))
    assert prepared.table.warnings() == []
    assert prepared.faults or prepared.scenario.network.links
