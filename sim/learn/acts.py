"""When an action counts, in a batch: `broker.actions` for all copies of a group at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.learn.arrays import Array, Arrays
from sim.units import NEVER
from sim.worlds.world import Group


@dataclass
class Coming:
    """Actions that do not count yet. Shapes: when int64, given bool [B, n]; values [B, n, a].

    steps: of the world after which all of them count.
    """

    when: Array
    given: Array
    values: Array
    steps: int


class GroupActions:
    """The actions in force of one group. Shapes: values [B, n, a], until int64 [B, n]."""

    def __init__(self, group: Group, arrays: Arrays, copies: int, dt_ns: int) -> None:
        n = len(group.agents)
        self._arrays, self._dt_ns = arrays, dt_ns
        self._held_ns = group.every_ns if group.hold == "default" else group.ttl_ns
        default = np.broadcast_to(group.action.default, (copies, n, group.action.size))
        self._default = arrays.put(np.array(default, dtype=np.float64))
        self._values = self._default
        self._until = arrays.full((copies, n), -1, "int64")
        self._coming: list[Coming] = []

    def begin(self, is_begun: Array) -> None:
        """Forgets the actions of copies whose episode begins. Shapes: bool [B]."""
        xp = self._arrays.xp
        self._values = xp.where(is_begun[:, None, None], self._default, self._values)
        self._until = xp.where(is_begun[:, None], 0 * self._until - 1, self._until)
        for coming in self._coming:
            coming.given = coming.given & ~is_begun[:, None]

    def submit(
        self, now: Array, values: Array, given: Array, slots: slice | list[int], delays: Any
    ) -> None:
        """Takes what slots decided now; it counts after their delay.

        Shapes: now int64 [B], values [B, m, a], given bool [B, m]; delays int64 [m], or None.
        """
        if delays is None:
            self._apply(now[:, None] + 0 * self._until, *self._spread(slots, values, given))
            return
        when, n = now[:, None] + delays, self._until.shape[1]
        whole = self._arrays.full((len(now), n), NEVER, "int64")
        whole[:, slots] = when
        spread = self._spread(slots, values, given)
        steps = int(delays.max()) // self._dt_ns + 2
        self._coming.append(Coming(whole, spread[1], spread[0], steps))

    def at(self, boundary: Array) -> tuple[Array, Array]:
        """What the world applies from a boundary on. Shapes: -> [B, n, a], bool [B, n]."""
        for coming in self._coming:
            due = coming.given & (coming.when <= boundary[:, None])
            coming.given = coming.given & ~due
            coming.steps -= 1
            self._apply(coming.when, coming.values, due)
        self._coming = [coming for coming in self._coming if coming.steps > 0]
        return self._values, self._until > boundary[:, None]

    def _spread(self, slots: slice | list[int], values: Array, given: Array) -> tuple[Array, Array]:
        """What some slots decided, as of the whole group."""
        if isinstance(slots, slice) and values.shape[1] == self._values.shape[1]:
            return values, given
        whole = self._arrays.full(tuple(self._values.shape), 0.0, "float64")
        whole[:, slots] = values
        is_given = self._arrays.full(tuple(self._until.shape), False, "bool")
        is_given[:, slots] = given
        return whole, is_given

    def _apply(self, when: Array, values: Array, given: Array) -> None:
        xp = self._arrays.xp
        held = xp.clip(NEVER - when, 0, self._held_ns)
        self._values = xp.where(given[..., None], values, self._values)
        self._until = xp.where(given, when + held, self._until)

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        return {
            "values": self._values, "until": self._until,
            "coming": [vars(coming) for coming in self._coming],
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self._values, self._until = state["values"], state["until"]
        self._coming = [Coming(**coming) for coming in state["coming"]]
