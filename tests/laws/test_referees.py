"""Queues and books against the laws that every such system obeys, at 10^5 to 10^6 messages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from checkers.memory import kernel_of, play
from checkers.script import Script, Stage
from numpy.typing import NDArray
from scipy import stats

from broker.kernel import Kernel
from broker.links import Links
from broker.tape import Tape
from sim.rng import key_of
from sim.scenario.link import LinkSpec

SURE = 1e-6
"""Significance of a single test: seeds are fixed, so that one which passes always does."""
SECOND = 1_000_000_000


def sojourns(
    gaps: NDArray[np.float64], lengths: NDArray[np.int64], rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When messages enter parallel links of this rate, and how long they stay, in seconds.

    Shapes: gaps (s), lengths (bytes) [messages, links].
    """
    messages, n = gaps.shape
    links = Links()
    links.add([LinkSpec(floor_ns=0, rate_bytes_per_s=rate, queue_bytes=2**60)] * n, [False] * n)
    times = np.rint(np.cumsum(gaps, axis=0) * 1e9).astype(np.int64)
    keys = np.full(n, key_of(1, "link", "a", "b", "t"), dtype=np.uint64)
    zero, rows, found = np.zeros(n, dtype=np.uint64), np.arange(n), np.empty((messages, n))
    for k in range(messages):
        arrivals, _ = links.offer(rows, times[k], lengths[k], keys, zero + np.uint64(k), zero)
        found[k] = (arrivals - times[k]) * 1e-9
    return times * 1e-9, found


@pytest.mark.parametrize(("service", "c"), [("M/D/1", 0.0), ("M/M/1", 1.0)])
def test_mean_delay_and_number_of_a_single_server(service: str, c: float) -> None:
    """W = 1/mu + rho (1 + c^2) / (2 mu (1 - rho)), and L = lambda W (Little 1961)."""
    draw = np.random.default_rng(11)
    messages, n, warm_up, size, rate, rho = 1_200, 1_000, 200, 1_000_000, 1e8, 0.6
    mu = rate / size
    gaps = draw.exponential(1 / (rho * mu), (messages, n))
    lengths = np.full((messages, n), size)
    if c:
        lengths = np.rint(draw.exponential(size, (messages, n))).astype(np.int64)
    times, found = sojourns(gaps, lengths, rate)
    expected = 1 / mu + rho * (1 + c**2) / (2 * mu * (1 - rho))
    means = found[warm_up:].mean(axis=0)
    error = means.std(ddof=1) / math.sqrt(n)
    assert error < 0.01 * expected
    assert abs(means.mean() - expected) < 4.5 * error
    # How many are there on average, seen at instants that have nothing to do with arrivals.
    begins, ends = times[warm_up].max(), times[-1].min()
    seen = draw.uniform(begins, ends, 200)
    number = [((times <= t) & (times + found > t)).sum(axis=0) for t in seen]
    per_link = np.mean(number, axis=0)
    error = per_link.std(ddof=1) / math.sqrt(n)
    assert abs(per_link.mean() - rho * mu * expected) < 4.5 * error
    if c:  # the delay itself is exponential; of each link one message, which are independent
        assert stats.kstest(found[-1], stats.expon(0, expected).cdf).pvalue > SURE
        geometric = stats.geom(1 - rho, loc=-1)
        late = np.asarray(number[-1])
        counts = np.bincount(np.minimum(late, 4), minlength=5)
        parts = [*geometric.pmf(range(4)), geometric.sf(3)]
        assert stats.chisquare(counts, np.array(parts) * n).pvalue > SURE


def test_littles_law_on_the_books_of_a_run() -> None:
    """What the books hold in flight, over time, is rate times mean delay of what the tape tells."""
    draw = np.random.default_rng(3)
    times = np.sort(draw.integers(0, 200 * SECOND, 6_000)).tolist()
    scripts = {
        f"agent-{i}": Script(tuple((t, "t", "agent-4", bytes(20)) for t in times[i::3]))
        for i in range(1, 4)
    }
    scripts["agent-4"] = Script(awaits=True)
    kernel = kernel_of(
        "duration: 220s\nworld: {kind: blank, agents: 4, step: 1s}\n"
        "network: {topology: star, hub: h, default: {latency: 2ms, jitter: {exponential: 300ms}, "
        "rate: 1500B/s}, links: [{from: agent-*, to: h, loss: 10%, duplicate: 20%}]}"
    )
    kernel.network.tape = tape = Tape()
    number: list[tuple[int, int]] = []

    def count(kernel: Kernel) -> None:
        number.append((kernel.until, kernel.network.totals()["in_flight"]))

    play(kernel, Stage(scripts).transport(), count)
    told = tape.take()
    sent = dict(zip(told.sent["sequence"].tolist(), told.sent["sent"].tolist(), strict=True))
    stays = [
        arrival - sent[sequence]
        for sequence, arrival in zip(
            told.arrived["sequence"].tolist(), told.arrived["arrival"].tolist(), strict=True
        )
    ]
    ends, held = (np.array(column) for column in zip(*number, strict=True))
    in_flight = float((held[:-1] * np.diff(ends)).sum())
    dropped = set(told.dropped["sequence"].tolist())
    assert len(stays) + len(dropped) == len(sent) > 6_000
    # The books are looked at after windows of 2 ms; a message stays some hundred times as long.
    assert in_flight == pytest.approx(sum(stays), rel=0.005)
    assert np.mean(stays) > 0.5 * SECOND
