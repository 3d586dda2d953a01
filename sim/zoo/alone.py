"""One agent of a scenario as an environment of Gymnasium; all others play as the scenario says."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sim.errors import ScenarioError
from sim.zoo.parallel import ScenarioEnv
from sim.zoo.seating import Seating

Array = NDArray[np.float32]


class AgentEnv(gymnasium.Env[Array, Any]):
    """See `sim.agent_env`. agent: its name. It is terminated when it leaves the world."""

    def __init__(self, seating: Seating, links: Any, reward: str, render_mode: str | None) -> None:
        """Raises: ScenarioError if it is not said which of several agents it is."""
        if len(seating.agents) != 1:
            known = ", ".join(seating.agents[:12]) + (", ..." if len(seating.agents) > 12 else "")
            raise ScenarioError(f"agent_env: say which agent is yours: {known}")
        (self.agent,) = seating.agents
        self._all = ScenarioEnv(seating, links, reward, render_mode)
        self.observation_space = self._all.observation_space(self.agent)
        self.action_space = self._all.action_space(self.agent)
        self.metadata = self._all.metadata
        self.render_mode = render_mode
        self._info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """The first episode of a seed; without one, the next episode of the seed before.

        Raises: ScenarioError if the agent is not in the world when an episode begins.
        """
        super().reset(seed=seed)
        seen, infos = self._all.reset(seed=seed)
        if self.agent not in seen:
            raise ScenarioError(f"{self.agent} is not in the world when the episode begins")
        self._info = infos[self.agent]
        return seen[self.agent], self._info

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Until the agent's next decision. Raises: AgentError for what is no action."""
        seen, rewards, ended, cut, infos = self._all.step({self.agent: action})
        name = self.agent
        self._info = infos[name]
        return seen[name], rewards[name], ended[name], cut[name], self._info

    def action_masks(self) -> Array | None:
        """Which choices are allowed now, as sb3-contrib's MaskablePPO asks; None if all always
        are."""
        mask: Any = self._info.get("action_mask")
        return np.concatenate(mask) if isinstance(mask, tuple) else mask

    def render(self) -> str | None:
        """As text, with `render_mode="ansi"`."""
        return self._all.render()

    def close(self) -> None:
        """Ends the other agents' programs."""
        self._all.close()
