"""An agent whose policy is learned while it acts: it tells the learner what it did and what came of
it, and takes new weights as they come.

Both ways are ordinary messages on modelled links. Experience goes to the learner in batches, on
`experience`; weights come as publications on `weights.<group>`, a policy file in parts. Whatever is
late or lost is late or lost: the agent acts with the weights it has, and says which. Until the
first ones come it takes decision 0, the middle of what it may decide, and asks for them now and
then.

This side needs no torch. The other is `sim.learn.online`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from agents.agent import Agent, Observation
from agents.behaviour import load_behaviour
from agents.channels import Message
from agents.decisions import physical, plan_of
from agents.networks import LearnedPolicy, policy_factory, whole_card
from agents.policy import decision_key, hear, received, senders_of, speak
from agents.roles import Role
from sim.errors import CheckpointError
from sim.rng import key_of
from sim.worlds.world import Group

EXPERIENCE: Final = "experience"
WEIGHTS: Final = "weights"
PART_BYTES: Final = 256 * 1024
"""Of a policy file, per message: well within what one may hold."""
BATCH: Final = 16
"""Decisions per message of experience, if nothing else is said."""
_VERSIONS_KEPT: Final = 2
"""Versions of which parts may be waiting for others."""
Array = Any


def weight_parts(
    version: int, tensors: Mapping[str, Array], card: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A policy file as messages."""
    data = safetensors.numpy.save({n: np.ascontiguousarray(t) for n, t in tensors.items()})
    pieces = [data[i : i + PART_BYTES] for i in range(0, len(data), PART_BYTES)]
    text = json.dumps(whole_card(card))
    return [
        {"version": version, "part": i, "parts": len(pieces), "card": text, "bytes": piece}
        for i, piece in enumerate(pieces)
    ]


class Parts:
    """Puts policy files together from the messages that arrive."""

    def __init__(self) -> None:
        self._kept: dict[int, dict[int, bytes]] = {}

    def add(self, payload: Any) -> tuple[int, dict[str, Array], dict[str, Any]] | None:
        """Version, tensors and card, once all parts are there. What is malformed counts as lost."""
        try:
            version, part, parts = (int(payload[name]) for name in ("version", "part", "parts"))
            found = self._kept.setdefault(version, {})
            found[part] = bytes(payload["bytes"])
            if len(found) < parts:
                for old in sorted(self._kept)[:-_VERSIONS_KEPT]:
                    del self._kept[old]
                return None
            pieces = self._kept.pop(version)
            data = b"".join(pieces[i] for i in range(parts))
            return version, safetensors.numpy.load(data), json.loads(payload["card"])
        except (KeyError, TypeError, ValueError, SafetensorError):
            return None


class Experience:
    """Decisions whose outcome is known, not yet sent. One row each, float32."""

    COLUMNS: Final = ("seen", "next_seen", "decision", "log_prob", "reward", "duration")

    def __init__(self, episode: int, every_ns: int) -> None:
        self._episode, self._every_ns = episode, every_ns
        self._rows: dict[str, list[Any]] = {}
        self._open: dict[str, Any] | None = None
        self._reward = 0.0
        self._is_whole = True

    def __len__(self) -> int:
        return len(self._rows.get("time", ()))

    def earn(self, reward: float, missed: int) -> None:
        """What came of the time since the last observation; what was missed nobody knows."""
        self._reward += reward
        self._is_whole = self._is_whole and not missed

    def decide(self, time_ns: int, version: int, seen: Array, raw: Array, log_prob: Array) -> None:
        """A new decision: the one before it has come to its end."""
        if self._open is not None and self._is_whole:
            before = self._open["time"]
            row = self._open | {
                "next_seen": seen[0],
                "reward": self._reward,
                "duration": (time_ns - before) / self._every_ns,
            }
            for name, value in row.items():
                self._rows.setdefault(name, []).append(value)
        self._open = {
            "time": time_ns, "version": version, "seen": seen[0], "decision": raw[0],
            "log_prob": float(log_prob[0]),
        }  # fmt: skip
        self._reward, self._is_whole = 0.0, True

    def take(self) -> dict[str, Any]:
        """All rows, as a message."""
        rows, self._rows = self._rows, {}
        message: dict[str, Any] = {n: np.array(rows[n], dtype=np.float32) for n in self.COLUMNS}
        message |= {n: np.array(rows[n], dtype=np.int64) for n in ("time", "version")}
        return message | {"episode": self._episode}


