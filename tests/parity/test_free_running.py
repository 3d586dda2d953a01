"""Fourth promise of parity: runs left to themselves come out alike.

Rules, under the same keys, come out the same to 1e-6 in a run and in a batch. A policy that draws
at random draws other numbers here than there; its returns are then equivalent by a paired test: the
95 % interval of the mean difference lies within a quarter of the spread between episodes. The
control, a policy that steers a little differently, must fail it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkers.memory import completed, play
from numpy.typing import NDArray

from sim.learn.batched import BatchedRollout
from sim.prepare import load, prepare

pytestmark = pytest.mark.torch

CASES = {
    "rendezvous": ["duration=45s"],
    "microgrid": ["duration=10s"],
    "smart_grid": [
        "duration=75min",
        "agents.market={processing: 700ms}",
        "network.default.jitter={exponential: 5s}",
        "faults=[{at: 15min10s, kill: market, for: 21min}, {at: 20min20s, kill: battery-2, for: "
        "5min7s}, {at: 25min, kill: operator, for: 3min30s}, {at: 40min, world: line-trip, "
        "target: LV3.101 Line 26, for: 5min20s}, {at: 50min, partition: [[market], ['*']], for: "
        "11min}, {at: 65min, noise: 5%}]",
    ],
}
RESTLESS = '''
import numpy as np
from sim.rng import philox


class Restless:
    """Steers to the origin, and trembles."""

    speaks, hears, plays_group = {}, {}, True

    def __init__(self, name, group, params):
        self.d, self.salt, self.gain = group.action.size, params["salt"], params["gain"]

    def memory(self, xp, batch):
        return xp.zeros((batch, 0))

    def __call__(self, obs, inbox, memory, key):
        keys = np.broadcast_to(np.asarray(key, np.uint64), (len(obs),))
        zero, salt = np.uint64(0), np.uint64(self.salt)
        words = philox(salt, zero, zero, zero, keys)[: self.d]
        noise = 0.2 * (np.stack(words, 1) / 2.0**32 - 0.5)
        return -self.gain * obs[:, : self.d] + noise, {}, memory
'''
EPISODES = 24
STEPS = 40


@pytest.mark.parametrize(
    "name", [pytest.param(c, marks=pytest.mark.slow) if c == "smart_grid" else c for c in CASES]
)
def test_rules_come_out_the_same(name: str) -> None:
    scenario = load(name, overrides=CASES[name])
    rollout = BatchedRollout(prepare(scenario), [], 2)
    rollout.collect({}, 2 * scenario.duration_ns // rollout.step_ns)
    batch = {episode.episode: episode for episode in rollout.finished()}
    assert sorted(batch) == [0, 1, 2, 3]
    for number in (0, 3):
        kernel = completed(play(prepare(scenario).kernel(episode=number)))
        for metric, value in kernel.world.metrics().items():
            assert batch[number].metrics[metric] == pytest.approx(value.value, rel=1e-6, abs=1e-9)


def restless(tmp_path: Path, salt: int, gain: float) -> list[str]:
    """Options of a short game in which all agents are restless."""
    path = tmp_path / "restless.py"
    path.write_text(RESTLESS)
    player = f"{{behaviour: {path}:Restless, params: {{salt: {salt}, gain: {gain}}}}}"
    return ["duration=4s", "faults=[]", f"agents={{agent-*: {player}}}"]


def in_runs(options: list[str]) -> NDArray[np.float64]:
    """The reward per step of each episode, in kernels of their own."""
    found = []
    for number in range(EPISODES):
        kernel = prepare(load("rendezvous", overrides=options)).kernel(episode=number)
        found.append(completed(play(kernel)).world.metrics()["reward"].value)
    return np.array(found)


def in_batch(options: list[str]) -> NDArray[np.float64]:
    """The same in one batch."""
    rollout = BatchedRollout(prepare(load("rendezvous", overrides=options)), [], EPISODES)
    rollout.collect({}, STEPS)
    found = sorted(rollout.finished(), key=lambda episode: episode.episode)
    return np.array([episode.team / STEPS for episode in found])


def is_equivalent(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> bool:
    """Whether the 95 % interval of the paired difference lies within a quarter of the spread."""
    student = 2.069  # t of 23 degrees of freedom, 97.5 %
    difference, margin = ours - theirs, 0.25 * theirs.std(ddof=1)
    reach = student * difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(abs(difference.mean()) + reach < margin)


def test_a_restless_policy_is_equivalent_and_another_is_not(tmp_path: Path) -> None:
    theirs = in_runs(restless(tmp_path, salt=0, gain=5.0))
    same = in_batch(restless(tmp_path, salt=0, gain=5.0))
    np.testing.assert_allclose(same, theirs, rtol=1e-9)
    other = in_batch(restless(tmp_path, salt=1, gain=5.0))
    assert abs(other - theirs).max() > 1e-3
    assert is_equivalent(other, theirs)
    biased = in_batch(restless(tmp_path, salt=1, gain=4.0))
    assert not is_equivalent(biased, theirs)
