"""Running statistics: of observations, of returns; and advantages made comparable.

Statistics are kept in float64, whatever they are taken of; what comes out has the input's type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

Tensor = torch.Tensor
SPREAD_MIN: Final = 1e-4
"""Below this part of its mean (or of 1) a feature counts as constant and is only centred: what
never moved in training must not be blown up when it moves later."""


class RunningNorm:
    """Mean and variance of every feature of a network's input, over all that was seen so far.

    Before the first `update` it changes nothing.
    Source: Chan, Golub, LeVeque 1979, equation 1.5: merging the moments of two samples.
    """

    def __init__(self, size: int, device: str = "cpu") -> None:
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.mean = torch.zeros(size, dtype=torch.float64, device=device)
        self.squares = torch.zeros(size, dtype=torch.float64, device=device)
        self._refresh()

    def update(self, seen: Tensor, alive: Tensor | None = None) -> None:
        """Takes in more samples. Shapes: seen [..., F]; alive bool [...]: the rows that count."""
        rows = seen.reshape(-1, seen.shape[-1]) if alive is None else seen[alive]
        if not len(rows):
            return
        # the mean of the chunk is taken around the first row, so that float32 input of large
        # offset loses nothing
        origin = rows[:1].double()
        shifted = rows.double() - origin
        mean = shifted.mean(dim=0)
        squares = (shifted - mean).square().sum(dim=0)
        count = self.count + len(rows)
        gap = origin[0] + mean - self.mean
        self.squares = self.squares + squares + gap.square() * (self.count * len(rows) / count)
        self.mean = self.mean + gap * (len(rows) / count)
        self.count = count
        self._refresh()

    def normalise(self, seen: Tensor) -> Tensor:
        """Shapes: [..., F] -> [..., F], of mean 0 and deviation 1 over what was taken in."""
        return (seen - self._mean.to(seen.dtype)) / self._scale.to(seen.dtype)

    def tensors(self) -> dict[str, Tensor]:
        """As a policy file holds it: `mean` and `scale`, float32 [F], on CPU."""
        return {"mean": self._mean.cpu(), "scale": self._scale.cpu()}

    def state(self) -> dict[str, Any]:
        return {
            "count": self.count.clone(),
            "mean": self.mean.clone(),
            "squares": self.squares.clone(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.count, self.mean, self.squares = (
            state[name].to(self.mean.device, copy=True) for name in ("count", "mean", "squares")
        )
        self._refresh()

    def _refresh(self) -> None:
        deviation = (self.squares / self.count.clamp(min=1.0)).sqrt()
        floor = SPREAD_MIN * self.mean.abs().clamp(min=1.0)
        self._mean = self.mean.float()
        self._scale = torch.where(deviation > floor, deviation, torch.ones_like(deviation)).float()


class ValueNorm:
    """The recent mean and deviation of value targets, corrected for their start.

    A critic is trained on `normalise(target)`; what it says is `denormalise`d before advantages
    are taken, or they would mix two units.
    decay: weight of the past at each update. Low, for the mean of returns drifts while the policy
           improves, and a critic's output is carried along with it; on `spread` 0.5 learned faster
           than 0.9 (our own trials).
    The deviation is that within each update's targets: the drift between updates would blow it up
    and leave the critic a fraction of its range.
    Source: after Yu et al. 2022 (MAPPO), section 5.1; the start as in Kingma and Ba 2015.
    """

    def __init__(self, decay: float = 0.5, device: str = "cpu") -> None:
        self.decay = decay
        self.moments = torch.zeros(3, dtype=torch.float64, device=device)

    def update(self, target: Tensor, mask: Tensor | None = None) -> None:
        """Takes in the targets of one update. Shapes: [...]; mask bool [...]: those that count."""
        values = (target if mask is None else target[mask]).double()
        if values.numel():
            mean, variance = values.mean(), values.var(correction=0)
            new = torch.stack((mean, variance, torch.ones_like(mean)))
            self.moments = self.decay * self.moments + (1.0 - self.decay) * new

    def _mean_scale(self) -> tuple[Tensor, Tensor]:
        mean, variance, weight = self.moments
        if weight == 0.0:
            return mean, torch.ones_like(mean)
        mean, deviation = mean / weight, (variance / weight).sqrt()
        return mean, torch.maximum(deviation, 1e-2 * mean.abs().clamp(min=1e-4))

    def normalise(self, value: Tensor) -> Tensor:
        mean, scale = self._mean_scale()
        return ((value - mean) / scale).to(value.dtype)

    def denormalise(self, value: Tensor) -> Tensor:
        mean, scale = self._mean_scale()
        return (value * scale + mean).to(value.dtype)

    def state(self) -> dict[str, Any]:
        return {"moments": self.moments.clone()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.moments = state["moments"].to(self.moments.device, copy=True)


def normalise_advantages(advantage: Tensor, alive: Tensor) -> Tensor:
    """Advantages of mean 0 and deviation 1 over the living agents of one group; 0 for the others.

    Of one group only: across groups it would weigh one's lessons by another's noise.
    Shapes: [..., n], bool [..., n] -> [..., n].
    """
    weight = alive.to(advantage.dtype)
    count = weight.sum().clamp(min=1.0)
    mean = (advantage * weight).sum() / count
    centred = (advantage - mean) * weight
    deviation = (centred.square().sum() / count).sqrt()
    return centred / (deviation + 1e-8)
