"""Every world of ours as a parallel environment of PettingZoo: all act at once, without links.

    env = as_parallel_env("spread", {"agents": 3}, max_steps=25)
    observations, infos = env.reset(seed=0)

There is no network in it: what agents would tell each other they cannot, and every group decides
in each step of the world. Faults, latency and loss are what `sim run` is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.errors import BoundError, InstallationError
from sim.spaces import Space
from sim.worlds.catalogue import make_world
from sim.worlds.world import Array


def as_parallel_env(
    kind: str, params: Mapping[str, Any] | None = None, *, max_steps: int = 0
) -> Any:
    """A `pettingzoo.ParallelEnv` of a world of the catalogue.

    Observations are float64 vectors. An action is a vector of the group's fields, a whole number
    if it is one choice, or an array of them. An agent without an action is absent for the step.
    max_steps: everybody is truncated after so many; 0: never.
    Raises: InstallationError if PettingZoo is missing; as `make_world`; BoundError for an action
            that mixes choices and numbers.
    """
    try:
        from gymnasium import spaces
        from pettingzoo import ParallelEnv
    except ModuleNotFoundError as error:
        raise InstallationError(f"{error}; pip install 'sim-agents[zoo]'") from None
    world = make_world(kind, params or {}, 0)

    def acts(space: Space) -> Any:
        choices = [field.choices for field in space.fields for _ in range(field.size)]
        if len(choices) <= 1 and all(choices):
            return spaces.Discrete(choices[0] if choices else 1)
        if all(choices):
            return spaces.MultiDiscrete(choices)
        if any(choices):
            raise BoundError(f"world {kind!r}: an action of choices and numbers is not mapped")
        return spaces.Box(space.low, space.high, dtype=np.float64)

    sees = {
        name: spaces.Box(group.observation.low, group.observation.high, dtype=np.float64)
        for group in world.groups
        for name in group.agents
    }
    does = {name: acts(group.action) for group in world.groups for name in group.agents}

    class Env(ParallelEnv):  # type: ignore[misc]
        metadata = {"name": f"sim_{kind}_v0", "render_modes": []}  # noqa: RUF012
        render_mode = None

        def __init__(self) -> None:
            self.possible_agents = list(sees)
            self.agents: list[str] = []
            self._seed, self._episode, self._steps = 0, -1, 0

        def observation_space(self, agent: str) -> Any:
            return sees[agent]

        def action_space(self, agent: str) -> Any:
            return does[agent]

        def reset(
            self, seed: int | None = None, options: Mapping[str, Any] | None = None
        ) -> tuple[dict[str, Array], dict[str, Any]]:
            """Without a seed: the next episode of the seed before."""
            self._episode += 1
            if seed is not None:
                self._seed, self._episode = seed, 0
            world.reset(self._seed, self._episode)
            self.agents, self._steps = self.possible_agents[:], 0
            return by_agent(world.observe()), {name: {} for name in self.agents}

        def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
            values, present = {}, {}
            for group in world.groups:
                rows = [
                    np.atleast_1d(np.asarray(actions.get(name, group.action.default), np.float64))
                    for name in group.agents
                ]
                values[group.name] = np.stack(rows)[:, : group.action.size]
                present[group.name] = np.array([name in actions for name in group.agents])
            world.advance(values, present)
            self._steps += 1
            rewards = {n: float(r.sum()) for n, r in by_agent(world.rewards()).items()}
            ended = bool(world.is_terminated)
            is_cut = bool(getattr(world, "is_truncated", False))
            is_cut |= not ended and bool(max_steps) and self._steps >= max_steps
            names = self.agents
            self.agents = [] if ended or is_cut else names
            return (
                by_agent(world.observe()),
                rewards,
                dict.fromkeys(names, ended and not is_cut),
                dict.fromkeys(names, is_cut),
                {name: {} for name in names},
            )

    def by_agent(columns: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: np.array(row)
            for group in world.groups
            for name, row in zip(group.agents, columns[group.name], strict=True)
        }

    return Env()
