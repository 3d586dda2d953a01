"""The kernel rollout: the same as a run in processes, whatever the agents, links and faults."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from learn.acting import Linear, write_policy

import sim.runner
from sim.learn import copies as copies_module
from sim.learn.kernels import KernelRollout
from sim.prepare import Prepared, prepare
from sim.scenario.load import parse_scenario

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _forget_authors() -> Iterator[None]:
    yield
    for name in [n for n in sys.modules if n.startswith("sim_author_")]:
        del sys.modules[name]


def document(kind: str = "rendezvous", **over: Any) -> dict[str, Any]:
    base = {
        "seed": 3,
        "duration": "2s",
        "world": {"kind": kind, "agents": 3},
        "network": {"default": {"latency": "20ms", "loss": 0.3, "jitter": {"exponential": "60ms"}}},
    }
    if kind == "smart_grid":
        base |= {"duration": "3h", "world": {"kind": kind}}
    return {**base, **over}


def prepared_of(given: dict[str, Any], folder: Path) -> Prepared:
    return prepare(parse_scenario(yaml.safe_dump(given, sort_keys=False), folder=str(folder)))


def rollout_of(
    given: dict[str, Any], folder: Path, *learning: str, copies: int = 1, **options: Any
) -> KernelRollout:
    return KernelRollout(
        prepared_of(given, folder), learning, copies, **{"seed": given["seed"], **options}
    )


def actors_of(rollout: KernelRollout, noise: float = 0.0) -> dict[str, Linear]:
    return {side.group: Linear(side, noise) for side in rollout.sides}


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Of every episode that ended in a rollout, by its number."""
    found: dict[int, str] = {}
    result = copies_module.Copy.result

    def noted(self: Any) -> Any:
        found[self.episode] = self.kernel.digest.chain.hex()
        return result(self)

    monkeypatch.setattr(copies_module.Copy, "result", noted)
    return found


TALK = {"speaks": {"hint": 2}, "hears": {"hint": 2}}
SYMBOL = {"speaks": {"hint": {"choices": 3}}, "hears": {"hint": 3}}
FAULTS = [
    {"at": "450ms", "kill": "agent-2"},
    {"at": "1020ms", "restart": "agent-2"},
    {"at": "700ms", "for": "500ms", "hang": "agent-3"},
    {"at": "1300ms", "for": "300ms", "partition": [["agent-1"], ["agent-*"]]},
]


@pytest.mark.parametrize(
    ("kind", "params", "faults"),
    [
        ("rendezvous", {}, []),
        ("rendezvous", TALK, []),
        ("blank", TALK, FAULTS),
        ("rendezvous", SYMBOL, FAULTS),
    ],
)
def test_what_learning_agents_do_is_what_the_same_policy_does_in_a_run(
    kind: str, params: dict[str, Any], faults: list[Any], tmp_path: Path, digests: dict[int, str]
) -> None:
    given = document(kind, faults=faults)
    behaviour = {"behaviour": write_policy(tmp_path), "params": params}
    played = prepared_of({**given, "agents": {"agent-*": behaviour}}, tmp_path)
    ran = sim.runner.run(played.scenario, inline=True, record=False, compare=False)
    assert ran.status == "completed"
    rollout = rollout_of(given, tmp_path, "agent", role_params={"agent": params})
    actors = actors_of(rollout)
    rollout.collect(actors, 25)
    assert digests == {0: ran.digest}
    (episode,) = rollout.finished()
    assert episode.metrics == {name: m.value for name, m in ran.metrics.items()}
    actors["agent"].noise = 1e-6
    rollout.collect(actors, 20)
    assert digests[1] != ran.digest
