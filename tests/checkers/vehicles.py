"""What the laws of vehicles on roads and motorways begin with."""

from __future__ import annotations

from typing import Any

import torch


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def absent(world: Any, batch: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Actions of nobody, and who is there."""
    shapes = {g.name: (batch, len(g.agents), g.action.size) for g in world.groups}
    nothing = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    there = {name: torch.zeros(shape[:2], dtype=torch.bool) for name, shape in shapes.items()}
    return nothing, there
