"""Rule of the task `construction` of the world `swarm`.

A robot without a block fetches one. With one it goes to the nearest place where, as far as it has
seen and heard, a block may be laid, and which nobody nearer has said that it goes to, and holds it
there until it lies. Who gets no nearer for a while leaves it to others, steps back for as long, and
tries again. What robots know of the building goes round with every message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import device

from agents.behaviours.swarm import Array, Robot

OWN: Final = 2
"""Numbers of a message before what it knows: the place it goes to from 1 on, 0 none; its bid, m."""
NEAR: Final = 0.75
"""Of its reach: how near a robot comes to a place or to the depot."""
STUCK: Final = 8.0
"""s without coming nearer, beyond what a block takes, after which others may as well go."""
BEHIND: Final = 1000.0
"""m, added to the bid of who is stuck."""
WAIT: Final = 3.0
"""Of its reach: how far from a place it waits that somebody else sees to."""


class Builder(Robot):
    """params: reach, block (m, as the world's; defaults 1.2 and 0.5), setting (s, as the world's;
    default 0), patience (s, for which a bid counts; default 3), margin.

    Memory: for each place 1 if it knows of a block there; the place that it goes to, how near it
    has come, m, and for how long it has come no nearer, s.
    """

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.reach = float(params.get("reach", 1.2))
        self.block = float(params.get("block", 0.5))
        self.patience = float(params.get("patience", 3.0))
        self.stuck = STUCK + float(params.get("setting", 0.0))
        at = group.observation.slices["place_laid"]
        self.places = at.stop - at.start
        self.remembers = self.places + 3
        self.speaks = self.hears = {"at": OWN + self.places}

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        at = inbox.get("at")
        laid = xp.maximum(memory[:, : self.places], self.field(obs, "place_laid"))
        place = self.pair(xp, obs, "place")
        far = xp.sqrt(xp.sum(place * place, axis=2))
        may = self.may(xp, obs, place, laid)
        free = may
        if at is not None and at.values.shape[1]:
            there = at.present[..., None]
            theirs = xp.where(there, at.values[..., OWN:], xp.zeros_like(at.values[..., OWN:]))
            laid = xp.maximum(laid, xp.max(theirs, axis=1))
            may = self.may(xp, obs, place, laid)
            free = may & ~self.is_taken(xp, at, far)
        # If others see to all, it waits near to where it would be needed next, out of their way.
        wanted = xp.where(xp.any(free, axis=1, keepdims=True), free, may)
        bid = xp.where(wanted, far, xp.inf)
        chosen = xp.argmin(bid, axis=1)[:, None]
        is_loaded = self.field(obs, "loaded") > 0
        goes = is_loaded & xp.any(free, axis=1, keepdims=True)
        number = xp.where(goes, xp.astype(chosen, obs.dtype) + 1.0, 0.0)
        offer = xp.where(goes, xp.min(bid, axis=1, keepdims=True), 0.0)
        progress = self.progress(xp, number, offer, memory[:, self.places :])
        offer = offer + BEHIND * (progress[:, 2:] > self.stuck)
        is_it = xp.astype(xp.arange(self.places, device=device(obs)) == chosen, obs.dtype)
        apart = xp.where(is_loaded, xp.sum(place * is_it[..., None], axis=1), self.depot(xp, obs))
        told = xp.concat((number, offer, laid), axis=1)
        is_back = is_loaded & (~goes | (progress[:, 2:] > self.stuck))
        keep = xp.where(is_back, WAIT * self.reach, NEAR * self.reach)
        return self.nearby(xp, obs, apart, keep), {"at": told}, xp.concat((laid, progress), axis=1)

    def progress(self, xp: Any, number: Array, far: Array, before: Array) -> Array:
        """The place, how near it has come, and since when no nearer; after a while it begins anew.
        Shapes: -> [B, 3]."""
        is_on = (before[:, :1] == number) & (number > 0)
        is_nearer = ~is_on | (far < before[:, 1:2] - 0.1) | (before[:, 2:] > 2 * self.stuck)
        near = xp.where(is_nearer, far, before[:, 1:2])
        idle = xp.where(is_nearer, xp.zeros_like(far), before[:, 2:] + self.period)
        return xp.concat((number, near, idle), axis=1)

    def drive(self, xp: Any, obs: Array, wanted: Array) -> Array:
        action = super().drive(xp, obs, wanted)
        return xp.concat((action, xp.ones_like(action[:, :1])), axis=1)

    def depot(self, xp: Any, obs: Array) -> Array:
        return self.pair(xp, obs, "depot")

    def nearby(self, xp: Any, obs: Array, apart: Array, keep: Array) -> Array:
        """The velocity that leads to within a distance of a place, seen from here."""
        far = xp.sqrt(xp.sum(apart * apart, axis=1, keepdims=True))
        rest = apart * (1 - keep / xp.clip(far, 1e-9, None))
        return self.towards(xp, obs, self.pair(xp, obs, "") + rest)

    def may(self, xp: Any, obs: Array, place: Array, laid: Array) -> Array:
        """Where, as far as it knows, a block may be laid next. Shapes: -> bool [B, m]."""
        between = place[:, :, None] - place[:, None]
        is_next = xp.sqrt(xp.sum(between * between, axis=3)) <= 1.01 * 2 * self.block
        holds = xp.any(is_next & (laid > 0)[:, None], axis=2)
        depot = place - self.depot(xp, obs)[:, None]
        first = xp.argmax(xp.sum(depot * depot, axis=2), axis=1)[:, None]
        is_first = xp.arange(self.places, device=device(obs)) == first
        return (holds | is_first) & (laid == 0)

    def is_taken(self, xp: Any, at: Any, far: Array) -> Array:
        """Whether somebody goes there who is nearer. Shapes: -> bool [B, m]."""
        numbers = xp.arange(self.places, dtype=far.dtype, device=device(far)) + 1.0
        goes = at.values[..., :1] == numbers
        nearer = at.values[..., 1:2] < far[:, None]
        counts = (at.present & (at.age_s <= self.patience))[..., None]
        return xp.any(goes & nearer & counts, axis=1)
