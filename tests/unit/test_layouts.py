"""Topologies that are made, drawn, read from a file, or asked of the world."""

from __future__ import annotations

import itertools
from pathlib import Path

import networkx as nx
import pytest

from sim.errors import ScenarioError
from sim.prepare import Prepared, load, prepare
from sim.scenario.load import dump, load_scenario
from sim.scenario.topology import LinkTable

MS = 1_000_000


def made(folder: Path, network: str, agents: int = 12, seed: int = 1) -> Prepared:
    path = folder / "net.yaml"
    path.write_text(
        f"duration: 1s\nseed: {seed}\nworld: {{kind: blank, agents: {agents}, step: 100ms}}\n"
        f"network: {{default: {{latency: 5ms}}, {network}}}\n"
    )
    return prepare(load(path))


def graph_of(table: LinkTable) -> nx.Graph[str]:
    """Undirected, after a check that every link goes both ways."""
    directed = table.graph()
    assert all(directed.has_edge(b, a) for a, b in directed.edges)
    return directed.to_undirected()


def edges_of(prepared: Prepared) -> set[frozenset[str]]:
    return {frozenset(edge) for edge in graph_of(prepared.table).edges}


def shape(folder: Path, network: str, agents: int = 12) -> nx.Graph[str]:
    return graph_of(made(folder, network, agents).table)


def test_a_line_is_a_path_in_roster_order(tmp_path: Path) -> None:
    found = made(tmp_path, "topology: line, relays: [r]", agents=3)
    names = ["agent-1", "agent-2", "agent-3", "r"]
    assert edges_of(found) == {frozenset(p) for p in itertools.pairwise(names)}
    assert found.table.diameter() == 3


@pytest.mark.parametrize(
    ("keys", "rows", "columns", "wrap"),
    [
        ("rows: 3", 3, 4, False),
        ("columns: 3", 4, 3, False),
        ("rows: 2, columns: 6", 2, 6, False),
        ("rows: 3, wrap: true", 3, 4, True),
        ("rows: 1", 1, 12, False),
    ],
)
def test_a_grid_is_filled_row_by_row(
    tmp_path: Path, keys: str, rows: int, columns: int, wrap: bool
) -> None:
    expected = set()
    for row in range(rows):
        for column in range(columns):
            here = row * columns + column
            for down, right in ((0, 1), (1, 0)):
                r, c = row + down, column + right
                if wrap or (r < rows and c < columns):
                    there = r % rows * columns + c % columns
                    if there != here:
                        expected.add(frozenset((f"agent-{here + 1}", f"agent-{there + 1}")))
    assert edges_of(made(tmp_path, f"topology: grid, {keys}")) == expected


def test_a_random_geometric_network_is_connected_by_the_least_radius(tmp_path: Path) -> None:
    least = shape(tmp_path, "topology: random_geometric", 30)
    assert nx.is_connected(least)
    bridges = list(nx.bridges(least))
    assert bridges, "the longest link of the least radius holds two parts together"
    wide = shape(tmp_path, "topology: random_geometric, radius: 0.6", 30)
    assert set(least.edges) < set(wide.edges)
    everybody = shape(tmp_path, "topology: random_geometric, radius: 1.5", 30)
    assert everybody.number_of_edges() == 30 * 29 / 2


@pytest.mark.parametrize("agents", [1, 2, 3, 4, 5])
def test_few_nodes_are_connected_too(tmp_path: Path, agents: int) -> None:
    for network in ("random_geometric", "small_world, k: 2", "scale_free, m: 1", "line"):
        if agents > 2 or "small" not in network:
            assert nx.is_connected(shape(tmp_path, f"topology: {network}", agents)), network


def test_a_small_world_keeps_its_number_of_links(tmp_path: Path) -> None:
    ring = shape(tmp_path, "topology: small_world, k: 4, p: 0", 40)
    assert {degree for _, degree in ring.degree} == {4}
    rewired = shape(tmp_path, "topology: small_world, k: 4, p: 30%", 40)
    assert rewired.number_of_edges() == ring.number_of_edges() == 80
    assert nx.is_connected(rewired)
    far = (nx.average_shortest_path_length(g) for g in (ring, rewired))
    assert next(far) > 1.3 * next(far), "shortcuts make it small"


