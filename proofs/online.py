"""Rendezvous with quadratic cost, learned from running agents as `sim run --learn` does.

Four agents act in virtual time and tell a learner on the network what they saw, did and earned;
weights come back over the same links. A run is three hours of virtual time. What it learned plays
greedily, against the closed form under the same noise, which no batch-trained policy beats.
Hyperparameters were chosen on batches of copies and on runs with seeds 0 to 2, 100 and 101.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proofs.proof import Found, Proof
from proofs.training import scratch
from sim.errors import SimError
from sim.outcome import Result
from sim.prepare import load
from sim.runner import run
from sim.units import duration_ns
from sim.worlds.catalogue import reference

WORLD: Final = (
    "world.norm=quadratic", "world.observation_noise=0", "faults=[]", "world.dt=50ms",
)  # fmt: skip
JUDGED: Final = "5min"
"""Of greedy play: 6,000 decisions."""
OPTIONS: Final = (
    "{mappo: {deviation: 0.05, entropy: 0.15, learning_rate: 0.001, anneal_frames: 216000, "
    "gamma: 0.99, lambda_: 0.3, epochs: 15, minibatches: 2, clip: 0.5, target_kl: 0}}"
)  # fmt: skip


def learned(seed: int, folder: Path, duration: str = "3h") -> Result:
    """A run that learns; its policy is in `folder`."""
    learn = ("learn.online=true", "learn.update=512", f"learn.options={OPTIONS}")
    result = run(
        "rendezvous", seed=seed, duration=duration, overrides=[*WORLD, *learn], inline=True,
        compare=False, run_dir=folder,
    )  # fmt: skip
    if result.status != "completed":
        raise SimError(f"rendezvous, seed {seed}: {result.status}: {result.error}")
    return result


def judged(folder: Path, seed: int) -> tuple[float, float]:
    """Cost per decision of what was learned, played greedily under noise that it has not met, and
    of the optimum under that noise.
    """
    seed = 1_000_000 + seed
    result = run(
        "rendezvous", seed=seed, duration=JUDGED, overrides=WORLD,
        behaviours={"agent-*": f"policy:{folder}"}, inline=True, record=False, compare=False,
    )  # fmt: skip
    params = load("rendezvous", seed=seed, overrides=WORLD).world.params
    best = reference("rendezvous", params, seed, duration_ns(JUDGED))["optimum"]["reward"]
    return -result.metrics["reward"].value, -best


def play(seed: int) -> Found:
    """Its cost over that of the optimum, minus 1."""
    with scratch() as folder:
        result = learned(seed, Path(folder) / "online")
        cost, best = judged(Path(folder) / "online", seed)
    details: dict[str, Any] = {
        "cost": cost, "optimum": best, "versions": result.learning["versions"]["agent"],
        "virtual_seconds": result.virtual_seconds, "real_seconds": round(result.wall_seconds, 1),
    }  # fmt: skip
    return Found(cost / best - 1.0, result.steps, details)


PROOFS: Final = (
    Proof(
        "rendezvous-online", "rendezvous learned from running agents, cost above its closed form",
        "of it", play, (3, 4, 5), aim=0.10, better="lower",
        sources=(
            "agents/online.py", "sim/online.py", "broker/handover.py", "scenarios/rendezvous.yaml",
            "sim/worlds/rendezvous.py",
        ),
        minutes=14.0,
    ),
)  # fmt: skip
