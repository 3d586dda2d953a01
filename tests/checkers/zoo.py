"""Environments of our own making, in the manner of PettingZoo, and what is held against ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo import AECEnv, ParallelEnv


class Mixed(ParallelEnv):
    """Every kind of space that is mapped; agent_1 dies at step 3, the rest end at step 6.

    What is seen is the step and what was done last; what is earned, the number of a choice.
    """

    metadata = {"name": "mixed", "render_modes": []}  # noqa: RUF012
    render_mode = None
    fatal, last = 3, 6

    def __init__(self, count: int = 2) -> None:
        self.possible_agents = [f"agent_{i}" for i in range(count)]
        self.possible_agents.append("scout")
        self._sees = {
            "agent": spaces.Dict(
                place=spaces.Box(-np.inf, np.inf, (2,), np.float32),
                inner=spaces.Dict(kind=spaces.Discrete(3), flags=spaces.MultiBinary(2)),
                pair=spaces.Tuple((spaces.Box(0, 9, (1,), np.int64), spaces.MultiDiscrete([2, 3]))),
            ),
            "scout": spaces.Box(0, 255, (2, 2), np.uint8),
        }
        self._does = {
            "agent": spaces.Dict(
                push=spaces.Box(-1, 1, (2,), np.float32),
                choice=spaces.MultiDiscrete([3, 4]),
                level=spaces.Box(-2, 2, (1,), np.int64),
            ),
            "scout": spaces.Discrete(4, start=1),
        }
        self.done: list[dict[str, Any]] = []

    def observation_space(self, agent: str) -> Any:
        return self._sees[agent.partition("_")[0]]

    def action_space(self, agent: str) -> Any:
        return self._does[agent.partition("_")[0]]

    def _seen(self) -> dict[str, Any]:
        one = {
            "place": self._place + self._step,
            "inner": {"kind": self._step % 3, "flags": np.array([1, 0], np.int8)},
            "pair": (np.array([self._step]), np.array([1, 2])),
        }
        image = np.full((2, 2), self._step, np.uint8)
        return {agent: image if agent == "scout" else one for agent in self.agents}

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self._place = np.random.default_rng(seed).random(2).astype(np.float32)
        self.agents, self._step, self.done = self.possible_agents[:], 0, []
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> Any:
        for agent in self.agents:
            assert self.action_space(agent).contains(actions[agent]), (agent, actions[agent])
        self.done.append(actions)
        self._step += 1
        names, seen = self.agents, self._seen()
        rewards = {n: float(a if n == "scout" else a["choice"][1]) for n, a in actions.items()}
        is_over = self._step >= self.last
        ended = {n: is_over or (n == "agent_1" and self._step >= self.fatal) for n in names}
        self.agents = [n for n in names if not ended[n]]
        return seen, rewards, ended, dict.fromkeys(names, False), {n: {} for n in names}


class Turns(AECEnv):
    """Two take turns; each may choose what the other has not chosen last, as a mask says."""

    metadata = {"name": "turns", "render_modes": [], "is_parallelizable": False}  # noqa: RUF012
    render_mode = None

    def __init__(self, rounds: int = 4) -> None:
        super().__init__()
        self.possible_agents, self._rounds = ["player_0", "player_1"], rounds

    def observation_space(self, agent: str) -> Any:
        return spaces.Dict(
            observation=spaces.Box(-1, 99, (1,), np.float32),
            action_mask=spaces.Box(0, 1, (3,), np.int8),
        )

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self.agents = self.possible_agents[:]
        self.rewards = self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict(self.rewards)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection, self.chosen = self.agents[0], [0]

    def observe(self, agent: str) -> Any:
        mask = np.ones(3, dtype=np.int8)
        mask[self.chosen[-1]] = 0
        return {"observation": np.array([self.chosen[-1]], np.float32), "action_mask": mask}

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        assert action != self.chosen[-1], "what the mask forbids"
        self.chosen.append(int(action))
        self.rewards = {name: float(name == agent) for name in self.agents}
        self._accumulate_rewards()
        self.agent_selection = self.agents[1 - self.agents.index(agent)]
        if len(self.chosen) > 2 * self._rounds:
            self.terminations = dict.fromkeys(self.agents, True)


class Together(Turns):
    """The same as if all acted at once: nothing is forbidden."""

    metadata = {**Turns.metadata, "is_parallelizable": True}  # noqa: RUF012

    def observe(self, agent: str) -> Any:
        return {
            "observation": np.array([self.chosen[-1]], np.float32),
            "action_mask": np.ones(3, dtype=np.int8),
        }

    def step(self, action: Any) -> None:
        if self.terminations[self.agent_selection]:
            self._was_dead_step(action)
            return
        self.chosen.append(3)
        super().step(action)
        self.chosen.pop(-2)


def play_alike(one: Any, other: Any, steps: int, seed: int = 7) -> int:
    """Plays two parallel environments with the same actions, over ends of episodes, and holds all
    that they say against each other. Returns: how many episodes ended.

    PettingZoo's own seed test ends after one step where infos or flags are keyed by name.
    """
    assert data_equivalence(one.reset(seed=seed), other.reset(seed=seed))
    for name in one.possible_agents:
        one.action_space(name).seed(seed)
    ended = 0
    infos: dict[str, Any] = {}
    for _ in range(steps):
        if not one.agents:
            assert data_equivalence(one.reset(), other.reset())
            ended, infos = ended + 1, {}
        actions = {
            n: one.action_space(n).sample(infos.get(n, {}).get("action_mask")) for n in one.agents
        }
        first, second = one.step(actions), other.step(actions)
        for ours, theirs in zip(first, second, strict=True):
            assert data_equivalence(ours, theirs)
        assert one.agents == other.agents
        infos = first[4]
    return ended
