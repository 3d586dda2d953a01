"""Rules of the task `rescue` of the world `swarm`: with messages, or with marks.

`Rescuer` searches by frontiers: it goes to the nearest part of the ground that, as far as it has
heard, nobody has seen, unless somebody else is nearer to it. What robots know of victims goes round
with every message, and who goes to which victim is settled by bids: the nearest ones go, as many as
it takes, and who hears of nearer ones leaves it to them.
`Tracker` says and hears nothing: it leaves a mark where it goes, and goes where fewer marks are.
Sources: Yamauchi, A frontier-based approach for autonomous exploration, 1997; of the bids Choi,
Brunet and How, Consensus-based decentralized auctions for robust task allocation, 2009 (CBAA); of
marks Wagner, Lindenbaum and Bruckstein, Distributed covering by ant-robots, 1999.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import device

from agents.behaviours.swarm import Array, Robot, far, limited
from agents.behaviours.swarm_search import chance

OWN: Final = 4
"""Numbers of a message before what it knows: x, y, the victim it goes to from 1 on, its bid, m."""
KNOWN, FREED = 1.0, 2.0
"""What is known of a victim; 0: nothing."""
SURE: Final = 0.8
"""Of its sight: ground within it counts as seen."""


class _Helper(Robot):
    """What both have in common: a memory of victims, x, y and state of each, and the way there."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.victims = group.observation.slices["victim"].stop
        self.victims -= group.observation.slices["victim"].start
        self.leaves_marks = "mark" in group.action.slices

    def table(self, xp: Any, obs: Array, memory: Array) -> tuple[Array, Array]:
        """Places and states of victims, once it has looked. Shapes: [B, 3 m] -> [B, m, 2],
        [B, m]."""
        known = xp.reshape(memory, (obs.shape[0], self.victims, 3))
        sees = self.field(obs, "victim")
        apart = xp.reshape(self.pair(xp, obs, "victim"), (obs.shape[0], self.victims, 2))
        place = self.pair(xp, obs, "")[:, None] + apart
        state = sees * (KNOWN + (FREED - KNOWN) * self.field(obs, "victim_freed"))
        place = xp.where(sees[..., None] > 0, place, known[..., :2])
        return place, xp.maximum(known[..., 2], state)

    def distances(self, xp: Any, obs: Array, place: Array) -> Array:
        """From here. Shapes: [B, m, 2] -> [B, m]."""
        apart = place - self.pair(xp, obs, "")[:, None]
        return xp.sqrt(xp.sum(apart * apart, axis=2))

    def drive(self, xp: Any, obs: Array, wanted: Array) -> Array:
        action = super().drive(xp, obs, wanted)
        if self.leaves_marks:
            action = xp.concat((action, xp.ones_like(action[:, :1])), axis=1)
        return action


