"""Experience kept for later: a ring of the last so many decisions of every copy.

One store serves transitions and sequences: what is drawn are windows of `length` decisions that
followed each other in one copy, a transition being a window of one. Windows may span episodes; the
fields `is_first`, `terminated` and `truncated` say where. Memory is taken once, at the first `add`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sim.errors import BoundError

Tensor = torch.Tensor


class Replay:
    """Fields [capacity, B, ...], written round and round, drawn from uniformly.

    capacity: decisions of each copy that are kept.
    """

    def __init__(self, capacity: int, device: str = "cpu") -> None:
        self.capacity = capacity
        self.size = 0
        self._at = 0
        self._device = device
        self._fields: dict[str, Tensor] = {}

    @property
    def transitions(self) -> int:
        """How many decisions of copies it holds."""
        return self.size * self._copies

    @property
    def _copies(self) -> int:
        return next(iter(self._fields.values())).shape[1] if self._fields else 0

    def add(self, fields: Mapping[str, Tensor]) -> None:
        """Takes in T decisions of B copies; of more than fit the last count.

        Shapes: each [T, B, ...], T and B the same for all and B the same as ever.
        """
        steps, copies = next(iter(fields.values())).shape[:2]
        if not self._fields:
            self._fields = {
                name: torch.zeros((self.capacity, *f.shape[1:]), dtype=f.dtype, device=self._device)
                for name, f in fields.items()
            }
        if copies != self._copies or fields.keys() != self._fields.keys():
            raise BoundError(
                f"replay of {self._copies} copies of {', '.join(self._fields)} cannot take in "
                f"{copies} copies of {', '.join(fields)}"
            )
        kept = min(steps, self.capacity)
        where = (torch.arange(kept, device=self._device) + self._at) % self.capacity
        for name, field in fields.items():
            self._fields[name][where] = field[steps - kept :].to(self._device)
        self._at = (self._at + kept) % self.capacity
        self.size = min(self.size + kept, self.capacity)

    def sample(self, batch: int, length: int, generator: torch.Generator) -> dict[str, Tensor]:
        """So many windows, with replacement; each once, if no more than so many are there.

        Shapes: each [length, batch, ...].

        Raises: BoundError if less than one window is there.
        """
        starts = self.size - length + 1
        if starts < 1:
            raise BoundError(f"replay holds {self.size} decisions; a window needs {length}")
        windows = starts * self._copies
        if windows <= batch:
            window = torch.arange(windows, device=self._device)
        else:
            window = torch.empty(batch, dtype=torch.long, device=self._device)
            window.random_(windows, generator=generator)
        start, copy = window // self._copies, window % self._copies
        oldest = self._at - self.size
        steps = torch.arange(length, device=self._device)[:, None]
        row = (oldest + start + steps) % self.capacity
        return {name: field[row, copy] for name, field in self._fields.items()}

    def state(self) -> dict[str, Any]:
        """What it holds, oldest first."""
        row = (self._at - self.size + torch.arange(self.size, device=self._device)) % self.capacity
        return {"fields": {name: field[row] for name, field in self._fields.items()}}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on with what another held; the capacity stays this one's."""
        self.size, self._at, self._fields = 0, 0, {}
        if state["fields"]:
            self.add(state["fields"])
