"""Tensors that say they are on a GPU, on a machine without one: a mix with others is an error.

    with Pretended():
        state = world.reset([(0, 0)], GPU)

What is computed is computed on the processor. As on a real one, a tensor of the processor may only
meet those of the GPU if it is a single number, and nothing is read by NumPy before it is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

GPU: Final = torch.device("cuda", 0)
_MAY_MIX: Final = ("__getitem__", "to", "copy_")
_READS: Final = ("numpy", "__array__")


class Elsewhere(torch.Tensor):
    """One that says so."""


class Mixed(AssertionError):
    """An operation on tensors of two devices."""


class Pretended(TorchFunctionMode):
    """As long as it is on, `GPU` is a device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
            return GPU if isinstance(args[0], Elsewhere) else torch.device("cpu")
        tensors = list(_tensors((args, kwargs)))
        is_here = any(not isinstance(t, Elsewhere) and t.dim() for t in tensors)
        is_there = any(isinstance(t, Elsewhere) for t in tensors)
        if is_there and name in _READS:
            raise Mixed(f"{name}: a tensor of the GPU is read by NumPy")
        if is_here and is_there and not (name in _MAY_MIX and isinstance(args[0], Elsewhere)):
            raise Mixed(f"{name or func}: of {[(type(t).__name__, t.shape) for t in tensors]}")
        to = "cpu" if name == "cpu" else next(filter(_is_device, (*args, *kwargs.values())), None)
        if to is None or func is torch.device:
            return func(*args, **kwargs)
        args = tuple("cpu" if _is_device(x) else x for x in args)
        kwargs = {key: "cpu" if _is_device(x) else x for key, x in kwargs.items()}
        kind = Elsewhere if torch.device(to).type == "cuda" else torch.Tensor
        return func(*args, **kwargs).as_subclass(kind)


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (
        isinstance(value, str) and value.partition(":")[0] in ("cuda", "cpu")
    )


def _tensors(of: Any) -> Iterator[torch.Tensor]:
    if isinstance(of, torch.Tensor):
        yield of
    elif isinstance(of, list | tuple):
        for each in of:
            yield from _tensors(each)
    elif isinstance(of, dict):
        yield from _tensors(list(of.values()))
