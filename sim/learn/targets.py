"""Target networks: copies that follow slowly."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def soft(target: nn.Module, source: nn.Module, tau: float) -> None:
    """target += tau (source - target), per parameter. Source: Lillicrap et al. 2016, section 3."""
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.lerp_(new, tau)
    _buffers(target, source)


@torch.no_grad()
def hard(target: nn.Module, source: nn.Module) -> None:
    """target = source. Source: Mnih et al. 2015."""
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.copy_(new)
    _buffers(target, source)


def _buffers(target: nn.Module, source: nn.Module) -> None:
    for old, new in zip(target.buffers(), source.buffers(), strict=True):
        old.copy_(new)
