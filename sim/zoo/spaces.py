"""What agents see and decide as spaces of Gymnasium, and their actions as ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents.decisions import mask_of, plan_of
from agents.roles import AGE_MAX
from sim.errors import AgentError, ScenarioError
from sim.learn.record import Side

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
    """What an agent of a side decides: Discrete, MultiDiscrete, or a Box in physical units.

    Raises: ScenarioError for choices and numbers at once.
    """
    decides = side.decides
    choices = [field.choices for field in decides.fields for _ in range(field.size)]
    if all(choices):
        return spaces.Discrete(choices[0]) if len(choices) == 1 else spaces.MultiDiscrete(choices)
    if any(choices):
        mixed = ", ".join(field.name for field in decides.fields)
        raise ScenarioError(
            f"group {side.group!r} decides choices and numbers at once ({mixed}), for which "
            "Gymnasium has no space that learners take"
        )
    low, high = decides.low.astype(np.float32), decides.high.astype(np.float32)
    return spaces.Box(low, high, dtype=np.float32)


class Actions:
    """From actions of a side's space to decisions in physical units, and which are allowed."""

    def __init__(self, side: Side) -> None:
        self.side, self.space = side, action_space(side)
        self._choices = np.array([f.choices for f in side.decides.fields for _ in range(f.size)])
        self._plan = plan_of(side.decides, side.role.sees)
        self.default = np.clip(side.decides.default, side.decides.low, side.decides.high)

    def decision(self, action: Any, who: str) -> Array:
        """One agent's. Raises: AgentError for what is no action of the space."""
        found: Array = self.decisions([action], lambda _: who)[0]
        return found

    def decisions(self, actions: Any, who: Callable[[int], str]) -> Array:
        """Of several agents, one row each; numbers out of their bounds become the nearest.

        Shapes: [m] or [m, A] -> float64 [m, A].
        Raises: AgentError naming the first of `who` whose action is none of the space.
        """
        decides, rows = self.side.decides, len(actions)
        try:
            found = np.asarray(actions, dtype=np.float64).reshape(rows, -1)
        except (TypeError, ValueError):
            found = np.zeros((rows, 0))
        wrong: Array
        if found.shape[1] != decides.size:
            wrong = np.ones(rows, dtype=bool)
        elif isinstance(self.space, spaces.Box):
            wrong = np.asarray(~np.isfinite(found).all(axis=1))
        else:
            is_none = (found < 0) | (found >= self._choices) | (found != np.rint(found))
            wrong = np.asarray(is_none.any(axis=1))
        if wrong.any():
            first = int(wrong.argmax())
            text = f"expected an action of {self.space}, found {actions[first]!r}"
            raise AgentError(f"{who(first)}: {text}")
        return np.clip(found, decides.low, decides.high)

    def masks(self, seen: Array) -> Any:
        """Which choices are allowed to who sees this, as `Space.sample` takes it; None if all are.

        Shapes: seen [..., F] -> int8 [..., choices], or one such array for each number of a
                MultiDiscrete.
        """
        allowed = mask_of(self._plan, seen, np)
        if allowed is None:
            return None
        mask = allowed.astype(np.int8)
        if isinstance(self.space, spaces.Discrete):
            return mask
        return tuple(np.split(mask, np.cumsum(self._choices)[:-1], axis=-1))
