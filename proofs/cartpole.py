"""CartPole of Gymnasium, learned by PPO through kernels in memory; solved is a mean of 475.

Source: Barto, Sutton, Anderson 1983; CartPole-v1 ends after 500 steps, and counts as solved at 475
in the mean of 100 episodes. Hyperparameters were chosen on seeds 100 to 102.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proofs.proof import Found, Proof
from proofs.training import Task, played_by, scratch, trained
from sim.learn.evaluate import evaluate

FRAMES: Final = 150_000
OPTIONS: Final[dict[str, Any]] = {"decisions": 128, "learning_rate": 1e-3, "epochs": 4}


def play(seed: int, frames: int = FRAMES, episodes: int = 100) -> Found:
    """The mean return of greedy episodes on held-out seeds."""
    task = Task("cartpole", "ppo", frames, OPTIONS | {"anneal_frames": frames}, learn={"copies": 8})
    with scratch() as folder:
        run = Path(folder) / "run"
        outcome = trained(task, seed, run)
        found, _ = evaluate(played_by(task, run, {"agent": "agent"}, seed), episodes=episodes)
    score = found.metrics["own"]["return"]
    return Found(score.value, outcome.frames, {"low": score.low, "high": score.high})


PROOFS: Final = (
    Proof(
        "cartpole-ppo", "CartPole of Gymnasium, PPO, mean of 100 greedy episodes", "steps", play,
        tuple(range(10, 15)), aim=475.0,
        sources=("scenarios/cartpole.yaml", "sim/worlds/gym.py", "sim/worlds/foreign.py"),
        minutes=3.0,
    ),
)  # fmt: skip
