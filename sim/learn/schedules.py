"""Values that change with the frames seen so far: pure functions."""

from __future__ import annotations


def constant(value: float, frames: int) -> float:
    """Always `value`."""
    return value


def linear(start: float, end: float, over: int, frames: int) -> float:
    """From `start` to `end` in a straight line over so many frames; `end` afterwards."""
    if frames >= over:
        return end
    return start + (end - start) * frames / over


def exponential(start: float, end: float, half_life: int, frames: int) -> float:
    """From `start` towards `end`; half of the way is left after each `half_life` frames."""
    return float(end + (start - end) * 0.5 ** (frames / half_life))
