"""Bursts against closed forms of the two-state chain, and against the chain played forwards."""

from __future__ import annotations

import math

import array_api_compat.torch
import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from broker.bursts import STATES, Known, states
from broker.ledger import BURST, LOSS
from broker.links import Links
from sim.rng import key_of, uniform_pair, uniforms
from sim.scenario.bursts import Burst, burst_of_loss, burst_of_messages, burst_of_time
from sim.scenario.link import LinkSpec

MS = 1_000_000
N = 1_000_000
SURE = 1e-6
"""Significance of a single test: seeds are fixed, so that one which passes always does."""
KEY = key_of(1, "link", "a", "b", "topic")
CLOCK = key_of(1, "burst", 0, "a", "b")


def fates(
    burst: Burst, times: NDArray[np.int64], loss: float = 0.0, first: int = 0, key: int = KEY
) -> NDArray[np.int64]:
    """What becomes of messages number `first` and following of one way."""
    links, n = Links(), len(times)
    links.add([LinkSpec(floor_ns=MS, burst=burst, loss_probability=loss)], [False], [CLOCK])
    _, found = links.offer(
        np.zeros(n, dtype=np.intp), times, np.full(n, 64), np.full(n, key, dtype=np.uint64),
        np.arange(first, first + n, dtype=np.uint64), np.zeros(n, dtype=np.uint64),
    )  # fmt: skip
    return found


