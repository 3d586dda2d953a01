"""Spaces of Gymnasium as fields: what agents see and do, there and back.

Box becomes numbers with its bounds; Discrete, MultiDiscrete and MultiBinary become `choices` where
they are actions, and ones and zeros (one-hot) where they are observations; so does a Box of whole
numbers where it is an action. Dict and Tuple become their parts in a row, named by their keys or
numbers. The part `action_mask` of an observation, as PettingZoo's games have it, masks the choices.
Text, Graph, Sequence and OneOf have no fixed number of numbers and are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from sim.errors import BoundError
from sim.spaces import Field, Space
from sim.worlds.world import Array

KNOWN: Final = "Box, Discrete, MultiDiscrete, MultiBinary, Dict, Tuple"
MASK: Final = "action_mask"
CHOICES_MAX: Final = 1024
"""Of one number of a Box of whole numbers, which is an action."""


@dataclass(frozen=True)
class Mapped:
    """A foreign space as ours. turn: from their value to a vector of ours (of an observation), or
    from our vector to their value (of an action)."""

    space: Space
    turn: Callable[[Any], Any]


def observed(space: Any, where: str, action: Space | None = None) -> Mapped:
    """An observation space. action: what the same agent does, which a mask is about.

    Raises: BoundError for a kind that has no place in a vector.
    """
    fields, turn = _seen(space, where, "obs")
    if action is not None and len(action.fields) == 1:
        (what,) = action.fields
        fields = [
            replace(f, masks=what.name) if f.name == MASK and f.size == what.choices else f
            for f in fields
        ]
    return Mapped(Space(tuple(fields)), turn)


def acted(space: Any, where: str) -> Mapped:
    """An action space; out of its bounds the nearest value counts, and 0 is the default.

    Raises: BoundError for a kind that no vector can fill.
    """
    fields, turn = _done(space, where, "action")
    return Mapped(Space(tuple(fields)), turn)


# --- what is seen -------------------------------------------------------------------------------


def _seen(space: Any, where: str, name: str) -> tuple[list[Field], Callable[[Any], Array]]:
    kind = type(space).__name__
    if kind in ("Dict", "Tuple"):
        parts = {key: _seen(part, where, inner) for key, inner, part in _parts(space, name, "obs")}

        def turn_parts(value: Any) -> Array:
            return np.concatenate([turn(value[key]) for key, (_, turn) in parts.items()])

        return [f for fields, _ in parts.values() for f in fields], turn_parts
    if kind == "Box":
        return _numbers(name, space), _flat
    if kind == "MultiBinary" or name.rpartition("-")[2] == MASK:
        return [Field(name, low=0.0, high=1.0, size=int(np.prod(space.shape)))], _flat
    counts, starts = _counts(space, where)
    fields = [Field(n, low=0.0, high=1.0, size=k) for n, k in _named(name, counts)]

    def turn(value: Any) -> Array:
        index = np.asarray(value, np.int64).ravel() - starts
        return np.concatenate([np.eye(k)[i] for i, k in zip(index, counts, strict=True)])

    return fields, turn


def _flat(value: Any) -> Array:
    return np.asarray(value, np.float64).ravel()


# --- what is done -------------------------------------------------------------------------------


def _done(space: Any, where: str, name: str) -> tuple[list[Field], Callable[[Array], Any]]:
    kind = type(space).__name__
    if kind in ("Dict", "Tuple"):
        return _done_in_parts(space, where, name)
    if kind == "Box" and np.issubdtype(space.dtype, np.floating):

        def to_box(vector: Array) -> Any:
            shaped = vector.reshape(space.shape)
            return np.clip(shaped, space.low, space.high).astype(space.dtype)

        return _numbers(name, space), to_box
    if kind == "MultiBinary":
        counts, starts = [2] * int(np.prod(space.shape)), np.zeros(1, dtype=np.int64)
    elif kind == "Box":
        counts, starts = _whole(space, where)
    else:
        counts, starts = _counts(space, where)
    fields = [Field(n, low=0.0, high=k - 1.0, choices=k) for n, k in _named(name, counts)]
    top = np.array(counts) - 1

    def to_whole(vector: Array) -> Any:
        index = np.clip(np.rint(vector), 0, top).astype(np.int64) + starts
        if kind == "Discrete":
            return int(index[0])
        return index.reshape(space.shape).astype(space.dtype)

    return fields, to_whole


def _done_in_parts(space: Any, where: str, name: str) -> tuple[list[Field], Callable[[Array], Any]]:
    parts = {key: _done(part, where, inner) for key, inner, part in _parts(space, name, "action")}
    ends = np.cumsum([Space(tuple(fields)).size for fields, _ in parts.values()])[:-1]

    def turn(vector: Array) -> Any:
        pieces = np.split(vector, ends)
        values = {
            key: part[1](piece) for (key, part), piece in zip(parts.items(), pieces, strict=True)
        }
        return values if isinstance(space.spaces, Mapping) else tuple(values.values())

    return [f for fields, _ in parts.values() for f in fields], turn


def _whole(space: Any, where: str) -> tuple[list[int], Any]:
    """Choices and least values of a Box of whole numbers."""
    low, high = space.low.ravel().astype(np.int64), space.high.ravel().astype(np.int64)
    counts = (high - low + 1).tolist()
    if max(counts, default=0) > CHOICES_MAX:
        raise BoundError(
            f"{where}: a Box of {space.dtype} of more than {CHOICES_MAX} values is not mapped"
        )
    return counts, low


# --- both ---------------------------------------------------------------------------------------


def _parts(space: Any, name: str, top: str) -> list[tuple[Any, str, Any]]:
    """Key, name of ours and space of each part of a Dict or Tuple, in its own order."""
    inner: Any = space.spaces
    pairs: Sequence[tuple[Any, Any]] = (
        list(inner.items()) if isinstance(inner, Mapping) else list(enumerate(inner))
    )
    prefix = "" if name == top and isinstance(inner, Mapping) else f"{name}-"
    return [
        (key, f"{prefix}{key if isinstance(inner, Mapping) else key + 1}", part)
        for key, part in pairs
    ]


def _numbers(name: str, space: Any) -> list[Field]:
    """One field if all bounds are alike, else one per number."""
    low = np.broadcast_to(space.low, space.shape).ravel().astype(np.float64)
    high = np.broadcast_to(space.high, space.shape).ravel().astype(np.float64)
    if len(low) and (low == low[0]).all() and (high == high[0]).all():
        return [_bounded(name, low[0], high[0], len(low))]
    return [
        _bounded(f"{name}-{i + 1}", a, b, 1) for i, (a, b) in enumerate(zip(low, high, strict=True))
    ]


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
