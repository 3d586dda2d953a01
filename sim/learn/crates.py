"""Plain data and tensors as bytes, between a learner and its workers: msgpack, tensors raw.

A tensor is its dtype, its shape and its numbers as they lie in memory (little-endian); nothing is
ever executed in reading it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import torch

from sim.errors import MalformedFrameError

_TENSOR: Final = 1
_DTYPES: Final = {
    str(t).removeprefix("torch."): t
    for t in (
        torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32,
        torch.float64,
    )
}  # fmt: skip


def _encode(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous()
        head = msgspec.msgpack.encode((str(flat.dtype).removeprefix("torch."), list(flat.shape)))
        data = flat.numpy().tobytes()
        return msgspec.msgpack.Ext(_TENSOR, len(head).to_bytes(4, "little") + head + data)
    raise TypeError(f"cannot be sent to another process: {type(value).__name__}")


def _decode(code: int, data: memoryview) -> Any:
    if code != _TENSOR:
        raise MalformedFrameError(f"unknown kind of data: {code}")
    at = 4 + int.from_bytes(data[:4], "little")
    name, shape = msgspec.msgpack.decode(data[4:at], type=tuple[str, list[int]])
    if name not in _DTYPES:
        raise MalformedFrameError(f"unknown dtype of a tensor: {name!r}")
    array = np.frombuffer(data[at:], dtype=np.bool_ if name == "bool" else np.dtype(name))
    return torch.from_numpy(array.copy().reshape(shape))


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode)
_decoder = msgspec.msgpack.Decoder(ext_hook=_decode)


def packed(value: Any) -> bytes:
    """Dicts, lists, numbers, texts and tensors as bytes. Raises: TypeError for anything else."""
    return _encoder.encode(value)


def unpacked(data: bytes) -> Any:
    """What was packed; tensors on CPU, tuples as lists. Raises: MalformedFrameError."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedFrameError(f"a message of another process: {error}") from None


def joined(parts: Sequence[Mapping[str, torch.Tensor]], device: str) -> dict[str, torch.Tensor]:
    """The records of several rollouts as one of all their copies: copies are dimension 1, and 0 in
    the memory."""
    return {
        name: torch.cat([part[name] for part in parts], dim=0 if name == "memory" else 1).to(device)
        for name in parts[0]
    }