def test_a_scale_free_network_grows_by_m_links_a_node(tmp_path: Path) -> None:
    grown = shape(tmp_path, "topology: scale_free, m: 3", 60)
    assert grown.number_of_edges() == (60 - 3) * 3
    assert nx.is_connected(grown)
    degrees = sorted((degree for _, degree in grown.degree), reverse=True)
    assert degrees[0] > 4 * degrees[30], "few have many"


@pytest.mark.parametrize("topology", ["random_geometric", "small_world", "scale_free"])
def test_what_is_drawn_follows_from_the_seed(tmp_path: Path, topology: str) -> None:
    network = f"topology: {topology}"
    first = edges_of(made(tmp_path, network, 20, seed=5))
    assert edges_of(made(tmp_path, network, 20, seed=5)) == first
    assert edges_of(made(tmp_path, network, 20, seed=6)) != first


def test_draws_are_those_of_recorded_runs(tmp_path: Path) -> None:
    """A change here is a change of every run that has such a network."""
    found = {
        topology: " ".join(
            sorted(
                "-".join(sorted(name.removeprefix("agent-") for name in edge))
                for edge in edges_of(made(tmp_path, f"topology: {topology}", 6, seed=3))
            )
        )
        for topology in ("random_geometric", "small_world", "scale_free")
    }
    assert found == {
        "random_geometric": "1-5 1-6 2-5 3-4 3-5 4-5",
        "small_world": "1-3 1-4 1-5 1-6 2-4 2-5 2-6 3-4 3-5 4-5 4-6 5-6",
        "scale_free": "1-2 1-3 1-5 2-4 2-5 2-6 3-4 5-6",
    }


