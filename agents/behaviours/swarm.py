"""How robots of the world `swarm` drive: what all rules for its tasks have in common.

A rule says which velocity it wants; here that becomes an action for either kind of motion, and
gives way to what is near. All of it by what the robot itself observes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

Array = Any
FULL: Final = 0.95
"""Share of its battery with which a robot leaves a charger."""
NEAR: Final = 0.75
"""Of a charger's reach: how near it comes, so that there is room for others."""


class Robot(ABC):
    """A rule as a policy. params: margin (m, kept to others and to obstacles where that is
    possible; default 0.3); where there are chargers also low (share of its battery at which it goes
    to the nearest; default 0.3) and dock (m, as the world's; default 1)."""

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}
    plays_group = True
    is_random = False
    ignores_absent = True
    remembers = 0
    """Numbers of its memory."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.name, self.group = name, group
        self.period = group.every_ns / 1e9
        self.at = group.observation.slices
        fields = {field.name: field for field in group.observation.fields}
        acts = {field.name: field for field in group.action.fields}
        self.is_unicycle = "turn" in acts
        self.speed = fields["speed_x"].high
        self.width, self.height = fields["x"].high, fields["y"].high
        self.sight = fields["free"].high if "free" in fields else 0.0
        self.most = acts["turn" if self.is_unicycle else "acceleration_x"].high
        self.margin = float(params.get("margin", 0.3))
        self.low, self.dock = float(params.get("low", 0.3)), float(params.get("dock", 1.0))

    def memory(self, xp: Any, batch: int) -> Array:
        return xp.zeros((batch, self.remembers), dtype=xp.float64)

    def __call__(
        self, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        xp = array_namespace(obs)
        wanted, outbox, memory = self.decide(xp, obs, inbox, memory, key)
        return self.steer(xp, obs, wanted), outbox, memory

    def steer(self, xp: Any, obs: Array, wanted: Array) -> Array:
        """The action for a velocity that the task wants. Shapes: [B, 2] m/s -> [B, acts]."""
        return self.drive(xp, obs, self.give_way(xp, obs, self.recharge(xp, obs, wanted)))

    @abstractmethod
    def decide(
        self, xp: Any, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Any
    ) -> tuple[Array, dict[str, Array], Array]:
        """The wanted velocity in m/s, [B, 2]; outbox and memory as of a policy."""

    def field(self, obs: Array, name: str) -> Array:
        """Shapes: [B, o] -> [B, size]."""
        return obs[:, self.at[name]]

    def pair(self, xp: Any, obs: Array, name: str) -> Array:
        """Both coordinates. Shapes: [B, o] -> [B, 2]; [B, k, 2] of a field of size k."""
        x, y = (self.field(obs, f"{name}_{axis}" if name else axis) for axis in "xy")
        return xp.concat((x, y), axis=1) if x.shape[1] == 1 else xp.stack((x, y), axis=-1)

    def towards(self, xp: Any, obs: Array, goal: Array) -> Array:
        """The velocity that leads to a place and stops there. Shapes: goal [B, 2] m."""
        return limited(xp, (goal - self.pair(xp, obs, "")) / (2 * self.period), self.speed)

    def recharge(self, xp: Any, obs: Array, wanted: Array) -> Array:
        """The same, but the way to a charger for whose battery is low; who is at one stays until it
        is full. Shapes: [B, 2] m/s -> [B, 2] m/s."""
        if "charger_x" not in self.at:
            return wanted
        battery, apart = self.field(obs, "battery"), self.pair(xp, obs, "charger")
        far = xp.sqrt(xp.sum(apart * apart, axis=1, keepdims=True))
        is_due = (battery < self.low) | ((far <= self.dock) & (battery < FULL))
        rest = apart * (1 - NEAR * self.dock / xp.clip(far, NEAR * self.dock, None))
        return xp.where(is_due, self.towards(xp, obs, self.pair(xp, obs, "") + rest), wanted)

    def drive(self, xp: Any, obs: Array, wanted: Array) -> Array:
        """The action that comes nearest to a velocity. Shapes: [B, 2] -> [B, 2]."""
        if not self.is_unicycle:
            lag = max(self.period, 0.2)
            return limited(xp, (wanted - self.pair(xp, obs, "speed")) / lag, self.most)
        heading = self.pair(xp, obs, "heading")
        along = xp.sum(heading * wanted, axis=1, keepdims=True)
        across = heading[:, :1] * wanted[:, 1:] - heading[:, 1:] * wanted[:, :1]
        size = xp.sqrt(along * along + across * across)
        angle = xp.atan2(across, along)
        is_still = size < 1e-3 * self.speed
        turn = xp.clip(angle / (2 * self.period), -self.most, self.most)
        turn = xp.where(is_still, xp.zeros_like(turn), turn)
        return xp.concat((xp.clip(along, 0.0, self.speed), turn), axis=1)

    def give_way(self, xp: Any, obs: Array, wanted: Array) -> Array:
        """The same, bent away from what is near, and to the right of other robots, so that two that
        meet pass each other. Shapes: [B, 2] m/s -> [B, 2] m/s."""
        reach = self.margin + 2 * self.speed * self.period
        push = xp.zeros_like(wanted)
        if "near" in self.at:
            there, apart = self.field(obs, "near"), self.pair(xp, obs, "near")
            apart = xp.reshape(apart, (obs.shape[0], -1, 2))
            x, y = apart[..., 0], apart[..., 1]
            far = xp.sqrt(x * x + y * y) + 1e-9
            force = there * share(xp, (reach + self.margin - far) / reach) / far
            aside = xp.stack((y - x, -x - y), axis=-1)
            push = push + xp.sum(aside * force[..., None], axis=1)
        if "free" in self.at:
            free = self.field(obs, "free")
            force = self.field(obs, "sighted") * share(xp, 1.0 - free / reach)
            push = push - force @ beams(xp, free)
        return limited(xp, wanted + self.speed * push, self.speed)


def beams(xp: Any, free: Array) -> Array:
    """Directions of the beams. Shapes: [B, k] -> [k, 2]."""
    count = free.shape[1]
    angles = [2 * math.pi * i / count for i in range(count)]
    columns = [[math.cos(a) for a in angles], [math.sin(a) for a in angles]]
    return xp.permute_dims(xp.asarray(columns, dtype=free.dtype, device=device(free)), (1, 0))


def far(xp: Any, points: Array, at: Array) -> Array:
    """Distances in m. Shapes: points [g, 2], at [B, s, 2] -> [B, s, g]."""
    apart = at[:, :, None] - points
    return xp.sqrt(xp.sum(apart * apart, axis=3))


def limited(xp: Any, vector: Array, most: float) -> Array:
    """No longer than `most`. Shapes: [B, 2]."""
    x, y = vector[:, :1], vector[:, 1:]
    size = xp.sqrt(x * x + y * y)
    return vector * (most / xp.where(size > most, size, most))


def share(xp: Any, value: Array) -> Array:
    """The same within 0 and 1. (Several times quicker than `clip` for the few numbers of one
    robot.) Shapes: [...]."""
    value = xp.where(value > 0, value, 0.0)
    return xp.where(value < 1, value, 1.0)
