"""State of a training run as one file: safetensors with a readable card, there whole or not at all.

tensors  t0, t1, ...: every tensor and array of the state, in the order in which it is met
card     JSON: what the caller says of it, and `state`: the state's tree, with {"$": name} in
         place of a tensor. Tuples, bytes, arrays and mappings by other keys than texts are
         marked likewise, so that what is read equals what was written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sim.errors import CheckpointError, SimError

VERSION: Final = 1
SUFFIX: Final = ".safetensors"


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside, forces it to the disk, then takes the file's place. Raises: SimError."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SimError(f"cannot write {path}: {error.strerror or error}") from None


def write_checkpoint(path: Path, state: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Writes a state: nested dicts, lists and tuples of tensors, arrays, numbers, texts, bytes.

    Raises: TypeError for anything else; SimError if the disk does not take it.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _packed(state, tensors)
    text = json.dumps({**card, "version": VERSION, "state": tree})
    write_atomically(path, save(tensors, metadata={"card": text}))


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and card of a file; tensors on the CPU.

    Raises: CheckpointError for a file that is not one, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint: {error}") from None
    if not isinstance(card, dict) or "state" not in card:
        raise CheckpointError(f"{path}: has no card with a state")
    if card.get("version") != VERSION:
        raise CheckpointError(f"{path}: of version {card.get('version')}, expected {VERSION}")
    try:
        state = _unpacked(card.pop("state"), tensors)
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: its state is damaged: {error!r}") from None
    return state, card


def _packed(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return {"$": _added(value, tensors)}
    if isinstance(value, np.ndarray | np.generic):
        array = np.array(value)
        return {"$array": _added(torch.from_numpy(array), tensors)}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, tuple):
        return {"$tuple": [_packed(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_packed(each, tensors) for each in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _packed(each, tensors) for key, each in value.items()}
        pairs = [[_packed(k, tensors), _packed(v, tensors)] for k, v in value.items()]
        return {"$map": pairs}
    raise TypeError(f"a state may not hold a {type(value).__name__}: {value!r:.80}")


def _added(tensor: torch.Tensor, tensors: dict[str, torch.Tensor]) -> str:
    name = f"t{len(tensors)}"
    tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return name


def _unpacked(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(mark, inner)] = value.items()
        if mark == "$":
            return tensors[inner]
        if mark == "$array":
            return tensors[inner].numpy()
        if mark == "$bytes":
            return bytes.fromhex(inner)
        if mark == "$tuple":
            return tuple(_unpacked(each, tensors) for each in inner)
        if mark == "$map":
            return {_unpacked(k, tensors): _unpacked(v, tensors) for k, v in inner}
    return {key: _unpacked(each, tensors) for key, each in value.items()}


# --- the checkpoints of a run -------------------------------------------------------------------


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, the oldest first; their names are their frames."""
    found = [path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
    return sorted(found, key=lambda path: int(path.stem))


def checkpoint_path(folder: Path, frames: int) -> Path:
    """Where a checkpoint at this frame goes."""
    return folder / f"{frames:012d}{SUFFIX}"


def newest(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Path, state and card of the newest checkpoint that can be read.

    Raises: CheckpointError if there is none.
    """
    problems = []
    for path in reversed(checkpoints(folder)):
        try:
            state, card = read_checkpoint(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        return path, state, card
    raise CheckpointError(problems[0] if problems else f"{folder} holds no checkpoint")


def prune(folder: Path, keep: int) -> None:
    """Removes all but the newest `keep`."""
    for path in checkpoints(folder)[:-keep]:
        path.unlink(missing_ok=True)
