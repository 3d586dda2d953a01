"""The random part of a latency: its records, how a file writes it, and tables of measured ones."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim import units
from sim.errors import BoundError, ScenarioError
from sim.ids import did_you_mean
from sim.scenario.forms import check_keys, duration, items, number, pair, wrong
from sim.scenario.keys import Key
from sim.scenario.tree import Node

JITTERS: Final = (
    "constant", "uniform", "normal", "exponential", "lognormal", "pareto", "empirical",
)  # fmt: skip
PAIRS: Final = {
    "normal": "[mean, standard deviation]",
    "lognormal": "[median, sigma]",
    "pareto": "[scale, shape]",
}
"""Kinds of two parameters; the others have one."""
POINTS: Final = 1_001
"""Quantiles that are kept of a file: more of its values are not told apart."""
_VALUES_MAX: Final = 10_000_000
_BYTES_MAX: Final = 256 * 1024 * 1024
_UNIT: Final = re.compile(r"(?:^|[\s_\[(.])(ns|us|µs|ms|s)[\])]?$")
_IS_TABLE: Final = re.compile(r"(network|faults)\b.*\.?jitter\.empirical")


class Jitter(msgspec.Struct, frozen=True, omit_defaults=True):
    """The random part of a latency, added to its floor.

    constant: `a_ns`. uniform: 0 to `a_ns`. normal: mean `a_ns`, standard deviation `b` in
    nanoseconds, truncated at 0. exponential: mean `a_ns`. lognormal: median `a_ns`, `b` = sigma of
    the logarithm (no unit). pareto: at least `a_ns`, and above x with probability (a_ns / x)^b.
    empirical: between the order statistics `table`, in nanoseconds. none: nothing.
    """

    kind: str = "none"
    a_ns: int = 0
    b: float = 0.0
    table: tuple[int, ...] = ()


def read_jitter(node: Node, path: str, key: Key) -> Jitter:
    """The reader of the form `jitter`."""
    expected = f"none, or a mapping of one of {', '.join(JITTERS)}"
    if node.value == "none":
        return Jitter()
    if not node.is_map:
        raise wrong(node, path, expected)
    check_keys(node.value, path, JITTERS)
    if len(node.value) != 1:
        found = ", ".join(node.value) or "none"
        raise ScenarioError(f"{node.where}: {path}: expected {expected}, found {found}")
    [(kind, value)] = node.value.items()
    path = f"{path}.{kind}"
    if kind == "empirical":
        return Jitter(kind, table=_table(value, path))
    if kind not in PAIRS:
        return Jitter(kind, duration(value, path))
    first, second = pair(value, path, PAIRS[kind])
    a_ns = duration(first, f"{path}[0]")
    if kind == "normal":
        return Jitter(kind, a_ns, float(duration(second, f"{path}[1]")))
    low, high = (0.0, 10.0) if kind == "lognormal" else (0.1, 1000.0)
    return Jitter(kind, a_ns, number(second, f"{path}[1]", Key("number", "", low=low, high=high)))


# --- measured -----------------------------------------------------------------------------------


def _table(node: Node, path: str) -> tuple[int, ...]:
    """Order statistics as a file gives them, or as a resolved scenario lists them."""
    expected = "a CSV file, or two and more durations in ascending order"
    if isinstance(node.value, str):
        return _quantiles(_measured(node, path))
    found = tuple(duration(child, at) for child, at in items(node, path, expected))
    if len(found) < 2 or any(a > b for a, b in itertools.pairwise(found)):
        raise wrong(node, path, expected)
    if len(found) > POINTS:
        raise BoundError(f"{node.where}: {path}: expected at most {POINTS} values; use a CSV file")
    return found


def _quantiles(values: NDArray[np.float64]) -> tuple[int, ...]:
    """All order statistics if they are few, else `POINTS` evenly spaced quantiles."""
    if len(values) > POINTS:
        values = np.quantile(values, np.linspace(0.0, 1.0, POINTS))
    return tuple(np.rint(np.sort(values)).astype(np.int64).tolist())


def _measured(node: Node, path: str) -> NDArray[np.float64]:
    """The values of `FILE.csv` or `FILE.csv:COLUMN` in nanoseconds. Shapes: [n], n >= 2."""
    name, _, column = node.value.partition(".csv:")
    name = f"{name}.csv" if column else name
    file = Path(node.folder, name)
    try:
        with file.open("rb") as stream:
            data = stream.read(_BYTES_MAX + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "expected UTF-8 text"
        raise ScenarioError(f"{node.where}: {path}: {name}: cannot be read: {why}") from None
    if len(data) > _BYTES_MAX:
        raise BoundError(f"{node.where}: {path}: {name}: expected at most {_BYTES_MAX} bytes")
    try:
        return _values(text, column)
    except ValueError as error:
        raise ScenarioError(f"{node.where}: {path}: {name}{error}") from None


def _values(text: str, column: str) -> NDArray[np.float64]:
    """Raises: ValueError, which goes on from the name of the file."""
    lines = csv.reader(io.StringIO(text))
    rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    heads = [cell.strip() for cell in rows[0][1]] if rows else []
    has_heads = bool(heads) and not any(_is_number(head) for head in heads)
    at = _place(heads if has_heads else [""] * len(heads), column)
    unit = _UNIT.search(heads[at]) if has_heads else None
    scale = units.duration_ns(f"1{unit[1]}") if unit else units.duration_ns("1ms")
    found = []
    for line, row in rows[has_heads:]:
        cell = row[at].strip() if at < len(row) else ""
        if not _is_number(cell) or not 0 <= float(cell) * scale < units.NEVER:
            raise ValueError(f":{line}: expected a latency from 0, found {cell[:40]!r}")
        found.append(float(cell) * scale)
    if not 2 <= len(found) <= _VALUES_MAX:
        raise ValueError(f": expected 2 to {_VALUES_MAX:,} values, found {len(found):,}")
    return np.array(found)


def _place(heads: Sequence[str], column: str) -> int:
    """Where the values stand."""
    if column in heads and column:
        return heads.index(column)
    named = [head for head in heads if head]
    if column:
        hint = did_you_mean(column, named) if named else "its columns have no names"
        raise ValueError(f": no column {column!r}; {hint}")
    if len(heads) > 1:
        listed = ", ".join(named) or "none with a name"
        raise ValueError(f": which column? FILE.csv:COLUMN says it; there are {listed}")
    return 0


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def with_tables(node: Node, path: str = "") -> Node:
    """The tree with what files of measured latencies say in their place, so that it means the same
    where they are not. Raises: ScenarioError for a file that cannot be read.
    """
    if node.is_list:
        return _with(node, [with_tables(c, f"{path}[{i}]") for i, c in enumerate(node.value)])
    if not node.is_map:
        return node
    found: dict[str, Any] = {}
    for name, child in node.value.items():
        at = f"{path}.{name}" if path else name
        if _IS_TABLE.fullmatch(at) and isinstance(child.value, str):
            told = map(units.duration_text, _table(child, at))
            found[name] = _with(child, [_with(child, text) for text in told])
        else:
            found[name] = with_tables(child, at)
    return _with(node, found)


def _with(node: Node, value: Any) -> Node:
    return Node(value, node.where, node.folder)
