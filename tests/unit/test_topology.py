"""Links, routes and lookahead of every topology."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import TopologyError, UnknownKeyError
from sim.ids import matching
from sim.scenario.jitters import Jitter
from sim.scenario.link import LinkRule, LinkSpec, LinkValues
from sim.scenario.schema import Fault, NetworkSpec
from sim.scenario.topology import LinkTable, link_table, replace_link
from sim.units import NEVER

MS = 1_000_000
DEFAULT = LinkValues(latency_ns=20 * MS, loss_probability=0.01)
NAMES = ("a-1", "a-2", "b-1", "b-2", "market")


def network(**keys: object) -> NetworkSpec:
    return NetworkSpec(**{"default": DEFAULT, "where": "x.yaml:3: network", **keys})  # type: ignore[arg-type]


def rule(source: str, target: str, **keys: object) -> LinkRule:
    return LinkRule(
        source=(source,),
        target=(target,),
        where="x.yaml:9: network.links[0]",
        **keys,  # type: ignore[arg-type]
    )


def linked(table: LinkTable) -> set[tuple[str, str]]:
    return {(table.names[a], table.names[b]) for a, b in table.links()}


def test_complete() -> None:
    table = link_table(network(), NAMES)
    assert linked(table) == set(itertools.permutations(NAMES, 2))
    assert table.link_count == 20
    assert table.spec_of(0, 0) is None
    assert table.spec_of(0, 1) is table.spec_of(3, 2)
    assert table.next_hop(1, 3) == 3
    assert table.lookahead() == (20 * MS, "a-1 -> a-2")


def test_star_with_an_agent_or_a_relay_as_hub() -> None:
    table = link_table(network(topology="star", hub="market"), NAMES)
    assert table.names == NAMES
    assert linked(table) == {p for n in NAMES[:4] for p in ((n, "market"), ("market", n))}
    assert (table.next_hop(0, 3), table.next_hop(4, 3)) == (4, 3)
    table = link_table(network(topology="star", hub="tower"), NAMES)
    assert table.names == (*NAMES, "tower")
    assert (table.next_hop(0, 4), table.next_hop(5, 4)) == (5, 4)


def test_ring_and_its_ties() -> None:
    table = link_table(network(topology="ring"), ("d", "c", "b", "a"))
    assert linked(table) == {
        p for a, b in (("d", "c"), ("c", "b"), ("b", "a"), ("a", "d")) for p in ((a, b), (b, a))
    }
    assert table.names[table.next_hop(0, 2)] == "a"
    assert table.names[table.next_hop(1, 3)] == "b"
    assert linked(link_table(network(topology="ring"), ("a", "b"))) == {("a", "b"), ("b", "a")}
    assert link_table(network(topology="ring"), ("a",)).link_count == 0


def test_tree() -> None:
    table = link_table(network(topology="tree", branching=2), tuple("abcdefg"))
    assert linked(table) == {
        p for edge in ("ab", "ac", "bd", "be", "cf", "cg") for p in (tuple(edge), tuple(edge[::-1]))
    }
    assert [table.next_hop(3, i) for i in range(7)] == [1, 1, 1, 3, 1, 1, 1]
    chain = link_table(network(topology="tree", branching=1), tuple("abc"))
    assert chain.next_hop(0, 2) == 1


def test_given_edges_and_relays() -> None:
    keys = {"topology": "edges", "relays": ("r",), "edges": (("a-*", "r"), ("r", "market"))}
    table = link_table(network(**keys), NAMES)
    assert linked(table) == {p for n in ("a-1", "a-2", "market") for p in ((n, "r"), ("r", n))}
    assert table.next_hop(0, 2) == -1
    assert table.warnings() == [
        "the network falls into 3 parts without a way between them; one is: b-1"
    ]
    with pytest.raises(UnknownKeyError, match=r"edges\[0\]: no agent or relay matches 'markt'"):
        link_table(network(topology="edges", edges=(("markt", "a-*"),)), NAMES)
    with pytest.raises(TopologyError, match=r"network.relays: 'a-1' is an agent already"):
        link_table(network(relays=("a-1",)), NAMES)


def test_later_rules_win_key_by_key() -> None:
    table = link_table(
        network(
            links=(
                rule("a-*", "market", loss_probability=0.3, queue_bytes=7),
                rule("a-1", "*", loss_probability=0.5, both=True),
                rule("*", "market", jitter=Jitter("lognormal", 5 * MS, 0.5)),
            )
        ),
        NAMES,
    )
    assert table.spec_of(0, 4) == LinkSpec(20 * MS, "lognormal", 5 * MS, 0.5, 0.5, queue_bytes=7)
    assert table.spec_of(1, 4) == LinkSpec(20 * MS, "lognormal", 5 * MS, 0.5, 0.3, queue_bytes=7)
    assert table.spec_of(4, 0) == LinkSpec(20 * MS, loss_probability=0.5)
    assert table.spec_of(2, 3) == LinkSpec(20 * MS, loss_probability=0.01)


def test_rules_without_a_match_or_a_link() -> None:
    with pytest.raises(
        UnknownKeyError,
        match=r"^x.yaml:9: network.links\[0\].to: no agent or relay matches 'markte'; did you mean "
        r"'market'\?$",
    ):
        link_table(network(links=(rule("a-*", "markte", loss_probability=1.0),)), NAMES)
    with pytest.raises(
        TopologyError,
        match=r"^x.yaml:9: network.links\[0\]: the topology has no link from 'a-1' to 'b-1'$",
    ):
        link_table(
            network(
                topology="star", hub="market", links=(rule("a-*", "b-*", loss_probability=1.0),)
            ),
            NAMES,
        )


def test_lookahead_names_the_link_that_bounds_it() -> None:
    links = (rule("b-2", "a-*", latency_ns=3 * MS), rule("market", "market", latency_ns=1))
    with pytest.raises(TopologyError):
        link_table(network(links=links), NAMES)
    table = link_table(network(links=links[:1]), NAMES)
    assert table.lookahead() == (3 * MS, "b-2 -> a-1")
    assert link_table(network(), ("alone",)).lookahead() == (NEVER, "no links")
    star = link_table(
        network(topology="star", hub="market", links=(rule("b-2", "*", latency_ns=2 * MS),)), NAMES
    )
    assert star.lookahead() == (2 * MS, "b-2 -> market")


def test_lookahead_knows_what_faults_will_do() -> None:
    fault = Fault(
        time_ns=10 * 3600 * 10**9, id=0, kind="link", targets=("a-1",), targets_b=("b-1",),
        values=LinkValues(latency_ns=MS),
    )  # fmt: skip
    table = link_table(network(), NAMES, [fault])
    assert table.lookahead() == (MS, "a-1 -> b-1, by the fault at 10h")


def test_zero_latency_is_warned_about() -> None:
    table = link_table(network(links=(rule("a-1", "a-2", latency_ns=0),)), NAMES)
    [warning] = table.warnings()
    assert "a-1 -> a-2 has latency 0" in warning


@pytest.mark.parametrize(("expiry_ns", "count"), [(MS // 2, 1), (20 * MS, 0)])
def test_a_link_on_which_all_expires_is_warned_about(expiry_ns: int, count: int) -> None:
    table = link_table(network(links=(rule("a-1", "a-2", expiry_ns=expiry_ns),)), NAMES)
    told = "the link a-1 -> a-2 loses everything: its latency is at least 20ms, its expiry 500us"
    assert table.warnings() == [told] * count


def test_replace_link() -> None:
    spec = LinkSpec(MS)
    assert replace_link(spec, LinkValues()) is spec
    assert replace_link(
        spec, LinkValues(jitter=Jitter("uniform", 5), rate_bytes_per_s=9.0)
    ) == LinkSpec(MS, "uniform", 5, rate_bytes_per_s=9.0)


def test_thousand_nodes_share_few_specs() -> None:
    names = [f"a-{i}" for i in range(1000)]
    table = link_table(network(links=(rule("a-1*", "a-2*", loss_probability=0.5),)), names)
    assert table.link_count == 999_000
    assert len(table.specs) == 2
    ids = table.spec_ids(np.array([1, 2]), np.array([2, 1]))
    assert [table.specs[i].loss_probability for i in ids] == [0.5, 0.01]


PATTERNS = st.sampled_from(["*", "a-*", "b-*", "*-1", "market", "a-1", "b-2"])


@given(
    st.lists(st.tuples(PATTERNS, PATTERNS, st.booleans(), st.integers(0, 5)), max_size=6),
    st.sampled_from(["complete", "star", "ring", "tree"]),
)
def test_classes_agree_with_the_plain_rule(
    rules: list[tuple[str, str, bool, int]], topology: str
) -> None:
    """Every spec, and the lookahead, as by going through all entries for each link."""
    hub = "market" if topology == "star" else ""
    bare = link_table(network(topology=topology, hub=hub), NAMES)
    entries = []
    for source, target, both, latency in rules:
        ends = itertools.product(matching(source, NAMES), matching(target, NAMES))
        if any(bare.has_link(NAMES.index(a), NAMES.index(b)) for a, b in ends):
            entries.append(rule(source, target, both=both, latency_ns=latency))
    table = link_table(network(topology=topology, hub=hub, links=tuple(entries)), NAMES)
    floors = {}
    for i, j in table.links():
        a, b = NAMES[i], NAMES[j]
        expected = 20 * MS
        for entry in entries:
            forth = matching(entry.source, [a]) and matching(entry.target, [b])
            back = entry.both and matching(entry.source, [b]) and matching(entry.target, [a])
            if forth or back:
                expected = entry.latency_ns or 0
        spec = table.spec_of(i, j)
        assert spec is not None
        assert spec.floor_ns == floors.setdefault(f"{a} -> {b}", expected)
    floor, link = table.lookahead()
    assert floor == min(floors.values()) == floors[link]


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_routes_are_shortest(pairs: set[tuple[int, int]]) -> None:
    names = [f"n{i}" for i in range(9)]
    edges = tuple((names[a], names[b]) for a, b in sorted(pairs))
    table = link_table(network(topology="edges", edges=edges), names)
    graph = table.graph()
    hops = dict(nx.all_pairs_shortest_path_length(graph))
    for a, b in itertools.product(range(9), repeat=2):
        if names[b] not in hops[names[a]]:
            assert table.next_hop(a, b) == -1
            continue
        closer = [
            name for name in graph[names[a]]
            if hops[name].get(names[b]) == hops[names[a]][names[b]] - 1
        ]  # fmt: skip
        assert names[table.next_hop(a, b)] == (min(closer) if a != b else names[a])
