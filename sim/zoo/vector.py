"""Many copies of a scenario as one batch, for learners that take a vectorised Gymnasium.

The stage is that of the batched rollout (`sim.learn.stage`): worlds, rules, mechanisms and links of
all copies are each called once per step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from sim.errors import AgentError, BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.arrays import arrays_on
from sim.learn.batched import why_not
from sim.learn.cast import Cast, Party, cast_rollout
from sim.learn.links import link_mode
from sim.learn.seats import blamed
from sim.learn.stage import Stage
from sim.prepare import Prepared
from sim.process import one_thread
from sim.zoo.parallel import REWARDS
from sim.zoo.seating import Seating
from sim.zoo.spaces import Actions, seen_space

Array = NDArray[Any]


class ScenarioVectorEnv(VectorEnv[Array, Array, Array]):
    """See `sim.vector_env`. Copy b plays the episodes b, b + copies, ... of the seed.

    agents: names, in the order in which each copy has them.
    Shapes: observations float32 [copies * agents, F], rewards float64, flags bool.
            infos: `up`, whether an agent's process runs and it is in the world; `action_mask`
            int8, where choices are masked; `final_obs` and `_final_obs` when episodes ended.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, seating: Seating, copies: int, links: Any, reward: str, device: str) -> None:
        """Raises: ScenarioError for agents of several groups, and for what no batch can play."""
        if copies < 1:
            raise BoundError(f"vector_env: expected one copy or more, found {copies}")
        if reward not in REWARDS:
            raise UnknownKeyError(f"there is no {reward!r}; {did_you_mean(reward, REWARDS)}")
        if len(seating.sides) != 1:
            groups = ", ".join(side.group for side in seating.sides)
            raise ScenarioError(
                f"vector_env: agents of one group are needed, found groups {groups}: name some "
                "with agents="
            )
        (self._side,) = seating.sides
        self.agents = self._side.agents
        self.copies, self.num_envs = copies, copies * len(self.agents)
        self._actions = Actions(self._side)
        self.single_observation_space = seen_space(self._side)
        self.single_action_space = self._actions.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._seating, self._reward = seating, reward
        self._mode, self._arrays = link_mode(links), arrays_on(device)
        self._seed: int | None = None
        self._is_ready = False
        self._stage = self._staged(seating.prepared)

    def _staged(self, prepared: Prepared) -> Stage:
        cast = cast_of(prepared, self._seating)
        obstacle = why_not(prepared, cast, self._mode)
        if obstacle:
            hint = "sim.env can play it" if self._mode.is_ideal else 'sim.env can, or links="ideal"'
            raise ScenarioError(f"vector_env: {obstacle.partition(';')[0]}; {hint}")
        stage = Stage(prepared, cast, self._mode, self.copies, self._arrays)
        self._ticks = self._side.every_ns // stage.dt_ns
        return stage

    # --- what a vectorised environment offers ---------------------------------------------------

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """All copies begin anew: with a seed its first episodes, without one the next ones.

        Raises: BoundError for a list of seeds: one says all, copies differ by their episodes.
        """
        if isinstance(seed, list):
            raise BoundError("vector_env: expected one seed; copies play its episodes 0, 1, ...")
        if seed is not None or self._seed is None:
            before = self._seating.prepared.scenario.seed if self._seed is None else self._seed
            wanted = self._seating.prepared.scenario.seed if seed is None else seed
            if wanted != before or self._seed is None:
                self._stage = self._staged(self._seating.of_seed(wanted))
            self._seed = wanted
            self._episode = np.arange(self.copies) - self.copies
        self._is_ready = True
        with one_thread():
            self._begin(np.ones(self.copies, dtype=bool))
            seen, up = self._look()
        return seen, self._infos(seen, up)

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One decision of everybody.

        Shapes: actions [copies * agents] or [copies * agents, A].
        Raises: AgentError for what is no action; BoundError before the first reset.
        """
        if not self._is_ready:
            raise BoundError("vector_env: call reset() first")
        stage = self._stage
        with one_thread():
            stage.decided[self._side.group] = self._arrays.put(self._decisions(actions))
            rewards, ended, cut = self._play(stage)
            seen, up = self._look()
            over = ended | cut
            infos: dict[str, Any] = {}
            if over.any():
                last = np.full(self.num_envs, None, dtype=object)
                which = self._of_agents(over)
                for i in np.flatnonzero(which):
                    last[i] = seen[i].copy()
                self._begin(over)
                seen, up = self._look()
                infos = {"final_obs": last, "_final_obs": which}
        return (
            seen, rewards, self._of_agents(ended), self._of_agents(cut),
            {**self._infos(seen, up), **infos},
        )  # fmt: skip

    # --- behind it ------------------------------------------------------------------------------

    def _begin(self, which: Array) -> None:
        """The next episodes of some copies. Shapes: bool [B]."""
        self._episode[which] += self.copies
        assert self._seed is not None
        self._stage.begin(which, [(self._seed, int(e)) for e in self._episode[which]])

    def _decisions(self, actions: Any) -> Array:
        """Shapes: -> float64 [B * n, A]. Raises: AgentError naming the first that is wrong."""
        rows = next(iter(actions.values())) if isinstance(actions, Mapping) else actions
        if len(rows) != self.num_envs:
            raise AgentError(f"step: expected {self.num_envs} actions, found {len(rows)}")
        n = len(self.agents)
        return self._actions.decisions(actions, lambda i: f"{self.agents[i % n]} in copy {i // n}")

    def _play(self, stage: Stage) -> tuple[Array, Array, Array]:
        """One decision: rewards of each agent, copies that ended by themselves, and that were cut.

        A copy that is over waits for the others; what happens in it meanwhile does not count.
        """
        slots = stage.learners[self._side.group].slots
        earned: Any = 0.0
        ended, cut = np.zeros(self.copies, dtype=bool), np.zeros(self.copies, dtype=bool)
        for _ in range(self._ticks):
            stage.act()
            rewards = stage.advance()
            own = {name: values.sum(-1) for name, values in rewards.items()}
            found = own[self._side.group][:, slots].cpu().numpy()
            if self._reward == "team":
                found = np.broadcast_to(self._team(stage, rewards, own)[:, None], found.shape)
            is_live = ~(ended | cut)
            earned = earned + found * is_live[:, None]
            ended |= stage.world.terminated(stage.state).cpu().numpy() & is_live
            cut |= (stage.steps >= stage.horizon) & is_live & ~ended
            if (ended | cut).all():
                break
        return np.asarray(earned, dtype=np.float64).reshape(-1), ended, cut

    def _team(self, stage: Stage, rewards: Any, own: Any) -> Array:
        """What the team earned in a step. Shapes: [B]."""
        team_reward = getattr(stage.world, "team_reward", None)
        if team_reward is not None:
            return np.asarray(team_reward(rewards).cpu().numpy())
        found: Array = np.concatenate([v.cpu().numpy() for v in own.values()], 1).mean(1)
        return found

    def _look(self) -> tuple[Array, Array]:
        """What everybody sees, and who is up. Shapes: float32 [B * n, F], bool [B * n]."""
        stage, group = self._stage, self._side.group
        player = stage.learners[group]
        inbox = player.inbox(stage.now) if player.hears else {}
        with blamed(group):
            found = player.policy.see(stage.rows_of(player), inbox, player.memory)
        seen = self._arrays.tensor(found).cpu().numpy().reshape(self.num_envs, -1)
        who = stage.who(player, None)
        up = np.ones((self.copies, player.n), dtype=bool)
        if who is not None:
            up &= self._arrays.tensor(who).cpu().numpy()
        if hasattr(stage.world, "alive"):
            up &= stage.world.alive(stage.state)[group][:, player.slots].cpu().numpy()
        flat = up.reshape(-1)
        return np.where(flat[:, None], seen, 0.0).astype(np.float32), flat

    def _infos(self, seen: Array, up: Array) -> dict[str, Any]:
        mask = self._actions.masks(seen)
        return {"up": up} if mask is None else {"up": up, "action_mask": mask}

    def _of_agents(self, of_copies: Array) -> Array:
        """Shapes: [B] -> [B * n]."""
        return np.repeat(of_copies, len(self.agents))


def cast_of(prepared: Prepared, seating: Seating) -> Cast:
    """Everybody of a scenario, with the agents of ours as sides and in nobody else's hands."""
    mine = set(seating.agents)
    everybody = cast_rollout(prepared, ())
    parties = []
    for party in everybody.parties:
        kept = [(s, a) for s, a in zip(party.slots, party.agents, strict=True) if a not in mine]
        if kept:
            slots, agents = zip(*kept, strict=True)
            parties.append(Party(party.group, slots, agents, party.policy))
    programs = {name: spec for name, spec in everybody.programs.items() if name not in mine}
    clearings = tuple(c for c in everybody.clearings if c.agent not in mine)
    return Cast(seating.sides, tuple(parties), clearings, programs)
