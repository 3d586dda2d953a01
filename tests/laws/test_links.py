"""Links against closed forms, at sample sizes where an error of a per cent would show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from broker.ledger import LOSS, PARTITION, QUEUE
from broker.links import Links
from sim.rng import key_of
from sim.scenario.link import LinkSpec

MS = 1_000_000
N = 200_000
SURE = 1e-6
"""Significance of a single test: seeds are fixed, so that one which passes always does."""


def links_of(*specs: LinkSpec, cuts: Sequence[bool] = ()) -> Links:
    links = Links()
    links.add(specs, cuts or [False] * len(specs))
    return links


def offer(
    links: Links,
    rows: NDArray[np.intp],
    times: NDArray[np.int64],
    lengths: NDArray[np.int64] | int = 64,
    first: int = 0,
    key: int = key_of(1, "link", "a", "b", "topic"),
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Messages number `first` and following of one stream."""
    n = len(rows)
    return links.offer(
        rows,
        times,
        np.broadcast_to(np.asarray(lengths, dtype=np.int64), n),
        np.full(n, key, dtype=np.uint64),
        np.arange(first, first + n, dtype=np.uint64),
        np.zeros(n, dtype=np.uint64),
    )


def delays(spec: LinkSpec) -> NDArray[np.int64]:
    """Latencies of N messages that are not lost."""
    times = np.arange(N) * 1_000
    arrivals, fates = offer(links_of(spec), np.zeros(N, dtype=np.intp), times)
    return (arrivals - times)[fates == 0]


@pytest.mark.parametrize("p", [0.001, 0.01, 0.3, 0.97])
def test_loss_is_a_bernoulli_trial_per_message(p: float) -> None:
    spec = LinkSpec(floor_ns=MS, loss_probability=p)
    _, fates = offer(links_of(spec), np.zeros(N, dtype=np.intp), np.arange(N))
    lost = fates == LOSS
    assert stats.binomtest(int(lost.sum()), N, p).pvalue > SURE
    after_a_loss = lost[1:][lost[:-1]]
    if len(after_a_loss) > 100:
        found = stats.binomtest(int(after_a_loss.sum()), len(after_a_loss), p)
        assert found.pvalue > SURE


def test_loss_of_none_and_of_all() -> None:
    for p, expected in ((0.0, 0), (1.0, N)):
        spec = LinkSpec(floor_ns=MS, jitter="uniform", a_ns=MS, loss_probability=p)
        _, fates = offer(links_of(spec), np.zeros(N, dtype=np.intp), np.arange(N))
        assert (fates == LOSS).sum() == expected


JITTERS = {
    "uniform": (30 * MS, 0.0, stats.uniform(0, 30 * MS)),
    "exponential": (5 * MS, 0.0, stats.expon(0, 5 * MS)),
    "lognormal": (20 * MS, 0.5, stats.lognorm(0.5, 0, 20 * MS)),
    "normal": (50 * MS, 5.0 * MS, stats.norm(50 * MS, 5 * MS)),
    "pareto": (20 * MS, 5.0, stats.pareto(5, 0, 20 * MS)),
}


@pytest.mark.parametrize("kind", JITTERS)
def test_jitter_has_its_distribution_above_the_floor(kind: str) -> None:
    a_ns, b, law = JITTERS[kind]
    found = delays(LinkSpec(floor_ns=7 * MS, jitter=kind, a_ns=a_ns, b=b)) - 7 * MS
    assert found.min() >= 0
    assert stats.kstest(found, law.cdf).pvalue > SURE
    assert abs(found.mean() - law.mean()) < 5 * law.std() / math.sqrt(N)
    for q in (0.01, 0.5, 0.99):
        error = math.sqrt(q * (1 - q) / N) / law.pdf(law.ppf(q))
        assert abs(np.quantile(found, q) - law.ppf(q)) < 5 * error


def test_constant_jitter_and_none_are_exact() -> None:
    assert set(delays(LinkSpec(floor_ns=7, jitter="constant", a_ns=5)).tolist()) == {12}
    assert set(delays(LinkSpec(floor_ns=7)).tolist()) == {7}


