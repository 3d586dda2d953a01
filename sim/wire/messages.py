"""The typed records that travel between broker and host. One activation, one yield.

Columns travel as packed rows (DELIVERY) beside the joined bodies, so that a thousand messages cost
one copy each and no object. All times are virtual nanoseconds.
"""

from __future__ import annotations

import struct
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

PROTOCOL: Final = 3
SpaceField: TypeAlias = tuple[str, str, float, float, int, float, int, str]
"""name, unit, low, high, size, default, choices, masks of a `sim.spaces.Field`"""
PUBLISH, DIRECT, REQUEST, REPLY, REFUSAL, COPIED = range(6)
"""What a message is. A refusal is a reply that carries the text of the serving agent's error.
Recordings alone call a second copy that a link made so; its receiver sees the kind of the first."""
RUNNING, FINISHED, FAILED, OVERDUE = range(4)
"""State of an agent in a yield. Overdue failed by its processor time or memory: a decision of the
machine's."""

DELIVERY: Final = struct.Struct("<qqqiiii")
"""arrival, sent, reference, sender, topic, length of the body, kind"""
DELIVERY_DTYPE: Final = np.dtype(
    [
        ("arrival", "<i8"),
        ("sent", "<i8"),
        ("reference", "<i8"),
        ("sender", "<i4"),
        ("topic", "<i4"),
        ("length", "<i4"),
        ("kind", "<i4"),
    ]
)


class Start(msgspec.Struct, array_like=True, frozen=True):
    """Everything a host needs to begin an agent, or to begin it anew.

    fields of spaces: as `SpaceField`. budget: as `sim.scenario.budget.Budget.row`.
    """

    name: str
    behaviour: str
    folder: str
    params: dict[str, Any]
    seed: int
    episode: int
    incarnation: int
    group: str
    observation: list[SpaceField]
    action: list[SpaceField]
    every_ns: int
    rounds: list[dict[str, Any]]
    saved: bytes | None
    callbacks_max: int
    inbox_max: int
    messages_per_second_max: int
    cpu_seconds_max: float
    budget: tuple[int, int, int] | None = None


class Observed(msgspec.Struct, array_like=True, frozen=True):
    """The latest observation of an agent: its instant, how many it did not get to see, float64."""

    time: int
    missed: int
    values: bytes
    rewards: bytes


class Work(msgspec.Struct, array_like=True, frozen=True):
    """What one agent gets in a window. `wake`: nothing in it happens before this instant.

    clock: what is wrong with its own clock from now on, as (since, ns ahead, share it runs faster)
    to be added up; None if as before.
    """

    agent: int
    wake: int
    rows: bytes = b""
    bodies: bytes = b""
    observed: Observed | None = None
    start: Start | None = None
    clock: list[tuple[int, int, float]] | None = None


class Activation(msgspec.Struct, array_like=True, frozen=True, tag="A"):
    """Run these agents in [now, until).

    roster: all agents' names, sent once per host. topics: names of topic ids new to this host.
    collect: run the garbage collector first. discard: agents killed since.
    """

    serial: int
    now: int
    until: int
    work: list[Work]
    topics: list[str] = []
    roster: list[str] = []
    discard: list[int] = []
    collect: bool = False


class Send(msgspec.Struct, array_like=True, frozen=True):
    """One message leaving an agent. `to` is empty for a publication.

    is_over: it is over the agent's budget, and goes no further than the books.
    """

    time: int
    kind: int
    topic: str
    to: str
    reference: int
    body: bytes
    is_over: bool = False


class Act(msgspec.Struct, array_like=True, frozen=True):
    """An action (verb "", body float64 [action.size]) or a verb of an event world."""

    time: int
    verb: str
    body: bytes


class Done(msgspec.Struct, array_like=True, frozen=True):
    """What one agent did in the window, and what it waits for.

    waits: topics that would wake it ("*" any, "observation" aside), None if as before.
    subscribes: (time, topic, on). logs: (time, level, text). saved: state for a restart.
    """

    agent: int
    timer: int
    state: int = RUNNING
    awaits_observation: bool = False
    waits: list[str] | None = None
    sends: list[Send] = []
    acts: list[Act] = []
    subscribes: list[tuple[int, str, bool]] = []
    logs: list[tuple[int, str, str]] = []
    error: str = ""
    saved: bytes | None = None
    failed_at: int = 0


class Yield(msgspec.Struct, array_like=True, frozen=True, tag="Y"):
    """All agents of the activation are at rest until their next timer, message or observation."""

    serial: int
    done: list[Done]


class Hello(msgspec.Struct, array_like=True, frozen=True, tag="H"):
    """The first frame of a host."""

    protocol: int
    pid: int
