"""YAML text as a tree that knows where each value was written.

Read from the parser's events, so nothing is constructed and nothing recurses: no aliases, no tags,
no duplicate keys, bounded depth. Plain scalars follow YAML 1.2 (`on` and `12:30` are text), so that
a file means the same to an editor with the JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from sim.errors import BoundError, ScenarioError

DEPTH_MAX: Final = 32
_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_FLAGS: Final = {"true": True, "True": True, "TRUE": True} | {
    "false": False, "False": False, "FALSE": False
}  # fmt: skip
_INTEGER: Final = re.compile(r"[+-]?\d+")
_FLOAT: Final = re.compile(r"[+-]?(\.\d+|\d+(\.\d*)?)([eE][+-]?\d+)?")
_SPECIAL: Final = re.compile(r"([+-]?)\.(inf|Inf|INF)")


@dataclass(frozen=True)
class Node:
    """A value and where it stands: `file:line`, or the option that gave it.

    value: text, number, flag or None; a list of nodes; or nodes by key. `where` of a value in a
    mapping is that of its key. `folder` is the folder of its file.
    """

    value: Any
    where: str
    folder: str = ""

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def plain(self) -> Any:
        """The value without its places."""
        if self.is_map:
            return {key: child.plain() for key, child in self.value.items()}
        if self.is_list:
            return [child.plain() for child in self.value]
        return self.value


def node_of(value: Any, where: str, folder: str = "", depth: int = 0) -> Node:
    """A node of plain data. Raises: ScenarioError for a type that YAML does not have."""
    if depth > DEPTH_MAX:
        raise BoundError(f"{where}: expected at most {DEPTH_MAX} levels of nesting")
    if isinstance(value, Mapping):
        children = {str(k): node_of(v, where, folder, depth + 1) for k, v in value.items()}
        return Node(children, where, folder)
    if isinstance(value, list | tuple):
        return Node([node_of(v, where, folder, depth + 1) for v in value], where, folder)
    if value is None or isinstance(value, bool | int | float | str):
        return Node(value, where, folder)
    raise ScenarioError(
        f"{where}: expected text, a number, a flag, a list or a mapping, "
        f"found {type(value).__name__}"
    )


def scalar(text: str, where: str) -> str | int | float | bool | None:
    """A plain scalar, by YAML 1.2's core schema."""
    if text in _NULL:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > 19 or abs(int(text)) >= 2**63:
            raise BoundError(f"{where}: expected a number of at most 64 bits, found {text[:40]}...")
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    return float(special[1] + "inf") if special else text


def _plain_key(node: Node, seen: Mapping[str, Node]) -> str:
    if node.is_map or node.is_list or node.value is None:
        raise ScenarioError(f"{node.where}: expected a key of plain text")
    key = str(node.value)
    if key in seen:
        raise ScenarioError(f"{node.where}: duplicate key {key!r}; it stands at {seen[key].where}")
    return key


def parse(text: str, file: str, folder: str = "", line: bool = True) -> Node:
    """The tree of one YAML document.

    Raises: ScenarioError with file and line for anything that is not plain data.
    """

    def at(mark: Any) -> str:
        return f"{file}:{mark.line + 1}" if line and mark is not None else file

    try:
        return _build(yaml.parse(text, Loader=yaml.SafeLoader), at, Node(None, file, folder))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        raise ScenarioError(f"{at(mark)}: not YAML: {what}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ScenarioError(f"{file}: not YAML: {str(error).splitlines()[0]}") from None


def _build(events: Any, at: Any, empty: Node) -> Node:
    """Nodes from events, with an explicit stack of (container, key waiting for its value)."""
    stack: list[tuple[Node, list[Node]]] = []
    root: Node | None = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise ScenarioError(f"{at(event.start_mark)}: expected one document, found a second")
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            continue
        where = at(event.start_mark)
        if isinstance(event, yaml.CollectionEndEvent):
            node, _ = stack.pop()
        else:
            _refuse(event, where)
            node = _start(event, where, empty.folder)
            if not isinstance(event, yaml.ScalarEvent):
                stack.append((node, []))
                if len(stack) > DEPTH_MAX:
                    raise BoundError(f"{where}: expected at most {DEPTH_MAX} levels of nesting")
                continue
        if stack:
            _place(node, *stack[-1])
        else:
            root = node
    return root or empty


def _refuse(event: Any, where: str) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise ScenarioError(
            f"{where}: anchors and aliases (&, *) are not allowed; quote a pattern that begins "
            "with * or &"
        )
    if event.tag is not None:
        raise ScenarioError(f"{where}: tags (!) are not allowed: {event.tag}")


def _start(event: Any, where: str, folder: str) -> Node:
    if isinstance(event, yaml.MappingStartEvent):
        return Node({}, where, folder)
    if isinstance(event, yaml.SequenceStartEvent):
        return Node([], where, folder)
    # implicit[0] is true for a plain scalar, false for a quoted or block one.
    value = scalar(event.value, where) if event.implicit[0] else event.value
    return Node(value, where, folder)


def _place(node: Node, container: Node, waiting: list[Node]) -> None:
    """Puts a finished node into its container: as item, as key, or as the value of a key."""
    if container.is_list:
        container.value.append(node)
    elif not waiting:
        _plain_key(node, container.value)
        waiting.append(node)
    else:
        key = waiting.pop()
        container.value[str(key.value)] = Node(node.value, key.where, node.folder)


def merge(base: Node, over: Node) -> Node:
    """`base` with `over` merged in key by key; `over` wins, lists are replaced.

    Order: keys of `over` come after those of `base` alone, so that its patterns win too.
    """
    if not (base.is_map and over.is_map):
        return over
    value = {key: child for key, child in base.value.items() if key not in over.value}
    for key, child in over.value.items():
        value[key] = merge(base.value[key], child) if key in base.value else child
    return Node(value, over.where, over.folder)
