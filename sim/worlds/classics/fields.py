"""Parameters of the classics, what they may be, and fields of observations and actions."""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch

from sim.spaces import Field

Count = Annotated[int, msgspec.Meta(ge=1, le=100)]
CountOrNone = Annotated[int, msgspec.Meta(ge=0, le=100)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Metres = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """dt: virtual time of a step, in which everybody decides once."""

    dt: str | float = "100ms"


class Placed(Parameters, frozen=True):
    """metres: a unit of the plane, for links by radio."""

    metres: Metres = 100.0


def sized(**sizes: int) -> list[Field]:
    """Fields by name and size; without those of size 0."""
    return [Field(name, size=size) for name, size in sizes.items() if size]


def choice(name: str, choices: int, help: str = "") -> Field:
    """An action field that takes a whole number 0 ... choices - 1."""
    return Field(name, low=0.0, high=choices - 1.0, help=help, choices=choices)


def chosen(action: torch.Tensor, choices: int) -> torch.Tensor:
    """Whole numbers within 0 ... choices - 1, the nearest ones. Shapes: [...] -> int64 [...]."""
    return torch.clamp(torch.round(action), 0, choices - 1).to(torch.int64)


def one_hot(index: torch.Tensor, size: int) -> torch.Tensor:
    """Shapes: int64 [...] -> float64 [..., size]; all zero where index is outside."""
    return (index[..., None] == torch.arange(size, device=index.device)).to(torch.float64)
