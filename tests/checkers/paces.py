"""A world of a file, of one copy: `quick-1`, `quick-2` decide each step, `slow-1` every third.

Each sees the step and the action in force for it, and earns that action in each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.errors import UnknownKeyError
from sim.spaces import Field, Space
from sim.worlds.world import Group, Metric

RULES = {"quick": "paces_rule.py:Three", "slow": "agents.behaviours.classics:MatrixRule"}
STEP_NS = 100_000_000


class Paces:
    name, dt_ns, rounds, events = "paces", STEP_NS, (), ()
    is_terminated = False

    def __init__(self) -> None:
        sees = Space((Field("step"), Field("mine", low=-9.0, high=9.0)))
        does = Space((Field("mine", low=-9.0, high=9.0),))
        self.groups = (
            Group("quick", ("quick-1", "quick-2"), sees, does, STEP_NS),
            Group("slow", ("slow-1",), sees, does, 3 * STEP_NS),
        )

    def reset(self, seed: int, episode: int) -> None:
        self.step, self.total = 0, 0.0
        self.mine = {g.name: np.zeros((len(g.agents), 1)) for g in self.groups}

    def advance(self, actions: Mapping[str, Any], present: Mapping[str, Any]) -> None:
        self.step += 1
        self.mine = {n: actions[n] * present[n][:, None] for n in actions}
        self.total += sum(float(mine.sum()) for mine in self.mine.values())

    def observe(self) -> dict[str, Any]:
        return {
            n: np.concatenate((np.full_like(mine, self.step), mine), axis=1)
            for n, mine in self.mine.items()
        }

    def rewards(self) -> dict[str, Any]:
        return self.mine

    def inject(self, event: str, target: str, is_on: bool) -> None:
        raise UnknownKeyError(f"no event {event!r}")

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        raise ValueError(verb)

    def state_bytes(self) -> bytes:
        return b"".join(mine.tobytes() for mine in self.mine.values()) + bytes([self.step])

    def metrics(self) -> dict[str, Metric]:
        return {"total": Metric(self.total, "", "higher", True)}

    def scene(self) -> dict[str, Any]:
        return {"step": self.step}


def make(params: Mapping[str, Any]) -> Paces:
    return Paces()
