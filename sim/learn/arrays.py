"""Where a batch's arrays live: NumPy on the processor, torch tensors on any other device.

Policies and mechanisms are written against the array API standard and run in a process on NumPy;
so does a batch on the processor, on views of the world's tensors. Learners always get tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat.torch
import numpy as np
import torch

Array = Any


@dataclass(frozen=True)
class Arrays:
    """device: torch's name of it. is_numpy: whether policies get NumPy arrays."""

    device: str
    is_numpy: bool

    @property
    def xp(self) -> Any:
        """The namespace of the arrays."""
        return np if self.is_numpy else array_api_compat.torch

    def of(self, tensor: torch.Tensor) -> Array:
        """A tensor as an array; no copy."""
        return tensor.numpy() if self.is_numpy else tensor

    def tensor(self, array: Array) -> torch.Tensor:
        """An array as a tensor, without a copy if its memory allows it."""
        if isinstance(array, torch.Tensor):
            return array
        if not (array.flags.c_contiguous and array.flags.writeable):
            array = np.array(array)
        return torch.from_numpy(array)

    def put(self, array: np.ndarray[Any, Any]) -> Array:
        """A NumPy array, brought here; uint64 becomes the int64 of the same bits on a device."""
        if self.is_numpy:
            return array
        if array.dtype == np.uint64:
            array = array.view(np.int64)
        return torch.from_numpy(np.array(array)).to(self.device)

    def here(self, array: Array) -> Array:
        """What a policy made without knowing the device, brought here."""
        return array if self.is_numpy else array.to(self.device)

    def full(self, shape: tuple[int, ...], value: Any, dtype: str) -> Array:
        """A new array. dtype: a name that NumPy and torch share."""
        if self.is_numpy:
            return np.full(shape, value, dtype=dtype)
        return torch.full(shape, value, dtype=getattr(torch, dtype), device=self.device)


def arrays_on(device: str, is_numpy: bool | None = None) -> Arrays:
    """Arrays for a device. is_numpy: NumPy on the processor unless that is denied."""
    is_cpu = torch.device(device).type == "cpu"
    return Arrays(device, is_cpu if is_numpy is None else is_numpy and is_cpu)


def unsigned(array: Array) -> Array:
    """Keys as their draws want them: uint64 in NumPy, int64 of the same bits in torch."""
    return array.view(np.uint64) if isinstance(array, np.ndarray) else array
