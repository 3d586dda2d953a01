"""The transitions of one side in one copy, from one decision of its network to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sim.learn.record import Record

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class Step:
    """One transition; what its end adds is there once it has ended. Shapes: as of `Record`,
    without T and B; memory [n, H] is that before the decision."""

    seen: Array
    alive: Mask
    decision: Array
    log_prob: Array
    is_first: Any
    state: Array
    memory: Array
    next_seen: Any = None
    next_alive: Any = None
    reward: Any = None
    team: Any = None
    duration: Any = None
    terminated: Any = None
    truncated: Any = None
    next_state: Any = None


_NAMES = tuple(f.name for f in fields(Step))
_BEGUN = _NAMES[:7]
_MASKS = ("alive", "next_alive", "is_first", "terminated", "truncated")


class Trail:
    """Steps that have ended and were not yet asked for, and the one that goes on."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.open: Step | None = None

    def end(
        self, next_seen: Array, next_alive: Mask, next_state: Array, reward: Array, team: float,
        duration: float, terminated: bool = False, truncated: bool = False,
    ) -> None:  # fmt: skip
        """The step that goes on, if there is one, has ended."""
        step, self.open = self.open, None
        if step is None:
            return
        step.next_seen, step.next_alive, step.next_state = next_seen, next_alive, next_state
        step.reward, step.team, step.duration = reward, team, duration
        step.terminated, step.truncated = terminated, truncated
        self.steps.append(step)

    def take(self, count: int) -> list[Step]:
        """The oldest steps, which are then forgotten here."""
        taken, self.steps = self.steps[:count], self.steps[count:]
        return taken

    def state(self) -> dict[str, Any]:
        """Tensors and dicts from which `load` makes the same trail."""
        begun = [self.open] if self.open is not None else []
        return {"ended": _packed(self.steps, _NAMES), "open": _packed(begun, _BEGUN)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`."""
        self.steps = [Step(**values) for values in _unpacked(state["ended"])]
        begun = [Step(**values) for values in _unpacked(state["open"])]
        self.open = begun[0] if begun else None


def _array(name: str, values: Sequence[Any]) -> NDArray[Any]:
    return np.array(values, dtype=np.bool_ if name in _MASKS else np.float32)


def _packed(steps: Sequence[Step], names: Sequence[str]) -> dict[str, torch.Tensor]:
    if not steps:
        return {}
    return {n: torch.from_numpy(_array(n, [getattr(s, n) for s in steps])) for n in names}


def _unpacked(packed: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
    arrays = {name: tensor.numpy() for name, tensor in packed.items()}
    count = len(next(iter(arrays.values()))) if arrays else 0
    return [{name: array[i] for name, array in arrays.items()} for i in range(count)]


def record_of(copies: Sequence[Sequence[Step]], device: str) -> Record:
    """The record of B copies of T steps each, all of them ended."""

    def column(name: str) -> torch.Tensor:
        values = [_array(name, [getattr(step, name) for step in steps]) for steps in copies]
        return torch.from_numpy(np.stack(values, axis=1)).to(device)

    memory = torch.from_numpy(_array("memory", [steps[0].memory for steps in copies])).to(device)
    columns = {name: column(name) for name in _NAMES if name != "memory"}
    return Record(memory=memory, **columns)