FILES = {
    "net.csv": "source, target, latency, loss, length\n"
    "agent-1, tower, 20ms, 1%, 900\nagent-2, tower,,, 100\ntower, agent-2, 7ms,,\nagent-3,,,,\n",
    "net.edges": "# a comment\nagent-1 tower latency=20ms loss=1%\nagent-2 tower {}\n"
    "tower agent-2 latency=7ms\n\nagent-3  # alone\n",
    "net.graphml": """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="edge" attr.name="latency" attr.type="string"/>
  <key id="d1" for="edge" attr.name="loss" attr.type="double"/>
  <key id="d2" for="edge" attr.name="colour" attr.type="string"/>
  <graph edgedefault="directed">
    <node id="agent-1"/><node id="agent-2"/><node id="agent-3"/><node id="tower"/>
    <edge source="agent-1" target="tower">
      <data key="d0">20ms</data><data key="d1">0.01</data><data key="d2">red</data></edge>
    <edge source="agent-2" target="tower"/>
    <edge source="tower" target="agent-2"><data key="d0">7ms</data></edge>
  </graph>
</graphml>
""",
}
FILES["net.txt"] = FILES["net.edges"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_links_and_what_they_are_like(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    found = made(tmp_path, f"topology: file, file: {name}", agents=3)
    assert found.table.names == ("agent-1", "agent-2", "agent-3", "tower")
    specs = {
        (a, b): (edge["spec"].floor_ns // MS, edge["spec"].loss_probability)
        for a, b, edge in found.table.graph().edges(data=True)
    }
    assert specs == {
        ("agent-1", "tower"): (20, 0.01), ("tower", "agent-1"): (20, 0.01),
        ("agent-2", "tower"): (5, 0.0), ("tower", "agent-2"): (7, 0.0),
    }  # fmt: skip


def test_entries_of_the_scenario_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text(FILES["net.csv"])
    network = (
        "topology: file, file: net.csv, edges: [[agent-3, 'agent-[12]']], relays: [spare], "
        "links: [{from: agent-1, to: tower, latency: 1ms}]"
    )
    table = made(tmp_path, network, agents=3).table
    assert table.names == ("agent-1", "agent-2", "agent-3", "spare", "tower")
    spec = table.spec_of(0, 4)
    assert spec is not None
    assert (spec.floor_ns, spec.loss_probability) == (1 * MS, 0.01)
    assert table.has_link(2, 0)
    assert table.has_link(1, 2)


def test_the_resolved_scenario_needs_no_file(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text(FILES["net.csv"])
    before = made(tmp_path, "topology: file, file: net.csv", agents=3)
    (tmp_path / "net.csv").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "again.yaml").write_text(dump(before.scenario))
    again = prepare(load_scenario(elsewhere / "again.yaml"))
    assert list(again.table.graph().edges(data="spec")) == list(
        before.table.graph().edges(data="spec")
    )


def test_a_world_says_who_is_linked_to_whom() -> None:
    overrides = ["network.topology=world", "network.links=[]"]
    found = prepare(load("smart_grid", overrides=overrides))
    graph = graph_of(found.table)
    assert nx.is_connected(graph)
    assert nx.is_tree(graph)
    assert graph.degree["household-1"] == 1
    assert next(iter(graph["household-1"])).startswith("bus-")
    assert set(graph["market"]) == set(graph["operator"])


BAD = {
    "topology: grid": "network.rows or columns: required by topology grid",
    "topology: ring, rows: 3": "network.rows: belongs to topology grid, not ring",
    "topology: grid, rows: 5": r"a grid of 5 x 2 does not hold 12 nodes exactly; .* 2 x 6, 3 x 4",
    "topology: grid, columns: 13": r"a grid of \? x 13 does not hold 12 nodes",
    "topology: grid, rows: 13": r"a grid of 13 x \? does not hold 12 nodes",
    "topology: grid, rows: 0": "network.rows: expected a value from 1",
    "topology: random_geometric, radius: 0.01": "radius: with 0.01 .* falls into parts; 0.[0-9]+",
    "topology: small_world, k: 12": "network.k: expected less than the 12 nodes, not 12",
    "topology: small_world, k: 3": "network.k: expected an even number, not 3",
    "topology: small_world, p: 120%": "network.p: expected a value from 0 to 1",
    "topology: scale_free, m: 12": "network.m: expected less than the 12 nodes, not 12",
    "topology: scale_fre": "did you mean 'scale_free'",
    "topology: file": "network.file: required by topology file",
    "topology: file, file: nte.csv": "'nte.csv': No such file or directory; did you mean 'net.csv'",
    "topology: file, file: net.png": r"expected a file .graphml, .csv, .edges, .txt, found 'net.pn",
    "topology: file, file: net.csv": r"'agent-4' and 8 more agents are not in it; `edges` adds",
    "topology: world": "this world has no network of its own",
}  # fmt: skip


@pytest.mark.parametrize("network", BAD)
def test_what_cannot_be_is_said(tmp_path: Path, network: str) -> None:
    (tmp_path / "net.csv").write_text(FILES["net.csv"])
    with pytest.raises(ScenarioError, match=BAD[network]) as raised:
        made(tmp_path, network, seed=1, agents=12)
    assert "net.yaml:4" in str(raised.value)


BAD_FILES = {
    "net.csv:1: expected a heading with source and target": ("net.csv", "agent-1,agent-2\n"),
    "net.csv:3: expected 2 columns, found more": ("net.csv", "from,to\na,b\na,b,c\n"),
    "net.csv:2: unknown link key 'latnecy'; did you mean 'latency'": (
        "net.csv", "from,to,latnecy\nagent-1,agent-2,5ms\n"),
    r"net.csv:2: network.file\[0\].loss: expected": ("net.csv", "from,to,loss\na,b,lots\n"),
    r"net.csv:2: network.file\[0\].from: expected a name": ("net.csv", "from,to\n1,b\n"),
    "net.edges:2: expected two names, then keys such as": ("net.edges", "a b\na b 5\n"),
    "net.edges: expected at least one link": ("net.edges", "# nothing\n"),
    "net.txt:2: expected UTF-8": ("net.txt", "a b\n\xff\n"),
    "net.graphml: expected GraphML": ("net.graphml", "<graphml"),
    "net.csv:4: the link agent-1 - agent-2 stands at net.csv:2 already": (
        "net.csv", "from,to,loss\nagent-1,agent-2,1%\nagent-2,agent-1,2%\nagent-1,agent-2,3%\n"),
    "net.edges:2: the link a - b stands at net.edges:1 already": ("net.edges", "a b\na b\n"),
    r"'agent-1' is not in it; did you mean it by 'Agent-1'": ("net.txt", "Agent-1 agent-2\n"),
}  # fmt: skip


@pytest.mark.parametrize("message", BAD_FILES)
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path: Path, message: str) -> None:
    name, text = BAD_FILES[message]
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ScenarioError, match=message):
        made(tmp_path, f"topology: file, file: {name}", agents=2)
