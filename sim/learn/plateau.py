"""When training has come to rest: the return has not improved for a share of what was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

_BINS: Final = 50
"""Into which the frames asked for are cut."""
_EPISODES_MIN: Final = 8
"""Of a bin that counts."""
_KNOWN_MIN: Final = 5
"""Bins that must count on either side."""


class Plateau:
    """Compares the best mean return since with the best before.

    The frames are cut into 50 bins; a bin with at least 8 episodes has a mean return and a standard
    error. Training rests once the best mean of the last `share` of the frames is not above the best
    mean before them by at least one standard error of the two together, which chance alone does
    one time in six. At least five bins must count on either side; with share 0 it never rests.
    Source: our own rule.
    """

    def __init__(self, share: float, frames: int) -> None:
        self._share = share
        self._width = max(frames / _BINS, 1.0)
        self._bins: dict[int, tuple[int, float, float]] = {}
        self._now = 0

    def note(self, frames: int, returns: Iterable[float]) -> None:
        """Takes the returns of episodes that ended up to this frame."""
        self._now = int(frames / self._width)
        count, total, squares = self._bins.get(self._now, (0, 0.0, 0.0))
        for value in returns:
            count, total, squares = count + 1, total + value, squares + value * value
        if count:
            self._bins[self._now] = (count, total, squares)

    @property
    def is_reached(self) -> bool:
        """Whether training may stop."""
        if not self._share:
            return False
        since = self._now - math.ceil(self._share * _BINS)
        before = [self._level(i) for i in self._bins if i <= since]
        after = [self._level(i) for i in self._bins if since < i < self._now]
        known = [[level for level in side if level is not None] for side in (before, after)]
        if min(map(len, known)) < _KNOWN_MIN:
            return False
        (best, error), (newest, other) = max(known[0]), max(known[1])
        return newest - best < math.hypot(error, other)

    def _level(self, index: int) -> tuple[float, float] | None:
        """Mean and standard error of a bin."""
        count, total, squares = self._bins[index]
        if count < _EPISODES_MIN:
            return None
        mean = total / count
        variance = max(squares / count - mean * mean, 0.0) * count / (count - 1)
        return mean, math.sqrt(variance / count)

    def state(self) -> dict[str, Any]:
        """What `load` needs."""
        return {"bins": [[i, *values] for i, values in self._bins.items()], "now": self._now}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self._bins = {int(i): (int(n), float(s), float(q)) for i, n, s, q in state["bins"]}
        self._now = int(state["now"])