def runs(lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the bursts, without those at the edges."""
    edges = np.flatnonzero(lost[1:] != lost[:-1])
    lengths = np.diff(edges)
    found: NDArray[np.int64] = lengths[0 if lost[edges[0] + 1] else 1 :: 2]
    return found


def assert_share(lost: NDArray[np.bool_], share: float, memory: float) -> None:
    """The mean of a stationary sequence whose correlation falls by `memory` per step."""
    error = math.sqrt(share * (1 - share) / len(lost) * (1 + memory) / (1 - memory))
    assert abs(lost.mean() - share) < 5 * error


# --- in messages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "length"),
    [
        (0.1, 5),
        pytest.param(0.1, 20, marks=pytest.mark.slow),
        (0.01, 3),
        (0.5, 2),
        pytest.param(0.7, 40, marks=pytest.mark.slow),
    ],
)
def test_bursts_have_their_share_and_geometric_lengths(loss: float, length: int) -> None:
    burst = burst_of_loss(loss, length)
    lost = fates(burst, np.arange(N)) == BURST
    assert burst.loss == pytest.approx(loss)
    assert_share(lost, loss, 1 - burst.enter - burst.leave)
    found = runs(lost)
    assert abs(found.mean() - length) < 5 * length / math.sqrt(len(found))
    # Between losses too: geometric with the mean 1 / enter.
    for lengths, leave in ((found, 1 / length), (runs(~lost), burst.enter)):
        bounds = np.unique(stats.geom(leave).ppf(np.linspace(0.1, 0.9, 9)))
        counts = np.histogram(lengths, [0, *bounds, math.inf])[0]
        parts = np.diff(np.r_[0, stats.geom(leave).cdf(bounds - 1), 1])
        seen = parts > 0
        assert stats.chisquare(counts[seen], parts[seen] * len(lengths)).pvalue > SURE


def test_bursts_of_the_shortest_length_are_independent_losses() -> None:
    lost = fates(burst_of_loss(0.3, 1 / 0.7), np.arange(N)) == BURST
    after = lost[1:][lost[:-1]]
    for part in (lost, after):
        assert stats.binomtest(int(part.sum()), len(part), 0.3).pvalue > SURE


def test_each_state_loses_at_its_own_rate() -> None:
    """Elliott's channel: loss = good + share (bad - good), lag-1 covariance by the chain's."""
    burst = burst_of_messages(0.02, 0.1, good=0.05, bad=0.6)
    lost = fates(burst, np.arange(N)) > 0
    share, memory = 0.02 / 0.12, 1 - 0.12
    expected = 0.05 + share * 0.55
    assert burst.loss == pytest.approx(expected)
    assert_share(lost, expected, memory)
    for lag in (1, 5, 20):
        both = (lost[lag:] & lost[:-lag]).mean() - lost.mean() ** 2
        assert abs(both - share * (1 - share) * 0.55**2 * memory**lag) < 8 / math.sqrt(N) / 10
    same = burst_of_loss(expected, 10, good=0.05, bad=0.6)
    assert (same.enter, same.leave) == pytest.approx((0.02, 0.1))


def test_loss_and_bursts_lose_on_their_own_account() -> None:
    burst, times = burst_of_loss(0.2, 10), np.arange(N)
    alone = fates(burst, times) == BURST
    found = fates(burst, times, loss=0.1)
    assert ((found == BURST) == (alone & (found != LOSS))).all()
    for part in (found[alone], found[~alone]):
        assert stats.binomtest(int((part == LOSS).sum()), len(part), 0.1).pvalue > SURE
    assert (fates(Burst(), times, loss=0.1) == np.where(found == LOSS, LOSS, 0)).all()


# --- in time ------------------------------------------------------------------------------------


def test_bursts_in_time_forget_as_a_chain_in_continuous_time() -> None:
    """Correlation exp(-(lambda + mu) t), mu = 1 / length, lambda = mu share / (1 - share)."""
    share, length = 0.2, 200 * MS
    burst = burst_of_time(share, length)
    slot = burst.slot_ns
    assert slot == length // 10
    lost = fates(burst, np.arange(N) * slot) == BURST
    rate = 1 / length / (1 - share)
    assert_share(lost, share, math.exp(-rate * slot))
    deviation = lost - share
    for lag in (1, 5, 10, 30):
        found = (deviation[lag:] * deviation[:-lag]).mean() / (share * (1 - share))
        assert abs(found - math.exp(-rate * slot * lag)) < 0.02
    # A burst that is seen at slots lasts 1 / leave of them: the skeleton's own closed form.
    assert burst.leave == pytest.approx((1 - share) * (1 - math.exp(-rate * slot)))
    seen = runs(lost)
    assert abs(seen.mean() - 1 / burst.leave) < 5 / burst.leave / math.sqrt(len(seen))


def test_all_that_crosses_in_a_slot_shares_its_fate() -> None:
    burst = burst_of_time(0.3, 100 * MS)
    times = np.arange(20_000) * MS
    one = fates(burst, times)
    assert (one.reshape(-1, 10) == one.reshape(-1, 10)[:, :1]).all()
    other = fates(burst, times, first=7, key=key_of(1, "link", "c", "d", "else"))
    assert (one == other).all()
    assert (fates(burst_of_loss(0.3, 10), times) != fates(burst_of_loss(0.3, 10), times, 7)).any()


def test_an_episode_begins_its_own_time() -> None:
    burst, times = burst_of_time(0.3, 100 * MS), np.arange(5_000) * MS
    links, n = Links(), len(times)
    links.add([LinkSpec(floor_ns=MS, burst=burst)], [False], [CLOCK])
    links.reset(now=12_345 * MS)
    keys, zero = np.full(n, KEY, dtype=np.uint64), np.zeros(n, dtype=np.uint64)
    _, found = links.offer(
        np.zeros(n, dtype=np.intp), times + 12_345 * MS, np.full(n, 9), keys, zero, zero
    )
    assert (found == fates(burst, times)).all()


# --- the look back ------------------------------------------------------------------------------


def forwards(key: int, hop: int, last: int, enter: float, leave: float) -> list[bool]:
    """The chain from step 0 to `last`, one step after another."""
    found = [uniform_pair(key, 0, STATES, hop)[0] < enter / (enter + leave)]
    for step in range(1, last + 1):
        drawn = uniform_pair(key, step // 2, STATES, hop)[step % 2]
        found.append(drawn < (1 - leave if found[-1] else enter))
    return found


chances = st.floats(0.001, 1.0)


@settings(max_examples=tries(60), deadline=None)
@given(
    key=st.integers(0, 2**64 - 1), hop=st.integers(0, 5), enter=chances, leave=chances,
    last=st.integers(0, 300), is_few=st.booleans(),
)  # fmt: skip
def test_the_state_is_that_of_the_chain_played_forwards(
    key: int, hop: int, enter: float, leave: float, last: int, is_few: bool
) -> None:
    scale = max(1.0, enter + leave)
    enter, leave = enter / scale, min(leave / scale, 1 - enter / scale)
    expected = forwards(key, hop, last, enter, leave)
    steps = np.arange(max(last - 5, 0) if is_few else 0, last + 1)
    columns = [np.full(len(steps), x) for x in (enter, 1 - leave, enter / (enter + leave))]
    keys, hops = np.full(len(steps), key, dtype=np.uint64), np.full(len(steps), hop)
    ours = states(np, keys, steps, hops, *columns)
    assert ours.tolist() == expected[-len(steps) :]
    theirs = states(
        array_api_compat.torch, torch.from_numpy(keys.view(np.int64)),
        *(torch.from_numpy(np.array(x)) for x in (steps, hops, *columns)),
    )  # fmt: skip
    assert theirs.tolist() == ours.tolist()


def test_control_the_next_state_knows_the_last() -> None:
    """The chain played forwards is one: whatever it draws, good to bad and back as it should."""
    enter, leave = 0.1, 0.3
    lost = np.array(forwards(KEY, 0, 40_000, enter, leave))
    for before, share in ((True, 1 - leave), (False, enter)):
        after = lost[1:][lost[:-1] == before]
        assert stats.binomtest(int(after.sum()), len(after), share).pvalue > SURE


def test_chains_have_numbers_of_their_own() -> None:
    keys, steps = np.full(N, KEY, dtype=np.uint64), np.arange(N, dtype=np.uint64)
    hops = np.zeros(N, dtype=np.uint64)
    draws = [uniforms(keys, steps, stage, hops)[0] for stage in (0, STATES)]
    assert abs(np.corrcoef(*draws)[0, 1]) < 5 / math.sqrt(N)


def test_repeating_helps_little_within_a_burst() -> None:
    """Five messages in a row: all lost with probability 0.1 x 0.95^4, not 0.1^5."""
    lost = fates(burst_of_loss(0.1, 20), np.arange(N)) == BURST
    five = np.lib.stride_tricks.sliding_window_view(lost, 5).all(axis=1)
    assert abs(five.mean() - 0.1 * 0.95**4) < 0.01


def test_what_is_known_changes_no_state() -> None:
    """Whatever chains were met before, in whatever order, one by one or so many at once that they
    push each other out, and with whatever parameters.
    """
    draw = np.random.default_rng(5)
    keys = draw.integers(0, 2**64, 700, dtype=np.uint64)
    keys[:40] = keys[0] + (np.arange(40, dtype=np.uint64) << np.uint64(12))  # share first places
    enter, stay = np.array([0.05, 0.7, 0.01]), np.array([0.8, 0.5, 0.99])
    share, known = enter / (enter + 1 - stay), Known()
    steps = np.zeros(len(keys), dtype=np.int64)
    for size in (700, 700, 1, 30, 700, 5, 700, 1, 1, 1, 700, 300, 700, 12, 13, 700) * 2:
        chosen = draw.choice(len(keys), size, replace=size == 300) if size < 700 else slice(None)
        number = draw.integers(0, 3, len(keys)) * (draw.random(len(keys)) < 0.1)
        hop = 1 * (draw.random(len(keys)) < 0.1)
        columns = [
            c[chosen] for c in (keys, steps, hop, enter[number], stay[number], share[number])
        ]
        found = known.states(number[chosen], *columns)
        assert np.array_equal(found, states(np, *columns))
        steps = steps + draw.choice([0, 1, 1, 1, 2, 5], len(keys))
    known.forget()
    assert np.array_equal(known.states(number[chosen], *columns), found)


@pytest.mark.parametrize("n", [3, 600])
def test_the_next_step_of_a_chain_takes_one_draw(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("looked back")

    known, zero, one = Known(), np.zeros(n, dtype=np.int64), np.ones(n)
    keys = np.array([key_of(7, "link", i) for i in range(n)], dtype=np.uint64)
    for step in range(12):
        if step == 11:
            monkeypatch.setattr("broker.bursts.states", refused)
            monkeypatch.setattr("broker.bursts._state", refused)
        known.states(zero, keys, zero + step, zero, 0.1 * one, 0.9 * one, 0.5 * one)
    with pytest.raises(AssertionError, match="looked back"):
        known.states(zero, keys, zero + 20, zero, 0.1 * one, 0.9 * one, 0.5 * one)
