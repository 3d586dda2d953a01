"""The kernel: virtual time, windows, the order of things. Pure: no socket, no asyncio, no clock.

A conservative parallel discrete-event simulation (Chandy and Misra 1979, Bryant 1977; windows as in
YAWNS, Nicol 1993). A window [now, until) ends at the earliest of lookahead, next world step, next
fault and the digest's grid, so that whatever is sent inside it arrives after it, and all hosts with
work can run it at once. `open` says which hosts run and what they get; `accept` takes what each
did; `close` moves the consequences into the network.

At one instant: faults, world step, observations, then (in the agents) messages in key order,
timers, ready callbacks. The key (time, round, agent, number) is fixed before anything random or
shared happens.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from broker.actions import Actions, take_actions
from broker.faults import FaultBoard, fault_bytes
from broker.gate import check_done
from broker.handover import Handover
from broker.in_force import InForce
from broker.medium import Medium
from broker.network import Network
from broker.population import DOWN, ENDED, HUNG, UNPLAYED, UP, Agents, Event, Order
from broker.supervision import Supervisor
from broker.venues import Venues
from sim.digest import Digest
from sim.errors import AgentError, InvariantError, WireError
from sim.limits import ROUNDS_PER_INSTANT_MAX
from sim.scenario.roster import AgentPlan
from sim.scenario.schema import Fault, Scenario
from sim.scenario.topology import LinkTable, uses_radio
from sim.units import NEVER, SECOND, format_ns
from sim.wire.messages import (
    FAILED,
    FINISHED,
    OVERDUE,
    Act,
    Activation,
    Done,
    Send,
    Work,
    Yield,
)
from sim.worlds.world import World, positions_of

_STEP: Final = struct.Struct("<q")
_COLLECT_EVERY_STEPS: Final = 256
"""World steps between garbage collections in the hosts, always at the same virtual instants."""


class Kernel:
    """One run. `status` is "running", then "completed" or "failed"."""

    def __init__(
        self,
        scenario: Scenario,
        world: World,
        plans: Sequence[AgentPlan],
        table: LinkTable,
        faults: Sequence[Fault] = (),
        agents_per_host: int = 1,
        is_eager: bool = False,
        episode: int = 0,
    ) -> None:
        """episode: the number of the first one, by which everything random is keyed."""
        self.scenario = scenario
        self.world = world
        self.digest = Digest()
        self.network = Network(table, [p.processing_ns for p in plans], scenario.seed, self.digest)
        self.agents = Agents(scenario, world, plans, agents_per_host)
        self.actions = {g.name: Actions(g, _answers_in_period(world, g.name)) for g in world.groups}
        self.board = FaultBoard(scenario, world, self.network, self.actions)
        self.handover = Handover(world, self.agents, self.network, self.board, is_eager)
        self.venues = Venues(world, self.agents.names, self.network.topics)
        self.now = 0
        self.until = 0
        self.status = "running"
        self.error: AgentError | None = None
        self.episode = episode
        self.steps = 0
        self.windows = 0
        self.activations = 0
        self.real_time_decisions = 0
        self.events: deque[Event] = deque(maxlen=100_000)
        self.supervisor = Supervisor(
            scenario.supervision, self.agents, self.network, self.handover, self.events
        )
        self.faults_applied: list[Fault] = []
        self.in_force = InForce()
        self._faults = deque(sorted(faults, key=lambda f: f.time_ns))
        self._has_radio = uses_radio(table, faults)
        self._is_eager = is_eager
        self._table_floor = table.lookahead()[0]
        self._episode_began = 0
        self._next_step = 0
        self._next_grid = 0
        self._round = 0
        self._awaited: dict[int, list[int]] = {}
        self._reports: list[Done] = []
        self._verbs: list[tuple[int, int, int, Act]] = []
        shared = scenario.network.medium
        if shared is not None:
            members = np.array([name in shared.members for name in table.names])
            self.network.medium = Medium(shared.slot_ns, members)
        self.network.begin_episode(episode)
        self.board.begin_episode(episode)
        world.reset(scenario.seed, episode)
        self.agents.start_all(episode)

    # --- the window -----------------------------------------------------------------------------

    @property
    def horizon(self) -> int:
        """When the present episode ends."""
        return self._episode_began + self.scenario.duration_ns

    @property
    def lookahead(self) -> int:
        """The smallest latency floor of one hop, as links are now."""
        return min(self._table_floor, self.board.floor_ns)

    def next_instant(self) -> int:
        """When the next thing happens."""
        agents = self.agents
        return min(
            agents.next_wake,
            self.network.next_arrival if self._is_eager else self.network.next_wake(agents.awaits),
            self._next_step,
            self._faults[0].time_ns if self._faults else NEVER,
            self._next_grid if agents.ending else NEVER,
            self.horizon,
        )

    def open(self) -> Iterator[tuple[int, Activation]]:
        """Begins the next window: the hosts that run in it, with what they get.

        Each activation is made as it is taken, so that a host can begin while the next is made;
        all must be taken before the first answer is accepted.

        Raises: AgentError if agents keep sending at one instant over links without latency.
        """
        instant = self.next_instant()
        self._count_round(instant)
        self._reports = []
        self._fold(instant)
        self.now = instant
        self.network.routes.learn(instant)
        if self.status != "running":
            return iter(())
        if instant < self.horizon:
            self._strike(instant)
        if self._verbs:
            self._apply_verbs(instant)
        if instant >= self._next_step:
            self._step(instant)
        if instant >= self.horizon or self.world.is_terminated:
            self._end_episode(instant)
            if self.status != "running":
                return iter(())
        self.until = min(
            instant + max(self.lookahead, 1),
            self._next_step,
            self._faults[0].time_ns if self._faults else NEVER,
            self._next_grid,
            self.agents.next_start,
            self.network.routes.next_change,
            self.horizon,
        )
        self._settle(self.until)
        self.windows += 1
        return self._hand_over(self.steps // _COLLECT_EVERY_STEPS)

    def _hand_over(self, collect: int) -> Iterator[tuple[int, Activation]]:
        for host, activation in self.handover.activations(
            self.windows - 1, self.now, self.until, collect
        ):
            self._awaited[host] = [work.agent for work in activation.work]
            self.activations += 1
            yield host, activation

    def accept(self, host: int, report: Yield) -> None:
        """Takes what a host did in this window.

        Raises: WireError if it answers for another window, for agents that were not asked, or with
                something no honest host would send.
        """
        agents = self._awaited.pop(host, None)
        if agents is None or report.serial != self.windows - 1:
            raise WireError(f"host {host}: an answer nobody asked for")
        if [d.agent for d in report.done] != agents:
            raise WireError(f"host {host}: an answer for other agents than were asked")
        for done in report.done:
            check_done(done, self.now, self.until, self.agents, self.actions)
        # How far a handler came that was stopped by the clock is nobody's to repeat.
        self._reports.extend(
            Done(d.agent, NEVER, OVERDUE, logs=d.logs, error=d.error, failed_at=self.now)
            if d.state == OVERDUE
            else d
            for d in report.done
        )

    def lose(self, host: int, cause: str) -> None:
        """A host's process ended by itself: its agents fail now. A decision from real time."""
        self._awaited.pop(host, None)
        self.agents.lose_host(host)
        self.real_time_decisions += 1
        for agent in self.agents.of_host(host):
            if self.agents.state[agent] in (UP, HUNG):
                reason, _, frames = cause.partition("\n")
                error = f"process ended ({reason})\n{frames}".rstrip()
                self.supervisor.fail(agent, self.now, error)

    def close(self) -> None:
        """Ends the window: subscriptions, messages and actions take their course.

        Raises: InvariantError if a host has not answered.
        """
        if self._awaited:
            raise InvariantError(f"window closed without hosts {sorted(self._awaited)}")
        sends = self.venues.sends()
        subscribes: list[tuple[int, int, str, bool]] = []
        reports = sorted(self._reports, key=lambda d: d.agent)
        self.agents.report(reports, self.network)
        pace = self.network.pace
        self._verbs += take_actions(reports, self.agents.plans, pace, self.actions)
        for done in reports:
            agent = done.agent
            for number, send in enumerate(done.sends):
                sends.append((send.time, agent, number, send))
            if done.subscribes:
                subscribes.extend((t, agent, topic, on) for t, topic, on in done.subscribes)
            for time, level, text in done.logs:
                self.events.append(Event(time, level, self.agents.names[agent], text))
            if self.agents.state[agent] == ENDED:
                self.agents.timer[agent] = NEVER  # its process died after it had yielded
            elif done.state >= FAILED:
                self.real_time_decisions += done.state == OVERDUE
                self.supervisor.fail(agent, done.failed_at, done.error)
            elif done.state == FINISHED:
                self.supervisor.finish(agent, done.failed_at)
        sends.sort(key=lambda s: s[:3])
        self._transmit(self.board.byzantine.pass_on(sends), subscribes)
        self.agents.widen(len(self.network.topics))

    def _transmit(
        self,
        sends: list[tuple[int, int, int, Send]],
        subscribes: list[tuple[int, int, str, bool]],
    ) -> None:
        """Messages in key order; at one instant subscriptions count before messages."""
        at = 0
        for time, agent, topic, is_on in sorted(subscribes) if subscribes else ():
            ready = at
            while ready < len(sends) and sends[ready][0] < time:
                ready += 1
            if ready > at:
                self.network.send([(s[0], s[1], s[3]) for s in sends[at:ready]], time)
                at = ready
            self.network.subscribe(agent, topic, is_on)
        self.network.send([(s[0], s[1], s[3]) for s in sends[at:]], self.until)

    def _count_round(self, instant: int) -> None:
        self._round = self._round + 1 if instant == self.now and self.windows else 0
        if self._round > ROUNDS_PER_INSTANT_MAX:
            names = [self.agents.names[d.agent] for d in self._reports if d.sends]
            raise AgentError(
                f"more than {ROUNDS_PER_INSTANT_MAX} rounds of messages at {format_ns(instant)} "
                f"among {', '.join(names[:6])}: a cycle over links without latency. Give the links "
                "a latency, or break the cycle"
            )

    # --- world, actions -------------------------------------------------------------------------

    def _step(self, instant: int) -> None:
        """Advances the world to `instant`, and observes where a decision is due."""
        world, began = self.world, self._episode_began
        if instant > began:
            self.venues.check(instant, self.agents.state, self.network)
            acted = {n: a.at(instant - world.dt_ns) for n, a in self.actions.items()}
            world.advance(
                {n: values for n, (values, _) in acted.items()},
                {n: present for n, (_, present) in acted.items()},
            )
            self.digest.add("world", _STEP.pack(instant), world.state_bytes())
            self.steps += 1
            self.handover.reward(world.rewards())
        self.venues.listen(instant)
        if self._has_radio:
            self.network.locate(positions_of(world))
        self._next_step = instant + world.dt_ns
        due = [g for g in world.groups if (instant - began) % g.every_ns == 0]
        if due and instant < self.horizon:
            self.handover.observe(instant, due, world.observe())
            for group in due:
                self.actions[group.name].expect(instant, self.agents.is_played(group.name))

    def _apply_verbs(self, before: int) -> None:
        """Verbs due before an instant, in key order; one that the world refuses fails its agent."""
        due = sorted((v for v in self._verbs if v[0] < before), key=lambda v: v[:3])
        self._verbs = [v for v in self._verbs if v[0] >= before]
        for time, agent, _, act in due:
            try:
                self.world.apply(time, self.agents.names[agent], act.verb, act.body)
            except ValueError as error:
                if self.agents.state[agent] in (UP, HUNG):
                    self.supervisor.fail(agent, time, str(error))

    # --- the digest's grid ----------------------------------------------------------------------

    def _settle(self, until: int) -> None:
        """Delivers what arrives before `until` into the mailboxes kept here."""
        rows, bodies = self.network.deliver(until, self.agents.is_reachable)
        if len(rows):
            if self.board.has_noise:
                bodies = self.board.disturb(rows, bodies)
            self.handover.keep(*self.venues.take(rows, bodies))

    def _fold(self, instant: int) -> None:
        """Folds the digest at each grid point up to `instant` before which something happened."""
        while self._next_grid <= instant:
            grid = self._next_grid
            self._settle(grid)
            if self.digest.is_dirty:
                self.digest.fold(grid)
            self._take_down(grid)
            busy = max(min(self.network.next_arrival, instant), grid)
            self._next_grid = min(_after(busy, SECOND), _after(busy, self.world.dt_ns))

    # --- faults and failures --------------------------------------------------------------------

    @property
    def next_gap(self) -> int:
        """The next instant between windows: the earliest at which a live fault can strike."""
        return max(self.until, self.now)

    def inject(self, faults: Iterable[Fault]) -> None:
        """Schedules live faults, none of them before `next_gap`, after those of the same instant.

        Raises: InvariantError for one that comes too late.
        """
        added = list(faults)
        if any(f.time_ns < self.next_gap for f in added):
            raise InvariantError(f"a live fault before {self.next_gap} ns: {added}")
        self._has_radio = self._has_radio or uses_radio(self.network.table, added)
        self._faults = deque(sorted([*self._faults, *added], key=lambda f: f.time_ns))

    @property
    def scheduled(self) -> tuple[Fault, ...]:
        """What is still to come, in order."""
        return tuple(self._faults)

    def lifts_at(self, fault_id: int) -> int:
        """When a fault ends that is in force; -1 if that is not planned."""
        return next((f.time_ns for f in self._faults if f.id == fault_id), -1)

    def _strike(self, instant: int) -> None:
        """Brings up the agents whose start has come, then applies the faults that are due."""
        self._start_due(instant)
        if self._faults and self._faults[0].time_ns <= instant:
            self._settle(instant)
            while self._faults and self._faults[0].time_ns <= instant:
                self._apply(self._faults.popleft())
            self._start_due(instant)
        self._see_down(instant)

    def _see_down(self, now: int) -> None:
        """Who is down passes nothing on, where messages may go another way."""
        if not self.network.routes.is_fixed:
            state = self.agents.state
            self.network.take_down(slice(len(state)), state == DOWN, now)

    def _start_due(self, instant: int) -> None:
        for host in self.agents.start_due(instant):
            self.handover.renew(host)

    def _apply(self, fault: Fault) -> None:
        if fault.kind == "broker":  # leaves no trace: a run that is resumed was never disturbed
            self.agents.orders.append(Order("die", -1))
            return
        self.digest.add("faults", fault_bytes(fault))
        self.faults_applied.append(fault)
        self.events.append(Event(fault.time_ns, "fault", "", fault.text, fault.cause))
        self.in_force.see(fault)
        agents = self.agents
        if fault.kind == "heal":
            for lift in self.in_force.lifts(fault.time_ns, self._faults):
                self._apply(lift)
        elif fault.kind == "world":
            for target in fault.targets:
                self.world.inject(fault.event, target, fault.is_on)
        elif fault.kind not in ("kill", "restart", "hang"):
            self.board.switch(fault, self._next_step - self.world.dt_ns)
        else:
            for name in fault.targets:
                if name not in agents.index:
                    relay = self.network.table.names.index(name)
                    self.network.take_down(relay, fault.kind == "kill", fault.time_ns)
                    continue
                agent = agents.index[name]
                if agents.state[agent] == UNPLAYED:
                    continue
                if agent in agents.venues:
                    agents.open_venue(agent, fault.kind == "restart" or not fault.is_on)
                    continue
                if fault.kind == "hang":
                    agents.hang(agent, fault.is_on)
                elif fault.kind == "kill" and fault.is_on:
                    self.supervisor.kill(agent)
                else:
                    self.supervisor.kill(agent)
                    agents.start(agent, fault.time_ns, self.episode)

    def _take_down(self, grid: int) -> None:
        """Agents that ended leave; if one of them may not be missed, the run has failed."""
        error = self.supervisor.take_down(grid, self.episode)
        self._see_down(grid)
        if error is not None and self.status == "running":
            self.status, self.error = "failed", error

    # --- episodes -------------------------------------------------------------------------------

    def _end_episode(self, instant: int) -> None:
        """The last things of an episode, then the first of the next: its faults, its sight."""
        self._settle(instant)
        self._take_down(instant)
        if self.status != "running":
            return
        if self.episode + 1 >= self.scenario.episodes:
            self.status = "completed"
            self.digest.fold(instant)
            return
        self._reschedule(self.horizon, instant)
        self.episode += 1
        self.network.begin_episode(self.episode, instant)
        self.board.begin_episode(self.episode)
        self.in_force.clear()
        self.handover.clear()
        self.venues.begin_episode(instant)
        self._verbs.clear()
        self._episode_began = self._next_step = instant
        for actions in self.actions.values():
            actions.reset()
        self.world.reset(self.scenario.seed, self.episode)
        self.agents.start_all(self.episode, instant)
        self._strike(instant)
        self._step(instant)

    def last_work(self, agents: Sequence[int]) -> list[Work]:
        """What agents that are up would have been given at the instant at which the last episode
        ended: observation and messages. The digest and the books of the run are closed by then.
        """
        self._settle(self.now + 1)
        self.handover.observe(self.now, self.world.groups, self.world.observe())
        runs = np.zeros(len(self.agents.names), dtype=np.bool_)
        runs[list(agents)] = True
        return list(self.handover.works(runs & self.agents.is_up, self.now))

    def _reschedule(self, planned: int, instant: int) -> None:
        """Faults of an episode that ended before it was planned to come no more; those of later
        ones come that much sooner.
        """
        replace = msgspec.structs.replace
        self._faults = deque(
            replace(f, time_ns=f.time_ns - planned + instant)
            for f in self._faults
            if f.time_ns >= planned
        )

    @property
    def orders(self) -> list[Order]:
        """What the shell must do to processes, in order; taken once."""
        orders, self.agents.orders = self.agents.orders, []
        return orders


def _after(instant: int, period: int) -> int:
    """The first multiple of `period` later than `instant`."""
    return (instant // period + 1) * period


def _answers_in_period(world: World, group: str) -> bool:
    """Whether members must act at once on what they see; who collects a round acts at its end."""
    (found,) = (g for g in world.groups if g.name == group)
    collects = any(r.receiver in found.agents for r in world.rounds)
    return found.must_act and found.action.size > 0 and not collects
