"""Actors and policies that do the same, for rollouts and runs to be held against each other."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import torch

from sim.learn.record import Side

POLICY = textwrap.dedent(
    """
    import numpy as np

    class Twin:
        '''Plays agents.roles:PlainRole with the decisions of `Linear`.'''
        def __init__(self, name, group, params):
            from agents.roles import PlainRole
            from agents.decisions import physical
            self.role, self.physical = PlainRole(name, group, params), physical
            self.speaks, self.hears = self.role.speaks, self.role.hears

        def memory(self, xp, batch):
            return xp.zeros((batch, 1))

        def __call__(self, obs, inbox, memory, key):
            seen = self.role.see(obs, inbox, memory).astype(np.float32)
            first = np.float32(0)
            for column in range(seen.shape[1]):
                first = first + seen[:, column] * np.float32(0.25 + column / 8)
            first = first + memory[:, 0].astype(np.float32)
            raw = first[:, None] - np.arange(self.role.decides.size, dtype=np.float32)
            decision = self.physical(self.role.decides, raw.astype(np.float64), np)
            action, outbox, _ = self.role.act(decision, obs, inbox, memory[:, :0], key)
            return action, outbox, memory + 0.125
    """
)


class Linear:
    """Decides by sums of what is seen, and by how often it has decided; draws nothing.

    noise: of the decisions, drawn from a generator of its own.
    """

    memory_size = 1

    def __init__(self, side: Side, noise: float = 0.0, seed: int = 0) -> None:
        self.size, self.noise = side.decides.size, noise
        self.generator = torch.Generator().manual_seed(seed)
        self.calls = 0

    def act(self, seen: Any, alive: Any, memory: Any, is_first: Any) -> tuple[Any, Any, Any]:
        assert seen.dtype == torch.float32
        assert alive.dtype == torch.bool
        memory = torch.where(is_first[:, None, None], torch.zeros_like(memory), memory)
        first = torch.zeros_like(seen[..., 0])
        for column in range(seen.shape[-1]):
            first = first + seen[..., column] * (0.25 + column / 8)
        first = first + memory[..., 0]
        raw = first[..., None] - torch.arange(self.size, dtype=torch.float32)
        if self.noise:
            raw = raw + self.noise * torch.empty_like(raw).normal_(generator=self.generator)
        self.calls += 1
        return raw, raw.sum(-1), memory + 0.125

    def portable(self) -> Any:
        weights = torch.arange(16, dtype=torch.float32) / 8
        return "learn.acting:again", {"noise": self.noise}, {"weights": weights}


def again(side: Side, plain: Any, tensors: Any, generator: torch.Generator) -> Linear:
    """The actor in a worker."""
    made = Linear(side, plain["noise"])
    made.generator = generator
    assert torch.equal(tensors["weights"], torch.arange(16) / 8)
    return made


def write_policy(folder: Path) -> str:
    """The behaviour string of the policy that does what `Linear` does."""
    path = folder / "twin.py"
    path.write_text(POLICY)
    return f"{path}:Twin"
