"""The central state: what a centralised critic or a mixer sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def central_state(world: Any, state: Any, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The world's own `central(state)` if it has one, else all observations in group order.

    world: the BatchWorld; state: its state. Shapes: observations [B, n, k] -> float32 [B, S].
    """
    own = getattr(world, "central", None)
    if own is not None:
        found: torch.Tensor = own(state)
        return found.to(torch.float32)
    parts = [observations[group.name].flatten(1) for group in world.groups]
    return torch.cat(parts, 1).to(torch.float32)
