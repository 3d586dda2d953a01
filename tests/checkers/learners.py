"""A rollout and a learner small enough to know what they must give: a team pulls a number to 1.

The reward of a decision is -(1 - weight)^2 plus noise; an update moves the weight a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agents.networks import schema
from agents.roles import Layout
from sim.learn.networks import Network, Shape
from sim.learn.record import Episode, Record
from sim.spaces import Field, Space

LENGTH = 5


class ToyRollout:
    """Copies of an episode of five decisions, two agents in one group."""

    kind, reason = "batched", "a toy"
    state_size = 1

    def __init__(self, copies: int = 4, seed: int = 0) -> None:
        self.copies = copies
        self.sides: tuple[Any, ...] = ()
        self._generator = torch.Generator().manual_seed(seed)
        self._step, self._return, self._ended = 0, torch.zeros(copies), 0
        self._done: list[Episode] = []

    def collect(self, actors: Mapping[str, Any], decisions: int) -> dict[str, Record]:
        weight = actors["agent"]
        shape = (decisions, self.copies)
        noise = 0.1 * torch.randn(shape, generator=self._generator)
        team = -((1 - weight) ** 2) + noise
        firsts = torch.zeros(shape, dtype=torch.bool)
        for i in range(decisions):
            firsts[i] = self._step == 0
            self._return = self._return + team[i]
            self._step += 1
            if self._step == LENGTH:
                self._end()
        per = torch.ones((*shape, 2), dtype=torch.bool)
        seen = torch.zeros((*shape, 2, 1))
        own = team[..., None].expand(*shape, 2)
        none = torch.zeros(shape, dtype=torch.bool)
        state = torch.zeros((*shape, 1))
        return {
            "agent": Record(
                seen, seen, per, per, seen, own * 0, own, team, team * 0 + 1, firsts, none, none,
                state, state, torch.zeros((self.copies, 2, 0)),
            )
        }  # fmt: skip

    def _end(self) -> None:
        for copy, value in enumerate(self._return.tolist()):
            returns = {"agent-1": value, "agent-2": value}
            self._done.append(Episode(copy, self._ended, LENGTH, returns, value, {"cost": -value}))
        self._ended += 1
        self._step, self._return = 0, torch.zeros(self.copies)

    def finished(self) -> list[Episode]:
        done, self._done = self._done, []
        return done

    def snapshot(self) -> dict[str, Any]:
        return {
            "generator": self._generator.get_state(), "step": self._step, "return": self._return,
            "ended": self._ended,
        }  # fmt: skip

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._generator.set_state(snapshot["generator"])
        self._step, self._return = snapshot["step"], snapshot["return"]
        self._ended = snapshot["ended"]

    def close(self) -> None:
        pass


class ToyLearner:
    """Moves its weight by `rate` of the way to 1, with noise of its own; may break at an update."""

    sides = ()
    decisions = 3

    def __init__(self, rate: float = 0.1, seed: int = 0, breaks_at: int = -1) -> None:
        self.weight = torch.zeros(())
        self._rate, self._breaks_at, self._updates = rate, breaks_at, 0
        self._generator = torch.Generator().manual_seed(seed)

    def actors(self) -> dict[str, Any]:
        return {"agent": self.weight}

    def greedy(self) -> dict[str, Any]:
        return self.actors()

    def update(self, records: Mapping[str, Record]) -> dict[str, float]:
        self._updates += 1
        noise = 0.01 * torch.randn((), generator=self._generator)
        pull = records["agent"].team.mean() * 0.001
        self.weight = self.weight + self._rate * (1 - self.weight) + self._rate * (noise + pull)
        if self._updates == self._breaks_at:
            self.weight = self.weight * float("nan")
        loss = float((1 - self.weight) ** 2)
        return {"agent/policy_loss": loss, "agent/approx_kl": 0.01}

    def state(self) -> dict[str, Any]:
        return {
            "weight": self.weight, "generator": self._generator.get_state(),
            "updates": self._updates,
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        self.weight, self._updates = state["weight"], state["updates"]
        self._generator.set_state(state["generator"])

    def policies(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        space = Space((Field("x"),))
        net = Network(Layout(1), 1, ("agent-1", "agent-2"), Shape(hidden=()), torch.Generator())
        tensors = {name: np.full_like(array, self.weight) for name, array in net.tensors().items()}
        return {"agent": (tensors, {"schema": schema(space, space), **net.card()})}
