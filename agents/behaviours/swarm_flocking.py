"""Rules of the task `flocking` of the world `swarm`: Olfati-Saber's flock, by message or by sight.

Each says, on the topic `state`, where it is and how it moves, what it knows of the goal (place and
velocity) and how old that is. Neighbours are those that a robot has heard of lately, where they
would be by now. Who is not informed goes by what it has heard of the goal, as long as that is not
too old, and else along with its neighbours.
Source: see `sim.worlds.swarm.lattice`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agents.behaviours.swarm import Array, Robot, limited
from sim.worlds.swarm.lattice import force

STATE: Final = 9
"""Numbers of a message: x, y, velocity x, y, goal x, y, its velocity x, y, and how old that is in
s, -1: not known."""


class Flock(Robot):
    """params: spacing (m, as the world's; default 2), patience (s, for which a message counts;
    default 1), forget (s, for which the goal counts; default 10), grip, ease, pull, brake (gains of
    forces, of velocities, and towards the goal; default 0.2, 0.3, 0.1, 0.5; more is too much for
    decisions five times a second), margin.

    Memory: the goal x, y, its velocity x, y, and how old that is, s; -1: not known.
    """

    speaks: Mapping[str, int] = {"state": STATE}
    hears: Mapping[str, int] = {"state": STATE}
    remembers = 5

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.spacing = float(params.get("spacing", 2.0))
        self.patience = float(params.get("patience", 1.0))
        self.forget = float(params.get("forget", 10.0))
        self.grip, self.ease = float(params.get("grip", 0.2)), float(params.get("ease", 0.3))
        self.pull, self.brake = float(params.get("pull", 0.1)), float(params.get("brake", 0.5))
        self.lag = max(self.period, 0.2)

    def memory(self, xp: Any, batch: int) -> Array:
        return xp.zeros((batch, 5), dtype=xp.float64) - xp.asarray([0.0, 0.0, 0.0, 0.0, 1.0])

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        position, velocity = self.pair(xp, obs, ""), self.pair(xp, obs, "speed")
        heard = inbox.get("state")
        memory = self.known(xp, obs, heard, memory)
        push = self.sought(xp, position, velocity, memory)
        if heard is not None and heard.values.shape[1]:
            age = heard.age_s[..., None]
            there = heard.values[..., :2] + heard.values[..., 2:4] * age
            is_new = heard.present & (heard.age_s <= self.patience)
            relative = heard.values[..., 2:4] - velocity[:, None]
            push = push + self.flock(xp, there - position[:, None], relative, is_new)
        told = xp.concat((position, velocity, memory), axis=1)
        return limited(xp, velocity + self.lag * push, self.speed), {"state": told}, memory

    def flock(self, xp: Any, apart: Array, relative: Array, is_there: Array) -> Array:
        """Forces and velocities of neighbours. Shapes: [B, n, 2], [B, n, 2], [B, n] -> [B, 2]."""
        x, y = apart[..., 0], apart[..., 1]
        square = x * x + y * y
        pull, weight = force(xp, square, self.spacing)
        there = xp.astype(is_there, square.dtype)
        hold = xp.sum((self.grip * pull * there)[..., None] * apart, axis=1)
        return hold + xp.sum((self.ease * weight * there)[..., None] * relative, axis=1)

    def sought(self, xp: Any, position: Array, velocity: Array, memory: Array) -> Array:
        """What leads to the goal, if it is known. Shapes: -> [B, 2] m/s2."""
        age = memory[:, 4:]
        goal = memory[:, :2] + memory[:, 2:4] * xp.where(age > 0, age, 0.0)
        away = limited(xp, goal - position, 5 * self.spacing)
        push = self.pull * away - self.brake * (velocity - memory[:, 2:4])
        return xp.where(age >= 0, push, xp.zeros_like(push))

    def known(self, xp: Any, obs: Array, heard: Any, memory: Array) -> Array:
        """What it knows of the goal now. Shapes: [B, 5] -> [B, 5]."""
        goal, age = memory[:, :4], memory[:, 4:]
        age = xp.where(age >= 0, age + self.period, xp.inf)
        if heard is not None and heard.values.shape[1]:
            known = heard.present & (heard.values[..., 8] >= 0)
            ages = xp.where(known, heard.values[..., 8] + heard.age_s, xp.inf)
            newest = xp.min(ages, axis=1, keepdims=True)
            is_it = xp.astype((ages == newest) & known, obs.dtype)
            count = xp.clip(xp.sum(is_it, axis=1, keepdims=True), 1.0, None)
            told = xp.sum(heard.values[..., 4:8] * is_it[..., None], axis=1) / count
            is_newer = newest < age
            goal, age = xp.where(is_newer, told, goal), xp.where(is_newer, newest, age)
        is_in = self.field(obs, "informed") > 0
        place = self.pair(xp, obs, "") + self.pair(xp, obs, "goal")
        own = xp.concat((place, self.pair(xp, obs, "goal_speed")), axis=1)
        goal, age = xp.where(is_in, own, goal), xp.where(is_in, 0 * goal[:, :1], age)
        is_known = age <= self.forget
        goal = xp.where(is_known, goal, xp.zeros_like(goal))
        return xp.concat((goal, xp.where(is_known, age, -xp.ones_like(age))), axis=1)


class Seeing(Flock):
    """The same with the neighbours that it sees; only the goal comes by message."""

    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        position, velocity = self.pair(xp, obs, ""), self.pair(xp, obs, "speed")
        memory = self.known(xp, obs, inbox.get("state"), memory)
        push = self.sought(xp, position, velocity, memory)
        relative = self.pair(xp, obs, "near_speed")
        shape = (obs.shape[0], -1, 2)
        apart = xp.reshape(self.pair(xp, obs, "near"), shape)
        is_there = self.field(obs, "near") > 0
        push = push + self.flock(xp, apart, xp.reshape(relative, shape), is_there)
        told = xp.concat((position, velocity, memory), axis=1)
        return limited(xp, velocity + self.lag * push, self.speed), {"state": told}, memory
