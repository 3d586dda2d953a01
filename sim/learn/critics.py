"""Critics: values of the situation, from as much of it as training may use.

state         the central state: one network, one value for all or one for each agent
observations  what all agents see, side by side, 0 where one is not in the world
own           what each agent sees itself: a network like the policy's
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from agents.roles import Layout
from sim.learn.networks import Network, Shape

Tensor = torch.Tensor
Sees = Literal["state", "observations", "own"]


class Critic(nn.Module):
    """Values per agent. A thin shell around a `Network`, which is `self.network`.

    sees:      "state", "observations" or "own"; see the module.
    per_agent: whether agents of a central critic have values of their own (rewards that are not
               shared), given as so many outputs of one network. With "own" they always have.
    shape:     identity, share and attention count for "own" only: a central critic is one network.
    """

    def __init__(
        self,
        layout: Layout,
        state_size: int,
        agents: Sequence[str],
        shape: Shape,
        sees: Sees,
        generator: torch.Generator,
        per_agent: bool = False,
    ) -> None:
        super().__init__()
        self.sees, self.agents = sees, len(agents)
        if sees == "own":
            self.network = Network(layout, 1, agents, shape, generator)
        else:
            size = state_size if sees == "state" else layout.size * self.agents
            central = replace(shape, share="group", identity=False, attention=0)
            outputs = self.agents if per_agent else 1
            self.network = Network(Layout(size), outputs, ("all",), central, generator)

    @property
    def inputs_size(self) -> int:
        """Numbers of one row of `inputs`: what a normaliser of them needs."""
        return self.network.layout.size

    def memory(self, batch: int) -> Tensor:
        """The memory of critics that begin. Shapes: [B, n or 1, H]."""
        return self.network.memory(batch)

    def inputs(self, seen: Tensor, alive: Tensor, state: Tensor) -> Tensor:
        """What the network is given, to be normalised by whoever wishes.

        Shapes: seen [..., n, F], alive [..., n], state [..., S] -> [..., n or 1, inputs_size].
        """
        if self.sees == "own":
            return seen
        if self.sees == "state":
            return state.unsqueeze(-2)
        return (seen * alive.unsqueeze(-1)).flatten(-2).unsqueeze(-2)

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One decision. Shapes: [..., B, n or 1, inputs_size] -> values [..., B, n], memory."""
        out, memory = self.network(inputs, memory)
        return self._values(out), memory

    def unroll(self, inputs: Tensor, memory: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor]:
        """T decisions in a row, as of `Network.unroll`. Shapes: -> values [T, B, n], memory."""
        out, memory = self.network.unroll(inputs, memory, is_first)
        return self._values(out), memory

    def _values(self, out: Tensor) -> Tensor:
        values = out.flatten(-2)  # [..., n, 1] or [..., 1, n or 1] -> [..., n or 1]
        return values.expand(*values.shape[:-1], self.agents)
