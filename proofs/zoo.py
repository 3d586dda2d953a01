"""A foreign environment of several agents: MPE2's `simple_spread` itself, through the adapter.

Kernels in memory step the package's own code. 50,000 decisions are a fortieth of what `spread`
takes, so this shows that such an environment trains, not how well: better than agents that stand still
(-68.7 in the mean), from -79 at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proofs.proof import Found, Proof
from proofs.spread import judged
from proofs.training import Task, policies, scratch, trained

FRAMES: Final = 50_000
SCENARIO: Final = str(Path(__file__).with_name("mpe2.yaml"))
OPTIONS: Final[dict[str, Any]] = {
    "gamma": 0.95, "lambda_": 0.9, "learning_rate": 3e-3, "decisions": 50, "epochs": 8,
}  # fmt: skip


def play(seed: int, frames: int = FRAMES, episodes: int = 200) -> Found:
    """The mean in MPE2 after training in MPE2."""
    task = Task(SCENARIO, "mappo", frames, OPTIONS, learn={"copies": 16})
    with scratch() as folder:
        run = Path(folder) / "run"
        outcome = trained(task, seed, run)
        returns = judged(policies(run)["agent"], range(10_000, 10_000 + episodes), task.scenario)
    details = {"rollout": outcome.rollout, "frames_per_second": outcome.frames / outcome.seconds}
    return Found(sum(returns) / len(returns), outcome.frames, details)


PROOFS: Final = (
    Proof(
        "zoo-mappo", "MPE2's simple_spread through its adapter, 50,000 decisions", "", play, (0,),
        aim=-68.7, sources=("proofs/mpe2.yaml", "proofs/spread.py", "sim/worlds/pettingzoo.py",
                            "sim/worlds/foreign.py"),
        minutes=2.0,
    ),
)  # fmt: skip