def test_normal_jitter_is_truncated_at_zero() -> None:
    spec = LinkSpec(floor_ns=3 * MS, jitter="normal", a_ns=0, b=2.0 * MS)
    found = delays(spec) - 3 * MS
    assert found.min() == 0
    assert abs((found == 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(N)
    half = stats.halfnorm(0, 2 * MS)
    assert stats.kstest(found[found > 0], half.cdf).pvalue > SURE


def test_jitter_and_loss_are_independent_of_each_other() -> None:
    spec = LinkSpec(floor_ns=0, jitter="exponential", a_ns=5 * MS, loss_probability=0.5)
    arrivals, fates = offer(links_of(spec), np.zeros(N, dtype=np.intp), np.zeros(N, np.int64))
    correlation = np.corrcoef(arrivals, fates == LOSS)[0, 1]
    assert abs(correlation) < 5 / math.sqrt(N)


def test_two_pairs_of_one_link_draw_apart() -> None:
    spec = LinkSpec(floor_ns=0, jitter="uniform", a_ns=5 * MS)
    rows, times = np.zeros(N, dtype=np.intp), np.zeros(N, np.int64)
    left, _ = offer(links_of(spec), rows, times, key=key_of(1, "link", "a", "b", "topic"))
    right, _ = offer(links_of(spec), rows, times, key=key_of(1, "link", "a", "c", "topic"))
    assert abs(np.corrcoef(left, right)[0, 1]) < 5 / math.sqrt(N)


# --- queues -------------------------------------------------------------------------------------


def waits(
    lengths: NDArray[np.int64], gaps: NDArray[np.float64], rate: float
) -> NDArray[np.float64]:
    """Waiting times in seconds of messages on parallel links. Shapes: [messages, links]."""
    messages, links = gaps.shape
    spec = LinkSpec(floor_ns=0, rate_bytes_per_s=rate, queue_bytes=2**60)
    queue = links_of(*[spec] * links)
    rows = np.arange(links)
    times = np.rint(np.cumsum(gaps, axis=0) * 1e9).astype(np.int64)
    found = np.empty((messages, links))
    for k in range(messages):
        arrivals, fates = offer(queue, rows, times[k], lengths[k], k)
        assert not fates.any()
        found[k] = (arrivals - times[k]) * 1e-9 - lengths[k] / rate
    return found


@pytest.mark.parametrize("rho", [0.3, 0.7])
@pytest.mark.parametrize("service", ["M/D/1", "M/M/1"])
def test_mean_waiting_is_that_of_pollaczek_and_khinchine(service: str, rho: float) -> None:
    """W = rho (1 + c^2) / (2 mu (1 - rho)), c the coefficient of variation of the service."""
    draw = np.random.default_rng(3)
    messages, links, warm_up, size, rate = 1_500, 400, 300, 1_000_000, 1e8
    mu = rate / size
    gaps = draw.exponential(1 / (rho * mu), (messages, links))
    if service == "M/D/1":
        lengths, c = np.full((messages, links), size), 0.0
    else:
        lengths, c = np.rint(draw.exponential(size, (messages, links))).astype(np.int64), 1.0
    found = waits(lengths, gaps, rate)[warm_up:]
    expected = rho * (1 + c**2) / (2 * mu * (1 - rho))
    per_link = found.mean(axis=0)
    error = per_link.std(ddof=1) / math.sqrt(links)
    assert error < 0.02 * expected
    assert abs(found.mean() - expected) < 4.5 * error
    # An arriving message finds the link idle with probability 1 - rho (PASTA).
    idle = (found < 1e-9).mean(axis=0)
    assert abs(idle.mean() - (1 - rho)) < 4.5 * idle.std(ddof=1) / math.sqrt(links)


def lindley(
    times: Sequence[int], lengths: Sequence[int], rate: float, queue_bytes: int
) -> list[tuple[int, bool]]:
    """(delay in ns, dropped) of each message on one link, one at a time in plain Python.

    A message that finds the link busy is dropped if what is still to be sent, and it, are more
    than the queue holds.
    """
    free_at, found = 0, []
    for time, length in zip(times, lengths, strict=True):
        waiting = max(free_at - time, 0)
        backlog = waiting * 1e-9 * rate
        if waiting and backlog + length > queue_bytes:
            found.append((waiting + round(length / rate * 1e9), True))
            continue
        free_at = time + waiting + round(length / rate * 1e9)
        found.append((free_at - time, False))
    return found


@settings(max_examples=tries(60), deadline=None, print_blob=True)
@given(
    messages=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 40 * MS), st.integers(0, 3_000)),
        min_size=1, max_size=60,
    ),
    rates=st.lists(st.sampled_from([5e4, 1e5, 1.5e6, math.inf]), min_size=3, max_size=3),
    queue_bytes=st.integers(0, 8_000),
    cut=st.lists(st.integers(0, 60), max_size=4),
)  # fmt: skip
def test_queues_are_those_of_lindley_however_calls_are_cut(
    messages: list[tuple[int, int, int]],
    rates: list[float],
    queue_bytes: int,
    cut: list[int],
) -> None:
    specs = [LinkSpec(floor_ns=MS, rate_bytes_per_s=r, queue_bytes=queue_bytes) for r in rates]
    messages = sorted(messages, key=lambda m: m[1])
    rows = np.array([m[0] for m in messages], dtype=np.intp)
    times = np.array([m[1] for m in messages], dtype=np.int64)
    lengths = np.array([m[2] for m in messages], dtype=np.int64)
    links = links_of(*specs)
    bounds = sorted({0, len(messages), *(min(c, len(messages)) for c in cut)})
    parts = [
        offer(links, rows[a:b], times[a:b], lengths[a:b], a) for a, b in itertools.pairwise(bounds)
    ]
    arrivals = np.concatenate([p[0] for p in parts])
    fates = np.concatenate([p[1] for p in parts])
    for link, rate in enumerate(rates):
        on_it = rows == link
        if math.isinf(rate):
            expected = [(0, False)] * int(on_it.sum())
        else:
            expected = lindley(times[on_it].tolist(), lengths[on_it].tolist(), rate, queue_bytes)
        assert (fates[on_it] == QUEUE).tolist() == [dropped for _, dropped in expected]
        assert (arrivals - times - MS)[on_it].tolist() == [delay for delay, _ in expected]


