"""A scenario as a parallel environment of PettingZoo: a kernel in memory, some of it yours.

All that a run has happens: links, faults, messages, programs of the others. A step lasts until the
next decision of an agent of yours; where groups decide at different periods, `due` in the infos
says whose action will count, and everybody else's last one stays in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from sim.errors import AgentError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.cast import heard_by
from sim.learn.copies import Copy, alive_of
from sim.learn.kernels import network_of
from sim.learn.links import link_mode
from sim.learn.seats import Seats
from sim.prepare import Prepared
from sim.process import no_collector, one_thread
from sim.units import SECOND, format_ns
from sim.zoo.seating import Seating
from sim.zoo.spaces import Actions, seen_space

Array = NDArray[Any]
REWARDS: Final = ("own", "team")
_LEARNS: Final = "learning"
"""The behaviour of who is played from outside: not one that a host could start."""
_OF_LINKS: Final = ("partition", "link", "noise")


class ScenarioEnv(ParallelEnv[str, Array, Any]):  # type: ignore[misc]
    """See `sim.env`. An agent whose process a fault has killed stays among the agents, observes
    zeros, and `up` in its info is False; one that has left the world is terminated.

    Order:  the same seed gives the same episode to the bit, whatever was played before.
    """

    def __init__(self, seating: Seating, links: Any, reward: str, render_mode: str | None) -> None:
        """Raises: UnknownKeyError for a reward or a render mode that does not exist."""
        for given, known in ((reward, REWARDS), (render_mode or "ansi", ("ansi",))):
            if given not in known:
                raise UnknownKeyError(f"there is no {given!r}; {did_you_mean(given, known)}")
        per_second = SECOND / min(side.every_ns for side in seating.sides)
        self.metadata = {
            "name": f"sim_{seating.prepared.scenario.name}_v0", "render_modes": ["ansi"],
            "render_fps": per_second, "is_parallelizable": True,
        }  # fmt: skip
        self.render_mode = render_mode
        self.possible_agents = seating.agents
        self.agents: list[str] = []
        self._seating, self._mode, self._reward = seating, link_mode(links), reward
        self._actions = [Actions(side) for side in seating.sides]
        self._sees: dict[str, spaces.Space[Any]] = {}
        self._does: dict[str, spaces.Space[Any]] = {}
        for side, actions in zip(seating.sides, self._actions, strict=True):
            seen = seen_space(side)
            for agent in side.agents:
                self._sees[agent], self._does[agent] = seen, actions.space
        self._is_timed = len({side.every_ns for side in seating.sides}) > 1
        self._seed = seating.prepared.scenario.seed
        self._episode = -1
        self._copy: Copy | None = None
        self._is_over = False

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Of an agent: float32 [F]."""
        return self._sees[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Of an agent: Discrete, MultiDiscrete or Box."""
        return self._does[agent]

    # --- an episode -----------------------------------------------------------------------------

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
        """The first episode of a seed; without one, the next episode of the seed before."""
        self._episode += 1
        if self._copy is None or (seed is not None and seed != self._seed):
            self.close()
            self._seed = self._seed if seed is None else seed
            self._copy = self._made(self._seating.of_seed(self._seed))
        if seed is not None:
            self._episode = 0
        with no_collector(True), one_thread():
            self._copy.begin(self._episode)
            self._decided = [np.tile(a.default, (len(a.side.agents), 1)) for a in self._actions]
            self._is_over = not self._settle()
        here = [name for name, is_here in self._present().items() if is_here]
        self.agents = [] if self._is_over else here
        self._gone: set[str] = set()
        return self._observations(self.agents), self._infos(self.agents)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, Array], dict[str, float], dict[str, bool], dict[str, bool],
        dict[str, dict[str, Any]],
    ]:  # fmt: skip
        """Until the next decision. Who has no action does nothing new: what it did last counts for
        as long as the world lets an action hold.

        Raises: AgentError for what is no action, for an agent that is not there, after the end, and
                if an agent of the scenario fails that may not.
        """
        copy = self._running()
        if self._is_over:
            raise AgentError("step: the episode is over; call reset() first")
        for name in actions:
            if name not in self.agents:
                close = did_you_mean(name, self.agents)
                raise AgentError(f"step: {name!r} is not in the world now; {close}")
        self._take(copy, actions)
        with no_collector(True), one_thread():
            self._act(copy)
            is_going_on = self._settle()
        world = copy.world
        self._is_over = is_ended = not is_going_on
        terminated = is_ended and bool(world.is_terminated)
        terminated &= not getattr(world, "is_truncated", False)
        rewards, present = self._rewards(copy), self._present()
        names = self.agents + [n for n, here in present.items() if here and self._is_new(n)]
        left = {name for name in names if not present[name]}
        self._gone |= left
        ended = {name: terminated or (name in left) for name in names}
        cut = {name: is_ended and not ended[name] for name in names}
        self.agents = [] if is_ended else [name for name in names if name not in left]
        return (
            self._observations(names),
            {name: rewards[name] for name in names},
            ended,
            cut,
            self._infos(names),
        )

    def _is_new(self, name: str) -> bool:
        return name not in self.agents and name not in self._gone

    def render(self) -> str | None:
        """With `render_mode="ansi"`: time, metrics and what each agent sees, as text."""
        if self.render_mode is None:
            return None
        copy, name = self._running(), self._seating.prepared.scenario.name
        lines = [f"{name}, {format_ns(copy.kernel.now)}, episode {self._episode}"]
        for title, metric in copy.world.metrics().items():
            lines.append(f"  {title} {metric.value:.6g} {metric.unit}".rstrip())
        for agent, seen in self._observations(self.agents).items():
            lines.append(f"  {agent} sees {' '.join(f'{number + 0.0:.3g}' for number in seen)}")
        return "\n".join(lines)

    def state(self) -> Array:
        """The central state, as a critic of `sim train` sees it. Shapes: float32 [S]."""
        return np.array(self._running().state, dtype=np.float32)

    def close(self) -> None:
        """Ends the agents' programs."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    # --- behind it ------------------------------------------------------------------------------

    def _running(self) -> Copy:
        """Raises: AgentError before the first reset."""
        if self._copy is None:
            raise AgentError("call reset() first")
        return self._copy

    def _made(self, prepared: Prepared) -> Copy:
        """A copy whose agents of ours are answered from here."""
        world, mine = prepared.world, set(self.possible_agents)
        names = [plan.name for plan in prepared.plans]
        groups = {group.name: group for group in world.groups}
        plans = tuple(
            msgspec.structs.replace(plan, behaviour=_LEARNS) if plan.name in mine else plan
            for plan in prepared.plans
        )
        faults = tuple(
            f for f in prepared.faults if not self._mode.is_ideal or f.kind not in _OF_LINKS
        )
        self._seats = [
            Seats(
                side,
                groups[side.group],
                {t: len(heard_by(world, names, side.agents[0], t)) for t in side.role.hears},
                1,
            )
            for side in self._seating.sides
        ]
        seed, network = prepared.scenario.seed, prepared.scenario.network
        return Copy(
            Prepared(prepared.scenario, world, plans, prepared.table, faults),
            lambda episode: network_of(network, self._mode, seed, episode),
            self._seats,
            (),
            0,
        )

    def _take(self, copy: Copy, actions: Mapping[str, Any]) -> None:
        """Notes what is decided; who says nothing does not act."""
        for kept, given, seats in zip(self._decided, self._actions, self._seats, strict=True):
            for i, name in enumerate(given.side.agents):
                if name in actions:
                    kept[i] = given.decision(actions[name], name)
                elif seats.due[0, i]:
                    seats.due[0, i] = seats.observed[0, i] = False

    def _act(self, copy: Copy) -> None:
        """Lets who is to answer an observation act, and ends the window."""
        for i, seats in enumerate(self._seats):
            due = seats.due[0]
            seats.decision[0, due] = self._decided[i][due]
            seats.has_decided[0, due] = True
            seats.act([0], {0: copy.players[i]})
        copy.finish()

    def _settle(self) -> bool:
        """To the next decision of ours; False if the episode is over."""
        copy = self._running()
        while copy.advance():
            for seats in self._seats:
                seats.see([0])
            if any(copy.turns):
                return True
            # Somebody has started between two decisions: it goes on as it was told last.
            self._act(copy)
        copy.look_back()
        for seats in self._seats:
            seats.see([0], is_last=True)
        return False

    def _rewards(self, copy: Copy) -> dict[str, float]:
        """What each has earned since this was last asked."""
        found: dict[str, float] = {}
        for i, side in enumerate(self._seating.sides):
            own, team, _ = copy.take_gain(i)
            values = own.tolist() if self._reward == "own" else [team] * len(side.agents)
            found |= dict(zip(side.agents, values, strict=True))
        return found

    def _present(self) -> dict[str, bool]:
        """Who is in the world, whether its process runs or not."""
        copy = self._running()
        found: dict[str, bool] = {}
        is_told = hasattr(getattr(copy.world, "batch", copy.world), "alive")
        for side in self._seating.sides:
            group = next(g for g in copy.world.groups if g.name == side.group)
            alive = alive_of(copy.world, side.group) if is_told else np.ones(len(group.agents))
            found |= {name: bool(alive[group.agents.index(name)]) for name in side.agents}
        return found

    def _observations(self, names: list[str]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for i, (side, seats) in enumerate(zip(self._seating.sides, self._seats, strict=True)):
            up = self._running().is_up(i)
            for j, name in enumerate(side.agents):
                seen = seats.seen[0, j] if up[j] else np.zeros_like(seats.seen[0, j])
                found[name] = np.array(seen, dtype=np.float32)
        return {name: found[name] for name in names}

    def _infos(self, names: list[str]) -> dict[str, dict[str, Any]]:
        copy = self._running()
        found: dict[str, dict[str, Any]] = {}
        for i, (actions, seats) in enumerate(zip(self._actions, self._seats, strict=True)):
            up = copy.is_up(i)
            for j, name in enumerate(actions.side.agents):
                info: dict[str, Any] = {"up": bool(up[j]), "time": copy.kernel.now / SECOND}
                if self._is_timed:
                    info["due"] = bool(seats.due[0, j])
                mask = actions.masks(seats.seen[0, j])
                if mask is not None:
                    info["action_mask"] = mask
                found[name] = info
        return {name: found[name] for name in names}
