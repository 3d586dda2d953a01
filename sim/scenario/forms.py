"""What the readers of a scenario's forms share: what was found, and plain numbers and lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sim import units
from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.scenario.keys import Key
from sim.scenario.tree import Node


def show(node: Node) -> str:
    if node.is_map or node.is_list:
        return "a mapping" if node.is_map else "a list"
    if node.value is None:
        return "nothing"
    text = repr(node.value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def wrong(node: Node, path: str, expected: str) -> ScenarioError:
    return ScenarioError(f"{node.where}: {path}: expected {expected}, found {show(node)}")


def check_keys(parts: Mapping[str, Node], path: str, known: Iterable[str]) -> None:
    """Raises: UnknownKeyError naming the nearest of the known keys of a mapping."""
    for name, child in parts.items():
        if name not in known:
            raise UnknownKeyError(
                f"{child.where}: {path}: unknown key {name!r}; {did_you_mean(name, known)}"
            )


def items(node: Node, path: str, expected: str) -> Iterator[tuple[Node, str]]:
    if not node.is_list:
        raise wrong(node, path, expected)
    yield from ((child, f"{path}[{i}]") for i, child in enumerate(node.value))


def pair(node: Node, path: str, expected: str) -> tuple[Node, Node]:
    if not node.is_list or len(node.value) != 2:
        raise wrong(node, path, expected)
    return node.value[0], node.value[1]


def bounded(value: float, node: Node, path: str, key: Key) -> None:
    if not key.low <= value <= key.high:
        bounds = f"from {key.low:g}" + (f" to {key.high:g}" if key.high < float("inf") else "")
        raise BoundError(str(wrong(node, path, f"a value {bounds}")))


def number(node: Node, path: str, key: Key) -> float:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        raise wrong(node, path, "a number")
    bounded(node.value, node, path, key)
    if abs(node.value) == float("inf"):
        raise wrong(node, path, "a finite number")
    return float(node.value)


def integer(node: Node, path: str, key: Key) -> int:
    if isinstance(node.value, bool) or not isinstance(node.value, int):
        raise wrong(node, path, "a whole number")
    bounded(node.value, node, path, key)
    return node.value


def duration(node: Node, path: str) -> int:
    """Nanoseconds."""
    if node.value is None or node.is_map or node.is_list:
        raise wrong(node, path, "a value such as 20ms, 15min or 6h10min")
    try:
        return units.duration_ns(node.value)
    except ValueError as error:
        raise ScenarioError(f"{node.where}: {path}: {error}") from None