def test_a_finite_queue_drops_the_share_of_an_m_d_1_k_queue() -> None:
    """M/D/1/K: the share dropped, from the embedded Markov chain of departures.

    Source: Gross and Harris, Fundamentals of Queueing Theory, section 5.1.3 (M/G/1/K): with pi the
    distribution left behind by departures among 0..K-1, the share blocked is 1 - 1/(pi_0 + rho).
    """
    rho, places, size, rate = 0.9, 4, 1_000, 1e6
    arrived = stats.poisson(rho).pmf(np.arange(places + 1))
    step = np.zeros((places, places))
    for i in range(places):
        for j in range(places):
            new = j - max(i - 1, 0)
            if new >= 0:
                step[i, j] = arrived[new]
        step[i, -1] += 1 - step[i].sum()
    pi = np.linalg.matrix_power(step, 500)[0]
    expected = 1 - 1 / (pi[0] + rho)

    draw = np.random.default_rng(5)
    messages, links, warm_up = 1_200, 400, 100
    # What is left of the present message, those that wait and the new one fit into K sizes: so
    # there are K places, one of them in service.
    spec = LinkSpec(floor_ns=0, rate_bytes_per_s=rate, queue_bytes=places * size)
    queue, rows = links_of(*[spec] * links), np.arange(links)
    gaps = draw.exponential(size / rate / rho, (messages, links))
    times = np.rint(np.cumsum(gaps, axis=0) * 1e9).astype(np.int64)
    dropped = np.array(
        [offer(queue, rows, times[k], size, k)[1] == QUEUE for k in range(messages)]
    )[warm_up:]
    share = dropped.mean(axis=0)
    error = share.std(ddof=1) / math.sqrt(links)
    assert abs(share.mean() - expected) < 4.5 * error
    assert error < 0.03 * expected


