"""Rules of the task `search` of the world `swarm`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import device

from agents.behaviours.swarm import Array, Robot

LEAST_WAY: Final = 0.5
"""m. A robot turns away where the way ahead is shorter, beyond what it takes to stop."""


class Wander(Robot):
    """Goes straight on until something is in its way, then in a random direction.

    The direction is a hash of where it is then, so that no other source of chance is needed.
    Memory: the direction, a unit vector; at first none.
    """

    remembers = 2

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        direction = xp.where(memory == 0, self.pair(xp, obs, "heading"), memory)
        ahead = self.pair(xp, obs, "") + direction * (LEAST_WAY + 2 * self.speed * self.period)
        size = xp.asarray([[self.width, self.height]], dtype=obs.dtype, device=device(obs))
        is_out = xp.any((ahead < 0) | (ahead > size), axis=1, keepdims=True)
        speed = xp.sum(self.pair(xp, obs, "speed") * direction, axis=1, keepdims=True)
        is_stuck = xp.any(memory != 0, axis=1, keepdims=True) & (speed < 0.1 * self.speed)
        is_new = is_out | (is_stuck & (chance(xp, obs, 1) < 0.3))
        middle = (size / 2 - self.pair(xp, obs, "")) / size
        angle = 2 * math.pi * chance(xp, obs, 2)
        drawn = xp.concat((xp.cos(angle), xp.sin(angle)), axis=1)
        # Away from the wall: of two opposite directions the one that leads inwards.
        inwards = xp.sum(drawn * middle, axis=1, keepdims=True) >= 0
        drawn = xp.where(inwards, drawn, -drawn)
        direction = xp.where(is_new, drawn, direction)
        return self.speed * direction, {}, direction


def chance(xp: Any, obs: Array, number: int) -> Array:
    """A number in [0, 1) from the observation of the place. Shapes: [B, o] -> [B, 1]."""
    mixed = xp.sin(12.9898 * obs[:, :1] + 78.233 * obs[:, 1:2] + number) * 43758.5453
    return mixed - xp.floor(mixed)
