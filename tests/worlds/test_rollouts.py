"""The classics and foreign environments as learners meet them: spaces, messages and ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sim.learn.kernels import KernelRollout
from sim.prepare import load, prepare

pytestmark = pytest.mark.torch


class Fixed:
    """Decides by a function of what is seen [B, n, F] -> [B, n, A]."""

    memory_size = 0

    def __init__(self, decide: Any) -> None:
        self.decide = decide

    def act(self, seen: Any, alive: Any, memory: Any, is_first: Any) -> tuple[Any, Any, Any]:
        return self.decide(seen), torch.zeros(seen.shape[:2]), memory


def collected(name: str, actors: dict[str, Any], decisions: int, *overrides: str) -> Any:
    prepared = prepare(load(name, overrides=list(overrides)))
    rollout = KernelRollout(prepared, list(actors), 2, seed=0)
    try:
        records = rollout.collect({g: Fixed(f) for g, f in actors.items()}, decisions)
        return records, rollout.finished()
    finally:
        rollout.close()


@pytest.mark.parametrize(("limit", "ends"), [(0, "terminated"), (4, "truncated")])
def test_a_fallen_pole_has_no_future_and_a_cut_one_has(limit: int, ends: str) -> None:
    pytest.importorskip("gymnasium", exc_type=ImportError)
    push = {"agent": lambda seen: torch.ones(*seen.shape[:2], 1)}
    records, episodes = collected("cartpole", push, 30, f"world.max_steps={limit}")
    record = records["agent"]
    other = {"terminated": "truncated", "truncated": "terminated"}[ends]
    assert int(getattr(record, ends).sum()) == len(episodes) >= 4
    assert not getattr(record, other).any()
    assert {e.returns["agent"] for e in episodes} <= ({4.0} if limit else {8.0, 9.0, 10.0, 11.0})


def test_signals_are_said_heard_and_earn() -> None:
    def say(seen: Any) -> Any:
        return seen[..., 1:].argmax(-1, keepdim=True).float()

    def name(seen: Any) -> Any:
        # Turn, then what the one sender said, whether it is there, and its age.
        return seen[..., 1:4].argmax(-1, keepdim=True).float()

    def mute(seen: Any) -> Any:
        return torch.zeros(*seen.shape[:2], 1)

    network = "network.default={latency: 20ms}"
    told, _ = collected("signalling", {"sender": say, "receiver": name}, 40, network)
    assert told["sender"].team.mean() == 0.5
    assert torch.equal(told["sender"].reward, told["receiver"].reward)
    untold, _ = collected("signalling", {"sender": mute, "receiver": name}, 40, network)
    assert untold["sender"].team.mean() < 0.3


def test_in_spread_everybody_decides_in_each_step() -> None:
    stay = {"agent": lambda seen: torch.zeros(*seen.shape[:2], 1)}
    records, episodes = collected("spread", stay, 50)
    record = records["agent"]
    assert record.seen.shape == (50, 2, 3, 18)
    assert int(record.truncated.sum()) == 4 == len(episodes)
    assert not record.terminated.any()
    # Nobody moves of themselves, so nobody's reward changes unless two overlap at the start.
    assert record.reward.sum() < -100
