"""One kernel in memory whose learning agents are answered from outside, episode after episode.

All other agents run as ever, in `agents.runtime`; links, faults and books are the kernel's. Each
episode is a kernel of its own, a function of (seed, episode) and of the decisions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.runtime import HostRuntime
from broker.kernel import Kernel
from broker.population import UP
from sim.errors import AgentError
from sim.learn.record import Episode
from sim.learn.seats import Places, Player, Seats
from sim.prepare import Prepared
from sim.scenario.schema import NetworkSpec
from sim.scenario.topology import link_table
from sim.wire.messages import Activation, Done, Work, Yield
from sim.worlds.joint import central_of, team_of
from sim.worlds.world import World

_HOST = 0
"""All agents share one host: packing changes nothing that can be observed."""


class Looked:
    """A world that is looked at by several; it makes its observations once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._observed: dict[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def observe(self) -> dict[str, Any]:
        """The observations, of the state now."""
        if self._observed is None:
            self._observed = self._world.observe()
        return self._observed

    def reset(self, seed: int, episode: int) -> None:
        self._observed = None
        self._world.reset(seed, episode)

    def advance(self, actions: Any, present: Any) -> None:
        self._observed = None
        self._world.advance(actions, present)

    def inject(self, event: str, target: str, is_on: bool) -> None:
        self._observed = None
        self._world.inject(event, target, is_on)

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        self._observed = None
        return self._world.apply(time_ns, agent, verb, payload)


@dataclass
class Gain:
    """What one side has earned since its decision began. Shapes: own [n]."""

    own: NDArray[np.float64]
    team: float = 0.0
    began: int = 0


class Copy:
    """Copy `number`. Advances from one pause to the next.

    It pauses where an agent played from outside is to answer an observation, and at each multiple
    of a side's period. At a pause, `turns` says for which sides a decision's time is over, and
    `state` is the central state then. Shapes: state float32 [S].
    """

    def __init__(
        self,
        prepared: Prepared,
        network_of: Callable[[int], NetworkSpec],
        sides: Sequence[Seats],
        crowds: Sequence[Places],
        number: int,
    ) -> None:
        """prepared: with a world of this copy's own. network_of: the links of each episode.
        crowds: of agents that do not learn, and are played together all the same."""
        self.world = cast(World, Looked(prepared.world))
        self._prepared, self._network_of = prepared, network_of
        self.sides, self.number = sides, number
        self._places = [*sides, *crowds]
        names = [plan.name for plan in prepared.plans]
        self._numbers = [[names.index(a) for a in each.agents] for each in self._places]
        groups = {group.name: group for group in prepared.world.groups}
        self._slots = [[groups[s.side.group].agents.index(a) for a in s.side.agents] for s in sides]
        self.runtime: HostRuntime | None = None
        self._kernel: Kernel | None = None
        self._steps_before = 0
        self.state = central_of(self.world)
        self._has_alive = hasattr(getattr(self.world, "batch", self.world), "alive")

    def begin(self, episode: int) -> None:
        """Starts an episode; nothing has happened in it yet."""
        self.close()
        self._steps_before = self.steps
        prepared = self._prepared
        network = self._network_of(episode)
        scenario = prepared.scenario
        table = prepared.table
        if network is not scenario.network:
            scenario = msgspec.structs.replace(scenario, network=network)
            table = link_table(network, [plan.name for plan in prepared.plans], prepared.faults)
        self.episode = episode
        self._kernel = Kernel(
            scenario, self.world, prepared.plans, table, prepared.faults,
            agents_per_host=len(prepared.plans), episode=episode,
        )  # fmt: skip
        self.runtime = HostRuntime(_HOST)
        self.players = [
            [Player(places, self.number, i) for i in range(len(places.agents))]
            for places in self._places
        ]
        self._player_of = {
            agent: player
            for players, agents in zip(self.players, self._numbers, strict=True)
            for player, agent in zip(players, agents, strict=True)
        }
        self.gains = [Gain(np.zeros(len(seats.agents))) for seats in self.sides]
        self.turns = [False] * len(self.sides)
        self._last_turns = [-1] * len(self.sides)
        self._returns: dict[str, NDArray[np.float64]] = {}
        self._team = 0.0
        self._activation: Activation | None = None
        self._owed_topics: list[str] = []
        self._owed_roster: list[str] = []
        self._owed_discard: list[int] = []
        self._owes_collection = False
        for places in self._places:
            places.begin_episode(self.number)

    @property
    def kernel(self) -> Kernel:
        """That of the present episode."""
        assert self._kernel is not None
        return self._kernel

    @property
    def steps(self) -> int:
        """Of the world, in all episodes so far."""
        return self._steps_before + (self._kernel.steps if self._kernel is not None else 0)

    def close(self) -> None:
        """Ends the programs of the present episode."""
        if self.runtime is not None:
            self.runtime.close()
            self.runtime = None

    # --- windows --------------------------------------------------------------------------------

    def advance(self) -> bool:
        """To the next pause; False if the episode ended before it.

        Raises: AgentError if an agent failed that may not be missed, with its author's frames.
        """
        while True:
            kernel = self.kernel
            steps = kernel.steps
            activations = list(kernel.open())
            self._obey()
            if kernel.steps != steps:
                self._earn()
            if kernel.status == "failed":
                raise self._failure()
            if kernel.status != "running":
                return False
            self._activation = activations[0][1] if activations else None
            self._hand_out()
            if self._is_pause() or (not self.sides and kernel.steps != steps):
                return True
            self.finish()

    def finish(self) -> None:
        """Ends the window: what the learning agents were given to do takes its course."""
        activation = self._activation
        if activation is not None:
            ordinary = self._run_others(activation)
            players = self._player_of
            done = [
                players[work.agent].done(work.agent)
                if work.agent in players
                else ordinary[work.agent]
                for work in activation.work
            ]
            self.kernel.accept(_HOST, Yield(activation.serial, done))
        self.kernel.close()

    def _obey(self) -> None:
        """A host that is killed takes all its agents along: it has one only, if it is killed."""
        for order in self.kernel.orders:
            if order.verb in ("kill", "restart"):
                self.close()
                self.runtime = HostRuntime(_HOST)

    def _hand_out(self) -> None:
        """Gives the learning agents of a window what is theirs."""
        activation = self._activation
        if activation is None:
            return
        roster, topics = self.kernel.agents.names, self.kernel.network.topics
        for work in activation.work:
            player = self._player_of.get(work.agent)
            if player is not None:
                player.take(work, activation.until, roster, topics)

    def _run_others(self, activation: Activation) -> dict[int, Done]:
        """Runs the agents that do not learn."""
        self._owed_topics += activation.topics
        self._owed_roster += activation.roster
        self._owed_discard += activation.discard
        self._owes_collection |= activation.collect
        players = self._player_of
        work = [each for each in activation.work if each.agent not in players]
        if not work and not self._owed_discard:
            return {}
        assert self.runtime is not None
        due = Activation(
            activation.serial, activation.now, activation.until, work, self._owed_topics,
            self._owed_roster, self._owed_discard, self._owes_collection,
        )  # fmt: skip
        report = self.runtime.run(due)
        self._owed_topics, self._owed_roster, self._owed_discard = [], [], []
        self._owes_collection = False
        return {done.agent: done for done in report.done}

    def _is_pause(self) -> bool:
        now, number = self.kernel.now, self.number
        for i, seats in enumerate(self.sides):
            self.turns[i] = now % seats.side.every_ns == 0 and now > self._last_turns[i]
            if self.turns[i]:
                self._last_turns[i] = now
        if is_pause := any(self.turns):
            self.state = central_of(self.world)
        return is_pause or any(places.observed[number].any() for places in self._places)

    def _failure(self) -> AgentError:
        kernel = self.kernel
        frames = [
            f.error.partition("\n")[2] for f in kernel.agents.failures if f.policy != "ignore"
        ]
        where = f" (in episode {self.episode} of seed {kernel.scenario.seed})"
        return AgentError(f"{kernel.error}{where}\n{frames[-1] if frames else ''}".rstrip())

    # --- what it is worth -----------------------------------------------------------------------

    def _earn(self) -> None:
        """Counts the rewards of the step just taken."""
        rewards = {g: r for g, r in self.world.rewards().items() if r.shape[1]}
        sums = {group: np.asarray(values).sum(axis=1) for group, values in rewards.items()}
        team = team_of(self.world, rewards, sums)
        self._team += team
        for group, values in sums.items():
            before = self._returns.get(group)
            self._returns[group] = values if before is None else before + values
        for seats, slots, gain in zip(self.sides, self._slots, self.gains, strict=True):
            if seats.side.group in sums:
                gain.own = gain.own + sums[seats.side.group][slots]
            gain.team += team

    def take_gain(self, side: int) -> tuple[NDArray[np.float32], float, float]:
        """Own rewards, team reward and duration since this was last taken."""
        gain, now = self.gains[side], self.kernel.now
        duration = (now - gain.began) / self.sides[side].side.every_ns
        self.gains[side] = Gain(np.zeros_like(gain.own), began=now)
        return gain.own.astype(np.float32), gain.team, duration

    def is_up(self, side: int) -> NDArray[np.bool_]:
        """Which agents of a side are in the world, and run. Shapes: [n]."""
        up: NDArray[np.bool_] = self.kernel.agents.state[self._numbers[side]] == UP
        if self._has_alive:
            up = up & alive_of(self.world, self.sides[side].group.name)[self._slots[side]]
        return up

    # --- the end of an episode ------------------------------------------------------------------

    def look_back(self) -> None:
        """Gives the learning agents what they would have been given at the end."""
        kernel = self.kernel
        self.state = central_of(self.world)
        numbers = [agent for agents in self._numbers[: len(self.sides)] for agent in agents]
        works: list[Work] = kernel.last_work(numbers)
        for work in works:
            self._player_of[work.agent].take(
                work, kernel.now + 1, kernel.agents.names, kernel.network.topics
            )

    def result(self) -> Episode:
        """The episode that has ended."""
        kernel = self.kernel
        returns = {
            agent: float(value)
            for group in self.world.groups
            if group.name in self._returns
            for agent, value in zip(group.agents, self._returns[group.name], strict=True)
        }
        metrics = {name: float(m.value) for name, m in self.world.metrics().items()}
        seed = kernel.scenario.seed
        return Episode(seed, self.episode, kernel.steps, returns, self._team, metrics)


def alive_of(world: Any, group: str) -> NDArray[np.bool_]:
    """Who of a group is in the world, of a world that tells. Shapes: [n]."""
    batch = getattr(world, "batch", None)
    found = (
        world.alive() if batch is None else {g: a[0] for g, a in batch.alive(world.state).items()}
    )
    alive: NDArray[np.bool_] = np.asarray(found[group], dtype=np.bool_)
    return alive
