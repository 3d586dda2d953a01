"""The generator: known answers, one stream for integers, NumPy and torch, and keys by name."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sim.rng import generator, key_of, philox, philox_torch, secret_bytes, uniforms

U32 = st.integers(0, 2**32 - 1)
KNOWN = [  # Random123, kat_vectors: philox4x32 10 rounds; counter, key, answer
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: str, key: str, answer: str) -> None:
    low, high = words(key)
    assert list(philox(*words(counter), low | high << 32)) == words(answer)


def test_equal_in_integers_numpy_and_torch() -> None:
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    counters = draw.integers(0, 2**32, (4, 500), dtype=np.uint64)
    keys = draw.integers(0, 2**64, 500, dtype=np.uint64)
    found = np.stack(philox(*counters, keys))
    tensors = philox_torch(
        *torch.from_numpy(counters.astype(np.int64)), torch.from_numpy(keys.view(np.int64))
    )
    assert np.array_equal(torch.stack(tensors).numpy().astype(np.uint64), found)
    for i in range(0, 500, 7):
        single = philox(*(int(c) for c in counters[:, i]), int(keys[i]))
        assert list(single) == found[:, i].tolist()


@settings(max_examples=tries(100), deadline=None, print_blob=True)
@given(counter=st.tuples(U32, U32, U32, U32), other=st.tuples(U32, U32, U32, U32), key=U32)
def test_one_counter_one_block(counter: tuple[int, ...], other: tuple[int, ...], key: int) -> None:
    """A key permutes counters: different ones never give the same block."""
    assert (philox(*counter, key) == philox(*other, key)) == (counter == other)


N = 200_000


def test_uniforms_are_uniform_and_independent() -> None:
    keys = np.full(N, key_of(1, "link", "a"), dtype=np.uint64)
    drawn = uniforms(keys, np.arange(N, dtype=np.uint64), 0, np.zeros(N, dtype=np.uint64))
    assert drawn.shape == (2, N)
    assert drawn.min() > 0
    assert drawn.max() < 1
    for row in drawn:
        assert abs(row.mean() - 0.5) < 5 / math.sqrt(12 * N)
        assert abs(row.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / N)
        assert stats.kstest(row, "uniform").pvalue > 1e-6
        assert abs(np.corrcoef(row[1:], row[:-1])[0, 1]) < 5 / math.sqrt(N)
    assert abs(np.corrcoef(drawn)[0, 1]) < 5 / math.sqrt(N)


@pytest.mark.parametrize("bits", [0, 2**32 - 1])
@pytest.mark.parametrize("n", [1, 100])
def test_uniforms_never_reach_their_ends(
    monkeypatch: pytest.MonkeyPatch, bits: int, n: int
) -> None:
    """Words of zeros alone, or of ones alone, give numbers inside (0, 1)."""

    words = np.full((2, 1, n), bits, dtype=np.uint64)
    monkeypatch.setattr("sim.rng.philox", lambda *_: (bits,) * 4)
    monkeypatch.setattr("sim.rng._lanes", lambda *_: (words, words))
    some = np.zeros(n, dtype=np.uint64)
    drawn = uniforms(some, some, 0, some)
    assert len(np.unique(drawn)) == 1
    assert (drawn > 0.0).all()
    assert (drawn < 1.0).all()


@pytest.mark.parametrize("change", ["key", "stage", "hop", "high counter"])
def test_streams_differ_in_every_part_of_their_name(change: str) -> None:
    n = 20_000
    keys = np.full(n, key_of(1, "link", "a"), dtype=np.uint64)
    counters, stage, hops = np.arange(n, dtype=np.uint64), 0, np.zeros(n, dtype=np.uint64)
    one = uniforms(keys, counters, stage, hops)
    if change == "key":
        keys = np.full(n, key_of(1, "link", "b"), dtype=np.uint64)
    elif change == "high counter":
        counters = counters + np.uint64(2**32)
    else:
        stage, hops = (1, hops) if change == "stage" else (0, hops + np.uint64(1))
    other = uniforms(keys, counters, stage, hops)
    assert not (one == other).any()
    assert abs(np.corrcoef(one[0], other[0])[0, 1]) < 5 / math.sqrt(n)


def test_few_and_many_draws_are_the_same() -> None:
    """However many are drawn at once, each depends on its own name alone."""
    draw = np.random.default_rng(4)
    keys = draw.integers(0, 2**64, 300, dtype=np.uint64)
    counters = draw.integers(0, 2**48, 300, dtype=np.uint64)
    hops = draw.integers(0, 4, 300, dtype=np.uint64)
    whole = uniforms(keys, counters, 0, hops)
    for size in (1, 2, 3, 7, 40):
        parts = [
            uniforms(keys[i : i + size], counters[i : i + size], 0, hops[i : i + size])
            for i in range(0, 300, size)
        ]
        assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_keys_differ_by_every_name() -> None:
    names = [
        (1, "agent", "a", 0, 0), (2, "agent", "a", 0, 0), (1, "link", "a", 0, 0),
        (1, "agent", "b", 0, 0), (1, "agent", "a", 1, 0), (1, "agent", "a", 0, 1),
        (1, "agent", "a"), (1, "agent"), (1, "agent", "ab", "c"), (1, "agent", "a", "bc"),
        (11, "agent", "a"), (1, "1agent", "a"),
    ]  # fmt: skip
    assert len({key_of(*each) for each in names}) == len(names)
    assert all(0 <= key_of(*each) < 2**64 for each in names)


def test_keys_do_not_depend_on_process_or_hash_seed() -> None:
    code = "from sim.rng import key_of, generator as g;"
    code += "print(key_of(7, 'agent', 'battery-1', 3), g(7, 'agent', 'b').integers(2**62))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, text=True,
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    here = f"{key_of(7, 'agent', 'battery-1', 3)} {generator(7, 'agent', 'b').integers(2**62)}\n"
    assert found == {here}


def test_generators_of_one_name_are_equal_and_of_two_are_not() -> None:
    assert generator(1, "a", "x").random(4).tolist() == generator(1, "a", "x").random(4).tolist()
    assert generator(1, "a", "x").random(4).tolist() != generator(1, "a", "y").random(4).tolist()


def test_secrets_are_not_keyed() -> None:
    assert len({secret_bytes(16) for _ in range(10)}) == 10
