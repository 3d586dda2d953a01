"""A scene that has no drawing of its own: its numbers, lists as bars, as far as there is room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sim.console.ink import Row, cut, left, plain
from sim.console.words import number

_LEVELS: Final = "▁▂▃▄▅▆▇█"
_DEPTH: Final = 3


def draw_plain(scene: Mapping[str, Any], width: int, height: int) -> list[Row]:
    """A row per value."""
    rows = []
    for name, value in _leaves(scene, "", 0):
        if name in ("kind", "title"):
            continue
        rows.append(_row(name, value, width))
        if len(rows) >= height:
            return rows
    return rows or [[("nothing is drawn in this world", "dim")]][:height]


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and depth < _DEPTH:
        for key, child in value.items():
            yield from _leaves(child, f"{name}.{key}" if name else str(key), depth + 1)
    elif (
        isinstance(value, list | tuple)
        and value
        and isinstance(value[0], Mapping | list | tuple)
        and depth < _DEPTH
    ):
        for i, child in enumerate(value):
            label = child.get("name", i) if isinstance(child, Mapping) else i
            yield from _leaves(child, f"{name}.{label}" if name else str(label), depth + 1)
    else:
        yield name, value


def _row(name: str, value: Any, width: int) -> Row:
    label = min(max(width // 3, 10), 28)
    row: Row = [(left(plain(name), label), "dim"), (" ", "")]
    room = max(width - label - 1, 1)
    numbers = _numbers(value)
    if isinstance(value, bool):
        row.append(("yes" if value else "no", ""))
    elif numbers is not None and len(numbers) > 1:
        said = " ".join(number(v, 3) for v in numbers)
        if len(said) <= room:
            row.append((said, ""))
        else:
            finite = [v for v in numbers if math.isfinite(v)] or [math.nan]
            ends = f" {number(min(finite), 3)} … {number(max(finite), 3)}"
            row += [(_bars(numbers, room - len(ends)), "c1"), (ends, "")]
    elif numbers:
        row.append((number(numbers[0]), ""))
    else:
        row.append((cut(plain(str(value)), room), ""))
    return row


def _numbers(value: Any) -> list[float] | None:
    if isinstance(value, int | float):
        return [float(value)]
    if isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
        return [float(v) for v in value]
    return None


def _bars(values: Sequence[float], width: int) -> str:
    width = min(max(width, 1), len(values))
    some = [values[i * len(values) // width] for i in range(width)]
    finite = [v for v in some if math.isfinite(v)]
    if not finite:
        return "-" * width
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(
        _LEVELS[min(int((v - low) / span * 8), 7)] if math.isfinite(v) else " " for v in some
    )
