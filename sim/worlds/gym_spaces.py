"""Spaces of Gymnasium as fields: what agents see and do, there and back.

Box becomes numbers with its bounds; Discrete, MultiDiscrete and MultiBinary become `choices` where
they are actions, and ones and zeros (one-hot) where they are observations. Others are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.errors import BoundError
from sim.spaces import Field, Space
from sim.worlds.world import Array

KNOWN = "Box, Discrete, MultiDiscrete, MultiBinary"


@dataclass(frozen=True)
class Mapped:
    """A foreign space as ours. turn: from their value to a vector of ours (of an observation), or
    from our vector to their value (of an action)."""

    space: Space
    turn: Callable[[Any], Any]


def observed(space: Any, where: str) -> Mapped:
    """An observation space. Raises: BoundError for a kind that has no place in a vector."""
    kind = type(space).__name__
    if kind == "Box":
        return Mapped(_numbers("obs", space), lambda value: np.asarray(value, np.float64).ravel())
    if kind == "MultiBinary":
        size = int(np.prod(space.shape))
        return Mapped(
            Space((Field("obs", low=0.0, high=1.0, size=size),)),
            lambda value: np.asarray(value, np.float64).ravel(),
        )
    counts, starts = _counts(space, where)
    fields = [Field(n, low=0.0, high=1.0, size=k) for n, k in _named("obs", counts)]

    def turn(value: Any) -> Array:
        index = np.asarray(value, np.int64).ravel() - starts
        return np.concatenate([np.eye(k)[i] for i, k in zip(index, counts, strict=True)])

    return Mapped(Space(tuple(fields)), turn)


def acted(space: Any, where: str) -> Mapped:
    """An action space; out of its bounds the nearest value counts, and 0 is the default.

    Raises: BoundError for a kind that no vector can fill.
    """
    kind = type(space).__name__
    if kind == "Box":
        if not np.issubdtype(space.dtype, np.floating):
            raise BoundError(f"{where}: a Box of {space.dtype} is not mapped; there is: {KNOWN}")

        def to_box(vector: Array) -> Any:
            shaped = vector.reshape(space.shape)
            return np.clip(shaped, space.low, space.high).astype(space.dtype)

        return Mapped(_numbers("action", space), to_box)
    if kind == "MultiBinary":
        counts, starts = [2] * int(np.prod(space.shape)), np.zeros(1, dtype=np.int64)
    else:
        counts, starts = _counts(space, where)
    fields = [Field(n, low=0.0, high=k - 1.0, choices=k) for n, k in _named("action", counts)]
    top = np.array(counts) - 1

    def to_whole(vector: Array) -> Any:
        index = np.clip(np.rint(vector), 0, top).astype(np.int64) + starts
        if kind == "Discrete":
            return int(index[0])
        return index.reshape(space.shape).astype(space.dtype)

    return Mapped(Space(tuple(fields)), to_whole)


def _numbers(name: str, space: Any) -> Space:
    """One field if all bounds are alike, else one per number."""
    low = np.broadcast_to(space.low, space.shape).ravel().astype(np.float64)
    high = np.broadcast_to(space.high, space.shape).ravel().astype(np.float64)
    if len(low) and (low == low[0]).all() and (high == high[0]).all():
        fields = [_bounded(name, low[0], high[0], len(low))]
    else:
        fields = [
            _bounded(f"{name}-{i + 1}", a, b, 1)
            for i, (a, b) in enumerate(zip(low, high, strict=True))
        ]
    return Space(tuple(fields))


def _bounded(name: str, low: float, high: float, size: int) -> Field:
    """A field; numbers so large that they only stand for none are no bounds."""
    far = float(np.finfo(np.float32).max)
    low, high = (-np.inf if low <= -far else float(low)), (np.inf if high >= far else float(high))
    return Field(name, low=low, high=high, size=size, default=min(max(0.0, low), high))


def _counts(space: Any, where: str) -> tuple[list[int], Any]:
    kind = type(space).__name__
    if kind == "Discrete":
        return [int(space.n)], np.array([int(space.start)])
    if kind == "MultiDiscrete":
        start = getattr(space, "start", np.zeros(space.shape))
        return [int(k) for k in space.nvec.ravel()], np.asarray(start, np.int64).ravel()
    raise BoundError(f"{where}: a space of kind {kind} is not mapped; there is: {KNOWN}")


def _named(name: str, counts: list[int]) -> list[tuple[str, int]]:
    if len(counts) == 1:
        return [(name, counts[0])]
    return [(f"{name}-{i + 1}", k) for i, k in enumerate(counts)]
