"""Stages of a link beside loss, bursts and queues: copies, damage, outages, order, age, tables."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import broker.links
from broker.ledger import CORRUPT, EXPIRED, LOSS, OUTAGE, PARTITION
from broker.links import COPY, Links
from sim.rng import key_of
from sim.scenario.link import LinkSpec
from sim.scenario.outages import Outage

MS = 1_000_000
N = 200_000
SURE = 1e-6
"""Significance of a single test: seeds are fixed, so that one which passes always does."""
KEY = key_of(1, "link", "a", "b", "topic")
Ints = NDArray[np.int64]


def links_of(*specs: LinkSpec) -> Links:
    links = Links()
    links.add(specs, [False] * len(specs))
    return links


def offer(
    links: Links, times: Ints, rows: NDArray[np.intp] | None = None, first: int = 0,
    hop: int = 0, sent: Ints | None = None,
) -> tuple[Ints, Ints]:  # fmt: skip
    n = len(times)
    return links.offer(
        np.zeros(n, dtype=np.intp) if rows is None else rows, times, np.full(n, 64),
        np.full(n, KEY, dtype=np.uint64), np.arange(first, first + n, dtype=np.uint64),
        np.full(n, hop, dtype=np.uint64), sent,
    )  # fmt: skip


def copied(links: Links, n: int = N, hop: int = 0) -> NDArray[np.bool_]:
    return links.copied(
        np.zeros(n, dtype=np.intp), np.full(n, KEY, dtype=np.uint64),
        np.arange(n, dtype=np.uint64), np.full(n, hop, dtype=np.uint64),
    )  # fmt: skip


# --- measured latencies -------------------------------------------------------------------------


def test_measured_latencies_are_linear_between_order_statistics() -> None:
    table = (0, 2 * MS, 3 * MS, 3 * MS, 40 * MS)
    spec = LinkSpec(floor_ns=7 * MS, jitter="empirical", table=table)
    arrivals, _ = offer(links_of(spec), np.zeros(N, dtype=np.int64))
    found = arrivals - 7 * MS
    assert found.min() >= 0
    assert found.max() <= 40 * MS
    # 3 ms is an atom: a quarter of all.
    assert stats.binomtest(int((found == 3 * MS).sum()), N, 0.25).pvalue > SURE
    for q in (0.1, 0.2, 0.4, 0.8, 0.95):
        value = np.interp(q, np.linspace(0, 1, 5), table)
        assert stats.binomtest(int((found < value).sum()), N, q).pvalue > SURE
    assert abs(found.mean() - (1 + 2.5 + 3 + 21.5) / 4 * MS) < 5 * found.std() / math.sqrt(N)


def test_tables_beside_other_jitters() -> None:
    specs = [
        LinkSpec(floor_ns=0, jitter="empirical", table=(MS, 2 * MS)),
        LinkSpec(floor_ns=0, jitter="constant", a_ns=9 * MS),
        LinkSpec(floor_ns=0, jitter="empirical", table=(50 * MS, 60 * MS, 61 * MS)),
        LinkSpec(floor_ns=0, jitter="pareto", a_ns=100 * MS, b=2.0),
    ]
    times, rows = np.zeros(4_000, dtype=np.int64), np.arange(4_000) % 4
    arrivals, _ = offer(links_of(*specs), times, rows)
    bounds = [(MS, 2 * MS), (9 * MS, 9 * MS), (50 * MS, 61 * MS), (100 * MS, 10**15)]
    for link, (low, high) in enumerate(bounds):
        assert low <= arrivals[rows == link].min() <= arrivals[rows == link].max() <= high
        alone, _ = offer(links_of(specs[link]), times)
        assert (arrivals[rows == link] == alone[rows == link]).all()


# --- order --------------------------------------------------------------------------------------


@settings(max_examples=tries(60), deadline=None)
@given(
    messages=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 60 * MS)), min_size=1, max_size=60
    ),
    cut=st.lists(st.integers(0, 60), max_size=4),
)
def test_order_is_kept_on_each_link_for_itself(
    messages: list[tuple[int, int]], cut: list[int]
) -> None:
    """Against the same draws without the order: an arrival waits for all before it."""
    free = LinkSpec(floor_ns=MS, jitter="exponential", a_ns=20 * MS, loss_probability=0.2)
    kept = LinkSpec(
        floor_ns=MS, jitter="exponential", a_ns=20 * MS, loss_probability=0.2, order="keep"
    )
    messages.sort(key=lambda m: m[1])
    rows = np.array([m[0] for m in messages], dtype=np.intp)
    times = np.array([m[1] for m in messages], dtype=np.int64)
    links = links_of(free, kept, kept)
    bounds = sorted({0, len(messages), *(min(c, len(messages)) for c in cut)})
    found = np.concatenate(
        [offer(links, times[a:b], rows[a:b], a)[0] for a, b in itertools.pairwise(bounds)]
    )
    expected, fates = offer(links_of(free, free, free), times, rows)
    for link in (1, 2):
        latest = 0
        for i in np.flatnonzero((rows == link) & (fates == 0)).tolist():
            latest = expected[i] = max(latest, int(expected[i]))
    assert found.tolist() == expected.tolist()


def test_an_episode_owes_no_order_to_the_one_before() -> None:
    spec = LinkSpec(floor_ns=MS, jitter="exponential", a_ns=50 * MS, order="keep")
    links, times = links_of(spec), np.arange(1_000)
    first, _ = offer(links, times)
    assert (np.diff(first) >= 0).all()
    assert (np.diff(first) == 0).any()
    late, _ = offer(links, times)
    assert late.min() == first.max()
    links.reset()
    assert (offer(links, times)[0] == first).all()


# --- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.01, 0.3])
def test_copies_are_a_bernoulli_trial_per_message(p: float) -> None:
    links = links_of(LinkSpec(floor_ns=MS, duplicate=p, loss_probability=0.5))
    found = copied(links)
    assert stats.binomtest(int(found.sum()), N, p).pvalue > SURE
    # On a later hop other ones, and no copies of copies.
    again = copied(links, hop=1)
    assert stats.binomtest(int((found & again).sum()), N, p * p).pvalue > SURE
    assert not copied(links, hop=COPY).any()
    _, fates = offer(links, np.arange(N))
    both = int((found & (fates == LOSS)).sum())
    assert stats.binomtest(both, int(found.sum()), 0.5).pvalue > SURE


def test_a_copy_has_a_latency_and_a_fate_of_its_own() -> None:
    spec = LinkSpec(floor_ns=0, jitter="uniform", a_ns=MS, loss_probability=0.3, duplicate=1.0)
    links, times = links_of(spec), np.zeros(N, dtype=np.int64)
    one, lost = offer(links, times)
    other, gone = offer(links, times, hop=COPY)
    for left, right in ((one, other), (lost, gone)):
        assert abs(np.corrcoef(left, right)[0, 1]) < 5 / math.sqrt(N)
    assert stats.kstest(other / MS, "uniform").pvalue > SURE


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("integrity", ["on", "off"])
def test_damage_is_a_bernoulli_trial_of_what_is_not_lost(integrity: str) -> None:
    spec = LinkSpec(floor_ns=MS, corrupt=0.2, loss_probability=0.4, integrity=integrity)
    _, fates = offer(links_of(spec), np.arange(N))
    kept = fates != LOSS
    expected = CORRUPT if integrity == "on" else -CORRUPT
    assert set(fates[kept].tolist()) == {0, expected}
    assert stats.binomtest(int((fates == expected).sum()), int(kept.sum()), 0.2).pvalue > SURE
    plain = LinkSpec(floor_ns=MS, loss_probability=0.4)
    assert ((offer(links_of(plain), np.arange(N))[1] == LOSS) == (fates == LOSS)).all()


# --- age ----------------------------------------------------------------------------------------


def test_what_is_too_old_on_arrival_expires() -> None:
    spec = LinkSpec(floor_ns=MS, jitter="exponential", a_ns=10 * MS, expiry_ns=20 * MS)
    times = np.arange(N)
    arrivals, fates = offer(links_of(spec), times)
    assert ((fates == EXPIRED) == (arrivals - times > 20 * MS)).all()
    expected = math.exp(-1.9)
    assert stats.binomtest(int((fates == EXPIRED).sum()), N, expected).pvalue > SURE
    # Age counts from the sender, whatever relays were before.
    _, later = offer(links_of(spec), times, sent=times - 5 * MS)
    assert ((later == EXPIRED) == (arrivals - times > 15 * MS)).all()


# --- outages ------------------------------------------------------------------------------------

spans = st.integers(1, 50)
outage = st.one_of(
    st.builds(Outage, st.integers(0, 80), spans),
    st.builds(lambda b, f, more: Outage(b, f, f + more), st.integers(0, 80), spans, spans),
)


@settings(max_examples=tries(80), deadline=None)
@given(
    sets=st.lists(st.lists(outage, max_size=3).map(tuple), min_size=1, max_size=3),
    began=st.integers(0, 40),
)
def test_outages_are_those_of_a_count_of_ticks(sets: list[tuple[Outage, ...]], began: int) -> None:
    """Instant by instant, marked one after another in plain Python."""
    end = 300
    links = links_of(*(LinkSpec(floor_ns=5, outages=each) for each in sets))
    links.reset(now=began)
    for link, each in enumerate(sets):
        is_out = [False] * end
        for one in each:
            begins = one.begins_ns
            while begins < end:
                for tick in range(begins, min(begins + one.lasts_ns, end)):
                    is_out[tick] = True
                begins += one.every_ns or end
        times = np.arange(began, began + end)
        arrivals, fates = offer(links, times, np.full(end, link))
        assert (fates == np.where(is_out, OUTAGE, 0)).all()
        assert (arrivals == times + 5).all()


def test_an_outage_uses_no_bandwidth_and_a_cut_is_told_first() -> None:
    spec = LinkSpec(floor_ns=0, rate_bytes_per_s=1e3, outages=(Outage(0, 10),), corrupt=1.0)
    links, times = links_of(spec), np.array([0, 5, 10])
    arrivals, fates = offer(links, times)
    assert fates.tolist() == [OUTAGE, OUTAGE, CORRUPT]
    assert arrivals[2] == 10 + 64 * MS
    links.replace([0], [spec], [True])
    assert set(offer(links, times)[1].tolist()) == {PARTITION}


# --- cost ---------------------------------------------------------------------------------------


def test_links_draw_nothing_for_stages_that_none_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a draw")

    links = links_of(LinkSpec(floor_ns=MS, jitter="constant", a_ns=3), LinkSpec(floor_ns=MS))
    times = np.arange(10)
    for name in ("uniforms", "uniforms_of_stages", "are_out", "burst_losses"):
        monkeypatch.setattr(broker.links, name, refused)
    assert not links.has_copies
    assert not links.has_damage
    assert not offer(links, times)[1].any()
    links.replace([0], [LinkSpec(floor_ns=MS, corrupt=0.1)], [False])
    with pytest.raises(AssertionError, match="a draw"):
        offer(links, times)
