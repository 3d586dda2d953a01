"""A driver in the world `sumo`: IDM up to the limit, out of the way of who is slower.

Lanes are changed to the left when who is ahead is near and slow and there is more room, and to the
right when there is room for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from array_api_compat import array_namespace

from agents.behaviours.vehicles import check
from sim.worlds.vehicles.laws import DRIVER, idm

HEADWAY_S: Final = 1.2
SLOWER: Final = 0.9
"""Of the limit: who is kept below it looks for another lane."""
KEEP, LEFT, RIGHT = 0.0, 1.0, 2.0


class Driver:
    """params: headway (s, default 1.2), change (whether lanes are changed; default true)."""

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}
    plays_group = True
    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        check(params, ("headway", "change"))
        self.group = group
        headway = float(params.get("headway", HEADWAY_S))
        self.driver = replace(DRIVER, headway=headway, accelerate=1.5, brake=2.0)
        self.changes = bool(params.get("change", True))
        self.least = float(group.action.low[0])

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        xp = array_namespace(obs)
        gap, closing, speed, limit, left, left_gap, right, right_gap = (
            obs[:, self.group.observation.index(name)]
            for name in (
                "gap", "closing", "speed", "limit", "left", "left_gap", "right", "right_gap",
            )
        )  # fmt: skip
        limit = xp.clip(limit, 1.0, None)
        # IDM has a wish of its own; here it is the limit.
        wish = (speed / self.driver.speed) ** 4 - (speed / limit) ** 4
        wanted = idm(self.driver, gap, closing, speed) + self.driver.accelerate * wish
        near = self.driver.standstill + 2.0 * self.driver.headway * speed
        is_held = (gap < near) & (speed < SLOWER * limit)
        to_left = is_held & (left > 0) & (left_gap > gap + 10.0)
        to_right = ~is_held & (right > 0) & (right_gap > 2.0 * near)
        change = xp.where(to_left, LEFT, xp.where(to_right & self.changes, RIGHT, KEEP))
        change = xp.where(xp.asarray(self.changes), change, KEEP)
        wanted = xp.clip(wanted, self.least, None)
        return xp.concat((wanted, change), axis=1), {}, memory
