"""Which way messages go: as the topology says, or round what is cut or down once that is noticed.

With `routing: reroute` everybody goes by what was so `detection` ago: a shortest way without links
that are cut (by a partition, or by faults that make them lose everything), and not over nodes that
are down. Absent on purpose: protocols that find ways, nodes that know different things, and links'
own timetables of outages, which nobody goes round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sim.scenario.link import LinkSpec
from sim.scenario.topology import LinkTable
from sim.units import NEVER

Overlay = Callable[[int, int, LinkSpec], LinkSpec]
IsCut = Callable[[int, int], bool]


@dataclass(frozen=True)
class Condition:
    """How the network is. overlay, is_cut: as `Network.degrade` takes them. down: nodes."""

    overlay: Overlay = lambda at, to, spec: spec
    is_cut: IsCut = lambda at, to: False
    down: frozenset[int] = frozenset()
    is_whole: bool = True


class Routes:
    """The next hop of every message.

    version: counts how often ways may have changed.
    """

    def __init__(self, table: LinkTable) -> None:
        self.version = 0
        self.is_fixed = table.routing == "fixed"
        self._table = table
        self._known = Condition()
        self._news: deque[tuple[int, Condition]] = deque()
        self._ways: dict[int, list[int]] = {}

    def see(self, condition: Condition, now: int) -> None:
        """The network has changed; ways do so after the time of detection."""
        if not self.is_fixed:
            self._news.append((now + self._table.detection_ns, condition))
            self.learn(now)

    @property
    def next_change(self) -> int:
        """When ways may change next."""
        return self._news[0][0] if self._news else NEVER

    def learn(self, now: int) -> None:
        """Ways follow from what has been noticed until `now`."""
        while self.next_change <= now:
            _, self._known = self._news.popleft()
            self._ways.clear()
            self.version += 1

    def reset(self) -> None:
        """Everything is whole, and everybody knows."""
        self._news.clear()
        self._known = Condition()
        self._ways.clear()
        self.version += 1

    def next_hop(self, at: int, dest: int) -> int:
        """The node a message at `at` goes to next; -1 if there is no way, as is known now."""
        if self._known.is_whole or at == dest:
            return self._table.next_hop(at, dest)
        if self._table.has_link(at, dest) and self._is_open(at, dest):
            return dest
        if dest not in self._ways:
            self._ways[dest] = self._table.ways_to(
                dest, lambda a, b: (b == dest or b not in self._known.down) and self._is_open(a, b)
            )
        return self._ways[dest][at]

    def _is_open(self, at: int, to: int) -> bool:
        known, spec = self._known, self._table.spec_of(at, to)
        if spec is None or known.is_cut(at, to):
            return False
        lost = known.overlay(at, to, spec).loss_probability
        return lost < 1.0 or spec.loss_probability >= 1.0
