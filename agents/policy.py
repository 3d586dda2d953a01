"""Pure policies and mechanisms, and the two small programs that run them in a process.

A policy is `(obs, inbox, memory, key) -> (action, outbox, memory)` on arrays with a leading batch
dimension B, written against the array API standard: NumPy in an agent's process, torch in a batch
of thousands. It is called once per decision. What it puts in the outbox leaves at once; what has
arrived since is in the inbox of its next decision.

A mechanism is `(bids, present, key) -> awards` likewise: the rule by which what arrived is cleared.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from agents.agent import Agent, Observation, resolve
from agents.channels import Channels, Message
from sim.errors import AgentError, MalformedFrameError
from sim.rng import key_of, philox
from sim.units import SECOND
from sim.wire.messages import DIRECT, PUBLISH

Array = Any


@dataclass(frozen=True)
class Received:
    """The latest message of each sender on one topic.

    Shapes: values [B, n, width]; present [B, n] whether anything ever came; age_s [B, n] seconds
            since it was sent, 0 where absent. n counts the senders of the topic's round, or all
            agents of the run, in their order.
    """

    values: Array
    present: Array
    age_s: Array


@runtime_checkable
class Policy(Protocol):
    """A pure function of observation, inbox and memory.

    What a policy may further say of itself, for batches; a process asks for none of it:
    plays_group     True: one object may play all agents of a group in one call, as rows of a batch.
                    What tells agents apart is in what they observe. Default False.
    is_random       False: it makes nothing of the key, which may then be any. Default True.
    ignores_absent  True: it makes nothing of how many could have spoken on a topic, only of who
                    did; rows of senders that never speak may then be missing. Default False.
    """

    @property
    def speaks(self) -> Mapping[str, int]:
        """Topics it may send on, with the width of a message in numbers."""

    @property
    def hears(self) -> Mapping[str, int]:
        """Topics it reads, with the width of a message in numbers."""

    def memory(self, xp: Any, batch: int) -> Array:
        """The memory before the first decision. Shapes: [B, m]."""

    def __call__(
        self, obs: Array, inbox: Mapping[str, Received], memory: Array, key: Array
    ) -> tuple[Array, Mapping[str, Array], Array]:
        """Action [B, a], outbox of [B, width] per topic (a row with NaN is not sent), memory."""


def decision_key(base: int, decision: int) -> int:
    """The 64-bit key of one decision of one agent: a Philox block of its count."""
    low, high, _, _ = philox(decision & 0xFFFFFFFF, decision >> 32, 0, 0, base)
    return int(high) << 32 | int(low)


class PolicyAgent(Agent):
    """Runs a policy: one call per observation, on arrays of batch size one."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    async def run(self) -> None:
        policy, start, channels = self.policy, self._cell.start, self._cell.channels
        rounds = {r["topic"]: r for r in start.rounds}
        slots, heard = {}, {}
        for topic, width in policy.hears.items():
            self.subscribe(topic)
            slots[topic] = {n: i for i, n in enumerate(senders_of(topic, start.rounds, self.names))}
            shape = (1, len(slots[topic]))
            heard[topic] = np.zeros((*shape, width)), np.zeros(shape, dtype=np.int64)
        memory = policy.memory(np, 1)
        base = key_of(start.seed, "policy", start.name, start.episode)
        decision = 0
        async for obs in self.observations():
            for topic, (values, sent) in heard.items():
                hear(channels, topic, slots[topic], values[0], sent[0])
            inbox = {topic: received(*kept, self.now_ns) for topic, kept in heard.items()}
            key = np.uint64(decision_key(base, decision))
            action, outbox, memory = policy(obs.values[None], inbox, memory, key)
            decision += 1
            self.act(np.asarray(action)[0])
            for topic, values in outbox.items():
                speak(channels, topic, np.asarray(values, np.float64)[0], rounds.get(topic))


