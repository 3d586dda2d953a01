"""The chains behind losses in bursts, without any state: looked up backwards from a message.

A step of a chain (`sim.scenario.bursts.Burst`) can be written so: with probability enter + leave
the state is drawn afresh, bad in enter of these cases; otherwise it is kept. So the state at a step
is what the latest fresh draw up to it said, and the draws are keyed: the state is a function of
key, step and parameters. Nothing need be kept between messages, saved, or played in order; a batch
finds the same. Step 0 is drawn from the stationary law. What `Known` keeps only spares draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from broker.numbered import Numbered
from sim.rng import uniform_pair, uniforms, uniforms_torch
from sim.scenario.bursts import Burst

STATES: Final = 1
"""Stage number of the Philox blocks of chains, beside those of losses and jitter."""
_BLOCK_MIN: Final = 4
_BLOCK_MAX: Final = 32
"""Pairs of steps, of which one Philox block gives the draws, that are looked at together."""
_FEW: Final = 12
"""Messages up to which plain numbers beat the fixed cost of NumPy's calls."""
_PLACES_MIN: Final = 1 << 12
_PLACES_EACH: Final = 8
"""Places of `Known` for each message that comes at once, so that few push each other out."""
_HOP, _NUMBER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_LOW, _HIGH = np.uint64(0), np.uint64(32)
_NEVER: Final = -2

Array: TypeAlias = Any


def chains() -> Numbered[Burst]:
    """The chains of links; columns: their parameters, float64 [k], but slot int64 [k] in ns."""
    return Numbered(Burst(), _columns)


def _columns(bursts: Sequence[Burst]) -> dict[str, NDArray[Any]]:
    """`stay` is what a draw must not reach if a bad state is to stay: 1 - leave."""
    names = ("enter", "stay", "share", "good", "bad")
    rows = [(b.enter, 1 - b.leave, b.share, b.good, b.bad) for b in bursts]
    columns = dict(zip(names, np.array(rows).T, strict=True))
    return columns | {"slot": np.array([b.slot_ns for b in bursts], dtype=np.int64)}


