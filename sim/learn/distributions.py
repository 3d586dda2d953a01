"""Distributions over decisions: Gaussian for numbers, categorical for choices, any mixture of them.

`out` is what a network gives per agent, laid out as `agents.decisions` says; a raw decision has one
number per number of the space. Numbers are independent given `out`, so log-probabilities and
entropies add up over them. The Gaussian is over the raw numbers: the tanh that brings them into
their bounds is part of the world, which leaves ratios of probabilities as they are. Action masks
give what is not allowed probability exactly 0; where nothing is allowed, all choices are alike.
"""

from __future__ import annotations

import math

import array_api_compat.torch as xp
import torch

from agents.decisions import LOG_STD_MAX, LOG_STD_MIN, mask_of, masked_logits, plan_of
from sim.spaces import Space

Tensor = torch.Tensor
_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class Decisions:
    """The distribution of one side's decisions.

    outputs: numbers that a network must give per agent, `free` log deviations included.
    free:    how many of them, the last, are log standard deviations: parameters of their own in a
             policy (`Network(..., free=decisions.free)`), not functions of what is seen.
    """

    def __init__(self, space: Space, sees: Space) -> None:
        """Raises: ScenarioError for a mask in `sees` that fits no decision."""
        self.plan = plan_of(space, sees)
        self.outputs, self.free, self.size = self.plan.outputs, self.plan.free, self.plan.size

    @property
    def is_discrete(self) -> bool:
        """Whether all is choices: what methods of action values need."""
        return self.plan.is_discrete

    def mask(self, seen: Tensor) -> Tensor | None:
        """Which outputs are allowed, from what was seen before any normalisation; None if all are.

        Shapes: [..., F] -> bool [..., outputs - free].
        """
        return mask_of(self.plan, seen, xp)

    def sample(
        self,
        out: Tensor,
        generator: torch.Generator,
        greedy: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Raw decisions drawn, or the likeliest. Shapes: [..., outputs] -> float32 [..., size].

        Draws are made on the generator's device, which need not be that of `out`.
        """
        pieces = []
        for part in self.plan.parts:
            if part.choices:
                score = masked_logits(self.plan, part, out, mask, xp)
                if not greedy:  # the least of exponential clocks of these rates is a fair draw
                    score = score.softmax(dim=-1) / _noise(score, generator).exponential_(
                        generator=generator
                    ).to(out.device)
                pieces.append(score.argmax(dim=-1).to(out.dtype))
            elif greedy:
                pieces.append(out[..., part.out])
            else:
                mean, log_std = out[..., part.out], out[..., part.log_std]
                noise = _noise(mean, generator).normal_(generator=generator).to(out.device)
                pieces.append(mean + log_std.clamp(LOG_STD_MIN, LOG_STD_MAX).exp() * noise)
        return torch.cat(pieces, dim=-1) if pieces else out[..., :0]

    def log_prob(self, out: Tensor, raw: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shapes: [..., outputs], [..., size] -> [...]. Of a masked choice: about -1e9."""
        return self.judge(out, raw, mask)[0]

    def entropy(self, out: Tensor, mask: Tensor | None = None) -> Tensor:
        """Nats, of the raw decision. Shapes: [..., outputs] -> [...]."""
        return self.judge(out, out.new_zeros((*out.shape[:-1], self.size)), mask)[1]

    def judge(self, out: Tensor, raw: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`log_prob` and `entropy` at once, with one softmax for both."""
        log_prob, entropy = out.new_zeros(out.shape[:-1]), out.new_zeros(out.shape[:-1])
        for part in self.plan.parts:
            taken = raw[..., part.raw]
            if part.choices:
                logs = masked_logits(self.plan, part, out, mask, xp).log_softmax(dim=-1)
                index = taken.long().unsqueeze(-1)
                log_prob = log_prob + logs.gather(-1, index).squeeze(-1).sum(dim=-1)
                entropy = entropy - (logs.exp() * logs).sum(dim=(-2, -1))
            else:
                log_std = out[..., part.log_std].clamp(LOG_STD_MIN, LOG_STD_MAX)
                z = (taken - out[..., part.out]) * (-log_std).exp()
                log_prob = log_prob + _log_density(z, log_std).sum(dim=-1)
                entropy = entropy + (log_std + _HALF_LOG_TAU + 0.5).sum(dim=-1)
        return log_prob, entropy

    def values(self, out: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Per part of choices, `out` as their values: about -1e9 where not allowed, 0 where nothing
        is. Shapes: [..., outputs] -> each [..., numbers, choices].
        """
        parts = [part for part in self.plan.parts if part.choices]
        return [masked_logits(self.plan, part, out, mask, xp) for part in parts]


def _log_density(z: Tensor, log_std: Tensor) -> Tensor:
    return -0.5 * z.square() - log_std - _HALF_LOG_TAU


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=generator.device)
