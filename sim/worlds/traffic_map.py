"""Networks and traffic matrices of SNDlib, and the paths that traffic may take in them.

Source and licence: `data/LICENSE-DATA`. Path enumeration: Yen, Finding the K Shortest Loopless
Paths in a Network (1971), by networkx.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Map:
    """A network whose links are directed: the two directions of an edge are two links.

    nodes:    their names
    edges:    pairs of numbers of nodes; link 2i goes along edge i, link 2i + 1 back
    km:       float64 [l], of each link
    demands:  float64 [n, n], from row to column, in the matrix's own unit
    tail:     int64 [l], the node at which each link begins
    slot:     int64 [l], its place among the links that begin there
    paths:    float64 [n, n, k, l], 1 where the path passes the link; shortest first, all 0 where
              there are fewer paths
    hops:     int64 [n, n, k, h], the links of each path, filled up with l
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    km: Floats
    demands: Floats
    tail: Ints
    slot: Ints
    paths: Floats
    hops: Ints

    @property
    def degree(self) -> int:
        """The most links that begin at a node."""
        return int(self.slot.max()) + 1


@lru_cache(maxsize=8)
def network_of(nodes: int) -> str:
    """The network that has so many nodes."""
    return next(name for name, data in _data().items() if len(data["nodes"]) == nodes)


def _data() -> dict[str, Any]:
    text = files("sim.worlds.data").joinpath("sndlib.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def load_map(name: str, count: int) -> Map:
    """The network `name` of SNDlib with the `count` shortest paths, by length, of each pair."""
    data = _data()[name]
    n = len(data["nodes"])
    graph: nx.Graph[int] = nx.Graph()
    for a, b, km in data["links"]:
        graph.add_edge(a, b, km=km)
    edges = tuple((a, b) for a, b, _ in data["links"])
    links = {pair: i for i, pair in enumerate(p for a, b in edges for p in ((a, b), (b, a)))}
    tail = np.array([a for a, _ in links])
    slot = np.array([int((tail[:i] == a).sum()) for i, a in enumerate(tail)])
    found = {
        (a, b, i): [links[pair] for pair in nx.utils.pairwise(path)]
        for a in range(n)
        for b in range(n)
        if a != b
        for i, path in enumerate(islice(nx.shortest_simple_paths(graph, a, b, "km"), count))
    }
    longest = max(map(len, found.values()))
    paths = np.zeros((n, n, count, len(links)))
    hops = np.full((n, n, count, longest), len(links))
    for at, passed in found.items():
        paths[at][passed] = 1.0
        hops[at][: len(passed)] = passed
    km = np.repeat([float(km) for _, _, km in data["links"]], 2)
    demands = np.array(data["demands"], dtype=np.float64)
    return Map(tuple(data["nodes"]), edges, km, demands, tail, slot, paths, hops)