def senders_of(
    topic: str, rounds: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Sequence[str]:
    """Whom a policy hears on a topic, in order. rounds: those its agent takes part in, as plain
    data; names: all agents of the run."""
    for round_ in rounds:
        if topic == round_["topic"]:
            return tuple(round_["senders"])
    for round_ in rounds:
        if topic == round_["reply"]:
            return (round_["receiver"],)
    return names


def hear(
    channels: Channels, topic: str, slots: Mapping[str, int], values: Array, sent: Array
) -> None:
    """Takes what has come on a topic into the latest message per sender, in place.

    Shapes: values [n, width]; sent int64 [n], the instant + 1, 0 where none came.
    """
    while (message := channels.take(topic)) is not None:
        slot = slots.get(message.sender)
        if slot is not None and message.sent_ns >= sent[slot] - 1:
            row = _numbers(message, values.shape[1])
            if row is not None:
                values[slot] = row
                sent[slot] = message.sent_ns + 1


def received(values: Array, sent: Array, now_ns: Any) -> Received:
    """What `hear` has kept, as a policy gets it. Shapes: [B, n, width], int64 [B, n]; now_ns a
    number, or int64 [B, 1]."""
    present = sent > 0
    age = np.where(present, (now_ns + 1 - sent) / SECOND, 0.0)
    return Received(values.copy(), present, age)


def speak(channels: Channels, topic: str, row: Array, round_: Mapping[str, Any] | None) -> None:
    """Sends one message of an outbox, if all of it is finite: in a round, or to everybody."""
    if not np.isfinite(row).all():
        return
    if round_ is None:
        channels.send(PUBLISH, topic, "", row)
    elif channels.name in round_["senders"]:
        channels.send(DIRECT, topic, round_["receiver"], row)


class MechanismAgent(Agent):
    """Runs a mechanism for the rounds this agent receives: collects until the deadline, clears,
    answers each participant that was heard, and acts with the whole table of awards.
    """

    def __init__(self, mechanism: Callable[..., Array] | None = None) -> None:
        self.mechanism = mechanism

    async def run(self) -> None:
        mine = [r for r in self._cell.start.rounds if r["receiver"] == self.name]
        if len(mine) != 1:
            raise AgentError(f"{self.name} must receive exactly one message round, not {len(mine)}")
        round_ = mine[0]
        clear = self.mechanism
        if clear is None:
            module = importlib.import_module(f"sim.mechanisms.{round_['mechanism']}")
            clear = module.clear
        base = key_of(self._cell.start.seed, "mechanism", self.name, self._cell.start.episode)
        self.subscribe(round_["topic"])
        count = 0
        async for begin in self.every(round_["every_ns"] / SECOND):
            await _sleep_ns(self, round(begin * SECOND) + round_["deadline_ns"])
            self._clear(round_, round(begin * SECOND), clear, np.uint64(decision_key(base, count)))
            count += 1

    def _clear(self, round_: dict[str, Any], begin_ns: int, clear: Any, key: Any) -> None:
        senders = round_["senders"]
        slots = {name: i for i, name in enumerate(senders)}
        bids = np.zeros((1, len(senders), round_["width"]))
        present = np.zeros((1, len(senders)), dtype=bool)
        late = invalid = 0
        while (message := self._cell.channels.take(round_["topic"])) is not None:
            slot = slots.get(message.sender)
            row = _numbers(message, round_["width"])
            if message.sent_ns < begin_ns:
                late += 1
            elif slot is None or row is None:
                invalid += 1
            else:
                bids[0, slot], present[0, slot] = row, True
        awards = np.asarray(clear(bids, present, key), dtype=np.float64)
        for name, slot in slots.items():
            if present[0, slot] and round_["reply"]:
                self.send(name, round_["reply"], awards[0, slot])
        if self.action_space.size == awards[0].size and self.group:
            self.act(awards[0].ravel())
        notes = f", {late} late" * bool(late) + f", {invalid} invalid" * bool(invalid)
        self.log(f"cleared {int(present.sum())} of {len(senders)} offers{notes}", "market")


def _numbers(message: Message, width: int) -> Array | None:
    """The numbers of a message; None if it holds anything else, whatever its sender meant."""
    try:
        row = np.asarray(message.payload, dtype=np.float64).ravel()
    except (TypeError, ValueError, MalformedFrameError):
        return None
    return row if row.shape == (width,) and np.isfinite(row).all() else None


async def _sleep_ns(agent: Agent, when_ns: int) -> None:
    loop = agent._cell.loop
    if when_ns > loop.now_ns:
        future = loop.create_future()
        loop.call_at_ns(when_ns, resolve, future)
        await future


__all__ = ["Agent", "MechanismAgent", "Observation", "Policy", "PolicyAgent", "Received"]
