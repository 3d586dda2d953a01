"""A run as onlookers see it: frames made of the kernel's state and of what its tape told.

Reads the kernel and changes nothing in it. Costs nothing between frames but the tape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from broker.delays import BINS, bins, quantiles
from broker.kernel import Kernel
from broker.ledger import REASONS
from broker.population import DOWN, ENDED, HUNG, UNPLAYED, UP, VENUE, Event
from broker.tape import Columns
from sim.spaces import Space
from sim.units import NEVER, format_ns
from sim.wire.live import (
    LIVE,
    ActiveFault,
    AgentCard,
    AgentColumns,
    Frame,
    Intro,
    Line,
    LinkMatrix,
    MetricCard,
)
from sim.wire.transport import HostInfo

ENDS_MAX: Final = 12
"""Agents above which the link matrix is one of roles."""
_OTHERS: Final = "others"
_STATES: Final = {
    UNPLAYED: "absent", DOWN: "down", UP: "up", HUNG: "hung", ENDED: "finished", VENUE: "up",
}  # fmt: skip
_DELIVERED: Final = 1
_LOST: Final = slice(2, 2 + len(REASONS))


def intro(kernel: Kernel, directory: str, speed: float, pid: int, started: str) -> Intro:
    """What does not change."""
    scenario, world, agents = kernel.scenario, kernel.world, kernel.agents
    return Intro(
        live=LIVE,
        scenario=scenario.name,
        seed=scenario.seed,
        directory=directory,
        pid=pid,
        started=started,
        duration_ns=scenario.duration_ns,
        episodes=scenario.episodes,
        dt_ns=world.dt_ns,
        speed=speed,
        agents=[
            AgentCard(p.name, p.group or "", p.behaviour, agents.host_of.get(p.index, -1))
            for p in agents.plans
        ],
        metrics=[
            MetricCard(name, m.unit, m.better, m.objective, m.help)
            for name, m in world.metrics().items()
        ],
        actions={g.name: _fields(g.action) for g in world.groups},
        observations={g.name: _fields(g.observation) for g in world.groups},
        events={e.name: list(e.targets) for e in world.events},
        scheduled=[(f.time_ns, f.text) for f in kernel.scheduled],
    )


def _fields(space: Space) -> list[tuple[str, str, int]]:
    return [(f.name, f.unit, f.size) for f in space.fields]


class Telemetry:
    """What onlookers are shown, kept up to date by `hear`; `frame` is a picture of now."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        agents = kernel.agents
        names = agents.names
        roles = [plan.group or _OTHERS for plan in agents.plans]
        is_few = len(names) <= ENDS_MAX
        self._ends = list(names) if is_few else list(dict.fromkeys(roles))
        place = {end: i for i, end in enumerate(self._ends)}
        relay = len(self._ends)
        self._end_of = np.array(
            [place[n if is_few else r] for n, r in zip(names, roles, strict=True)]
            + [relay] * (len(kernel.network.table.names) - len(names)),
            dtype=np.int64,
        )
        self._delays = np.zeros((len(self._ends) ** 2, BINS), dtype=np.int64)
        self._last_ns = np.full(len(names), -1, dtype=np.int64)
        self._accounts: NDArray[np.int64] = np.zeros((0, 2), dtype=np.int64)
        self._failed: dict[str, str] = {}
        self._failures_read = 0

    # --- what is heard --------------------------------------------------------------------------

    def hear(self, columns: Columns) -> None:
        """Takes what the tape told."""
        arrived = columns.arrived
        if not len(arrived["sequence"]):
            return
        np.maximum.at(self._last_ns, arrived["to"], arrived["arrival"])
        pair = self._end_of[arrived["sender"]] * len(self._ends) + self._end_of[arrived["to"]]
        delay = bins(arrived["arrival"] - arrived["sent"])
        np.add.at(self._delays.reshape(-1), pair * BINS + delay, 1)

    def _in_force(self) -> list[ActiveFault]:
        kernel = self._kernel
        return [
            ActiveFault(
                fault.id, fault.kind, fault.text, fault.time_ns, kernel.lifts_at(fault.id),
                fault.cause,
            )
            for fault in kernel.in_force.faults.values()
        ]  # fmt: skip

    def _read_failures(self) -> None:
        failures = self._kernel.agents.failures
        for failure in failures[self._failures_read :]:
            self._failed[failure.agent] = failure.error.partition("\n")[0]
        self._failures_read = len(failures)

    # --- what is shown --------------------------------------------------------------------------

    def frame(
        self,
        status: str,
        rates: tuple[float, float, float],
        wall_seconds: float,
        reference: tuple[dict[str, dict[str, float]], list[str]] = ({}, []),
        infos: Mapping[int, HostInfo] | None = None,
        text: str = "",
    ) -> Frame:
        """The run now. rates: virtual per real second now, possible, wanted.

        Cost: 1 to 3 ms for 30 agents and a drawn feeder.
        """
        kernel = self._kernel
        self._read_failures()
        speed, possible, wanted = rates
        return Frame(
            serial=0,
            now_ns=kernel.now,
            status=status,
            episode=kernel.episode,
            steps=kernel.steps,
            windows=kernel.windows,
            speed=speed,
            possible=possible,
            wanted=wanted,
            wall_seconds=wall_seconds,
            metrics={name: m.value for name, m in kernel.world.metrics().items()},
            reference=reference[0],
            whole=reference[1],
            scene=kernel.world.scene(),
            agents=self.agents(infos or {}),
            links=self.links(),
            faults=self._in_force(),
            books=kernel.network.totals(),
            digest=kernel.digest.chain.hex(),
            decisions=kernel.real_time_decisions,
            text=text,
        )

    def agents(self, infos: Mapping[int, HostInfo]) -> AgentColumns:
        """The agents now."""
        kernel, agents = self._kernel, self._kernel.agents
        n = len(agents.names)
        action: list[list[float]] = [[] for _ in range(n)]
        reward, score = [0.0] * n, [0.0] * n
        late, missing = [0] * n, [0] * n
        for group in kernel.world.groups:
            values, present = kernel.actions[group.name].in_force(kernel.now)
            seen = kernel.handover.seen(group.name)
            scores = kernel.handover.scores.get(group.name)
            places = [agents.index[name] for name in group.agents]
            columns: tuple[tuple[list[Any], list[Any] | None], ...] = (
                (action, [v if p else [] for v, p in zip(values.tolist(), present, strict=True)]),
                (reward, None if seen is None else seen[2].sum(axis=1).tolist()),
                (score, None if scores is None else scores.tolist()),
                (late, kernel.actions[group.name].late.tolist()),
                (missing, kernel.actions[group.name].missing.tolist()),
            )
            for column, told in columns:
                for i, value in zip(places, told or (), strict=told is not None):
                    column[i] = value
        sent, received = self._per_agent(n)
        last = self._last_ns
        hosts = [agents.host_of.get(i, -1) for i in range(n)]
        found = [None if agents.is_dead(host) else infos.get(host) for host in hosts]
        return AgentColumns(
            state=self._states(),
            action=action,
            reward=reward,
            score=score,
            sent=sent,
            received=received,
            age_ns=np.where(last < 0, -1, kernel.now - last).tolist(),
            late=late,
            missing=missing,
            restarts=[max(i - kernel.episode - 1, 0) for i in agents.incarnation],
            pid=[info.pid if info else 0 for info in found],
            rss_bytes=[info.rss_bytes if info else 0 for info in found],
            cpu_seconds=[info.cpu_seconds if info else 0.0 for info in found],
            note=self._notes(),
        )

    def _states(self) -> list[str]:
        agents = self._kernel.agents
        named = [_STATES[state] for state in agents.state.tolist()]
        for i in agents.finished:
            named[i] = "finished"
        for name in self._failed:
            i = agents.index[name]
            if named[i] in ("finished", "down"):
                named[i] = "failed"
        return named

    def _notes(self) -> list[str]:
        agents, killed = self._kernel.agents, self._kernel.in_force.killed
        notes = []
        for i, (name, state) in enumerate(zip(agents.names, agents.state.tolist(), strict=True)):
            note = ""
            if state in (DOWN, ENDED):
                note = self._failed.get(name, "killed" if name in killed else "")
                starts = agents.starts_at(i)
                if starts < NEVER:
                    note = f"{note}; starts at {format_ns(starts)}".lstrip("; ")
            elif state == HUNG:
                note = "stopped"
            notes.append(note)
        return notes

    def _map_accounts(self) -> NDArray[np.int64]:
        """Node numbers of the ends of every account. Shapes: [accounts, 2]."""
        ledger, table = self._kernel.network.ledger, self._kernel.network.table
        known = len(self._accounts)
        if len(ledger.names) > known:
            index = {name: i for i, name in enumerate(table.names)}
            more = [(index[a], index[b]) for a, b, _ in ledger.names[known:]]
            self._accounts = np.concatenate((self._accounts, np.array(more, dtype=np.int64)))
        return self._accounts

    def _per_agent(self, n: int) -> tuple[list[int], list[int]]:
        ends, counts = self._map_accounts(), self._kernel.network.ledger.counts
        sent = np.bincount(ends[:, 0], counts[:, 0], minlength=n)[:n]
        received = np.bincount(ends[:, 1], counts[:, _DELIVERED], minlength=n)[:n]
        return sent.astype(np.int64).tolist(), received.astype(np.int64).tolist()

    def links(self) -> LinkMatrix:
        """Messages between ends, since the start."""
        kernel, size = self._kernel, len(self._ends)
        ends, counts = self._map_accounts(), kernel.network.ledger.counts
        pair = self._end_of[ends[:, 0]] * size + self._end_of[ends[:, 1]]

        def square(values: NDArray[Any]) -> list[list[int]]:
            total = np.bincount(pair, values, minlength=size * size)[: size * size]
            return total.astype(np.int64).reshape(size, size).tolist()

        is_cut = np.zeros(size * size, dtype=bool)
        for sides in kernel.network.sides:
            ends_of_agents = self._end_of[: len(kernel.agents.names)]
            first, second = (
                np.unique(ends_of_agents[sides[: len(ends_of_agents)] == side]) for side in (1, -1)
            )
            is_cut[(first[:, None] * size + second).ravel()] = True
            is_cut[(second[:, None] * size + first).ravel()] = True
        p50, p95, p99 = quantiles(self._delays, (0.5, 0.95, 0.99))
        lost = counts[:, _LOST]
        return LinkMatrix(
            ends=self._ends,
            sent=square(counts[:, 0]),
            delivered=square(counts[:, _DELIVERED]),
            lost=square(counts[:, _LOST].sum(axis=1)),
            p50_ns=p50.reshape(size, size).tolist(),
            p95_ns=p95.reshape(size, size).tolist(),
            p99_ns=p99.reshape(size, size).tolist(),
            delivered_bytes=square(kernel.network.ledger.arrived_bytes),
            reasons={
                reason: square(lost[:, i]) for i, reason in enumerate(REASONS) if lost[:, i].any()
            },
            is_cut=is_cut.reshape(size, size).tolist(),
        )


def lines(events: Sequence[Event], first: int) -> list[Line]:
    """Events as numbered lines."""
    return [
        Line(first + i, e.time_ns, e.kind, e.agent, e.text, e.cause) for i, e in enumerate(events)
    ]
