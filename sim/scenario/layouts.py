"""From a topology that must be made, read or asked for to the links it has, by name.

What is drawn is keyed by the scenario's seed alone, so that every episode, every replay and every
batch of a scenario has the same network. Nodes are agents in roster order, then relays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import networkx as nx
import numpy as np
from numpy.typing import NDArray

from sim.errors import TopologyError
from sim.ids import nearest
from sim.rng import generator
from sim.scenario.link import LinkRule, LinkValues
from sim.scenario.schema import NetworkSpec
from sim.scenario.topology import find, relay_names

DRAWN: Final = ("random_geometric", "small_world", "scale_free")
"""Topologies that another seed makes another network of."""
Pair = tuple[str, str]


def laid_out(
    network: NetworkSpec, names: Sequence[str], seed: int, edges: Sequence[Pair] = ()
) -> NetworkSpec:
    """The network with `pairs`, and with the relays and links that its file or world adds.

    names: of the agents. edges: what the world says of who is linked to whom.
    Unchanged where a topology says it all: complete, star, ring, tree, edges.
    Raises: TopologyError, UnknownKeyError with the place in the file.
    """
    replace = msgspec.structs.replace
    if network.topology == "file":
        given = [(link.source, link.target) for link in network.file]
        made = _given(network, names, given, f"{network.where}.file")
        return replace(made, links=(*_rules(network), *network.links))
    if network.topology == "world":
        if not edges:
            raise TopologyError(
                f"{network.where}.topology: this world has no network of its own; give one of the "
                "other topologies"
            )
        return _given(network, names, edges, f"{network.where}.topology")
    make = _MAKERS.get(network.topology)
    if make is None:
        return network
    nodes = (*names, *relay_names(network, names))
    pairs = make(network, nodes, seed) if len(nodes) > 1 else ()
    return replace(network, pairs=tuple((nodes[a], nodes[b]) for a, b in pairs))


def _given(
    network: NetworkSpec, names: Sequence[str], given: Sequence[Pair], where: str
) -> NetworkSpec:
    """The network of pairs that were given, and of `edges`; who is no agent is a relay."""
    known = {*names, *relay_names(network, names)}
    ends = dict.fromkeys(end for pair in given for end in pair if end)
    relays = (*network.relays, *(end for end in ends if end not in known))
    nodes = (*names, *relays)
    pairs = [(a, b) for a, b in given if b and a != b]
    for i, sides in enumerate(network.edges):
        at = f"{network.where}.edges[{i}]"
        first, second = (find([side], nodes, at, "agent or relay") for side in sides)
        pairs += [(a, b) for a in first for b in second if a != b]
    linked = {*ends, *itertools.chain.from_iterable(pairs)}
    missing = [name for name in names if name not in linked]
    if missing:
        near = nearest(missing[0], [end for end in ends if end not in known])
        hint = f"; did you mean it by {near!r}?" if near else ""
        more = f" and {len(missing) - 1} more agents are" if len(missing) > 1 else " is"
        raise TopologyError(f"{where}: {missing[0]!r}{more} not in it{hint}; `edges` adds links")
    return msgspec.structs.replace(network, relays=relays, pairs=tuple(pairs))


def _rules(network: NetworkSpec) -> Iterable[LinkRule]:
    """What a file says of its links: of both directions, where it does not list the other one."""
    listed = {(link.source, link.target) for link in network.file}
    for link in network.file:
        values = {key: getattr(link, key) for key in LinkValues.__struct_fields__}
        if link.target and any(value is not None for value in values.values()):
            both = (link.target, link.source) not in listed
            yield LinkRule(
                source=(link.source,), target=(link.target,), both=both, where=link.where, **values
            )


# --- what is made -------------------------------------------------------------------------------


Edges = Iterable[tuple[int, int]]


def _line(network: NetworkSpec, nodes: Sequence[str], seed: int) -> Edges:
    return itertools.pairwise(range(len(nodes)))


def _grid(network: NetworkSpec, nodes: Sequence[str], seed: int) -> Edges:
    """Row by row."""
    n = len(nodes)
    rows = network.rows or n // network.columns
    columns = network.columns or n // rows
    if rows * columns != n:
        sizes = [f"{r} x {n // r}" for r in range(1, n + 1) if n % r == 0]
        raise TopologyError(
            f"{network.where}: a grid of {rows or '?'} x {columns or '?'} does not hold {n} nodes "
            f"exactly; rows x columns can be {', '.join(sizes[:12])}; `relays` adds nodes"
        )
    graph = nx.grid_2d_graph(rows, columns, periodic=network.wrap)
    return ((a * columns + b, c * columns + d) for (a, b), (c, d) in graph.edges)


def _random_geometric(network: NetworkSpec, nodes: Sequence[str], seed: int) -> Edges:
    """Nodes anywhere in a square of side 1, linked where they are near."""
    places = generator(seed, "topology").random((len(nodes), 2))
    least = _least_radius(places)
    radius = network.radius or least
    if radius < least:
        raise TopologyError(
            f"{network.where}.radius: with {radius:g} the network of seed {seed} falls into parts; "
            f"{np.ceil(least * 1e4) / 1e4:g} is the least that connects it (and the default)"
        )
    position = dict(enumerate(places.tolist()))
    pairs: Edges = nx.random_geometric_graph(len(nodes), radius * (1 + 1e-12), pos=position).edges
    return pairs


def _least_radius(places: NDArray[np.float64]) -> float:
    """The longest edge of the shortest tree over all places, which Delaunay's edges hold."""
    from scipy.spatial import Delaunay, QhullError

    graph: nx.Graph[int] = nx.Graph()
    try:
        triangles = Delaunay(places).simplices if len(places) > 3 else []
    except QhullError:
        triangles = []
    for corners in triangles if len(triangles) else [range(len(places))]:
        for a, b in itertools.combinations(corners, 2):
            graph.add_edge(int(a), int(b), weight=float(np.hypot(*(places[a] - places[b]))))
    tree: nx.Graph[int] = nx.minimum_spanning_tree(graph)
    return max(float(edge[2]["weight"]) for edge in tree.edges(data=True))


def _small_world(network: NetworkSpec, nodes: Sequence[str], seed: int) -> Edges:
    """A ring of k neighbours, each link rewired with probability p (Watts and Strogatz 1998)."""
    n = len(nodes)
    if network.k >= n:
        raise TopologyError(f"{network.where}.k: expected less than the {n} nodes, not {network.k}")
    if network.k % 2:
        raise TopologyError(f"{network.where}.k: expected an even number, not {network.k}")
    draws = generator(seed, "topology")
    try:
        pairs: Edges = nx.connected_watts_strogatz_graph(n, network.k, network.p, seed=draws).edges
        return pairs
    except nx.NetworkXError:
        raise TopologyError(
            f"{network.where}: a small world of {n} nodes with k: {network.k}, p: {network.p:g} "
            "was in parts a hundred times; raise k"
        ) from None


def _scale_free(network: NetworkSpec, nodes: Sequence[str], seed: int) -> Edges:
    """Who has many links gets more (Barabasi and Albert 1999)."""
    n = len(nodes)
    if network.m >= n:
        raise TopologyError(f"{network.where}.m: expected less than the {n} nodes, not {network.m}")
    pairs: Edges = nx.barabasi_albert_graph(n, network.m, seed=generator(seed, "topology")).edges
    return pairs


_MAKERS: Final = {
    "line": _line,
    "grid": _grid,
    "random_geometric": _random_geometric,
    "small_world": _small_world,
    "scale_free": _scale_free,
}
