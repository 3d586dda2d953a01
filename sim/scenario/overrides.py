"""`--set path=value` and `--as pattern=behaviour`, applied to a scenario's tree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.errors import ScenarioError, UnknownKeyError
from sim.scenario.tree import DEPTH_MAX, Node, merge, node_of, parse

_STEP: Final = re.compile(r"""\.?(?:"([^"]*)"|'([^']*)'|\[(\d{1,6})\]|([^.\[\]"']+))""")

Overrides = Sequence[str] | Mapping[str, Any]


def _steps(path: str, where: str) -> list[str | int]:
    """`a.b[0]."c.d"` as keys and indices."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None or (position == 0 and path.startswith(".")):
            break
        double, single, index, plain = match.groups()
        steps.append(int(index) if index is not None else double or single or plain or "")
        position = match.end()
    if position < len(path) or not 0 < len(steps) <= DEPTH_MAX:
        raise ScenarioError(
            f"{where}: expected a path such as network.default.loss or faults[0].at, found {path!r}"
        )
    return steps


def _with(node: Node, steps: Sequence[str | int], value: Node, path: str) -> Node:
    """`node` with the value at `steps` replaced; mappings on the way are made."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    here = f"{value.where}: {path}: " if path else f"{value.where}: "
    if isinstance(step, int):
        items = node.value if node.is_list else []
        if step >= len(items):
            raise UnknownKeyError(f"{here}no item [{step}]; there are {len(items)}")
        child = _with(items[step], rest, value, f"{path}[{step}]")
        return Node([*items[:step], child, *items[step + 1 :]], node.where, node.folder)
    if node.is_list:
        raise UnknownKeyError(f"{here}a list has no key {step!r}; its items are [0], [1], ...")
    items = node.value if node.is_map else {}
    below = items.get(step, Node({}, value.where, value.folder))
    child = _with(below, rest, value, f"{path}.{step}" if path else str(step))
    where = node.where
    if path and not rest and value.where not in where:
        where = f"{where} (with {value.where})"
    return Node({**items, step: child}, where, node.folder)


def apply_overrides(root: Node, overrides: Overrides) -> Node:
    """The tree with each override set: `path=value` texts (value in YAML), or values by path.

    Raises: ScenarioError that names the option.
    """
    if isinstance(overrides, Mapping):
        for path, value in overrides.items():
            where = f"override {path!r}"
            root = _with(root, _steps(path, where), node_of(value, where), "")
        return root
    for text in overrides:
        path, sign, value = text.partition("=")
        where = f"--set {text[:100]}"
        if not sign:
            raise ScenarioError(f"{where}: expected path=value")
        node = parse(value, where, line=False)
        root = _with(root, _steps(path.strip(), where), node, "")
    return root


def apply_behaviours(root: Node, behaviours: Sequence[str] | Mapping[str, str]) -> Node:
    """The tree with each `pattern=behaviour` at the end of its `as` mapping.

    Raises: ScenarioError that names the option.
    """
    pairs = behaviours.items() if isinstance(behaviours, Mapping) else map(_assignment, behaviours)
    for pattern, behaviour in pairs:
        where = f"--as {pattern}={behaviour}"
        entry = {"as": Node({pattern: Node(behaviour, where)}, where)}
        root = merge(root, Node(entry, root.where, root.folder))
    return root


def _assignment(text: str) -> tuple[str, str]:
    pattern, sign, behaviour = (part.strip() for part in text.partition("="))
    if not (sign and pattern and behaviour):
        raise ScenarioError(f"--as {text}: expected pattern=behaviour, as 'battery-*=rule'")
    return pattern, behaviour
