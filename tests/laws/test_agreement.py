"""Consensus among neighbours shrinks the distance to the mean as the eigenvalues say."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.worlds.agreement import reference
from sim.worlds.graphs import GRAPHS, convergence_rate, graph_of, metropolis


def consensus(graph: str, agents: int, loss: float = 0.0, latency: str = "50ms") -> dict[str, dict]:
    settings = [
        f"world.agents={agents}", f"world.graph={graph}", "network.topology=complete",
        f"network.default.loss={loss}", f"network.default.latency={latency}",
        "network.default.jitter={constant: 1ms}", f"agents.member-*.params.graph={graph}",
        "duration=100s",
    ]  # fmt: skip
    result = sim.run("consensus", overrides=settings, inline=True, record=False, compare=False)
    assert result.status == "completed"
    columns = reference({"agents": agents, "graph": graph}, 0, 0)
    return {"run": {name: each.value for name, each in result.metrics.items()}, **columns}


@pytest.mark.parametrize(("graph", "agents"), [("ring", 8), ("line", 5), ("star", 7), ("tree", 7)])
def test_the_measured_rate_is_the_predicted_one(graph: str, agents: int) -> None:
    columns = consensus(graph, agents)
    assert columns["run"]["rate"] == pytest.approx(columns["predicted"]["rate"], rel=5e-3)
    assert columns["run"]["error"] < 0.01


def test_control_what_is_heard_too_late_never_converges() -> None:
    assert consensus("ring", 6, latency="1s")["run"]["error"] > 0.05


def test_a_loss_leaves_the_members_beside_the_mean() -> None:
    error = consensus("ring", 8, loss=0.2)["run"]["error"]
    assert 1e-4 < error < 0.2


@given(st.integers(2, 12), st.floats(0.2, 1.0), st.integers(0, 2**32 - 1))
def test_weights_keep_the_mean_and_the_rate_bounds_every_start(n: int, p: float, seed: int) -> None:
    graph = nx.compose(nx.gnp_random_graph(n, p, seed=seed), nx.path_graph(n))
    weights = metropolis({i: sorted(graph[i]) for i in graph})
    assert np.allclose(weights, weights.T)
    assert np.allclose(weights.sum(axis=1), 1.0)
    assert (weights >= -1e-12).all()
    x = np.random.default_rng(seed).normal(size=n)
    before, after = x - x.mean(), weights @ x - x.mean()
    assert np.linalg.norm(after) <= convergence_rate(weights) * np.linalg.norm(before) + 1e-9


@pytest.mark.parametrize("kind", GRAPHS)
def test_graphs_are_connected_and_of_all_names(kind: str) -> None:
    for n in (1, 2, 3, 7):
        names = [f"a-{i}" for i in range(n)]
        graph = nx.Graph(graph_of(kind, names))
        assert set(graph) == set(names)
        assert nx.is_connected(graph)
        assert nx.number_of_selfloops(graph) == 0


@pytest.mark.parametrize("algorithm", ["star", "tree", "doubling", "ring", "gossip"])
def test_every_algorithm_tells_everybody_the_mean(algorithm: str) -> None:
    settings = [f"agents.member-*.params.algorithm={algorithm}", "network.default.loss=0",
                "duration=12s", "faults=[]"]  # fmt: skip
    result = sim.run("all_reduce", overrides=settings, inline=True, record=False, compare=False)
    assert result.metrics["answered"].value == 1
    assert result.metrics["error"].value < (1e-2 if algorithm == "gossip" else 1e-12)
