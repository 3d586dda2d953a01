"""What agents see and decide as spaces of Gymnasium, and their actions as ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents.decisions import mask_of, plan_of
from agents.roles import AGE_MAX
from sim.errors import AgentError
from sim.learn.record import Side
from sim.spaces import Space

Array = NDArray[Any]
_SEEN: Final = np.float32


def seen_space(side: Side) -> spaces.Box:
    """What an agent of a side sees: its own numbers, then what it hears (see `agents.roles`)."""
    low, high = [side.role.sees.low], [side.role.sees.high]
    for heard in side.layout.heard:
        bottom, top = np.full(heard.width + 2, -np.inf), np.full(heard.width + 2, np.inf)
        bottom[-2:], top[-2:] = 0.0, (1.0, AGE_MAX)
        low.append(np.tile(bottom, heard.senders))
        high.append(np.tile(top, heard.senders))
    return spaces.Box(
        np.concatenate(low).astype(_SEEN), np.concatenate(high).astype(_SEEN), dtype=np.float32
    )


def action_space(side: Side) -> spaces.Space[Any]:
    """What an agent of a side decides: Discrete, MultiDiscrete, or a Box in physical units; a Dict
    of these by field, where it decides choices and numbers at once."""
    decides = side.decides
    choices = [field.choices for field in decides.fields for _ in range(field.size)]
    if all(choices) or not any(choices):
        return _space_of(decides)
    return spaces.Dict({field.name: _space_of(Space((field,))) for field in decides.fields})


def _space_of(decides: Space) -> spaces.Space[Any]:
    choices = [field.choices for field in decides.fields for _ in range(field.size)]
    if all(choices):
        return spaces.Discrete(choices[0]) if len(choices) == 1 else spaces.MultiDiscrete(choices)
    low, high = decides.low.astype(np.float32), decides.high.astype(np.float32)
    return spaces.Box(low, high, dtype=np.float32)


class Actions:
    """From actions of a side's space to decisions in physical units, and which are allowed."""

    def __init__(self, side: Side) -> None:
        self.side, self.space = side, action_space(side)
        fields = side.decides.fields
        self._choices = np.array([f.choices for f in fields for _ in range(f.size)])
        self._plan = plan_of(side.decides, side.role.sees)
        self.default = np.clip(side.decides.default, side.decides.low, side.decides.high)

    def decision(self, action: Any, who: str) -> Array:
        """One agent's. Raises: AgentError for what is no action of the space."""
        rows = {k: [v] for k, v in action.items()} if isinstance(action, Mapping) else [action]
        found: Array = self.decisions(rows, lambda _: who)[0]
        return found

    def decisions(self, actions: Any, who: Callable[[int], str]) -> Array:
        """Of several agents, one row each; numbers out of their bounds become the nearest.

        Shapes: [m] or [m, A], or by field -> float64 [m, A].
        Raises: AgentError naming the first of `who` whose action is none of the space.
        """
        decides = self.side.decides
        found = self._rows(actions)
        wrong: Array
        if found is None:
            wrong = np.ones(1, dtype=bool)
        else:
            is_whole = (found >= 0) & (found < self._choices) & (found == np.rint(found))
            is_right = np.isfinite(found) & ((self._choices == 0) | is_whole)
            wrong = np.asarray(~is_right.all(axis=1))
        if found is None or wrong.any():
            first = int(wrong.argmax())
            given = actions if isinstance(actions, Mapping) else actions[first]
            raise AgentError(f"{who(first)}: expected an action of {self.space}, found {given!r}")
        return np.clip(found, decides.low, decides.high)

    def _rows(self, actions: Any) -> Array | None:
        """Shapes: -> float64 [m, A]; None if they have no such shape."""
        decides = self.side.decides
        try:
            if isinstance(self.space, spaces.Dict):
                parts = [np.asarray(actions[f.name], np.float64) for f in decides.fields]
                found = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
            else:
                found = np.asarray(actions, dtype=np.float64)
                found = found.reshape(len(found), -1)
        except (TypeError, ValueError, KeyError, IndexError):
            return None
        return found if found.shape[1] == decides.size else None

    def masks(self, seen: Array) -> Any:
        """Which choices are allowed to who sees this, as `Space.sample` takes it; None if all are.

        Shapes: seen [..., F] -> int8 [..., choices]; of a MultiDiscrete one such array per number,
                of a Dict by field, None for numbers.
        """
        allowed = mask_of(self._plan, seen, np)
        if allowed is None:
            return None
        widths = np.maximum(self._choices, 1)
        parts = np.split(allowed.astype(np.int8), np.cumsum(widths)[:-1], axis=-1)
        if isinstance(self.space, spaces.Discrete):
            return parts[0]
        if isinstance(self.space, spaces.MultiDiscrete):
            return tuple(parts)
        found: dict[str, Any] = {}
        for field in self.side.decides.fields:
            own, parts = parts[: field.size], parts[field.size :]
            found[field.name] = None if not field.choices else own[0] if field.size == 1 else own
        return found
