"""A small impure world with two groups that decide at different periods, and an end of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.spaces import Field, Space
from sim.units import duration_ns
from sim.worlds.world import Group, Metric

RULES = {"fast": "agents.agent:Agent", "slow": "agents.agent:Agent"}
ROLES = {"slow": "learn.worlds:Seldom"}
STEP_NS = duration_ns("100ms")


class Counting:
    """Every agent sees (step, episode, own slot); fast ones earn step + slot in two components,
    slow ones nothing but what they act. It ends by itself after `ends` steps of odd episodes.
    """

    name = "counting"
    dt_ns = STEP_NS
    rounds = ()
    events = ()

    def __init__(self, ends: int) -> None:
        seen = Space((Field("step"), Field("episode"), Field("slot")))
        act = Space((Field("value"),))
        self.groups = (
            Group("fast", ("fast-1", "fast-2"), seen, act, STEP_NS),
            Group("slow", ("slow-1",), seen, act, STEP_NS),
        )
        self.ends = ends
        self.reset(0, 0)

    def reset(self, seed: int, episode: int) -> None:
        self.step, self.episode = 0, episode
        self.acted = {g.name: np.zeros((len(g.agents), 1)) for g in self.groups}

    def advance(self, actions: Any, present: Any) -> None:
        self.step += 1
        self.acted = {name: values.copy() for name, values in actions.items()}

    def observe(self) -> dict[str, Any]:
        return {
            g.name: np.array(
                [[self.step, self.episode, slot] for slot in range(len(g.agents))], float
            )
            for g in self.groups
        }

    def rewards(self) -> dict[str, Any]:
        fast = np.array([[self.step, 0.0], [self.step, 1.0]], dtype=float)
        return {"fast": fast, "slow": self.acted["slow"].copy()}

    def inject(self, event: str, target: str, is_on: bool) -> None:
        raise ValueError(event)

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        raise ValueError(verb)

    def state_bytes(self) -> bytes:
        return bytes([self.step % 256]) + b"".join(a.tobytes() for a in self.acted.values())

    def metrics(self) -> dict[str, Metric]:
        return {"steps": Metric(float(self.step))}

    def scene(self) -> dict[str, Any]:
        return {}

    @property
    def is_terminated(self) -> bool:
        return self.ends > 0 and self.episode % 2 == 1 and self.step >= self.ends


class Seldom:
    """Decides at every third observation, sees the step twice, and counts its acts."""

    every = 3

    def __init__(self, name: str, group: Any, params: Any) -> None:
        self.speaks: dict[str, int] = {}
        self.hears: dict[str, int] = {}
        self.sees = Space((Field("step", size=2),))
        self.decides = Space((Field("value", low=-1.0, high=1.0),))

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 1))

    def is_due(self, obs: Any) -> Any:
        return obs[:, 0] % 3 == 0

    def see(self, obs: Any, inbox: Any, memory: Any) -> Any:
        return np.concatenate((obs[:, :1], memory), axis=1)

    def act(self, decision: Any, obs: Any, inbox: Any, memory: Any, key: Any) -> Any:
        return decision, {}, memory + 1


class Leaving:
    """A parallel environment in the form of PettingZoo: player_1 leaves after three steps, the
    others are cut after five."""

    def __init__(self) -> None:
        self.possible_agents = ["player_0", "player_1", "player_2"]
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Any:
        from gymnasium.spaces import Box

        return Box(-1.0, 10.0, (2,), np.float32)

    def action_space(self, agent: str) -> Any:
        from gymnasium.spaces import Discrete

        return Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents, self.step_count = list(self.possible_agents), 0
        return self._seen(), {agent: {} for agent in self.agents}

    def _seen(self) -> dict[str, Any]:
        return {a: np.array([self.step_count, int(a[-1])], np.float32) for a in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        self.step_count += 1
        seen, rewards = self._seen(), {a: float(actions[a]) for a in self.agents}
        over = {a: a == "player_1" and self.step_count == 3 for a in self.agents}
        cut = dict.fromkeys(self.agents, self.step_count == 5)
        infos: dict[str, Any] = {a: {} for a in self.agents}
        self.agents = [a for a in self.agents if not over[a] and not cut[a]]
        return seen, rewards, over, cut, infos


def make(params: dict[str, Any]) -> Counting:
    return Counting(int(params.get("ends", 0)))


def reference(params: dict[str, Any], seed: int, duration_ns: int) -> dict[str, Any]:
    return {}
