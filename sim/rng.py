"""Randomness keyed by names: the same generator for integers, NumPy arrays and torch tensors.

A draw is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)
of a 64-bit key, hashed from (seed, purpose, names ...), and a 128-bit counter. There is no state:
adding an agent, a link, a topic or a consumer never shifts another's numbers.
The only module that owns generators; the standard library's `random` is used nowhere.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

_MASK: Final = 0xFFFFFFFF
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_FACTORS: Final = np.array((_M0, _M1), dtype=np.uint64)
_STEPS: Final = np.array((_W0, _W1), dtype=np.uint64)
_LOW: Final = np.array(_MASK, dtype=np.uint64)
_HALF: Final = np.array(32, dtype=np.uint64)
_CUT: Final = np.array(6, dtype=np.uint64)
_KEPT: Final = np.array(26, dtype=np.uint64)

Words: TypeAlias = NDArray[np.uint64]


def key_of(seed: int, purpose: str, *names: str | int) -> int:
    """A 64-bit key for (seed, purpose, names); equal inputs give equal keys on every machine."""
    text = "\x1f".join((str(seed), purpose, *map(str, names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, purpose: str, *names: str | int) -> np.random.Generator:
    """A NumPy generator of its own for one named consumer (NumPy's Philox4x64-10)."""
    return np.random.Generator(np.random.Philox(key=key_of(seed, purpose, *names)))


def generator_at(key: int, counter: int) -> np.random.Generator:
    """A NumPy generator for one message of a stream, by the stream's key and its number there."""
    words = np.array([key, counter], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def philox(c0: Any, c1: Any, c2: Any, c3: Any, key: Any) -> tuple[Any, Any, Any, Any]:
    """Four 32-bit words for each counter (c0..c3, 32 bits each) and 64-bit key.

    Shapes: Python integers, or arrays (NumPy uint64) that broadcast together.
    Cost:   about 45 ns per element in NumPy, and 50 us per call.
    Source: Salmon et al. 2011, figure and known answers of the Random123 distribution.
    """
    if isinstance(key, np.ndarray) or isinstance(c0, np.ndarray):
        (c0, c2), (c1, c3) = _lanes(c0, c1, c2, c3, key)
        return c0, c1, c2, c3
    k0, k1 = key & _MASK, key >> 32
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> 32) ^ c1 ^ k0,
            p1 & _MASK,
            (p0 >> 32) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def _lanes(c0: Any, c1: Any, c2: Any, c3: Any, key: Any) -> tuple[Words, Words]:
    """`philox` of arrays: the even words [2, ...], and the odd ones.

    The two halves of a round are one array, and high bits that do not matter stay until one mask
    a round takes them off: a call of NumPy costs as much as a thousand numbers.
    """
    shape = np.broadcast(c0, c1, c2, c3, key).shape
    even, odd, product, other = np.empty((4, 2, *shape), dtype=np.uint64)
    even[0], odd[0], even[1], odd[1] = c0, c1, c2, c3
    halves = np.array((key & _MASK, key >> 32), dtype=np.uint64)
    keys = halves.reshape(2, *(1,) * (len(shape) + 1 - halves.ndim), *halves.shape[1:])
    factors, steps = (pair.reshape(2, *(1,) * len(shape)) for pair in (_FACTORS, _STEPS))
    swapped, next_swapped = product[::-1], other[::-1]
    for _ in range(10):
        np.multiply(even, factors, out=product)
        np.right_shift(swapped, _HALF, out=even)
        np.bitwise_xor(even, odd, out=even)
        np.bitwise_xor(even, keys, out=even)
        np.bitwise_and(even, _LOW, out=even)
        np.add(keys, steps, out=keys)
        odd, swapped, next_swapped = swapped, next_swapped, swapped
        product, other = other, product
    return even, odd & _LOW


def philox_torch(c0: Any, c1: Any, c2: Any, c3: Any, key: Any) -> tuple[Any, Any, Any, Any]:
    """`philox` on int64 tensors of any device; equal to it bit for bit.

    A 32 x 32-bit product overflows int64's sign bit, so each is made of two 16-bit halves.
    """
    k0, k1 = key & _MASK, (key >> 32) & _MASK

    def product(m: int, c: Any) -> tuple[Any, Any]:
        low, high = m * (c & 0xFFFF), m * (c >> 16)
        middle = (low >> 16) + high
        return middle >> 16, ((middle & 0xFFFF) << 16) | (low & 0xFFFF)

    for _ in range(10):
        high0, low0 = product(_M0, c0)
        high1, low1 = product(_M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


_FEW: Final = 12
"""Draws up to which plain integers beat the fixed cost of NumPy's calls."""


def uniforms(
    keys: NDArray[np.uint64], counters: NDArray[np.uint64], stage: int, hops: NDArray[np.uint64]
) -> NDArray[np.float64]:
    """Two independent uniforms in (0, 1) per (key, counter, hop), for one stage of a link.

    Shapes: all uint64 [n] -> float64 [2, n], of 52 bits, so that adding the half is exact.
    """
    drawn: NDArray[np.float64] = uniforms_of_stages(keys, counters, (stage,), hops)[0]
    return drawn


def uniforms_of_stages(
    keys: NDArray[np.uint64], counters: NDArray[np.uint64], stages: Sequence[int],
    hops: NDArray[np.uint64],
) -> NDArray[np.float64]:  # fmt: skip
    """`uniforms` of k stages at once, cheaper than k times: NumPy's calls cost more than numbers.

    Shapes: as there -> float64 [k, 2, n].
    """
    if len(stages) * len(keys) <= _FEW:
        each = list(zip(keys.tolist(), counters.tolist(), hops.tolist(), strict=True))
        drawn = [philox(c & _MASK, c >> 32, s, hop, key) for s in stages for key, c, hop in each]
        words = np.array(drawn, dtype=np.uint64).T.reshape(4, len(stages), -1)
        upper, lower = words[0::2], words[1::2]
    else:
        numbers = np.array(stages, dtype=np.uint64)[:, None]
        upper, lower = _lanes(counters & _LOW, counters >> _HALF, numbers, hops, keys)
    bits = upper >> _CUT << _KEPT | lower >> _CUT
    found: NDArray[np.float64] = (bits.astype(np.float64) + 0.5) * 2.0**-52
    return found.swapaxes(0, 1)


def uniform_pair(key: int, counter: int, stage: int, hop: int) -> tuple[float, float]:
    """`uniforms` of one (key, counter, hop) in plain numbers; equal to it bit for bit."""
    a, b, c, d = philox(counter & _MASK, counter >> 32, stage, hop, key)
    first = ((a >> 6) * 67108864.0 + (b >> 6) + 0.5) / 2.0**52
    return first, ((c >> 6) * 67108864.0 + (d >> 6) + 0.5) / 2.0**52


def uniforms_torch(keys: Any, counters: Any, stage: int, hop: Any) -> tuple[Any, Any]:
    """`uniforms` on int64 tensors of any device and shape; equal to it bit for bit.

    Shapes: keys (the bits of the unsigned ones), counters int64 [...], hop an integer or int64
            [...], that broadcast together -> float64 [...], twice.
    """
    zero = counters * 0
    words = philox_torch(counters & _MASK, counters >> 32, zero + stage, zero + hop, keys)
    upper, lower = ([(w >> 6).double() for w in words[i::2]] for i in (0, 1))
    first, second = (
        (u * 67108864.0 + v + 0.5) / 2.0**52 for u, v in zip(upper, lower, strict=True)
    )
    return first, second


def secret_bytes(n: int) -> bytes:
    """Unpredictable bytes for routing identities; never for anything a digest covers."""
    return secrets.token_bytes(n)
