"""What agents get in a window: kept messages, the latest observation, and who must run at all.

A message that nobody awaits wakes nobody. It is kept here and handed over, with its true time of
arrival and in order, when its receiver next runs: observably the same, and several times cheaper.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from broker.faults import FaultBoard
from broker.joint import Joint
from broker.network import Bodies, Network, Rows, _no_rows
from broker.population import UNPLAYED, Agents
from sim.limits import KEPT_BYTES_MAX
from sim.wire.messages import DELIVERY_DTYPE, Activation, Observed, Work
from sim.worlds.world import Array, Group, World

_KEPT_MAX = 100_000
"""Kept messages above which their receivers run just to take them."""


class Handover:
    """Mailboxes and observations on their way to hosts."""

    def __init__(
        self, world: World, agents: Agents, network: Network, board: FaultBoard, is_eager: bool
    ) -> None:
        self._agents = agents
        self._network = network
        self._board = board
        self._is_eager = is_eager
        self._rows, self._bodies = _no_rows()
        self._known_topics = [0] * len(agents.hosts)
        self._collected = [0] * len(agents.hosts)
        self._is_new = [True] * len(agents.hosts)
        n = len(agents.names)
        self._is_unseen = np.zeros(n, dtype=np.bool_)
        self._missed = np.zeros(n, dtype=np.int64)
        self._lost = np.zeros(n, dtype=np.int64)
        self._older: dict[int, Observed] = {}
        self._seen: dict[str, tuple[int, bytes, int, bytes, int]] = {}
        self._rewards: dict[str, Array] = {}
        self.scores: dict[str, Array] = {}
        self._privileged = [p.index for p in agents.plans if p.is_privileged]
        self._joint = Joint(world)
        self._members: dict[str, NDArray[np.int64]] = {
            g.name: np.array([agents.index[a] for a in g.agents], dtype=np.int64)
            for g in world.groups
        }

    def keep(self, rows: Rows, bodies: Bodies) -> None:
        """Takes messages that reached their receivers, in order of arrival."""
        if len(self._rows):
            rows = np.concatenate((self._rows, rows))
            bodies = np.concatenate((self._bodies, bodies))
        self._rows, self._bodies = rows, bodies

    def forget(self, agent: int) -> None:
        """Throws away what was kept for an agent that is no more."""
        self._is_unseen[agent] = False
        self._missed[agent] = self._lost[agent] = 0
        self._older.pop(agent, None)
        if len(self._rows):
            others = self._rows["to"] != agent
            self._rows, self._bodies = self._rows[others], self._bodies[others]

    def clear(self) -> None:
        """Throws everything away, at the end of an episode."""
        self._rows, self._bodies = _no_rows()
        self._is_unseen[:] = False
        self._missed[:] = self._lost[:] = 0
        self._older.clear()
        self._seen.clear()
        self._rewards.clear()
        self._joint.clear()

    def renew(self, host: int) -> None:
        """A host's process is a new one: it knows nothing yet."""
        self._known_topics[host] = 0
        self._is_new[host] = True

    # --- observations ---------------------------------------------------------------------------

    def reward(self, rewards: Mapping[str, Array]) -> None:
        """Adds the rewards of one step to those since the last decision."""
        if self._privileged:
            self._joint.reward(rewards)
        for group, values in rewards.items():
            self.scores[group] = self.scores.get(group, 0.0) + values.sum(axis=1)
            before = self._rewards.get(group)
            self._rewards[group] = values if before is None else before + values

    def observe(self, instant: int, groups: Sequence[Group], observed: Mapping[str, Array]) -> None:
        """New observations; those not yet handed over are replaced and counted as missed.

        One that a sensor loses replaces nothing, and counts as missed by the next that comes.
        """
        for group in groups:
            name, members = group.name, self._members[group.name]
            values, lost = self._read(group, instant, observed[name])
            if lost is not None:
                members = self._lose(members, lost)
            self._missed[members] += self._is_unseen[members] + self._lost[members]
            self._lost[members] = 0
            self._is_unseen[members] = self._agents.state[members] != UNPLAYED
            for agent in members.tolist() if self._older else ():
                self._older.pop(agent, None)
            rewards = self._rewards.pop(name, None)
            if rewards is None:
                rewards = np.zeros((len(values), 0))
            self._seen[name] = (
                instant,
                values.tobytes(),
                8 * values.shape[1],
                rewards.tobytes(),
                8 * rewards.shape[1],
            )
        if self._privileged:
            self._joint.observe(instant)
            self._missed[self._privileged] += self._is_unseen[self._privileged]
            self._is_unseen[self._privileged] = True

    def seen(self, group: str) -> tuple[int, Array, Array] | None:
        """For onlookers: instant, observations and rewards of the last decision, if there was one.

        Shapes: [n, size], [n, components].
        """
        if group not in self._seen:
            return None
        instant, values, size, rewards, rewards_size = self._seen[group]
        n = len(self._members[group])
        return (
            instant,
            np.frombuffer(values).reshape(n, size // 8),
            np.frombuffer(rewards).reshape(n, rewards_size // 8),
        )

    def _read(
        self, group: Group, instant: int, values: Array
    ) -> tuple[Array, NDArray[np.bool_] | None]:
        """What the group's sensors report, and whose report is lost. Shapes: [n, k], bool [n]."""
        seen = self._seen.get(group.name)
        values = np.ascontiguousarray(values, dtype=np.float64)
        before = None if seen is None else np.frombuffer(seen[1]).reshape(values.shape)
        return self._board.sensors.read(group, instant, values, before)

    def _lose(self, members: NDArray[np.int64], lost: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Counts what is lost, keeps what those still have to see, and returns the others."""
        for agent in members[lost & self._is_unseen[members]].tolist():
            self._older.setdefault(agent, self._observed(agent))
        self._lost[members[lost]] += 1
        return members[~lost]

    def _observed(self, agent: int, missed: int = 0) -> Observed:
        """The latest observation of an agent's slot."""
        plan = self._agents.plans[agent]
        if plan.is_privileged:
            return msgspec.structs.replace(self._joint.observed, missed=missed)
        time, values, size, rewards, rewards_size = self._seen[plan.group or ""]
        slot = plan.slot or 0
        seen = values[slot * size : (slot + 1) * size]
        gained = rewards[slot * rewards_size : (slot + 1) * rewards_size]
        return Observed(time, missed, seen, gained)

    def _take_observations(self, running: NDArray[np.int64]) -> list[Observed | None]:
        """For each of the agents, the latest observation if it has not seen it."""
        unseen = self._is_unseen[running]
        if not unseen.any():
            return [None] * len(running)
        self._is_unseen[running] = False
        missed = self._missed[running].tolist()
        self._missed[running] = 0
        found: list[Observed | None] = []
        for agent, is_new, skipped in zip(running.tolist(), unseen.tolist(), missed, strict=True):
            if not is_new:
                found.append(None)
            elif agent in self._older:
                older = self._older.pop(agent)
                found.append(msgspec.structs.replace(older, missed=skipped))
            else:
                found.append(self._observed(agent, skipped))
        return found

    # --- activations ----------------------------------------------------------------------------

    def _who_runs(self, until: int) -> NDArray[np.bool_]:
        agents, rows = self._agents, self._rows
        runs = (agents.timer < until) | agents.must_run
        runs |= self._is_unseen & (agents.awaits_observation | self._is_eager)
        if len(rows):
            if self._is_eager or len(rows) > _KEPT_MAX or rows["length"].sum() > KEPT_BYTES_MAX:
                runs[rows["to"]] = True
            else:
                runs[rows["to"][agents.awaits[rows["to"], rows["topic"]]]] = True
        return runs & agents.is_up

    def activations(
        self, serial: int, now: int, until: int, collect: int
    ) -> Iterator[tuple[int, Activation]]:
        """The window's activations, by host, each made as it is taken."""
        agents = self._agents
        runs = self._who_runs(until)
        if not runs.any():
            return
        for host, work in itertools.groupby(
            self.works(runs, now), key=lambda each: agents.host_of[each.agent]
        ):
            yield host, self._activation(host, serial, now, until, collect, list(work))

    def works(self, runs: NDArray[np.bool_], now: int) -> Iterator[Work]:
        """What the agents that run are given, by host and agent. Shapes: bool [agents]."""
        agents = self._agents
        running = np.flatnonzero(runs)
        running = running[np.argsort(agents.place[running])]
        bounds, wire, bodies = self._take_rows(runs, running)
        seen = self._take_observations(running)
        for i, agent in enumerate(running.tolist()):
            low, high = bounds[i], bounds[i + 1]
            packed = wire[low:high].tobytes() if high > low else b""
            joined = b"".join(bodies[low:high]) if high > low else b""
            start = agents.take_start(agent)
            clock = self._board.clocks.tell(agent, start is not None)
            yield Work(agent, now, packed, joined, seen[i], start, clock)

    def _take_rows(
        self, runs: NDArray[np.bool_], running: NDArray[np.int64]
    ) -> tuple[list[int], NDArray[np.void], list[bytes]]:
        """Kept messages of the agents that run, grouped by them, in order of arrival."""
        if not len(self._rows):
            return [0] * (len(running) + 1), np.zeros(0, dtype=DELIVERY_DTYPE), []
        chosen = runs[self._rows["to"]]
        if chosen.all():
            rows, bodies = self._rows, self._bodies
            self._rows, self._bodies = _no_rows()
        else:
            rows, bodies = self._rows[chosen], self._bodies[chosen]
            self._rows, self._bodies = self._rows[~chosen], self._bodies[~chosen]
        places = self._agents.place[rows["to"]]
        order = np.argsort(places, kind="stable")
        rows = rows[order]
        wire = np.empty(len(rows), dtype=DELIVERY_DTYPE)
        for name in DELIVERY_DTYPE.names or ():
            wire[name] = rows[name]
        bounds = np.searchsorted(places[order], self._agents.place[running]).tolist()
        return [*bounds, len(rows)], wire, bodies[order].tolist()

    def _activation(
        self, host: int, serial: int, now: int, until: int, collect: int, work: list[Work]
    ) -> Activation:
        agents = self._agents
        topics = self._network.topics[self._known_topics[host] :]
        self._known_topics[host] += len(topics)
        roster = agents.names if self._is_new[host] else []
        self._is_new[host] = False
        is_due, self._collected[host] = collect > self._collected[host], collect
        started = {w.agent for w in work if w.start is not None}
        discard = [a for a in agents.discards.pop(host, []) if a not in started]
        return Activation(serial, now, until, work, topics, roster, discard, is_due)
