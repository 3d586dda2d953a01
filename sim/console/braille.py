"""Line charts of braille dots: two across and four down in every character."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_BITS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EMPTY: Final = "\u2800"


class Canvas:
    """Dots on a grid of characters. Shapes: `width` by `height` characters."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(width, 1), max(height, 1)
        self._cells = [[0] * self.width for _ in range(self.height)]

    def dot(self, x: float, y: float) -> None:
        """Sets a dot; x in [0, 1] from the left, y in [0, 1] from below. Others are left out."""
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return
        column = min(int(x * self.width * 2), self.width * 2 - 1)
        line = min(int((1 - y) * self.height * 4), self.height * 4 - 1)
        self._set(column, line)

    def _set(self, column: int, line: int) -> None:
        self._cells[line // 4][column // 2] |= _BITS[line % 4][column % 2]

    def line(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Joins points, given in [0, 1]; a gap where one is not a number."""
        before: tuple[int, int] | None = None
        for x, y in zip(xs, ys, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                before = None
                continue
            column = round(min(max(x, 0.0), 1.0) * (self.width * 2 - 1))
            line = round((1 - min(max(y, 0.0), 1.0)) * (self.height * 4 - 1))
            if before is None:
                self._set(column, line)
            else:
                self._join(before, (column, line))
            before = (column, line)

    def _join(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for i in range(steps + 1):
            share = i / steps
            self._set(
                round(start[0] + (end[0] - start[0]) * share),
                round(start[1] + (end[1] - start[1]) * share),
            )

    def rows(self) -> list[str]:
        """The characters, top first; a space where no dot is."""
        return [
            "".join(chr(0x2800 + cell) if cell else " " for cell in line) for line in self._cells
        ]


def scale(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest of what is finite, widened where they are equal."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-12):
        pad = abs(low) * 0.05 or 1.0
        return low - pad, high + pad
    return low, high
