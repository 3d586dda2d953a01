"""A world without physics, for protocols made of messages, tests and benchmarks.

Agents `agent-1` ... see a clock and a vector that never changes, and their actions are kept. What
happens is what they say to each other. Who finds something out can state it as an action, in
numbers that have names (`states`), and so make it the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.errors import UnknownKeyError
from sim.spaces import Field, Space
from sim.units import duration_ns
from sim.worlds.catalogue import parse
from sim.worlds.world import Array, Group, Metric, PhysicalEvent, Round

RULES = {"agent": "agents.agent:Agent"}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """agents: how many. step: dt. every: decision period. sees, acts: numbers per observation
    (the first is the time in seconds) and per action. states: names of the numbers of an action,
    each with what is better; the outcome is the mean of what was stated last, 0 before anybody
    has."""

    agents: int = 2
    step: str | float = "100ms"
    every: str | float = ""
    sees: int = 1
    acts: int = 1
    states: dict[str, Literal["higher", "lower"]] = {}


class Blank:
    """Keeps the actions, and does nothing."""

    name = "blank"
    rounds: tuple[Round, ...] = ()
    events: tuple[PhysicalEvent, ...] = ()
    is_terminated = False

    def __init__(self, params: Params) -> None:
        self.dt_ns = duration_ns(params.step)
        names = tuple(f"agent-{i + 1}" for i in range(params.agents))
        seen = (Field("time", "s"), Field("nothing", size=params.sees - 1))
        self.states = params.states
        stated = tuple(Field(name) for name in params.states) or (Field("value", size=params.acts),)
        self.groups = (
            Group(
                "agent",
                names,
                Space(seen[: 1 + (params.sees > 1)]),
                Space(stated),
                duration_ns(params.every) if params.every else self.dt_ns,
                must_act=False,
            ),
        )
        self._shape = (params.agents, self.groups[0].action.size)
        self._seen = np.zeros((params.agents, params.sees))
        self.actions = np.zeros(self._shape)
        self.present = np.zeros(params.agents, dtype=bool)
        self._steps = 0

    def reset(self, seed: int, episode: int) -> None:
        self.actions = np.zeros(self._shape)
        self.present = np.zeros(self._shape[0], dtype=bool)
        self._steps = 0

    def advance(
        self, actions: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        self.actions, self.present = actions["agent"], present["agent"]
        self._steps += 1

    def observe(self) -> dict[str, Array]:
        self._seen[:, 0] = self._steps * self.dt_ns / 1e9
        return {"agent": self._seen}

    def rewards(self) -> dict[str, Array]:
        return {"agent": np.zeros((self._shape[0], 0))}

    def inject(self, event: str, target: str, is_on: bool) -> None:
        raise UnknownKeyError(f"the blank world has no event {event!r}")

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        raise ValueError(f"the blank world knows no verb {verb!r}")

    def state_bytes(self) -> bytes:
        return self.actions.tobytes() + self.present.tobytes()

    def metrics(self) -> dict[str, Metric]:
        if not self.states:
            return {"actions present": Metric(float(self.present.sum()), "", "higher")}
        said = self.actions[self.present]
        means = said.mean(axis=0) if len(said) else np.zeros(self._shape[1])
        return {
            name: Metric(float(mean), "", better, i == 0)
            for i, ((name, better), mean) in enumerate(zip(self.states.items(), means, strict=True))
        }

    def scene(self) -> dict[str, Any]:
        return {"actions": self.actions.tolist()}


def make(params: dict[str, Any]) -> Blank:
    """The world with its parameters. Raises: UnknownKeyError, BoundError."""
    return Blank(parse(Params, params, "blank"))


def reference(params: dict[str, Any], seed: int, duration_ns: int) -> dict[str, dict[str, float]]:
    """None: nothing is at stake here."""
    return {}
