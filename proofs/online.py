"""Rendezvous with quadratic cost, learned from running agents as `sim run --learn` does.

Four agents act in virtual time and tell a learner on the network what they saw, did and earned;
weights come back over the same links. A run is an hour of virtual time. What it learned plays
greedily, against what batches of copies taught (as in `proofs.rendezvous`). Hyperparameters were
chosen on batches of copies, with seeds 0 to 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proofs.proof import Found, Proof
from proofs.rendezvous import OPTIONS as BATCH_OPTIONS
from proofs.rendezvous import WORLD as BATCH_WORLD
from proofs.training import Task, scratch, trained
from sim.errors import SimError
from sim.outcome import Result
from sim.runner import run

WORLD: Final = (
    "world.norm=quadratic", "world.observation_noise=0", "faults=[]", "world.dt=50ms",
)  # fmt: skip
JUDGED: Final = "5min"
"""Of greedy play: 6,000 decisions."""
OPTIONS: Final = (
    "{mappo: {deviation: 0.05, entropy: 0.15, learning_rate: 0.001, anneal_frames: 72000, "
    "gamma: 0.99, lambda_: 0.3, epochs: 15, minibatches: 2, clip: 0.5, target_kl: 0}}"
)  # fmt: skip


def learned(seed: int, folder: Path, duration: str = "1h") -> Result:
    """A run that learns; its policy is in `folder`."""
    learn = ("learn.online=true", "learn.update=256", f"learn.options={OPTIONS}")
    result = run(
        "rendezvous", seed=seed, duration=duration, overrides=[*WORLD, *learn], inline=True,
        compare=False, run_dir=folder,
    )  # fmt: skip
    if result.status != "completed":
        raise SimError(f"rendezvous, seed {seed}: {result.status}: {result.error}")
    return result


def cost(folder: Path, seed: int) -> float:
    """Per decision, of what was learned, played greedily under noise that it has not met."""
    result = run(
        "rendezvous", seed=1_000_000 + seed, duration=JUDGED, overrides=WORLD,
        behaviours={"agent-*": f"policy:{folder}"}, inline=True, record=False, compare=False,
    )  # fmt: skip
    return -result.metrics["reward"].value


def play(seed: int) -> Found:
    """Its cost over that of the batch-trained policy, minus 1."""
    with scratch() as scratched:
        online, batch = Path(scratched) / "online", Path(scratched) / "batch"
        result = learned(seed, online)
        frames = 1_000_000
        options = BATCH_OPTIONS | {"anneal_frames": frames}
        trained(Task("rendezvous", "mappo", frames, options, world=BATCH_WORLD), seed, batch)
        own, other = cost(online, seed), cost(batch, seed)
    versions = result.learning["versions"]["agent"]
    details: dict[str, Any] = {
        "cost": own, "batch": other, "versions": versions, "virtual_seconds": 3600,
        "real_seconds": result.wall_seconds,
    }  # fmt: skip
    return Found(own / other - 1.0, result.steps, details)


PROOFS: Final = (
    Proof(
        "rendezvous-online", "rendezvous learned from running agents, cost above the batch's",
        "of it", play, (0, 1, 2), aim=0.10, better="lower", needs=2,
        sources=(
            "agents/online.py", "sim/online.py", "broker/handover.py", "scenarios/rendezvous.yaml",
            "sim/worlds/rendezvous.py",
        ),
        minutes=6.0,
    ),
)  # fmt: skip
