"""Lewis signalling: sender and receiver agree on signals that pass the network as messages.

Both groups learn at once, from nothing but whether the state was named. Links lose nothing here, so
the most is 1; without a signal a third of the states is named. Partial pooling (two states with one
signal, 2/3) is an equilibrium of its own that learners can be caught in (Huttegger 2007); the bonus
for entropy keeps them out. Hyperparameters were chosen on seeds 100 to 104.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proofs.proof import Found, Proof
from proofs.training import Task, played_by, scratch, trained
from sim.learn.evaluate import evaluate

FRAMES: Final = 150_000
WORLD: Final = ("network.default.loss=0%",)
OPTIONS: Final[dict[str, Any]] = {
    "gamma": 0.9, "learning_rate": 3e-3, "entropy": 0.05,
}  # fmt: skip


def play(seed: int, frames: int = FRAMES, episodes: int = 5) -> Found:
    """The share of states that are named, over games whose signals are messages of a real run."""
    task = Task("signalling", "mappo", frames, OPTIONS, world=WORLD)
    with scratch() as folder:
        run = Path(folder) / "run"
        outcome = trained(task, seed, run)
        players = {"sender": "sender-1", "receiver": "receiver-1"}
        found, _ = evaluate(played_by(task, run, players, seed), episodes=episodes)
    right, silent = (found.metrics[name]["right"].value for name in ("own", "silent"))
    details = {"without_messages": silent, "bytes": found.bytes}
    return Found(right, outcome.frames, details)


PROOFS: Final = (
    Proof(
        "signalling-mappo", "Lewis signalling over the network, share of states named", "", play,
        tuple(range(5)), aim=1.0,
        sources=("scenarios/signalling.yaml", "sim/worlds/classics/signalling.py",
                 "agents/behaviours/classics_roles.py"),
        minutes=2.0,
    ),
)  # fmt: skip
