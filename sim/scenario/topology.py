"""Which nodes are linked, by what, and which way a message goes.

Nodes that the same entries of `network.links` match are one class, and a link's spec depends on the
classes of its two ends alone. So a complete network of a thousand agents (a million links) is a
small table, and equal links share one `LinkSpec`. Routes are found when they are first asked for.
Absent on purpose: faults. The kernel lays them over a spec with `replace_link`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import msgspec
import networkx as nx
import numpy as np
from numpy.typing import NDArray

from sim.errors import InvariantError, TopologyError, UnknownKeyError
from sim.ids import did_you_mean, matching
from sim.scenario.link import LinkSpec, LinkValues
from sim.scenario.radio import NO_RADIO
from sim.scenario.schema import Fault, NetworkSpec
from sim.units import NEVER, duration_text

Indices = NDArray[np.int64]
_WILD = frozenset("*?[")
_ALIKE = [
    name
    for name in LinkValues.__struct_fields__
    if name in LinkSpec.__struct_fields__ and name != "jitter"
]


def replace_link(spec: LinkSpec, values: LinkValues) -> LinkSpec:
    """`spec` with the keys that `values` gives."""
    changes: dict[str, object] = {}
    if values.latency_ns is not None:
        changes["floor_ns"] = values.latency_ns
    if values.jitter is not None:
        changes |= {
            "jitter": values.jitter.kind,
            "a_ns": values.jitter.a_ns,
            "b": values.jitter.b,
            "table": values.jitter.table,
        }
    for name in _ALIKE:
        value = getattr(values, name)
        if value is not None:
            changes[name] = value
    return msgspec.structs.replace(spec, **changes) if changes else spec


def find(patterns: Iterable[str], names: Sequence[str], where: str, what: str) -> list[str]:
    """The names that any of the patterns matches, in the order of `names`.

    Raises: UnknownKeyError with `where` for a pattern that matches none of them.
    """
    known, found = set(names), set[str]()
    for pattern in patterns:
        hits = [pattern] if pattern in known else []
        if not hits and not _WILD.isdisjoint(pattern):
            hits = matching(pattern, names)
        if not hits:
            raise UnknownKeyError(
                f"{where}: no {what} matches {pattern!r}; {did_you_mean(pattern, names)}"
            )
        found.update(hits)
    return [name for name in names if name in found]


def relay_names(network: NetworkSpec, names: Sequence[str]) -> tuple[str, ...]:
    """The nodes that are not agents: `relays`, and a star's hub unless it is an agent.

    Raises: TopologyError if a relay is an agent too.
    """
    known = set(names)
    for relay in network.relays:
        if relay in known:
            raise TopologyError(f"{network.where}.relays: {relay!r} is an agent already")
    hub = network.hub
    extra = [hub] if hub and hub not in known and hub not in network.relays else []
    return (*network.relays, *extra)


class LinkTable:
    """The links between nodes, which are numbered: agents in roster order, then relays.

    names: of the nodes. specs: the different links there are. is_complete: all are linked.
    routing, detection_ns: as the network's, for `broker.routes`.
    """

    def __init__(
        self, network: NetworkSpec, names: Sequence[str], faults: Iterable[Fault] = ()
    ) -> None:
        self.names = (*names, *relay_names(network, names))
        self.is_complete = network.topology == "complete"
        self.routing, self.detection_ns = network.routing, network.detection_ns
        self._index = {name: i for i, name in enumerate(self.names)}
        self._neighbours = [] if self.is_complete else self._adjacency(network)
        self._routes: dict[int, list[int]] = {}
        self._classes, self._ids, self.specs = self._classify(network)
        self._floors = np.array([spec.floor_ns for spec in self.specs], dtype=np.int64)
        self._lookahead = self._bound(faults)

    def _adjacency(self, network: NetworkSpec) -> list[frozenset[int]]:
        """Per node, the nodes it is linked to; every topology is symmetric."""
        n = len(self.names)
        pairs: Iterable[tuple[int, int]]
        if network.pairs is not None:
            pairs = ((self._index[a], self._index[b]) for a, b in network.pairs)
        elif network.topology == "star":
            hub = self._index[network.hub]
            pairs = ((hub, i) for i in range(n))
        elif network.topology == "ring":
            pairs = nx.cycle_graph(n).edges
        elif network.topology == "tree":
            pairs = nx.full_rary_tree(network.branching, n).edges
        elif network.topology == "edges":
            pairs = self._given(network)
        else:
            raise InvariantError(f"a network of topology {network.topology} was not laid out")
        linked: list[set[int]] = [set() for _ in range(n)]
        for a, b in pairs:
            if a != b:
                linked[a].add(b)
                linked[b].add(a)
        return [frozenset(each) for each in linked]

    def _given(self, network: NetworkSpec) -> Iterable[tuple[int, int]]:
        """The pairs of `edges`, patterns resolved."""
        for i, ends in enumerate(network.edges):
            where = f"{network.where}.edges[{i}]"
            sides = [
                [self._index[name] for name in find([end], self.names, where, "agent or relay")]
                for end in ends
            ]
            yield from itertools.product(*sides)

    def _classify(
        self, network: NetworkSpec
    ) -> tuple[Indices, NDArray[np.int32], tuple[LinkSpec, ...]]:
        """Class per node [n], spec number per pair of classes [c, c], and the specs."""
        default = replace_link(LinkSpec(floor_ns=0), network.default)
        n, rules = len(self.names), network.links
        member = np.zeros((2 * len(rules), n), dtype=np.bool_)
        for r, rule in enumerate(rules):
            for side, (patterns, key) in enumerate(((rule.source, "from"), (rule.target, "to"))):
                found = find(patterns, self.names, f"{rule.where}.{key}", "agent or relay")
                member[2 * r + side, [self._index[name] for name in found]] = True
            self._check_linked(member[2 * r], member[2 * r + 1], f"{rule.where}")
        if not rules:
            return np.zeros(n, np.int64), np.zeros((1, 1), np.int32), (default,)
        kinds, classes = np.unique(member, axis=1, return_inverse=True)
        ids = np.zeros((kinds.shape[1], kinds.shape[1]), dtype=np.int32)
        numbers, specs = {default: 0}, [default]
        for r, rule in enumerate(rules):
            ends = (np.flatnonzero(kinds[2 * r]), np.flatnonzero(kinds[2 * r + 1]))
            for block in (np.ix_(*ends), np.ix_(*ends[::-1]))[: 1 + rule.both]:
                old, inverse = np.unique(ids[block], return_inverse=True)
                new = []
                for spec in (replace_link(specs[i], rule) for i in old):
                    new.append(numbers.setdefault(spec, len(specs)))
                    if new[-1] == len(specs):
                        specs.append(spec)
                ids[block] = np.array(new, dtype=np.int32)[inverse].reshape(ids[block].shape)
        return classes.reshape(-1), ids, tuple(specs)

    def _check_linked(
        self, a: NDArray[np.bool_], b: NDArray[np.bool_], where: str
    ) -> tuple[int, int]:
        """The first link from a node of `a` to one of `b`.

        Raises: TopologyError if there is none.
        """
        sources, targets = np.flatnonzero(a).tolist(), np.flatnonzero(b).tolist()
        for i in sources:
            for j in targets:
                if self.has_link(i, j):
                    return i, j
        raise TopologyError(
            f"{where}: the topology has no link from {self.names[sources[0]]!r} "
            f"to {self.names[targets[0]]!r}"
        )

    def has_link(self, source: int, target: int) -> bool:
        """Whether a message can go from `source` to `target` in one hop."""
        if self.is_complete:
            return source != target
        return target in self._neighbours[source]

    def spec_of(self, source: int, target: int) -> LinkSpec | None:
        """The link from one node to another; None if there is none. Cost: O(1)."""
        if not self.has_link(source, target):
            return None
        number: int = self._ids[self._classes[source], self._classes[target]]
        return self.specs[number]

    def spec_ids(self, sources: Indices, targets: Indices) -> NDArray[np.int32]:
        """Positions in `specs` of many links that exist. Shapes: int [n], int [n] -> int32 [n]."""
        found: NDArray[np.int32] = self._ids[self._classes[sources], self._classes[targets]]
        return found

    def next_hop(self, at: int, dest: int) -> int:
        """The node a message at `at` goes to next; -1 if there is no way.

        Order: fewest hops; of equal ones, the next node whose name comes first.
        Cost:  O(links) when `dest` is first asked for, then O(1).
        """
        if self.is_complete or at == dest:
            return dest
        if dest not in self._routes:
            self._routes[dest] = self.ways_to(dest)
        return self._routes[dest][at]

    def ways_to(
        self, dest: int, is_open: Callable[[int, int], bool] = lambda at, to: True
    ) -> list[int]:
        """Per node, its next hop towards `dest` over links that are open, as of `next_hop`.

        Cost: O(links) calls of `is_open`.
        """
        everybody = frozenset(range(len(self.names)))
        hops = [-1] * len(self.names)
        hops[dest] = dest
        level = [dest]
        while level:
            reached: list[int] = []
            for node in sorted(level, key=self.names.__getitem__):
                for other in everybody if self.is_complete else self._neighbours[node]:
                    if hops[other] < 0 and is_open(other, node):
                        hops[other] = node
                        reached.append(other)
            level = reached
        return hops

    def links(self) -> Iterable[tuple[int, int]]:
        """Every directed link, by number of its source and then of its target."""
        nodes = range(len(self.names))
        for source in nodes:
            targets = nodes if self.is_complete else sorted(self._neighbours[source])
            yield from ((source, target) for target in targets if target != source)

    @property
    def link_count(self) -> int:
        """How many directed links there are."""
        n = len(self.names)
        return n * (n - 1) if self.is_complete else sum(map(len, self._neighbours))

    def diameter(self) -> int:
        """The hops of the longest way; -1 if somebody cannot reach somebody.

        Cost: O(nodes x links), 1 s for 2,000 nodes of 4 links.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import shortest_path

        n = len(self.names)
        if self.is_complete or n < 2:
            return min(n - 1, 1)
        ends = np.array(list(self.links()), dtype=np.int64).reshape(-1, 2).T
        matrix = csr_array((np.ones(ends.shape[1]), tuple(ends)), shape=(n, n))
        longest = max(
            float(shortest_path(matrix, unweighted=True, indices=range(i, min(i + 256, n))).max())
            for i in range(0, n, 256)
        )
        return int(longest) if np.isfinite(longest) else -1

    def graph(self) -> nx.DiGraph[str]:
        """The links as a graph of names; each edge carries its `spec`. Cost: O(links)."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.names)
        for source, target in self.links():
            spec = self.spec_of(source, target)
            graph.add_edge(self.names[source], self.names[target], spec=spec)
        return graph

    def lookahead(self) -> tuple[int, str]:
        """The smallest latency floor of one hop in nanoseconds, and the link that has it.

        Link faults that were given count, so that no fault can make a link faster than this.
        Without any link it is NEVER and "no links".
        """
        return self._lookahead

    def _bound(self, faults: Iterable[Fault]) -> tuple[int, str]:
        if self.link_count == 0:
            return NEVER, "no links"
        table = np.where(self._present(), self._floors[self._ids], NEVER)
        floor = int(table.min())
        source, target = self._first_with(table, floor)
        text = f"{self.names[source]} -> {self.names[target]}"
        for fault in faults:
            latency_ns = fault.values.latency_ns
            if fault.kind != "link" or latency_ns is None or latency_ns >= floor:
                continue
            floor = latency_ns
            text = (
                f"{fault.targets[0]} -> {fault.targets_b[0]}, "
                f"by the fault at {duration_text(fault.time_ns)}"
            )
        return floor, text

    def _present(self) -> NDArray[np.bool_]:
        """Per pair of classes, whether there is a link between them."""
        if self.is_complete:
            present = np.ones(self._ids.shape, dtype=np.bool_)
            np.fill_diagonal(present, np.bincount(self._classes) > 1)
            return present
        present = np.zeros(self._ids.shape, dtype=np.bool_)
        for node, linked in enumerate(self._neighbours):
            present[self._classes[node], self._classes[list(linked)]] = True
        return present

    def _first_with(self, table: NDArray[np.integer], value: int) -> tuple[int, int]:
        """The first link, by number of its ends, whose classes have `value` in the table."""
        for source in range(len(self.names)):
            hits = np.flatnonzero(table[self._classes[source], self._classes] == value)
            for target in hits.tolist():
                if self.has_link(source, target):
                    return source, target
        raise InvariantError(f"no link has the value {value} of the table")

    def warnings(self) -> list[str]:
        """What is allowed, but probably not wanted, as sentences."""
        found = []
        floor, link = self._lookahead
        if floor == 0:
            found.append(
                f"the link {link} has latency 0: without lookahead a run is many times slower; "
                "even 1us helps"
            )
        found += self._all_expire()
        if not self.is_complete and len(self.names) > 1:
            parts = sorted(
                (sorted(part) for part in nx.connected_components(self._undirected())), key=len
            )
            if len(parts) > 1:
                lost = ", ".join(self.names[i] for i in parts[0][:5])
                found.append(
                    f"the network falls into {len(parts)} parts without a way between them; "
                    f"one is: {lost}"
                )
        return found

    def _all_expire(self) -> list[str]:
        """Links on which everything is too old when it arrives."""
        table = np.where(self._present(), self._ids, -1)
        found = []
        for number, spec in enumerate(self.specs):
            least_ns = spec.floor_ns + (spec.a_ns if spec.jitter == "constant" else 0)
            if spec.expiry_ns < least_ns and (table == number).any():
                source, target = self._first_with(table, number)
                found.append(
                    f"the link {self.names[source]} -> {self.names[target]} loses everything: "
                    f"its latency is at least {duration_text(least_ns)}, "
                    f"its expiry {duration_text(spec.expiry_ns)}"
                )
        return found

    def _undirected(self) -> nx.Graph[int]:
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(len(self.names)))
        graph.add_edges_from(self.links())
        return graph


def uses_radio(table: LinkTable, faults: Iterable[Fault]) -> bool:
    """Whether any link is a radio, or any fault makes one."""
    values = (fault.values.radio for fault in faults)
    radios = (*(spec.radio for spec in table.specs), *values)
    return any(radio not in (None, NO_RADIO) for radio in radios)


def link_table(
    network: NetworkSpec, names: Sequence[str], faults: Iterable[Fault] = ()
) -> LinkTable:
    """The links between the agents `names` (and the relays of `network`, which is laid out).

    Raises: UnknownKeyError for a name or pattern without a node, TopologyError for an entry
    without a link.
    """
    return LinkTable(network, names, faults)
