"""Roles: what stands between a learned network and its place in the world.

A role says what the network sees (of the observation and of the inbox) and what it decides, and
turns its decision into action and messages. Pure functions on arrays with a leading batch
dimension, against the array API standard: the same role serves an agent's process, kernels in
memory and the batch. A world module may name roles of its own in `ROLES` (group -> "module:Name");
otherwise `PlainRole` plays: the group's observation in, the group's action out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from array_api_compat import array_namespace

from sim.spaces import Field, Space

Array = Any
EXTRA = 2
"""Columns beside a message's numbers: whether it is there, and its age in decision periods."""
AGE_MAX = 100.0


@dataclass(frozen=True)
class Heard:
    """One topic that is listened to: so many senders, `width` numbers each."""

    topic: str
    senders: int
    width: int

    @property
    def size(self) -> int:
        return self.senders * (self.width + EXTRA)


@dataclass(frozen=True)
class Layout:
    """How a network's input is laid out: `own` numbers, then a block per topic heard.

    A block is [senders, width + EXTRA], flattened: a message's numbers (0 where absent), 1 if it
    is there, its age in decision periods (at most AGE_MAX).
    """

    own: int
    heard: tuple[Heard, ...] = ()

    @property
    def size(self) -> int:
        return self.own + sum(h.size for h in self.heard)

    def split(self, seen: Array) -> tuple[Array, dict[str, Array]]:
        """Shapes: [..., size] -> [..., own], per topic [..., senders, width + EXTRA]."""
        xp, at, blocks = array_namespace(seen), self.own, {}
        for heard in self.heard:
            part = seen[..., at : at + heard.size]
            shape = (*seen.shape[:-1], heard.senders, heard.width + EXTRA)
            blocks[heard.topic] = xp.reshape(part, shape)
            at += heard.size
        return seen[..., : self.own], blocks


class Role(Protocol):
    """Made by `(name, group, params)`, as a policy is. One object may play every agent of its
    group: what tells them apart is in what they observe.

    params:  optional, what it was made with, for the card of a policy file.
    shown:   optional, topics of `hears` whose messages are part of the network's input, after its
             `own` part; all of them where a role does not say.
    sees:    names, units and bounds of the `own` part of the network's input. A field with `masks`
             set says which choices of that decision are allowed.
    decides: what the network decides; bounded fields in physical units, or `choices`.
    every:   decisions of the group that one decision of the network lasts.
    """

    sees: Space
    decides: Space
    every: int
    speaks: Mapping[str, int]
    hears: Mapping[str, int]

    def memory(self, xp: Any, batch: int) -> Array:
        """What the role itself remembers, at first. Shapes: float64 [B, m]."""

    def is_due(self, obs: Array) -> Array:
        """Whether the network is to decide now. Shapes: bool [B]."""

    def see(self, obs: Array, inbox: Mapping[str, Any], memory: Array) -> Array:
        """The network's input. Shapes: [B, layout.size] (see `layout_of`)."""

    def act(
        self, decision: Array, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Array
    ) -> tuple[Array, Mapping[str, Array], Array]:
        """Action, outbox, memory, as of a policy, each time the group decides.

        Shapes: decision [B, decides.size], in physical units; the one in force between two.
        """


class PlainRole:
    """Observation in, action out; further topics are said and heard as they are.

    params: speaks, hears (topic -> fields or width of a message). What is said on a topic is
            decided by the network, `width` numbers in [-1, 1], or one of `choices` symbols, sent
            as one-hot.
    """

    every = 1
    is_random = False

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.params = dict(params)
        self.sees = group.observation
        self._action = group.action.size
        self._period_s = group.every_ns / 1e9
        said = {topic: _message(topic, spec) for topic, spec in params.get("speaks", {}).items()}
        self._said = said
        self.decides = Space((*group.action.fields, *said.values()))
        self.speaks = {topic: f.choices or f.size for topic, f in said.items()}
        self.hears = {topic: int(width) for topic, width in params.get("hears", {}).items()}

    def memory(self, xp: Any, batch: int) -> Array:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def is_due(self, obs: Array) -> Array:
        xp = array_namespace(obs)
        return xp.ones(obs.shape[:1], dtype=xp.bool)

    def see(self, obs: Array, inbox: Mapping[str, Any], memory: Array) -> Array:
        if not self.hears:
            return obs
        xp = array_namespace(obs)
        parts = [obs, *(block(xp, inbox[topic], self._period_s) for topic in self.hears)]
        return xp.concat(parts, axis=1)

    def act(
        self, decision: Array, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Array
    ) -> tuple[Array, Mapping[str, Array], Array]:
        xp = array_namespace(decision)
        outbox, at = {}, self._action
        for topic, field in self._said.items():
            part = decision[:, at : at + field.size]
            if field.choices:
                symbols = xp.arange(field.choices, dtype=part.dtype, device=part.device)
                part = xp.astype(part[:, :1] == symbols[None, :], xp.float64)
            outbox[topic] = part
            at += field.size
        return decision[:, : self._action], outbox, memory


def block(xp: Any, received: Any, period_s: float) -> Array:
    """What was heard on a topic as the network sees it. Shapes: Received -> [B, S (W + 2)]."""
    there = xp.astype(received.present, received.values.dtype)[..., None]
    age = xp.clip(received.age_s / period_s, 0.0, AGE_MAX)[..., None]
    values = xp.where(received.present[..., None], received.values, xp.zeros_like(received.values))
    return xp.reshape(xp.concat((values, there, age * there), axis=-1), (values.shape[0], -1))


def layout_of(role: Role, senders: Mapping[str, int]) -> Layout:
    """The layout of what a role sees. senders: how many may speak on each topic it hears."""
    shown = getattr(role, "shown", role.hears)
    return Layout(role.sees.size, tuple(Heard(t, senders[t], width) for t, width in shown.items()))


def _message(topic: str, spec: Any) -> Field:
    if isinstance(spec, Mapping):
        return Field(topic, choices=int(spec["choices"]))
    return Field(topic, low=-1.0, high=1.0, size=int(spec))
