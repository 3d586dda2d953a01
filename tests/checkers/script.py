"""Agents without a program: each sends and acts at stated instants, and notes what it gets.

A `Script` says what one agent does. `Stage` makes the runtimes of all hosts from scripts by name;
what they went through is in `stage.heard`, `stage.seen`. Several times faster than real agents,
and exact to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sim.units import NEVER
from sim.wire.memory import MemoryTransport
from sim.wire.messages import DELIVERY, DIRECT, PUBLISH, Act, Activation, Done, Send, Work, Yield


@dataclass(frozen=True)
class Heard:
    """A message as its receiver got it. `handled`: when it could first act on it."""

    arrival: int
    handled: int
    sent: int
    sender: str
    topic: str
    body: bytes


@dataclass(frozen=True)
class Script:
    """sends: (time_ns, topic, to or "", bytes). acts: (time_ns, values). hears: topics it
    subscribes to when it starts. answer: what it sends, at once, for a message that arrived.
    """

    sends: tuple[tuple[int, str, str, bytes], ...] = ()
    acts: tuple[tuple[int, tuple[float, ...]], ...] = ()
    hears: tuple[str, ...] = ()
    awaits: bool = False
    sees: bool = False
    answer: Callable[[str, Heard], list[tuple[str, str, bytes]]] | None = None


@dataclass
class Stage:
    """All agents of a run; `Stage(scripts).transport()` plays them."""

    scripts: Mapping[str, Script]
    heard: dict[str, list[Heard]] = field(default_factory=dict)
    seen: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    starts: list[tuple[int, str]] = field(default_factory=list)

    def transport(self) -> MemoryTransport:
        return MemoryTransport(lambda host: _Host(self))


class _Host:
    """The runtime of one host."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.roster: list[str] = []
        self.topics: list[str] = []
        self.todo: dict[int, list[tuple[int, int, object]]] = {}
        self.scripts: dict[int, Script] = {}

    def check_deadline(self) -> None:
        pass

    def run(self, activation: Activation) -> Yield:
        self.roster.extend(activation.roster)
        self.topics.extend(activation.topics)
        return Yield(activation.serial, [self._work(w, activation.until) for w in activation.work])

    def _work(self, work: Work, until: int) -> Done:
        agent, name = work.agent, self.roster[work.agent]
        is_new = work.start is not None
        if is_new:
            script = self.scripts[agent] = self.stage.scripts.get(name, Script())
            self.stage.starts.append((work.wake, name))
            items = [(t, 0, (topic, to, body)) for t, topic, to, body in script.sends]
            items += [(t, 1, values) for t, values in script.acts]
            self.todo[agent] = sorted((i for i in items if i[0] >= work.wake), key=lambda i: i[:2])
        script, sends, acts = self.scripts[agent], [], []
        for heard in self._unpack(work):
            self.stage.heard.setdefault(name, []).append(heard)
            for topic, to, body in script.answer(name, heard) if script.answer else ():
                sends.append(_send(heard.handled, topic, to, body))
        if work.observed is not None:
            seen = (work.observed.time, work.observed.missed)
            self.stage.seen.setdefault(name, []).append(seen)
        todo = self.todo[agent]
        while todo and todo[0][0] < until:
            time, kind, what = todo.pop(0)
            time = max(time, work.wake)
            if kind == 0:
                sends.append(_send(time, *what))
            else:
                acts.append(Act(time, "", np.array(what, dtype=np.float64).tobytes()))
        sends.sort(key=lambda s: s.time)
        return Done(
            agent,
            todo[0][0] if todo else NEVER,
            awaits_observation=script.sees,
            waits=(["*"] if script.awaits else []) if is_new else None,
            sends=sends,
            acts=acts,
            subscribes=[(work.wake, topic, True) for topic in script.hears] if is_new else [],
        )

    def _unpack(self, work: Work) -> list[Heard]:
        found, at = [], 0
        for arrival, sent, _, sender, topic, length, _ in DELIVERY.iter_unpack(work.rows):
            body = work.bodies[at : at + length]
            at += length
            names = self.roster[sender], self.topics[topic]
            found.append(Heard(arrival, max(arrival, work.wake), sent, *names, body))
        return found


def _send(time: int, topic: str, to: str, body: bytes) -> Send:
    return Send(time, DIRECT if to else PUBLISH, topic, to, 0, body)
