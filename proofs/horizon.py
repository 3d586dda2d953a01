"""Reward 1 for ever, cut by the time limit: V = 1 / (1 - gamma) from every state.

What was cut has a future, what ended has none: learners that take the one for the other are the
commonest fault of their kind. The same world that ends by itself is the control; there the mean
over the episode is lower, as `ended` says.
Source: Pardo et al. 2018, "Time Limits in Reinforcement Learning".
"""

from __future__ import annotations

from typing import Any, Final

import torch

from proofs.proof import Found, Proof
from sim.learn.plan import load_training, plan_training
from sim.learn.presets import make_family
from sim.learn.rollout import make_rollout

GAMMA: Final = 0.99
STEPS: Final = 10
COPIES: Final = 16
PPO: Final = {"decisions": 20, "epochs": 4, "minibatches": 1, "lambda_": 0.95,
              "learning_rate": 3e-3}  # fmt: skip
Q: Final = {"decisions": 10, "updates": 40, "batch": 64, "warmup": 100, "learning_rate": 3e-3,
            "target_tau": 0.2, "capacity": 10_000}  # fmt: skip


def value(preset: str, seed: int, updates: int, gamma: float = GAMMA, is_cut: bool = True) -> Found:
    """The mean value of what was seen in the last record, and the farthest from it.

    is_cut: whether the horizon cuts the episode, or it ends by itself after as many steps.
    """
    world = [
        "world.payoffs=[1]", f"world.steps={0 if is_cut else STEPS}", "world.sees=nothing",
        f"duration={STEPS * 100 * (1 if is_cut else 2)}ms",
    ]  # fmt: skip
    plan = plan_training(load_training("penalty", seed=seed, algorithm=preset, overrides=world))
    rollout = make_rollout(plan.prepared, ("player",), COPIES, "batched", seed=seed)
    options = {**(PPO if preset in ("ppo", "ippo", "mappo") else Q), "gamma": gamma}
    family: Any = make_family(preset, rollout.sides, rollout.state_size, options=options, seed=seed)
    for _ in range(updates):
        records = rollout.collect(family.actors(), family.decisions)
        family.update(records)
    found: torch.Tensor = family.values(records)["player"]
    truth = 1.0 / (1.0 - gamma)
    worst = float((found / truth - 1.0).abs().max())
    frames = updates * family.decisions * COPIES
    return Found(worst, frames, {"value": float(found.mean()), "truth": truth})


def ended(gamma: float = GAMMA, steps: int = STEPS) -> float:
    """The mean over an episode of the value of what is left of it, if its end is one."""
    return sum((1.0 - gamma**k) / (1.0 - gamma) for k in range(1, steps + 1)) / steps


def _proof(preset: str, updates: int) -> Proof:
    return Proof(
        f"horizon-{preset}",
        f"reward 1 for ever ({preset}), largest relative error of V = 1/(1 - gamma) = 100", "",
        lambda seed: value(preset, seed, updates), tuple(range(5)), aim=0.01, better="lower",
        sources=("sim/worlds/classics/matrix.py", "sim/worlds/classics/payoffs.py"),
    )  # fmt: skip


PROOFS: Final = (_proof("mappo", 500), _proof("ippo", 500), _proof("iql", 100))
