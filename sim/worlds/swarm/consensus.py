"""Consensus: what neighbours do to the differences between them, and when delays make them grow.

    x_i' = gain sum_j (x_j(t - delay) - x_i(t - delay)),   j the neighbours of i
The slowest part of the differences dies out at the rate gain lambda_2, the second eigenvalue of the
graph's Laplacian; with a delay all do as long as it is less than pi / (2 gain lambda_n), the last
eigenvalue. Sent every `period` and held in between, values are late by half a period more.
Source: Olfati-Saber and Murray, Consensus Problems in Networks of Agents with Switching Topology
and Time-Delays, 2004.
"""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from sim.worlds.graphs import GRAPHS


def adjacency(graph: str, n: int) -> NDArray[np.float64]:
    """1 for neighbours. graph: one of `sim.worlds.graphs.GRAPHS`. Shapes: -> [n, n]."""
    found: NDArray[np.float64] = nx.to_numpy_array(GRAPHS[graph](n), nodelist=range(n))
    return found


def spectrum(graph: str, n: int) -> NDArray[np.float64]:
    """Eigenvalues of the Laplacian, the least first. Shapes: -> [n]."""
    weights = adjacency(graph, n)
    return np.asarray(np.linalg.eigvalsh(np.diag(weights.sum(1)) - weights), dtype=np.float64)


def rate(graph: str, n: int, gain: float = 1.0) -> float:
    """At which the slowest part of the differences dies out, in 1/s."""
    return gain * float(spectrum(graph, n)[1])


def delay_limit(graph: str, n: int, gain: float = 1.0) -> float:
    """The delay in s from which on differences grow."""
    return math.pi / (2 * gain * float(spectrum(graph, n)[-1]))
