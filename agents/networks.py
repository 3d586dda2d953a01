"""What a policy file computes: a multi-layer perceptron with its normaliser, in NumPy.

A policy file is safetensors with a readable card in its metadata:

    tensors  weight_0 [hidden, observation], bias_0 [hidden], ..., optionally mean and scale
             [observation] of the normaliser, low and high [action] of the action transform
    card     JSON: schema (the fields of observation and action), activation, and whatever its
             maker says of it (scenario, seed, versions, scores)

A file whose schema is not that of the role it is to play is refused, field by field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sim.errors import CheckpointError
from sim.spaces import Space
from sim.worlds.world import Group

_FILE_BYTES_MAX: Final = 1 << 30
_ACTIVATIONS: Final = ("tanh", "relu")
Array = Any


def schema(observation: Space, action: Space) -> dict[str, list[list[Any]]]:
    """The fields a policy sees and sets: name, unit and size of each."""
    return {
        "observation": [[f.name, f.unit, f.size] for f in observation.fields],
        "action": [[f.name, f.unit, f.size] for f in action.fields],
    }


class NetworkPolicy:
    """A perceptron as a policy; it neither speaks nor hears, and remembers nothing.

    The output passes tanh and is stretched to [low, high] where these are given, and is taken as
    it is otherwise.
    """

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}

    def __init__(self, tensors: Mapping[str, Array], activation: str) -> None:
        self._tensors = tensors
        self._is_relu = activation == "relu"
        self._layers = sum(name.startswith("weight_") for name in tensors)

    def memory(self, xp: Any, batch: int) -> Array:
        """None. Shapes: [B, 0]."""
        return xp.zeros((batch, 0))

    def __call__(
        self, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Array
    ) -> tuple[Array, Mapping[str, Array], Array]:
        tensors = self._tensors
        x = obs
        if "mean" in tensors:
            x = (x - tensors["mean"]) / tensors["scale"]
        for i in range(self._layers):
            x = x @ tensors[f"weight_{i}"].T + tensors[f"bias_{i}"]
            if i + 1 < self._layers:
                x = np.maximum(x, 0.0) if self._is_relu else np.tanh(x)
        if "low" in tensors:
            low, high = tensors["low"], tensors["high"]
            x = low + (np.tanh(x) + 1.0) / 2.0 * (high - low)
        return x, {}, memory


def save_policy(path: Path, tensors: Mapping[str, Array], card: Mapping[str, Any]) -> None:
    """Writes a policy file. `card` needs `schema` (see `schema`) and `activation`."""
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(arrays, path, metadata={"card": json.dumps(card)})


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Raises: CheckpointError for a file that is not a policy."""
    if path.stat().st_size > _FILE_BYTES_MAX:
        raise CheckpointError(f"{path}: larger than {_FILE_BYTES_MAX} bytes")
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
            tensors = {n: file.get_tensor(n).astype(np.float64) for n in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a policy file: {error}") from None
    if not isinstance(card, dict) or not {"schema", "activation"} <= card.keys():
        raise CheckpointError(f"{path}: has no card with schema and activation")
    if card["activation"] not in _ACTIVATIONS:
        raise CheckpointError(
            f"{path}: activation {card['activation']!r} is none of {_ACTIVATIONS}"
        )
    return tensors, card


def _check(path: Path, card: Mapping[str, Any], name: str, found: Mapping[str, Any]) -> None:
    for side, fields in found.items():
        made_for = card["schema"].get(side)
        if made_for == fields:
            continue
        theirs, ours = (
            {f[0]: f for f in made_for or []},
            {f[0]: f for f in fields},
        )
        differ = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
        raise CheckpointError(
            f"{path}: made for another {side} than {name} has; these fields differ: "
            f"{', '.join(differ) or 'their order'}"
        )


def load_policy(path: Path) -> Callable[..., NetworkPolicy]:
    """The policy factory of a file.

    Raises: CheckpointError if the file is not one, or was made for other fields than the role has.
    """
    tensors, card = _read(path)

    def make(name: str, group: Group, params: Mapping[str, Any]) -> NetworkPolicy:
        _check(path, card, name, schema(group.observation, group.action))
        return NetworkPolicy(tensors, card["activation"])

    return make


def physical(space: Space, raw: Array, xp: Any) -> Array:
    """Raw decisions in physical units: bounded fields low + (tanh(raw) + 1) / 2 (high - low),
    unbounded ones and choices as they are. Shapes: [..., size] -> [..., size].
    """
    parts, at = [], 0
    for field in space.fields:
        part = raw[..., at : at + (1 if field.choices else field.size)]
        at += part.shape[-1]
        is_bounded = not field.choices and np.isfinite(field.low) and np.isfinite(field.high)
        if is_bounded:
            part = field.low + (xp.tanh(part) + 1.0) / 2.0 * (field.high - field.low)
        parts.append(part)
    return xp.concatenate(parts, -1) if len(parts) > 1 else parts[0]
