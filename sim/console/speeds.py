"""The speeds that the keys go through, from a tenth of real time to a day in a second."""

from __future__ import annotations

import math
from typing import Final

SPEEDS: Final = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18_000, 36_000,
    86_400,
)  # fmt: skip
_RECORDED: Final = 900
"""Where a recording begins that was played as fast as it goes."""


def next_speed(step: int, wanted: float, now: float, is_recorded: bool) -> float | None:
    """The next speed up or down; None if there is none.

    wanted, now: virtual per real second, asked for (infinity for as fast as it goes) and reached.
    """
    if math.isinf(wanted):
        if step > 0:
            return None
        if is_recorded:
            return _RECORDED
        return max((s for s in SPEEDS if s < now), default=SPEEDS[-1])
    if step > 0:
        return next((s for s in SPEEDS if s > wanted * 1.001), math.inf)
    return max((s for s in SPEEDS if s < wanted * 0.999), default=SPEEDS[0])