class LearningAgent(Agent):
    """Plays a role with weights that a learner sends it.

    params: role ("module:Name") and role_params; learner (its name); batch (decisions per message).
    """

    def __init__(
        self,
        role: str = "agents.roles:PlainRole",
        role_params: Mapping[str, Any] | None = None,
        learner: str = "learner",
        batch: int = BATCH,
    ) -> None:
        start = self._cell.start
        self._group = Group(
            start.group, (start.name,), self.observation_space, self.action_space, start.every_ns
        )
        self.role: Role = load_behaviour(role, start.folder)(
            name=start.name, group=self._group, params=dict(role_params or {})
        )
        self._learner, self._batch = learner, batch
        self._plan = plan_of(self.role.decides, self.role.sees)
        self._parts = Parts()
        self._policy: LearnedPolicy | None = None
        self._rest = np.zeros((1, 0))
        self.version = -1

    async def run(self) -> None:
        start, role = self._cell.start, self.role
        every_ns = role.every * start.every_ns
        experience = Experience(start.episode, every_ns)
        rounds = {r["topic"]: r for r in start.rounds}
        slots, heard = self._listen()
        self.subscribe(f"{WEIGHTS}.{start.group}")
        memory = role.memory(np, 1)
        base, count = key_of(start.seed, "policy", start.name, start.episode), 0
        ask_at = self._batch
        async for obs in self.observations():
            experience.earn(float(obs.reward.sum()), obs.missed)
            self._take_weights()
            for topic, (values, sent) in heard.items():
                hear(self._cell.channels, topic, slots[topic], values[0], sent[0])
            inbox = {topic: received(*kept, self.now_ns) for topic, kept in heard.items()}
            key = np.uint64(decision_key(base, count))
            action, outbox, memory = self._play(obs, inbox, memory, key, experience)
            count += 1
            if self._policy is None and count >= ask_at:
                self.send(self._learner, EXPERIENCE, None)
                ask_at *= 2
            self.act(np.asarray(action)[0])
            for topic, values in outbox.items():
                row = np.asarray(values, np.float64)[0]
                speak(self._cell.channels, topic, row, rounds.get(topic))
            if len(experience) >= self._batch:
                self.send(self._learner, EXPERIENCE, experience.take())

    def _listen(self) -> tuple[dict[str, dict[str, int]], dict[str, tuple[Array, Array]]]:
        """Subscribes to what the role hears. Per topic: places of its senders; what is kept."""
        slots, heard = {}, {}
        others = [name for name in self.names if name != self._learner]
        for topic, width in self.role.hears.items():
            self.subscribe(topic)
            names = senders_of(topic, self._cell.start.rounds, others)
            slots[topic] = {name: i for i, name in enumerate(names)}
            shape = (1, len(names))
            heard[topic] = np.zeros((*shape, width)), np.zeros(shape, dtype=np.int64)
        return slots, heard

    def _play(
        self,
        obs: Observation,
        inbox: Mapping[str, Any],
        memory: Array,
        key: Array,
        told: Experience,
    ) -> tuple[Array, Mapping[str, Array], Array]:
        """One decision of the group. memory: the role's; the network's is kept here."""
        values = obs.values[None]
        if self._policy is None:
            nothing = np.zeros((1, self._plan.size), dtype=np.float32)
            middle = physical(self.role.decides, nothing, np)
            return self.role.act(middle, values, inbox, memory, key)
        width = memory.shape[1]

        def note(seen: Array, raw: Array, log_prob: Array) -> None:
            told.decide(obs.time_ns, self.version, seen, raw, log_prob)

        self._policy.on_decision = note
        whole = np.concatenate((memory, self._rest), axis=1)
        action, outbox, whole = self._policy(values, inbox, whole, key)
        self._rest = whole[:, width:]
        return action, outbox, whole[:, :width]

    def _take_weights(self) -> None:
        """The newest version that is complete; older ones and malformed ones change nothing."""
        while (message := self._cell.channels.take(f"{WEIGHTS}.{self.group}")) is not None:
            found = self._parts.add(message.payload) if self._is_learner(message) else None
            if found is None or found[0] <= self.version:
                continue
            version, tensors, card = found
            try:
                make = policy_factory(f"version {version}", tensors, card)
                policy = make(self.name, self._group, {"sample": True})
            except CheckpointError as error:
                self.log(str(error), "warning")
                continue
            if self._policy is None:
                self._rest = policy.memory(np, 1)[:, self.role.memory(np, 1).shape[1] :]
            self._policy, self.version = policy, version

    def _is_learner(self, message: Message) -> bool:
        return message.sender == self._learner
