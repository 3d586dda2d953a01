"""The agents as the broker knows them: columns of state, timers and waits, and where they live."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broker.network import Network
from sim.scenario.roster import AgentPlan
from sim.scenario.schema import Scenario
from sim.spaces import Space
from sim.units import NEVER, SECOND
from sim.wire.messages import Done, SpaceField, Start
from sim.worlds.world import Group, World

UNPLAYED, DOWN, UP, HUNG, ENDED, VENUE = range(6)
"""Nobody plays the slot; killed or not yet started; running; stopped; ended, not yet taken down;
the world itself answers here."""


@dataclass(frozen=True)
class Event:
    """A line of the run's story. kind: fault, error, market, info, print, warning, ...

    cause: who brought it about, where that is a question: scenario; you, recorded; supervisor.
    """

    time_ns: int
    kind: str
    agent: str
    text: str
    cause: str = ""


@dataclass(frozen=True)
class Failure:
    """An agent that failed: cause first, then its author's frames; and what the policy does."""

    agent: str
    time_ns: int
    error: str
    policy: str


@dataclass(frozen=True)
class Order:
    """What the shell must do to a host's process: kill, restart, stop or resume it; or "die": end
    the broker's own process at once, as a crash would (host -1).
    """

    verb: str
    host: int


class Agents:
    """All agents of a run, by number. Shapes of the columns: [agents]."""

    def __init__(
        self, scenario: Scenario, world: World, plans: Sequence[AgentPlan], agents_per_host: int
    ) -> None:
        n = len(plans)
        self.plans = list(plans)
        self.names = [p.name for p in plans]
        self.index = {name: i for i, name in enumerate(self.names)}
        self.state: NDArray[np.int8] = np.full(n, DOWN, dtype=np.int8)
        self.timer = np.full(n, NEVER, dtype=np.int64)
        self.awaits = np.zeros((n, 0), dtype=np.bool_)
        self.awaits_observation = np.zeros(n, dtype=np.bool_)
        self.must_run = np.zeros(n, dtype=np.bool_)
        self.incarnation = [0] * n
        self.failures: list[Failure] = []
        self.ending: list[tuple[int, int, str | None]] = []
        self.finished: set[int] = set()
        """Who is down as its program came to its end."""
        self.orders: list[Order] = []
        self.discards: dict[int, list[int]] = {}
        self._dead_hosts: set[int] = set()
        self._scenario = scenario
        self._groups: dict[str, Group] = {g.name: g for g in world.groups}
        self._rounds = [_plain(r) for r in world.rounds]
        self._waits: dict[int, list[str]] = {}
        self._starts: dict[int, tuple[int, int]] = {}
        self._ready: dict[int, Start] = {}
        self._saved: dict[int, bytes] = {}
        self._restarts: dict[int, list[int]] = {}
        self._members = {
            g: np.array([p.index for p in plans if p.group == g], dtype=np.int64)
            for g in self._groups
        }
        played = [p.index for p in plans if p.behaviour != "none"]
        self.state[[p.index for p in plans if p.behaviour == "none"]] = UNPLAYED
        self.venues = frozenset(self.index[name] for name in getattr(world, "venues", ()))
        for venue in self.venues:
            self.state[venue], self._waits[venue] = VENUE, ["*"]
        self.hosts = [
            played[i : i + agents_per_host] for i in range(0, len(played), agents_per_host)
        ]
        self.host_of = {agent: h for h, members in enumerate(self.hosts) for agent in members}
        self._place = np.zeros(n, dtype=np.int64)
        self._place[played] = np.arange(len(played))

    # --- what the kernel asks -------------------------------------------------------------------

    @property
    def next_wake(self) -> int:
        """The earliest timer or start; who cannot run has no timer."""
        return min(int(self.timer.min(initial=NEVER)), self.next_start)

    @property
    def next_start(self) -> int:
        if not self._starts:
            return NEVER
        return min(time for time, _ in self._starts.values())

    @property
    def is_up(self) -> NDArray[np.bool_]:
        up: NDArray[np.bool_] = self.state == UP
        return up

    @property
    def is_reachable(self) -> NDArray[np.bool_]:
        """Whose mailbox takes messages: agents that run, hang, or have just ended, and venues."""
        return self.state >= UP

    @property
    def place(self) -> NDArray[np.int64]:
        """Rank of each agent by (host, number)."""
        return self._place

    def of_host(self, host: int) -> list[int]:
        return self.hosts[host]

    def is_played(self, group: str) -> NDArray[np.bool_]:
        """Per slot of a group, whether an agent is there to decide."""
        played: NDArray[np.bool_] = self.state[self._members[group]] == UP
        return played

    # --- starting and ending --------------------------------------------------------------------

    def start_all(self, episode: int, time: int = 0) -> None:
        """Schedules every played agent to begin at `time`."""
        self.timer[:] = NEVER
        self.ending.clear()
        self.finished.clear()
        for venue in self.venues:
            self.open_venue(venue, is_on=True)
        for agents in self.hosts:
            for agent in agents:
                self.hang(agent, is_on=False)
                self._clear(agent)
                self.state[agent] = DOWN
                self._starts[agent] = (time, episode)

    def start(self, agent: int, time: int, episode: int) -> None:
        """Schedules a new incarnation of an agent that is down."""
        self._starts[agent] = (time, episode)

    def starts_at(self, agent: int) -> int:
        """When an agent that is down begins anew; NEVER if that is not planned."""
        return self._starts.get(agent, (NEVER, 0))[0]

    def start_due(self, now: int) -> list[int]:
        """Brings up the agents whose start has come; returns hosts that must be started anew."""
        renewed: list[int] = []
        if not self._starts:
            return renewed
        for agent in [a for a, (time, _) in self._starts.items() if time <= now]:
            _, episode = self._starts.pop(agent)
            host = self.host_of[agent]
            if host in self._dead_hosts:
                self._dead_hosts.remove(host)
                self.discards.pop(host, None)
                self.orders.append(Order("restart", host))
                renewed.append(host)
            self._ready[agent] = self._describe(agent, episode)
            self.incarnation[agent] += 1
            self.finished.discard(agent)
            self.state[agent] = UP
            self.must_run[agent] = True
        return renewed

    def saved(self, agent: int) -> bytes | None:
        """What an agent keeps for its next incarnation."""
        return self._saved.get(agent)

    def take_start(self, agent: int) -> Start | None:
        """What a host needs to begin an agent that has just come up."""
        return self._ready.pop(agent, None)

    def kill(self, agent: int) -> None:
        """Ends an agent, or its waiting for a start; a process of its own is ended with it."""
        if self.state[agent] == DOWN:
            self._starts.pop(agent, None)
            return
        host = self.host_of[agent]
        if self.state[agent] == HUNG:
            self.orders.append(Order("resume", host))
        if len(self.hosts[host]) == 1 and host not in self._dead_hosts:
            self.lose_host(host)
            self.orders.append(Order("kill", host))
        self.discards.setdefault(host, []).append(agent)
        self._starts.pop(agent, None)
        self._clear(agent)
        self.state[agent] = DOWN

    def lose_host(self, host: int) -> None:
        """The host's process is no more; its next agent to start needs a new one."""
        self._dead_hosts.add(host)

    def is_dead(self, host: int) -> bool:
        return host in self._dead_hosts

    def _clear(self, agent: int) -> None:
        self.timer[agent] = NEVER
        self.awaits[agent] = False
        self.awaits_observation[agent] = self.must_run[agent] = False
        self._waits.pop(agent, None)
        self._ready.pop(agent, None)

    def hang(self, agent: int, is_on: bool) -> None:
        """Stops an agent, or lets it go on: what came meanwhile then happens at once."""
        if is_on and self.state[agent] == UP:
            self.state[agent] = HUNG
            self.timer[agent] = NEVER
        elif not is_on and self.state[agent] == HUNG:
            self.state[agent] = UP
            self.must_run[agent] = True
        else:
            return
        host = self.host_of[agent]
        if len(self.hosts[host]) == 1:
            self.orders.append(Order("stop" if is_on else "resume", host))

    def open_venue(self, venue: int, is_on: bool) -> None:
        """Opens or closes a venue; what comes to a closed one is lost."""
        self.state[venue] = VENUE if is_on else DOWN

    def count_restart(self, agent: int, time: int, within_ns: int) -> int:
        """Counts a restart; how many there were before it within the time."""
        recent = [t for t in self._restarts.get(agent, []) if t > time - within_ns]
        self._restarts[agent] = [*recent, time]
        return len(recent)

    # --- what hosts report ----------------------------------------------------------------------

    def report(self, reports: Sequence[Done], network: Network) -> None:
        """Takes timers and waits of the agents that ran."""
        agents = [done.agent for done in reports]
        self.must_run[agents] = False
        self.timer[agents] = [done.timer for done in reports]
        self.awaits_observation[agents] = [done.awaits_observation for done in reports]
        for done in reports:
            if done.saved is not None:
                self._saved[done.agent] = done.saved
            if done.waits is not None:
                self._waits[done.agent] = done.waits
                self._set_waits(done.agent, done.waits, network)

    def _set_waits(self, agent: int, waits: Sequence[str], network: Network) -> None:
        for topic in waits:
            if topic != "*":
                network.topic_id(topic)
        self.widen(len(network.topics))
        if "*" in waits:
            self.awaits[agent] = True
        else:
            self.awaits[agent] = False
            self.awaits[agent, [network.topic_id(t) for t in waits]] = True

    def widen(self, topics: int) -> None:
        """Makes room for new topics; who waits for any waits for them too."""
        width = self.awaits.shape[1]
        if topics > width:
            more = np.zeros((len(self.names), 2 * topics - width), dtype=np.bool_)
            for agent, waits in self._waits.items():
                more[agent] = "*" in waits
            self.awaits = np.concatenate((self.awaits, more), axis=1)

    # --- what a host is told --------------------------------------------------------------------

    def _describe(self, agent: int, episode: int) -> Start:
        plan, scenario = self.plans[agent], self._scenario
        group = self._groups[plan.group] if plan.group else None
        return Start(
            name=plan.name,
            behaviour=plan.behaviour,
            folder=plan.folder,
            params=plan.params,
            seed=scenario.seed,
            episode=episode,
            incarnation=self.incarnation[agent],
            group=plan.group or "",
            observation=_fields(group.observation) if group else [],
            action=_fields(group.action) if group else [],
            every_ns=group.every_ns if group else 0,
            rounds=[
                r for r in self._rounds if plan.name == r["receiver"] or plan.name in r["senders"]
            ],
            saved=self._saved.get(agent),
            callbacks_max=scenario.limits.callbacks_per_instant_max,
            inbox_max=scenario.limits.inbox_messages_max,
            messages_per_second_max=scenario.limits.messages_per_second_max,
            cpu_seconds_max=scenario.limits.handler_cpu_ns / SECOND,
            budget=None if plan.budget is None else plan.budget.row,
        )


def _fields(space: Space) -> list[SpaceField]:
    return [
        (f.name, f.unit, f.low, f.high, f.size, f.default, f.choices, f.masks) for f in space.fields
    ]


def _plain(round_: Any) -> dict[str, Any]:
    return dataclasses.asdict(round_)
