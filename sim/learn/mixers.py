"""Mixers: the value of a team from the values of its agents.

Each is monotone in every agent's value, so that the team's best joint choice is made of each one's
own best (individual-global-max; Rashid et al. 2018, equations 4 and 5). Agents that are not in the
world count for nothing.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor


class VDN(nn.Module):
    """The sum over living agents. Source: Sunehag et al. 2018, equation 1."""

    def forward(self, q: Tensor, state: Tensor, alive: Tensor) -> Tensor:
        """Shapes: q [..., n], state [..., S], alive bool [..., n] -> [...]."""
        return torch.where(alive, q, 0.0).sum(dim=-1)


class QMIX(nn.Module):
    """Two layers whose weights come from the central state and are never negative.

    embed: units of the hidden layer; 32 in the paper.
    Source: Rashid et al. 2018, section 4 and figure 2: linear hypernetworks with absolute values
            for the weights, a linear one for the first bias, one of two layers with relu for the
            last; elu in between.
    """

    def __init__(
        self, agents: int, state_size: int, embed: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.agents, self.embed = agents, embed
        self.weight_1 = _linear(state_size, agents * embed, generator)
        self.bias_1 = _linear(state_size, embed, generator)
        self.weight_2 = _linear(state_size, embed, generator)
        self.bias_2 = nn.Sequential(
            _linear(state_size, embed, generator), nn.ReLU(), _linear(embed, 1, generator)
        )

    def forward(self, q: Tensor, state: Tensor, alive: Tensor) -> Tensor:
        """Shapes: q [..., n], state [..., S], alive bool [..., n] -> [...]."""
        weight = self.weight_1(state).abs().unflatten(-1, (self.agents, self.embed))
        counted = torch.where(alive, q, 0.0).unsqueeze(-2)
        hidden = functional.elu((counted @ weight).squeeze(-2) + self.bias_1(state))
        total = (hidden * self.weight_2(state).abs()).sum(dim=-1) + self.bias_2(state).squeeze(-1)
        return total  # type: ignore[no-any-return]


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Uniform within 1/sqrt(inputs), as torch.nn.Linear begins, but from a generator."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    bound = max(inputs, 1) ** -0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
