"""Rendezvous with quadratic cost, whose optimum is known in closed form: mean(a) = -9 s.

Everybody sees the point, so nothing need be said; the cost per step is then 0.01 d, the variance of
what pushes the point. The optimum is the same for every discount (`sim.worlds.rendezvous.optimum`).

What an agent tries moves the point by a quarter, and costs disagreement at once, so trying wants to
die out long before anything is learned. With normalised advantages a bonus of entropy above some
0.43 should (by calculation, not tried) outweigh disagreement at any deviation; with 0.3 it settled
at 0.16 in units of the action. Layers of tanh answered a start at 1 with -2.1 to -2.6, where -9 is
asked for; relu with -6.8 to -7.4.
Hyperparameters were chosen on seeds 100 and 101.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proofs.proof import Found, Proof
from proofs.training import Task, played_by, scratch, trained
from sim.learn.evaluate import evaluate

FRAMES: Final = 8_000_000
WORLD: Final = ("world.norm=quadratic", "world.observation_noise=0", "faults=[]", "duration=30s")
LEARN: Final[dict[str, Any]] = {"copies": 512, "network": {"hidden": [16], "activation": "relu"}}
OPTIONS: Final[dict[str, Any]] = {
    "gamma": 0.9, "lambda_": 0.3, "learning_rate": 3e-3, "entropy": 0.3, "deviation": 0.03,
    "epochs": 4, "minibatches": 4, "target_kl": 0,
}  # fmt: skip


def play(seed: int, frames: int = FRAMES, episodes: int = 20) -> Found:
    """Mean cost of greedy episodes over that of the optimum under the same noise, minus 1."""
    task = Task(
        "rendezvous", "mappo", frames, OPTIONS | {"anneal_frames": frames},
        learn=LEARN, world=WORLD,
    )  # fmt: skip
    with scratch() as folder:
        run = Path(folder) / "run"
        outcome = trained(task, seed, run)
        prepared = played_by(task, run, {"agent": "agent-*"}, seed)
        found, _ = evaluate(prepared, episodes=episodes)
    cost, best = (-found.metrics[name]["reward"].value for name in ("own", "reference"))
    return Found(cost / best - 1.0, outcome.frames, {"cost": cost, "optimum": best})


PROOFS: Final = (
    Proof(
        "rendezvous-mappo", "rendezvous at quadratic cost, cost above its closed form", "of it",
        play, tuple(range(10, 15)), aim=0.03, better="lower",
        sources=("scenarios/rendezvous.yaml", "sim/worlds/rendezvous.py"), minutes=5.0,
    ),
)  # fmt: skip