# --- order and cuts -----------------------------------------------------------------------------

EVERYTHING = (
    LinkSpec(floor_ns=MS, jitter="exponential", a_ns=3 * MS, loss_probability=0.2),
    LinkSpec(floor_ns=MS, jitter="lognormal", a_ns=3 * MS, b=1.0, rate_bytes_per_s=2e5,
             queue_bytes=2_000),
    LinkSpec(floor_ns=2 * MS, jitter="normal", a_ns=MS, b=1.0 * MS, rate_bytes_per_s=1e5,
             loss_probability=0.1),
    LinkSpec(floor_ns=0, jitter="constant", a_ns=MS),
)  # fmt: skip


def test_rows_split_in_calls_have_the_same_fates() -> None:
    draw = np.random.default_rng(1)
    n = 4_000
    rows = draw.integers(0, 4, n)
    times = np.sort(draw.integers(0, 2_000 * MS, n))
    lengths = draw.integers(1, 900, n)
    whole = offer(links_of(*EVERYTHING), rows, times, lengths)
    assert set(whole[1].tolist()) == {0, LOSS, QUEUE}
    for parts in (2, 37, n):
        links = links_of(*EVERYTHING)
        found = [
            offer(links, rows[s], times[s], lengths[s], int(s[0]))
            for s in np.array_split(np.arange(n), parts)
        ]
        assert np.array_equal(np.concatenate([f[0] for f in found]), whole[0])
        assert np.array_equal(np.concatenate([f[1] for f in found]), whole[1])


def test_order_of_messages_on_other_links_does_not_matter() -> None:
    draw = np.random.default_rng(2)
    n = 2_000
    rows = draw.integers(0, 4, n)
    times = np.sort(draw.integers(0, 500 * MS, n))
    lengths = draw.integers(1, 900, n)
    arrivals, fates = offer(links_of(*EVERYTHING), rows, times, lengths)
    alone_arrivals, alone_fates = np.empty_like(arrivals), np.empty_like(fates)
    for link in range(4):
        on_it = np.flatnonzero(rows == link)
        links = links_of(*EVERYTHING)
        alone_arrivals[on_it], alone_fates[on_it] = links.offer(
            rows[on_it], times[on_it], lengths[on_it],
            np.full(len(on_it), key_of(1, "link", "a", "b", "topic"), dtype=np.uint64),
            on_it.astype(np.uint64), np.zeros(len(on_it), dtype=np.uint64),
        )  # fmt: skip
    assert np.array_equal(alone_arrivals, arrivals)
    assert np.array_equal(alone_fates, fates)


def test_a_cut_link_drops_everything_and_uses_no_queue() -> None:
    spec = LinkSpec(floor_ns=MS, rate_bytes_per_s=1e3, queue_bytes=0, loss_probability=0.5)
    links = links_of(spec, cuts=[True])
    rows, times = np.zeros(100, dtype=np.intp), np.zeros(100, dtype=np.int64)
    assert set(offer(links, rows, times, 500)[1].tolist()) == {PARTITION}
    links.replace([0], [LinkSpec(floor_ns=MS, rate_bytes_per_s=1e3, queue_bytes=0)], [False])
    arrivals, fates = offer(links, rows[:1], times[:1], 500)
    assert fates.tolist() == [0]
    assert arrivals.tolist() == [MS + 500 * MS]


def test_a_new_episode_finds_empty_queues() -> None:
    links = links_of(LinkSpec(floor_ns=0, rate_bytes_per_s=1e3))
    one, start = np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.int64)
    assert offer(links, one, start, 500)[0].tolist() == [500 * MS]
    assert offer(links, one, start, 500)[0].tolist() == [1000 * MS]
    links.reset()
    assert offer(links, one, start, 500)[0].tolist() == [500 * MS]
