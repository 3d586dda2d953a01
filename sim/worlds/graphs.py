"""Small graphs by name, and how quickly averaging among neighbours converges on them.

Source: Xiao and Boyd, Fast linear iterations for distributed averaging (2004).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from sim.errors import UnknownKeyError
from sim.ids import did_you_mean

GRAPHS: Final[dict[str, Callable[[int], nx.Graph[int]]]] = {
    "complete": nx.complete_graph,
    "line": nx.path_graph,
    "ring": lambda n: nx.cycle_graph(n) if n > 2 else nx.path_graph(n),
    "star": lambda n: nx.star_graph(n - 1),
    "tree": lambda n: nx.full_rary_tree(2, n),
}
"""From the number of nodes."""


def graph_of(kind: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The neighbours of each name in a graph over them, in their order.

    Raises: UnknownKeyError naming the nearest graph.
    """
    if kind not in GRAPHS:
        raise UnknownKeyError(f"there is no graph {kind!r}; {did_you_mean(kind, list(GRAPHS))}")
    graph = GRAPHS[kind](len(names))
    return {name: [names[j] for j in sorted(graph[i])] for i, name in enumerate(names)}


def metropolis(neighbours: Mapping[int, Sequence[int]]) -> NDArray[np.float64]:
    """Weights 1 / (1 + max(d_i, d_j)) for neighbours, and what is left for oneself: rows sum to 1.

    Shapes: neighbours of ranks 0..n-1 -> [n, n], symmetric.
    """
    n = len(neighbours)
    weights = np.zeros((n, n))
    for i, near in neighbours.items():
        for j in near:
            weights[i, j] = 1.0 / (1 + max(len(near), len(neighbours[j])))
    weights[np.diag_indices(n)] = 1.0 - weights.sum(axis=1)
    return weights


def convergence_rate(weights: NDArray[np.float64]) -> float:
    """By what the distance to the mean is multiplied in a round, in the long run: the second
    largest modulus of the eigenvalues of the (symmetric) weights. Shapes: [n, n].
    """
    moduli = np.sort(np.abs(np.linalg.eigvalsh(weights)))
    return float(moduli[-2]) if len(moduli) > 1 else 0.0