def burst_losses(
    xp: Any, parameters: Mapping[str, Array], numbers: Array, keys: Array, clocks: Array,
    serials: Array, times: Array, hops: Array, known: Known | None = None,
) -> Array:  # fmt: skip
    """The probability that each message is lost, by the state it finds its link in.

    Shapes: parameters as the columns of `chains`; all others [n], NumPy's or torch's: numbers of
            chains, serials, times (ns since the episode began) and hops int64; keys of ways and
            clocks of links uint64 (their bits as int64 in torch) -> float64 [n].
    known:  what was found before, of NumPy's arrays.
    Cost:   1 draw where the step before is known, else about 1 / (enter + leave), of 0.1 us in
            large numbers, 5 us for few messages.
    """
    found = xp.zeros(serials.shape, dtype=xp.float64, device=serials.device)
    at = xp.nonzero(numbers > 0)[0]
    if not len(at):
        return found
    numbers, slots = numbers[at], parameters["slot"][numbers[at]]
    is_timed = slots > 0
    steps = xp.where(is_timed, times[at] // xp.where(is_timed, slots, 1 + 0 * slots), serials[at])
    chain = (
        xp.where(is_timed, clocks[at], keys[at]), steps, xp.where(is_timed, 0 * hops[at], hops[at]),
        *(parameters[name][numbers] for name in ("enter", "stay", "share")),
    )  # fmt: skip
    is_bad = states(xp, *chain) if known is None else known.states(numbers, *chain)
    found[at] = xp.where(is_bad, parameters["bad"][numbers], parameters["good"][numbers])
    return found


class Known:
    """The latest state found of each chain, so that its next step takes one draw. A chain pushed
    out of its place by others is found again by `states`.
    """

    def __init__(self) -> None:
        self.forget(_PLACES_MIN)

    def forget(self, places: int = _PLACES_MIN) -> None:
        """Frees all places, of which there are then so many."""
        self._names = np.zeros(places, dtype=np.uint64)
        self._steps = np.full(places, _NEVER)
        self._is_bad = np.zeros(places, dtype=bool)
        self._of_few: dict[tuple[int, int, int], tuple[int, bool]] = {}

    def states(
        self, numbers: Array, keys: Array, steps: Array, hops: Array, enter: Array, stay: Array,
        share: Array,
    ) -> Array:  # fmt: skip
        """As `states`, of NumPy's arrays. numbers: of the parameters, int64 [n]."""
        if len(keys) <= _FEW:
            columns = (c.tolist() for c in (numbers, keys, steps, hops, enter, stay, share))
            return np.array([self._state(*one) for one in zip(*columns, strict=True)])
        if _PLACES_EACH * len(keys) > len(self._names):
            self.forget(1 << (_PLACES_EACH * len(keys)).bit_length())
        # Keys are hashes: that two chains get one name is as likely as that they have one key.
        names = keys + hops.astype(np.uint64) * _HOP + numbers.astype(np.uint64) * _NUMBER
        at = self._find(names, steps)
        since = np.where(self._names[at] == names, steps - self._steps[at], _NEVER)
        is_bad = self._is_bad[at]
        chain = (keys, steps, hops, enter, stay, share)
        following = np.flatnonzero(since == 1)
        if len(following):
            key, step, hop, low, above, _ = (column[following] for column in chain)
            pair = uniforms(key, (step >> 1).astype(np.uint64), STATES, hop.astype(np.uint64))
            drawn = np.where(step & 1, pair[1], pair[0])
            is_bad[following] = (drawn < low) | (is_bad[following] & (drawn < above))
        unknown = np.flatnonzero((since < 0) | (since > 1))
        if len(unknown):
            is_bad[unknown] = states(np, *(column[unknown] for column in chain))
        for new in (slice(None), unknown):  # who is new in a place comes last, so stays
            places = at[new]
            self._names[places], self._steps[places] = names[new], steps[new]
            self._is_bad[places] = is_bad[new]
        return is_bad

    def _state(
        self, number: int, key: int, step: int, hop: int, enter: float, stay: float, share: float
    ) -> bool:
        """`states` of one chain."""
        name = number, key, hop
        known, is_bad = self._of_few.get(name, (_NEVER, False))
        if known == step - 1:
            drawn = uniform_pair(key, step >> 1, STATES, hop)[step & 1]
            is_bad = drawn < enter or (is_bad and drawn < stay)
        elif known != step:
            is_bad = _state(key, step, hop, enter, stay, share)
        self._of_few[name] = step, is_bad
        return is_bad

    def _find(self, names: Array, steps: Array) -> Array:
        """Which of its two places each chain has; else one that is free, or either in turn."""
        last = np.uint64(len(self._names) - 1)
        first, second = ((names >> shift & last).astype(np.intp) for shift in (_LOW, _HIGH))
        there, other = self._names[first], self._names[second]
        is_better = (there != 0) & ((other == 0) | (steps & 1 == 1))
        return np.where((there != names) & (is_better | (other == names)), second, first)


def states(
    xp: Any, keys: Array, steps: Array, hops: Array, enter: Array, stay: Array, share: Array
) -> Array:
    """Whether each chain is bad at its step.

    Shapes: keys uint64 (int64 in torch), steps, hops int64, enter, stay (1 - leave), share of the
            bad state float64: all [n] -> bool [n].
    """
    is_bad = steps < 0
    todo, length = xp.nonzero(steps >= 0)[0], _BLOCK_MIN
    while len(todo):
        if isinstance(keys, np.ndarray) and len(todo) <= _FEW:
            columns = (c[todo].tolist() for c in (keys, steps, hops, enter, stay, share))
            is_bad[todo] = [_state(*one) for one in zip(*columns, strict=True)]
            break
        pairs = (steps[todo] >> 1)[:, None] - xp.arange(length, device=steps.device)
        drawn = _uniforms(xp, keys[todo], xp.clip(pairs, 0, None), hops[todo])
        block = xp.stack((2 * pairs + 1, 2 * pairs), -1).reshape(len(todo), -1)
        is_first = block <= 0
        low, above, start, last = (p[todo][:, None] for p in (enter, stay, share, steps))
        falls = drawn < xp.where(is_first, start, low)
        is_fresh = (falls | is_first | (drawn >= above)) & (block <= last)
        latest = xp.argmax(1 * is_fresh, axis=1)[:, None]
        is_bad[todo] = xp.take_along_axis(falls, latest, axis=1)[:, 0]
        todo = todo[~xp.any(is_fresh, axis=1)]
        steps, length = (steps | 1) - 2 * length, min(2 * length, _BLOCK_MAX)
    return is_bad


def _state(key: int, step: int, hop: int, enter: float, stay: float, share: float) -> bool:
    """`states` of one chain."""
    pair = uniform_pair(key, step >> 1, STATES, hop)
    while step and enter <= pair[step & 1] < stay:
        step -= 1
        if step & 1:
            pair = uniform_pair(key, step >> 1, STATES, hop)
    return pair[step & 1] < (enter if step else share)


def _uniforms(xp: Any, keys: Array, pairs: Array, hops: Array) -> Array:
    """The uniforms of pairs of steps, the later of a pair first. Shapes: [n], [n, k] -> [n, 2k]."""
    n, k = pairs.shape
    if isinstance(keys, np.ndarray):
        counters = pairs.astype(np.uint64).reshape(-1)
        flat = np.repeat(keys, k), counters, STATES, np.repeat(hops.astype(np.uint64), k)
        even, odd = uniforms(*flat)
    else:
        even, odd = uniforms_torch(keys[:, None], pairs, STATES, hops[:, None])
    return xp.stack((odd.reshape(n, k), even.reshape(n, k)), -1).reshape(n, 2 * k)
