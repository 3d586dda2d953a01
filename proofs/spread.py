"""Spread: MAPPO on the batched world, judged by its policy file in MPE2's own `simple_spread_v3`.

The figure is the literature's: the sum of all three agents' returns over 25 steps, the mean of 500
greedy episodes. At random it is -79; EPyMARL's MAPPO has -29.3 (Papoudakis et al. 2021).
Hyperparameters, those of scenarios/spread.yaml, were chosen once, on seed 101.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from agents.networks import load_policy
from proofs.proof import Found, Proof
from proofs.training import Task, policies, scratch, trained
from sim.prepare import load, make_world

FRAMES: Final = 2_000_000
STEPS: Final = 25
EPISODES: Final = 500


def judged(
    policy: Path, seeds: Sequence[int], scenario: str = "spread", batch: int = 100
) -> list[float]:
    """Sums of all agents' returns in MPE2, one episode per seed, all of a batch side by side.

    scenario: in which the policy was trained.
    """
    from mpe2 import simple_spread_v3

    group = make_world(load(scenario)).groups[0]
    player = load_policy(policy)(group.agents[0], group, {})
    envs = [simple_spread_v3.parallel_env(max_cycles=STEPS) for _ in range(min(batch, len(seeds)))]
    returns = []
    for at in range(0, len(seeds), len(envs)):
        some = envs[: len(seeds) - at]
        seen = [env.reset(seed=seed)[0] for env, seed in zip(some, seeds[at:], strict=False)]
        total = np.zeros(len(some))
        memory = player.memory(np, 3 * len(some))
        for _ in range(STEPS):
            obs = np.array([[each[a] for a in some[0].possible_agents] for each in seen])
            rows = obs.reshape(3 * len(some), -1).astype(np.float64)
            action, _, memory = player(rows, {}, memory, np.zeros(len(rows), dtype=np.uint64))
            chosen = np.rint(action).astype(int).reshape(len(some), 3)
            for i, env in enumerate(some):
                acts = dict(zip(env.possible_agents, chosen[i].tolist(), strict=True))
                seen[i], rewards, _, _, _ = env.step(acts)
                total[i] += sum(rewards.values())
        returns += total.tolist()
    return returns


def task(frames: int = FRAMES) -> Task:
    """The training run: the scenario's own options, the rate falling to 0 at the end."""
    options: dict[str, Any] = dict(load("spread").learn.options["mappo"])  # type: ignore[union-attr]
    return Task("spread", "mappo", frames, options | {"anneal_frames": frames})


def play(seed: int, frames: int = FRAMES, episodes: int = EPISODES) -> Found:
    """The mean in MPE2 after training."""
    with scratch() as folder:
        run = Path(folder) / "run"
        outcome = trained(task(frames), seed, run)
        returns = judged(policies(run)["agent"], range(10_000, 10_000 + episodes))
    deviation = float(np.std(returns) / len(returns) ** 0.5)
    details = {
        "standard_error": deviation, "wall_seconds": outcome.seconds,
        "frames_per_second": outcome.frames / outcome.seconds,
        "return_in_training": outcome.returns or 0.0,
    }  # fmt: skip
    return Found(float(np.mean(returns)), outcome.frames, details)


PROOFS: Final = (
    Proof(
        "spread-mappo", "spread, MAPPO trained on the batch, judged in MPE2 (sum over agents)", "",
        play, tuple(range(5)), aim=-27.5, needs=4,
        sources=("scenarios/spread.yaml", "sim/worlds/classics/spread.py",
                 "sim/worlds/classics/particles.py"),
        minutes=6.0,
    ),
)  # fmt: skip
