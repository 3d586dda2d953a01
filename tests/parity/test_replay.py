"""First promise of parity: the world in a run and the world in a batch are the same world.

Actions recorded in a run of the bundled scenario are replayed through the batched world. A batch of
one gives the same state bit for bit; a row among others agrees to 1e-9. The control, with
the actions of one group halved, must part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from broker.server import drive
from sim.runner import prepare
from sim.scenario.load import load_scenario
from sim.store.runlog import Decision
from sim.wire.memory import MemoryTransport
from sim.worlds.catalogue import make_batch

pytestmark = pytest.mark.torch
CASES = {
    "rendezvous": "20s",
    "microgrid": "20s",
    "smart_grid": "2h",
    "spread": "2500ms",
    "signalling": "5s",
}


class Silent:
    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        pass

    def add(self, record: Decision) -> None:
        pass


class Recording:
    """A world that keeps what it was told and what became of it."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.steps: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.states: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    def advance(self, actions: dict[str, Any], present: dict[str, Any]) -> None:
        self.world.advance(actions, present)
        self.steps.append((actions, present))
        self.states.append(dict(self.world.state))


def recorded(name: str, duration: str) -> tuple[Any, Recording]:
    scenario = load_scenario(name, [f"duration={duration}", "faults=[]"])
    prepared = prepare(scenario)
    recording = Recording(prepared.world)
    kernel = replace(prepared, world=recording).kernel()
    transport = MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    drive(kernel, transport, Silent())
    assert kernel.status == "completed", kernel.error
    return scenario, recording


def replayed(scenario: Any, steps: Any, seeds: list[tuple[int, int]], row: int) -> list[Any]:
    """States of one row of a batch whose rows all replay the same actions."""
    batch = make_batch(scenario.world.kind, scenario.world.params)
    state, found = batch.reset(seeds), []
    for actions, present in steps:
        acted, there = (
            {g: torch.from_numpy(np.stack([v] * len(seeds))) for g, v in columns.items()}
            for columns in (actions, present)
        )
        state, _ = batch.advance(state, acted, there)
        found.append({k: v[row] for k, v in state.items() if isinstance(v, torch.Tensor)})
    return found


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest) -> tuple[Any, Recording]:
    return recorded(request.param, CASES[request.param])


def differences(recording: Recording, states: list[Any]) -> float:
    """The largest difference of any tensor at any step."""
    worst = 0.0
    for ours, theirs in zip(recording.states, states, strict=True):
        for name, value in theirs.items():
            a = torch.nan_to_num(torch.as_tensor(ours[name][0]).to(torch.complex128))
            b = torch.nan_to_num(value.to(torch.complex128))
            worst = max(worst, float((a - b).abs().max()) if a.numel() else 0.0)
    return worst


def test_a_batch_of_one_is_bitwise_the_same(run: tuple[Any, Recording]) -> None:
    scenario, recording = run
    states = replayed(scenario, recording.steps, [(scenario.seed, 0)], 0)
    for ours, theirs in zip(recording.states, states, strict=True):
        for name, value in theirs.items():
            assert ours[name][0].numpy().tobytes() == value.numpy().tobytes(), name


def test_a_row_among_others_is_the_same_to_1e_9(run: tuple[Any, Recording]) -> None:
    scenario, recording = run
    seeds = [(scenario.seed + 7, 1), (scenario.seed, 0), (scenario.seed + 9, 2)]
    assert differences(recording, replayed(scenario, recording.steps, seeds, 1)) < 1e-9


def test_control_other_actions_are_seen(run: tuple[Any, Recording]) -> None:
    scenario, recording = run
    acted = recording.steps[-1][1]
    group = next(g for g, a in recording.steps[0][0].items() if a.size and acted[g].any())
    steps = [({g: a.copy() for g, a in acts.items()}, there) for acts, there in recording.steps]
    for acts, _ in steps:
        acts[group] = acts[group] * 0.5 + 1e-3
    assert differences(recording, replayed(scenario, steps, [(scenario.seed, 0)], 0)) > 0.0
