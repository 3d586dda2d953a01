"""Readers of the forms that only a scenario's `learn` block has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from sim import units
from sim.errors import BoundError, ScenarioError
from sim.scenario.forms import bounded, check_keys, integer, items, number, pair, wrong
from sim.scenario.keys import Key
from sim.scenario.learning import Ranges
from sim.scenario.tree import Node

_RANGED: Final = ("loss", "latency")
_DAY: Final = r"\d{4}-\d{2}-\d{2}"
_DAYS: Final = re.compile(rf"({_DAY})\.\.({_DAY})")
_PLAYER: Final = re.compile(r"[A-Za-z][\w-]*|policy:\S.*")


def _count(node: Node, path: str, key: Key) -> int:
    """A whole number, also as 2e6."""
    value = number(node, path, key)
    if value != int(value):
        raise wrong(node, path, "a whole number")
    return int(value)


def _integers(node: Node, path: str, key: Key) -> tuple[int, ...]:
    found = tuple(integer(child, at, key) for child, at in items(node, path, "a list of numbers"))
    if not found:
        raise wrong(node, path, "a list of at least one number")
    return found


def _players(node: Node, path: str, key: Key) -> dict[str, str]:
    if not node.is_map:
        raise wrong(node, path, "a mapping such as {battery: mappo}")
    for group, child in node.value.items():
        if not isinstance(child.value, str) or not _PLAYER.fullmatch(child.value):
            at = f"{path}.{group}"
            raise wrong(child, at, "an algorithm such as mappo, policy:FILE or frozen")
    return {group: child.value for group, child in node.value.items()}


def _tables(node: Node, path: str, key: Key) -> dict[str, dict[str, Any]]:
    if not node.is_map:
        raise wrong(node, path, "a mapping of mappings")
    for name, child in node.value.items():
        if not child.is_map:
            raise wrong(child, f"{path}.{name}", "a mapping")
    return {name: child.plain() for name, child in node.value.items()}


def _reward(node: Node, path: str, key: Key) -> str | float:
    if node.value in ("team", "own"):
        return str(node.value)
    if not node.is_map or set(node.value) != {"mix"}:
        raise wrong(node, path, "team, own or {mix: x}, x from 0 to 1")
    return number(node.value["mix"], f"{path}.mix", Key("number", "", low=0.0, high=1.0))


def _links(node: Node, path: str, key: Key) -> str | Ranges:
    if node.value in ("ideal", "scenario"):
        return str(node.value)
    if not node.is_map or not node.value:
        raise wrong(node, path, "ideal, scenario or {loss: [0, 0.4], latency: [0s, 10s]}")
    check_keys(node.value, path, _RANGED)
    loss = node.value.get("loss")
    latency = node.value.get("latency")
    share = Key("fraction", "", low=0.0, high=1.0)
    return Ranges(
        None if loss is None else _range(loss, f"{path}.loss", units.fraction, share),
        None if latency is None
        else _range(latency, f"{path}.latency", units.duration_ns, Key("duration", "")),
    )  # fmt: skip


def _range(node: Node, path: str, read: Callable[[Any], Any], key: Key) -> tuple[Any, Any]:
    """Two bounds of one quantity, the lower first."""
    ends = []
    for i, child in enumerate(pair(node, path, "two bounds such as [0, 0.4]")):
        try:
            value = read(child.value)
        except (ValueError, TypeError) as error:
            raise ScenarioError(f"{child.where}: {path}[{i}]: {error}") from None
        bounded(value, child, f"{path}[{i}]", key)
        ends.append(value)
    if ends[0] > ends[1]:
        raise BoundError(str(wrong(node, path, "the lower bound first")))
    return ends[0], ends[1]


def _days(node: Node, path: str, key: Key) -> tuple[str, str]:
    found = _DAYS.fullmatch(node.value) if isinstance(node.value, str) else None
    if found is None:
        raise wrong(node, path, "two days such as 2016-01-01..2016-10-31")
    for day in found.groups():
        try:
            np.datetime64(day, "D")
        except ValueError:
            raise wrong(node, path, f"days of the calendar, which {day} is not") from None
    if found[1] > found[2]:
        raise BoundError(str(wrong(node, path, "the first day first")))
    return found[1], found[2]


def check_learn(values: dict[str, Node], path: str) -> None:
    """What depends on more than one key of the block. Raises: BoundError."""
    if "train_days" in values and "held_out" in values:
        seen = _days(values["train_days"], f"{path}.train_days", Key("days", ""))
        kept = _days(values["held_out"], f"{path}.held_out", Key("days", ""))
        if seen[0] <= kept[1] and kept[0] <= seen[1]:
            raise BoundError(
                f"{values['held_out'].where}: {path}.held_out: expected days that are not in "
                f"train_days ({'..'.join(seen)}), found {'..'.join(kept)}"
            )


FORMS: Final[dict[str, Callable[[Node, str, Key], Any]]] = {
    "count": _count, "integers": _integers, "players": _players, "tables": _tables,
    "reward": _reward, "training_links": _links, "days": _days,
}  # fmt: skip
