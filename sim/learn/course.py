"""What the schedule of faults makes of an episode, worked out once: how links are from when on, who
is up, what happens to the world.

The broker's own boards say what a link is under a set of faults, so that a batch and a process
cannot differ in it. Faults that a batch does not have (`hang`, `slow`, `skew`, sensors, actuators,
lies) are the kernel's alone; see `missing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.faults import FaultBoard
from broker.in_force import InForce
from broker.network import Network
from sim.digest import Digest
from sim.prepare import Prepared
from sim.scenario.link import LinkSpec
from sim.scenario.schema import Fault

_NETWORK: Final = ("partition", "link", "noise")
_PEOPLE: Final = ("kill", "restart")
_WORLD: Final = "world"
_NOTHING: Final = ("broker", "heal")
_KNOWN: Final = frozenset((*_NETWORK, *_PEOPLE, _WORLD, *_NOTHING))


@dataclass(frozen=True)
class Era:
    """How the network is from an instant on, until the next era begins."""

    begins_ns: int
    network: Network
    board: FaultBoard

    def link(self, at: int, to: int) -> tuple[LinkSpec, bool]:
        """One hop: its parameters, and whether it is cut."""
        return self.network.link(at, to)

    def is_apart(self, source: int, target: int) -> bool:
        """Whether a partition lies between the two ends of a way."""
        sides = self.network.sides
        return bool(len(sides)) and bool((sides[:, source] * sides[:, target] < 0).any())


@dataclass(frozen=True)
class Presence:
    """When an agent is up. Shapes: times int64 [k], rising; is_up, started [k] from each on.

    restarts: when it starts anew, each with when it had gone.
    """

    times: NDArray[np.int64]
    is_up: NDArray[np.bool_]
    started: NDArray[np.int64]
    restarts: tuple[tuple[int, int], ...]

    def at(self, now: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Whether it is up, and since when it runs. Shapes: int64 [B] -> bool [B], int64 [B]."""
        place = np.searchsorted(self.times, now, side="right") - 1
        return self.is_up[place], self.started[place]


@dataclass(frozen=True)
class Course:
    """One episode's: eras of the network, presence of those who are ever killed, world events."""

    eras: tuple[Era, ...]
    presence: dict[str, Presence]
    events: tuple[Fault, ...]


def missing(prepared: Prepared) -> list[str]:
    """Kinds of scheduled faults that a batch does not have; see `rerouted` too."""
    return sorted({f.kind for f in _episode(prepared)} - _KNOWN)


def rerouted(prepared: Prepared) -> str:
    """Why the ways of messages change in an episode, in words; "" if they do not."""
    names = {plan.name for plan in prepared.plans}
    faults = _episode(prepared)
    if any(f.kind == "kill" and not names.issuperset(f.targets) for f in faults):
        return "a fault kills a relay"
    changes = ("partition", "link", *_PEOPLE)
    if prepared.table.routing != "fixed" and any(f.kind in changes for f in faults):
        return "messages go round what faults cut (network.routing: reroute)"
    return ""


def course_of(prepared: Prepared, is_ideal: bool = False) -> Course:
    """The course of an episode. is_ideal: the network is left alone."""
    schedule = list(_lifted(prepared))
    network = [f for f in schedule if f.kind in _NETWORK and not is_ideal]
    starts = sorted({0, *(f.time_ns for f in network)})
    eras = tuple(_era(prepared, t, [f for f in network if f.time_ns <= t]) for t in starts)
    struck = [f for f in schedule if f.kind in _PEOPLE]
    names = dict.fromkeys(name for f in struck for name in f.targets)
    presence = {name: _presence([f for f in struck if name in f.targets]) for name in names}
    return Course(eras, presence, tuple(f for f in schedule if f.kind == _WORLD))


def _episode(prepared: Prepared) -> list[Fault]:
    """The schedule of the first episode, which is that of every one."""
    return [f for f in prepared.faults if f.time_ns < prepared.scenario.duration_ns]


def _lifted(prepared: Prepared) -> Iterator[Fault]:
    """The schedule in order, with what a heal lifts in its place."""
    todo, in_force = sorted(_episode(prepared), key=lambda f: f.time_ns), InForce()
    for i, fault in enumerate(todo):
        in_force.see(fault)
        if fault.kind != "heal":
            yield fault
            continue
        for lift in in_force.lifts(fault.time_ns, todo[i + 1 :]):
            in_force.see(lift)
            yield lift


def _era(prepared: Prepared, begins_ns: int, faults: list[Fault]) -> Era:
    scenario, processing = prepared.scenario, [0] * len(prepared.plans)
    network = Network(prepared.table, processing, scenario.seed, Digest())
    board = FaultBoard(scenario, prepared.world, network, {})
    for fault in faults:
        board.switch(fault, 0)
    return Era(begins_ns, network, board)


def _presence(faults: list[Fault]) -> Presence:
    """From what kills and starts one agent, in order."""
    times, is_up, started, restarts, gone = [0], [True], [0], [], -1
    for fault in faults:
        is_kill = fault.kind == "kill" and fault.is_on
        since = started[-1] if is_kill else fault.time_ns
        if is_up[-1]:
            gone = fault.time_ns
        if not is_kill:
            restarts.append((fault.time_ns, gone))
        if fault.time_ns == times[-1]:
            times.pop()
            is_up.pop()
            started.pop()
        times.append(fault.time_ns)
        is_up.append(not is_kill)
        started.append(since)
    return Presence(np.array(times), np.array(is_up), np.array(started), tuple(restarts))