class Rescuer(_Helper):
    """params: hands (as the world's; default 2), patience (s, for which a bid and a place count;
    default 5), block (m, side of a square of its own map; default 2), margin.

    Memory: victims, see `_Helper`, then its map, 1 for a square that was seen.
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.hands = int(params.get("hands", 2))
        self.patience = float(params.get("patience", 5.0))
        block = float(params.get("block", 2.0))
        across, up = math.ceil(self.width / block), math.ceil(self.height / block)
        sides = self.width / across, self.height / up
        self.blocks = [
            [(i + 0.5) * sides[0], (j + 0.5) * sides[1]] for j in range(up) for i in range(across)
        ]
        self.speaks = self.hears = {"at": OWN + 3 * self.victims}
        self.remembers = 3 * self.victims + len(self.blocks)

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        own, batch = self.pair(xp, obs, ""), obs.shape[0]
        place, state = self.table(xp, obs, memory[:, : 3 * self.victims])
        at = inbox.get("at")
        is_heard = at is not None and at.values.shape[1] > 0
        if is_heard:
            place, state = _told(xp, at, place, state, self.victims)
        blocks = xp.asarray(self.blocks, dtype=obs.dtype, device=device(obs))
        seen = self.seen(xp, obs, at if is_heard else None, memory[:, 3 * self.victims :], blocks)
        away = self.distances(xp, obs, place)
        mine = state == KNOWN
        if is_heard:
            mine = mine & (self.rivals(xp, at, away) < self.hands)
        bid = xp.where(mine, away, xp.inf)
        chosen = xp.argmin(bid, axis=1)[:, None]
        is_called = xp.any(mine, axis=1, keepdims=True)
        victim, offer = _taken(xp, place, chosen), xp.min(bid, axis=1, keepdims=True)
        elsewhere = self.frontier(xp, obs, at if is_heard else None, seen, blocks)
        goal = xp.where(is_called, victim, elsewhere)
        number = xp.where(is_called, xp.astype(chosen, obs.dtype) + 1.0, 0.0)
        offer = xp.where(is_called, offer, 0.0)
        table = xp.reshape(xp.concat((place, state[..., None]), axis=2), (batch, -1))
        told = xp.concat((own, number, offer, table), axis=1)
        return self.towards(xp, obs, goal), {"at": told}, xp.concat((table, seen), axis=1)

    def rivals(self, xp: Any, at: Any, away: Array) -> Array:
        """How many go to each victim who are nearer than it is. Shapes: -> [B, m]."""
        numbers = xp.arange(self.victims, dtype=away.dtype, device=device(away)) + 1.0
        goes = at.values[..., 2:3] == numbers
        nearer = at.values[..., 3:4] < away[:, None]
        counts = (at.present & (at.age_s <= self.patience))[..., None]
        return xp.sum(xp.astype(goes & nearer & counts, away.dtype), axis=1)

    def seen(self, xp: Any, obs: Array, at: Any, before: Array, blocks: Array) -> Array:
        """Its map. Shapes: [B, g] -> [B, g]."""
        after = xp.maximum(
            before, _within(xp, blocks, self.pair(xp, obs, "")[:, None], SURE * self.sight)
        )
        if at is not None:
            there = xp.where(at.present[..., None], at.values[..., :2], -1e6)
            after = xp.maximum(after, _within(xp, blocks, there, SURE * self.sight))
        # Once all has been seen it begins anew: some victim may have been behind something.
        is_all = xp.all(after > 0, axis=1, keepdims=True)
        return xp.where(is_all, xp.zeros_like(after), after)

    def frontier(self, xp: Any, obs: Array, at: Any, seen: Array, blocks: Array) -> Array:
        """Where to look next. Shapes: -> [B, 2]."""
        own = far(xp, blocks, self.pair(xp, obs, "")[:, None])[:, 0]
        cost = own + 1e6 * seen
        if at is not None:
            counts = (at.present & (at.age_s <= self.patience))[..., None]
            there = xp.where(counts, at.values[..., :2], -1e6)
            others = xp.min(far(xp, blocks, there), axis=1)
            cost = cost + (self.width + self.height) * xp.astype(others < own, obs.dtype)
        return xp.take(blocks, xp.argmin(cost, axis=1), axis=0)


class Tracker(_Helper):
    """params: turn (how strongly it follows the slope of marks; default 1), margin.

    Memory: victims, see `_Helper`, then its direction, a unit vector; at first none.
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.turn = float(params.get("turn", 1.0))
        self.remembers = 3 * self.victims + 2

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        place, state = self.table(xp, obs, memory[:, : 3 * self.victims])
        bid = xp.where(state == KNOWN, self.distances(xp, obs, place), xp.inf)
        is_called = xp.any(state == KNOWN, axis=1, keepdims=True)
        victim = _taken(xp, place, xp.argmin(bid, axis=1)[:, None])
        before = memory[:, 3 * self.victims :]
        before = xp.where(before == 0, self.pair(xp, obs, "heading"), before)
        slope = self.pair(xp, obs, "mark") if self.leaves_marks else xp.zeros_like(before)
        angle = 2 * math.pi * chance(xp, obs, 1)
        by_chance = 0.3 * xp.concat((xp.cos(angle), xp.sin(angle)), axis=1)
        push = before - self.turn * _unit(xp, slope) + by_chance + self.inwards(xp, obs)
        direction = _unit(xp, push)
        wanted = xp.where(is_called, self.towards(xp, obs, victim), self.speed * direction)
        table = xp.reshape(xp.concat((place, state[..., None]), axis=2), (obs.shape[0], -1))
        return wanted, {}, xp.concat((table, direction), axis=1)

    def inwards(self, xp: Any, obs: Array) -> Array:
        """Away from walls that are within half of its sight. Shapes: -> [B, 2]."""
        own = self.pair(xp, obs, "")
        size = xp.asarray([[self.width, self.height]], dtype=obs.dtype, device=device(obs))
        reach = self.sight / 2
        low, high = xp.clip(1 - own / reach, 0.0, 1.0), xp.clip(1 - (size - own) / reach, 0.0, 1.0)
        return 2 * (low - high)


def _told(xp: Any, at: Any, place: Array, state: Array, victims: int) -> tuple[Array, Array]:
    """What others know of victims, added. Shapes: [B, m, 2], [B, m]."""
    table = xp.reshape(at.values[..., OWN:], (*at.values.shape[:2], victims, 3))
    theirs = xp.where(at.present[..., None], table[..., 2], 0.0)
    count = xp.sum(xp.astype(theirs > 0, place.dtype), axis=1)
    middle = xp.sum(table[..., :2] * (theirs > 0)[..., None], axis=1)
    middle = middle / xp.clip(count, 1.0, None)[..., None]
    is_new = (state == 0) & (count > 0)
    place = xp.where(is_new[..., None], middle, place)
    return place, xp.maximum(state, xp.max(theirs, axis=1))


def _within(xp: Any, blocks: Array, at: Array, reach: float) -> Array:
    """1 where somebody is. Shapes: [g, 2], [B, s, 2] -> [B, g]."""
    return xp.astype(xp.any(far(xp, blocks, at) <= reach, axis=1), blocks.dtype)


def _taken(xp: Any, place: Array, index: Array) -> Array:
    """Shapes: [B, m, 2], int [B, 1] -> [B, 2]."""
    numbers = xp.arange(place.shape[1], device=device(place))
    return xp.sum(place * xp.astype(numbers == index, place.dtype)[..., None], axis=1)


def _unit(xp: Any, vector: Array) -> Array:
    """Of length 1, or 0 where there is none. Shapes: [B, 2]."""
    size = xp.sqrt(xp.sum(vector * vector, axis=1, keepdims=True))
    return limited(xp, vector / xp.clip(size, 1e-12, None), 1.0)
