"""Rules of the task `coverage` of the world `swarm`: Lloyd's algorithm among robots.

Each says several times a second, on the topic `at`, where it is, and where the middle of the plume
is and how long ago that was known. From the places that it has heard of lately it works out its own
Voronoi cell, and goes to the centre of mass of it. What one robot knows of the plume goes round:
of all that it hears and sees itself, the newest counts, and is passed on.
Source: Cortes, Martinez, Karatas and Bullo, Coverage Control for Mobile Sensing Networks, 2004.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import device

from agents.behaviours.swarm import Array, Robot
from sim.worlds.swarm.voronoi import bell, cell, centroid, squared

AT: Final = 5
"""Numbers of a message: x, y, middle of the plume x, y, and how old that is, s; -1: not known."""


class Lloyd(Robot):
    """params: patience (s, for which a place counts; default 3), forget (s, after which nothing is
    known of the plume; default 30), plume, background (as the world's; defaults 12 and 0.05),
    points (on the longer side of the grid for cells; default 32), margin.

    Memory: middle of the plume x, y, and how old that is, s; -1: not known.
    """

    speaks: Mapping[str, int] = {"at": AT}
    hears: Mapping[str, int] = {"at": AT}
    remembers = 3

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.patience = float(params.get("patience", 3.0))
        self.forget = float(params.get("forget", 30.0))
        has_plume = "plume" in group.observation.slices
        self.plume = float(params.get("plume", 12.0)) if has_plume else 0.0
        self.background = float(params.get("background", 0.05))
        pitch = max(self.width, self.height) / float(params.get("points", 32))
        across, up = (max(round(side / pitch), 1) for side in (self.width, self.height))
        self.grid = [
            [(i + 0.5) * self.width / across, (j + 0.5) * self.height / up]
            for j in range(up)
            for i in range(across)
        ]

    def memory(self, xp: Any, batch: int) -> Array:
        return xp.zeros((batch, 3), dtype=xp.float64) - xp.asarray([0.0, 0.0, 1.0])

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        at = inbox.get("at")
        memory = self.known(xp, obs, at, memory) if self.plume else memory
        goal = self.goal(xp, obs, at, memory)
        told = xp.concat((self.pair(xp, obs, ""), memory), axis=1)
        return self.towards(xp, obs, goal), {"at": told}, memory

    def goal(self, xp: Any, obs: Array, at: Any, memory: Array) -> Array:
        """The centre of mass of its own cell. Shapes: -> [B, 2]."""
        points = xp.asarray(self.grid, dtype=obs.dtype, device=device(obs))
        own = self.pair(xp, obs, "")
        if at is None or not at.values.shape[1]:
            mine = cell(xp, points, own, own[:, None], own[:, :1] < -math.inf)
        else:
            is_new = at.present & (at.age_s <= self.patience)
            mine = cell(xp, points, own, at.values[..., :2], is_new)
        weight = xp.astype(mine, obs.dtype)
        if self.plume:
            is_known = memory[:, 2:] >= 0
            seen = bell(squared(points, memory[:, :2]), self.plume, xp)
            weight = weight * xp.where(is_known, self.background + seen, 1.0)
        return centroid(xp, points, weight, own)

    def known(self, xp: Any, obs: Array, at: Any, memory: Array) -> Array:
        """What it knows of the plume now. Shapes: [B, 3] -> [B, 3]."""
        own = self.pair(xp, obs, "") + self.pair(xp, obs, "plume")
        is_in = self.field(obs, "plume") > 0
        middle, age = memory[:, :2], memory[:, 2:]
        age = xp.where(age >= 0, age + self.period, xp.inf)
        if at is not None and at.values.shape[1]:
            ages = xp.where(at.present & (at.values[..., 4] >= 0), at.values[..., 4], xp.inf)
            ages = ages + at.age_s
            newest = xp.min(ages, axis=1, keepdims=True)
            is_it = xp.astype((ages == newest) & (ages < xp.inf), obs.dtype)
            count = xp.clip(xp.sum(is_it, axis=1, keepdims=True), 1.0, None)
            heard = xp.sum(at.values[..., 2:4] * is_it[..., None], axis=1) / count
            is_newer = newest < age
            middle, age = xp.where(is_newer, heard, middle), xp.where(is_newer, newest, age)
        middle = xp.where(is_in, own, middle)
        age = xp.where(is_in, xp.zeros_like(age), age)
        is_known = age <= self.forget
        middle = xp.where(is_known, middle, xp.zeros_like(middle))
        return xp.concat((middle, xp.where(is_known, age, -xp.ones_like(age))), axis=1)
