"""What a privileged agent is handed at every decision: the state of all, true whatever sensors say,
and what everybody has earned since. No link lies between.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sim.wire.messages import Observed
from sim.worlds.joint import central_of, team_of
from sim.worlds.world import Array, World


class Joint:
    """The latest of it, as an observation.

    Shapes: values [S], the central state; rewards [1 + agents], since the last observation: the
            team's, then everybody's own, summed over components, groups in order.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._agents = sum(len(group.agents) for group in world.groups)
        self.clear()

    def clear(self) -> None:
        """At the end of an episode."""
        self._rewards = np.zeros(1 + self._agents)
        self.observed = Observed(0, 0, b"", b"")

    def reward(self, rewards: Mapping[str, Array]) -> None:
        """Adds those of one step; a group that gets none gets 0."""
        sums = {name: values.sum(axis=1) for name, values in rewards.items()}
        own = [sums.get(group.name, np.zeros(len(group.agents))) for group in self._world.groups]
        team = team_of(self._world, rewards, sums)
        self._rewards = self._rewards + np.concatenate(([team], *own))

    def observe(self, instant: int) -> None:
        """The state now, and the rewards until now; those that nobody took are lost."""
        values = central_of(self._world).astype(np.float64)
        self.observed = Observed(instant, 0, values.tobytes(), self._rewards.tobytes())
        self._rewards = np.zeros_like(self._rewards)
