"""Delays as histograms: quantiles within the stated error, whatever the delays are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.delays import BINS, ERROR, Delays, bins, quantiles
from broker.ledger import Ledger

SHARES = (0.5, 0.95, 0.99, 1.0)
SECOND = 1_000_000_000
HOURS = round(4.8 * 3600) * SECOND


def at_rank(delays: list[int], share: float) -> int:
    return sorted(delays)[max(math.ceil(share * len(delays)), 1) - 1]


def is_close(found: int, true: int) -> bool:
    return found == 0 if true < 4096 else abs(found - true) <= ERROR * true + 1


@settings(max_examples=tries(200), deadline=None)
@given(st.lists(st.one_of(st.integers(0, 10_000), st.integers(0, HOURS)), min_size=1, max_size=60))
def test_quantiles_are_within_the_error_at_every_rank(delays: list[int]) -> None:
    counts = np.bincount(bins(np.array(delays)), minlength=BINS)
    for share, found in zip(SHARES, quantiles(counts, SHARES), strict=True):
        assert is_close(int(found), at_rank(delays, share)), (share, found)


def test_the_error_is_as_small_as_stated_and_no_smaller() -> None:
    delays = np.geomspace(4096, HOURS, 100_000).astype(np.int64)
    counts = np.zeros((len(delays), BINS), dtype=np.int8)
    counts[np.arange(len(delays)), bins(delays)] = 1
    errors = np.concatenate(
        [abs(quantiles(c, (0.5,))[0] - d) / d for c, d in zip(
            np.array_split(counts, 50), np.array_split(delays, 50), strict=True)]
    )  # fmt: skip
    assert 0.9 * ERROR < errors.max() <= ERROR * 1.001
    assert ERROR < 0.032


@pytest.mark.parametrize("delay", [0, 1, 4095, 4096, HOURS, 10**15, 2**62])
def test_every_delay_has_a_bin(delay: int) -> None:
    assert 0 <= bins(np.array([delay]))[0] < BINS


def test_nothing_has_no_quantiles() -> None:
    assert [int(q) for q in quantiles(np.zeros(BINS, dtype=np.int32), SHARES)] == [-1] * 4
    assert Delays().by_topic(SHARES) == {}
    assert Ledger().accounts() == []
    assert Ledger().topics() == []


def test_rows_beyond_the_limit_count_in_their_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Delays, "ROWS_MAX", 2)
    found = Delays()
    for row, topic in enumerate(("a", "b", "a", "b", "a")):
        found.open(row, topic)
    found.count(np.array([0, 2, 4, 3]), np.array([10, 20, 40, 80]) * SECOND)
    own = found.by_row(np.arange(5), (0.5,))[0].tolist()
    assert is_close(own[0], 10 * SECOND)
    assert own[1:] == [-1] * 4
    median = {topic: values[0] for topic, values in found.by_topic((0.5,)).items()}
    assert is_close(median["a"], 20 * SECOND)
    assert is_close(median["b"], 80 * SECOND)


def test_the_books_tell_bytes_delays_and_reasons_by_link_and_by_topic() -> None:
    ledger = Ledger()
    rows = [ledger.open("a", "b", "t"), ledger.open("b", "a", "t"), ledger.open("a", "b", "u")]
    for _ in range(3000):
        at = np.array(rows)
        ledger.count_sent(at, np.array([10, 20, 30]))
        sent, later = np.array([0, SECOND]), np.array([SECOND, 4 * SECOND])
        ledger.count_delivered(at[:2], sent, later, np.array([10, 20]))
        ledger.count_dropped(at[2:], 3)
    first, second, third = ledger.accounts()
    assert (first.bytes, first.delivered_bytes, first.delivered) == (30_000, 30_000, 3000)
    assert first.delay_p50 == first.delay_p99 == pytest.approx(1.0, rel=ERROR)
    assert second.delay_p95 == pytest.approx(3.0, rel=ERROR)
    assert (third.delivered_bytes, third.delay_p50, third.dropped) == (0, None, {"queue": 3000})
    assert ledger.accounts(lambda a, b: a == "b") == [second]
    t, u = ledger.topics()
    assert (t.topic, t.sent, t.delivered_bytes, t.bytes) == ("t", 6000, 90_000, 90_000)
    assert t.delay_p50 == pytest.approx(1.0, rel=ERROR)
    assert t.delay_p99 == pytest.approx(3.0, rel=ERROR)
    assert (u.dropped, u.delay_p99) == ({"queue": 3000}, None)
