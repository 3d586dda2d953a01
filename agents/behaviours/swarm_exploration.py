"""Rule of the task `search` of the world `swarm` for unknown ground: frontiers of an occupancy map.

Each robot draws a map of what its beams tell it: to each square the log odds that something is
there, more for where a beam ends and less for what it passes. It goes to the nearest frontier, a
free square beside one that nobody has told it of, unless somebody else is nearer to it. Maps go
round by radio, and of each square the surest counts. On its way it takes the clear direction that
is nearest to that of its goal. Who sees nothing stands, and passes on what it hears.
Sources: Moravec and Elfes, High resolution maps from wide angle sonar, 1985; Yamauchi, A
frontier-based approach for autonomous exploration, 1997; of the way Borenstein and Koren, The
vector field histogram, 1991.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from array_api_compat import device

from agents.behaviours.swarm import Array, Robot, beams, far
from sim.errors import BoundError

PASSED, HIT, SURE = -0.4, 0.85, 4.0
"""What a beam adds to the log odds of a square that it passes, or ends in; the most they can be."""


class Explorer(Robot):
    """params: block (m, side of a square of its map; default 1.5), talk (s, how often it tells its
    map; default 2), radius (m, as the world's; default 0.2), patience (s, for which the place of
    another counts; default 5), look (m, how far the way must be clear; default 2), and those of all
    robots.

    Memory: its map, 0 where nothing is known, then s until it tells it.
    Raises: BoundError for robots without beams, or squares without a size.
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        block = float(params.get("block", 1.5))
        if "free" not in self.at:
            raise BoundError("world.beams: Explorer sees by beams, expected at least 1, found 0")
        if block <= 0:
            raise BoundError(f"params.block: expected more than 0 m, found {block:g}")
        self.talk, self.radius = float(params.get("talk", 2.0)), float(params.get("radius", 0.2))
        self.patience, self.look = float(params.get("patience", 5.0)), float(params.get("look", 2))
        self.across, self.up = math.ceil(self.width / block), math.ceil(self.height / block)
        self.sides = self.width / self.across, self.height / self.up
        self.squares = [
            [(i + 0.5) * self.sides[0], (j + 0.5) * self.sides[1]]
            for j in range(self.up)
            for i in range(self.across)
        ]
        self.speaks = self.hears = {"at": 2, "map": len(self.squares)}
        self.remembers = len(self.squares) + 1

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        own = self.pair(xp, obs, "")
        squares = xp.asarray(self.squares, dtype=obs.dtype, device=device(obs))
        odds = memory[:, :-1] + self.field(obs, "sighted") * self.evidence(xp, obs, squares)
        odds = merged(xp, xp.clip(odds, -SURE, SURE), inbox.get("map"))
        goal = self.frontier(xp, own, inbox.get("at"), odds, squares)
        wanted = self.field(obs, "sighted") * self.way(xp, obs, goal)
        rest = memory[:, -1:] - self.period
        is_due = rest <= 0
        told = xp.where(is_due, odds, xp.full_like(odds, xp.nan))
        rest = xp.where(is_due, rest + self.talk, rest)
        return wanted, {"at": own, "map": told}, xp.concat((odds, rest), axis=1)

    def evidence(self, xp: Any, obs: Array, squares: Array) -> Array:
        """What its beams say of each square. Shapes: [g, 2] -> [B, g]."""
        free, half = self.field(obs, "free")[:, None], max(self.sides) / 2
        apart = squares - self.pair(xp, obs, "")[:, None]
        beam = beams(xp, self.field(obs, "free"))
        along = apart @ xp.permute_dims(beam, (1, 0))
        square = xp.sum(apart * apart, axis=2)[..., None]
        is_on = (square - along * along <= half * half) & (along > -half)
        # A beam is the way of its middle: what is hit is a radius farther.
        end = xp.where(free < self.sight, free + self.radius, xp.inf)
        passed = is_on & (along <= xp.minimum(end - half, free + self.radius))
        hit = is_on & (xp.abs(along - end) < half) & ~self.is_wall(xp, obs, beam)[:, None]
        found = PASSED * xp.sum(xp.astype(passed, obs.dtype), axis=2)
        return found + HIT * xp.sum(xp.astype(hit, obs.dtype), axis=2)

    def is_wall(self, xp: Any, obs: Array, beam: Array) -> Array:
        """Whether a beam ends at the rim of the ground, which is no obstacle. Shapes: -> bool
        [B, k]."""
        end = self.pair(xp, obs, "")[:, None] + self.field(obs, "free")[..., None] * beam
        size = xp.asarray([self.width, self.height], dtype=obs.dtype, device=device(obs))
        rim = 1.5 * self.radius
        return xp.any((end <= rim) | (end >= size - rim), axis=2)

    def frontier(self, xp: Any, own: Array, at: Any, odds: Array, squares: Array) -> Array:
        """Where to go. Shapes: own [B, 2] m, odds [B, g] -> [B, 2] m."""
        plan = xp.reshape(odds, (-1, self.up, self.across))
        unknown = xp.astype(plan == 0, odds.dtype)
        up, right = xp.zeros_like(unknown[:, :1]), xp.zeros_like(unknown[:, :, :1])
        beside = xp.concat((unknown[:, 1:], up), axis=1) + xp.concat((up, unknown[:, :-1]), axis=1)
        beside = beside + xp.concat((unknown[:, :, 1:], right), axis=2)
        beside = beside + xp.concat((right, unknown[:, :, :-1]), axis=2)
        is_frontier = xp.reshape((plan < 0) & (beside > 0), odds.shape)
        mine = far(xp, squares, own[:, None])[:, 0]
        cost = xp.where(is_frontier, mine, xp.inf)
        if at is not None and at.values.shape[1]:
            counts = (at.present & (at.age_s <= self.patience))[..., None]
            theirs = xp.min(far(xp, squares, xp.where(counts, at.values, -1e6)), axis=1)
            cost = cost + (self.width + self.height) * xp.astype(theirs < mine, odds.dtype)
        chosen = xp.take(squares, xp.argmin(cost, axis=1), axis=0)
        return xp.where(xp.any(is_frontier, axis=1, keepdims=True), chosen, own)

    def way(self, xp: Any, obs: Array, goal: Array) -> Array:
        """The velocity that leads there, along the clear beam that is nearest to it. Shapes:
        [B, 2] m -> [B, 2] m/s."""
        free, wanted = self.field(obs, "free"), self.towards(xp, obs, goal)
        apart = goal - self.pair(xp, obs, "")
        size = xp.sqrt(xp.sum(apart * apart, axis=1, keepdims=True))
        beam = beams(xp, free)
        near = apart @ xp.permute_dims(beam, (1, 0)) / xp.clip(size, 1e-9, None)
        look = xp.clip(size, 0.0, self.look)
        blocked = xp.clip(1 - free / xp.clip(look, 1e-9, None), 0.0, 1.0)
        best = xp.argmax(near - 2 * blocked, axis=1)
        straight = xp.argmax(near, axis=1)
        speed = xp.sqrt(xp.sum(wanted * wanted, axis=1, keepdims=True))
        return xp.where((best == straight)[:, None], wanted, speed * xp.take(beam, best, axis=0))


def merged(xp: Any, odds: Array, heard: Any) -> Array:
    """Its own map and those that it has heard, of each square the surest. Shapes: -> [B, g]."""
    if heard is None or not heard.values.shape[1]:
        return odds
    theirs = xp.where(heard.present[..., None], heard.values, xp.zeros_like(heard.values))
    high, low = xp.max(theirs, axis=1), xp.min(theirs, axis=1)
    surest = xp.where(high >= -low, high, low)
    return xp.where(xp.abs(surest) > xp.abs(odds), surest, odds)
