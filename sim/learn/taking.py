"""Filling the records of a rollout: one `Take` per side and `collect`, one row per decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sim.learn.record import Record, Side

Tensor = torch.Tensor


class Take:
    """A record in the making. steps: of the world that one decision lasts."""

    def __init__(
        self, side: Side, decisions: int, steps: int, copies: int, sizes: tuple[int, int],
        memory: Tensor,
    ) -> None:  # fmt: skip
        self.side, self.steps = side, steps
        device, n = memory.device, len(side.agents)
        state_size, decision_size = sizes

        def numbers(*shape: int) -> Tensor:
            return torch.zeros((decisions, copies, *shape), device=device)

        def flags(*shape: int) -> Tensor:
            return torch.zeros((decisions, copies, *shape), dtype=torch.bool, device=device)

        self.record = Record(
            seen=numbers(n, side.layout.size), next_seen=numbers(n, side.layout.size),
            alive=flags(n), next_alive=flags(n), decision=numbers(n, decision_size),
            log_prob=numbers(n), reward=numbers(n), team=numbers(), duration=numbers(),
            is_first=flags(), terminated=flags(), truncated=flags(),
            state=numbers(state_size), next_state=numbers(state_size), memory=memory,
        )  # fmt: skip
        self._at = -1
        self._passed = 0

    def begin(self, is_live: Tensor, **values: Tensor) -> None:
        """A decision was made: seen, alive, decision, log_prob, is_first, state.

        Shapes: is_live bool [B]; a copy that waits for its next episode has nobody alive.
        """
        self._at, self._passed = self._at + 1, 0
        for name, value in values.items():
            getattr(self.record, name)[self._at] = value
        self.record.alive[self._at] &= is_live[:, None]
        self.record.terminated[self._at] = ~is_live

    def earn(self, reward: Tensor, team: Tensor) -> None:
        """Rewards of one step. Shapes: [B, n], [B]."""
        self._passed += 1
        self.record.reward[self._at] += reward
        self.record.team[self._at] += team

    def end(
        self, which: Tensor | None, terminated: Tensor | None, truncated: Tensor | None,
        **values: Tensor,
    ) -> None:  # fmt: skip
        """The decision is over in some copies: next_seen, next_alive, next_state.

        Shapes: all bool [B]; which is None where it is over in all.
        """
        record, at = self.record, self._at
        part = self._passed / self.steps
        if which is None:
            record.duration[at] = part
            for name, value in values.items():
                getattr(record, name)[at] = value
        else:
            record.duration[at][which] = part
            for name, value in values.items():
                target = getattr(record, name)[at]
                target[which] = value[which].to(target.dtype)
        if terminated is not None and truncated is not None:
            record.terminated[at] |= terminated
            record.truncated[at] |= truncated


def to_cpu(value: Any) -> Any:
    """Nested dicts and lists of tensors and arrays, copied to tensors on the processor.

    Unsigned keys become int64 of the same bits.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, np.ndarray):
        signed = value.view(np.int64) if value.dtype == np.uint64 else value
        return torch.from_numpy(np.array(signed))
    if isinstance(value, dict):
        return {k: to_cpu(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_cpu(v) for v in value]
    return value


def brought(value: Any, bring: Callable[[Tensor], Any]) -> Any:
    """The same nesting, with copies of its tensors brought where they belong."""
    if isinstance(value, torch.Tensor):
        return bring(value.clone())
    if isinstance(value, dict):
        return {k: brought(v, bring) for k, v in value.items()}
    if isinstance(value, list):
        return [brought(v, bring) for v in value]
    return value
