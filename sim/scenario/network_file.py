"""A network's file: GraphML, or a list of links, as the records that a scenario could write itself.

Attributes that are link keys (latency, loss, rate, ...) count, others do not; one that is almost a
link key is an error. So the resolved scenario holds the links, not the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

import networkx as nx

from sim import limits
from sim.errors import BoundError, ScenarioError, UnknownKeyError
from sim.ids import did_you_mean, nearest
from sim.scenario.link import LINK_KEYS
from sim.scenario.tree import Node, node_of, scalar

SUFFIXES: Final = (".graphml", ".csv", ".edges", ".txt")
_BYTES_MAX: Final = 16 * limits.SCENARIO_BYTES_MAX
_ENDS: Final = (("source", "from"), ("target", "to"))
Link = tuple[str, dict[str, Any]]
"""Where a link stands, and its record: from, to, link keys; one node alone has no `to`."""


def read_graph(node: Node) -> Node:
    """The links of the file that `node` names, relative to the folder of its own file.

    Raises: ScenarioError with file and line, or with file and link.
    """
    name = str(node.value)
    path = Path(node.folder, name)
    if path.suffix not in SUFFIXES:
        raise ScenarioError(
            f"{node.where}: network.file: expected a file {', '.join(SUFFIXES)}, found {name!r}"
        )
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        near = nearest(path.name, [p.name for p in _beside(path)])
        hint = f"; did you mean {near!r}?" if near and near != path.name else ""
        raise ScenarioError(f"{node.where}: network.file: {name!r}: {reason}{hint}") from None
    if len(data) > _BYTES_MAX:
        raise BoundError(f"{name}: expected at most {_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ScenarioError(f"{name}:{line}: expected UTF-8 text") from None
    read = {".graphml": _graphml, ".csv": _csv}.get(path.suffix, _lines)
    links = [node_of(entry, where, node.folder) for where, entry in _once(read(text, name))]
    if not links:
        raise ScenarioError(f"{name}: expected at least one link, found none")
    return Node(links, node.where, node.folder)


def _once(links: Iterator[Link]) -> Iterator[Link]:
    """Each link of each direction once. Raises: ScenarioError with both places."""
    stands: dict[tuple[Any, Any], str] = {}
    for where, entry in links:
        ends = entry["from"], entry.get("to")
        if ends in stands:
            a, b = ends
            link = f"the link {a} - {b}" if b else f"the node {a}"
            raise ScenarioError(f"{where}: {link} stands at {stands[ends]} already")
        stands[ends] = where
        yield where, entry


def _beside(path: Path) -> list[Path]:
    return sorted(path.parent.iterdir()) if path.parent.is_dir() else []


def _graphml(text: str, name: str) -> Iterator[Link]:
    """Nodes by their ids."""
    try:
        graph = nx.parse_graphml(text)
    except (nx.NetworkXError, ParseError, ValueError, KeyError, AttributeError) as error:
        raise ScenarioError(f"{name}: expected GraphML: {error}") from None
    linked = set()
    for a, b, values in graph.edges(data=True):
        linked |= {a, b}
        where = f"{name}: {a} - {b}"
        yield where, {"from": str(a), "to": str(b), **_values(values, where)}
    yield from ((f"{name}: {n}", {"from": str(n)}) for n in graph.nodes if n not in linked)


def _csv(text: str, name: str) -> Iterator[Link]:
    """A heading, then a link a line. Its columns source and target (or from and to) are needed."""
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True, restval="")
    heading = [(field or "").strip() for field in rows.fieldnames or ()]
    rows.fieldnames = heading
    ends = [next((key for key in keys if key in heading), None) for keys in _ENDS]
    source, target = ends
    if source is None or target is None:
        raise ScenarioError(
            f"{name}:1: expected a heading with source and target (or from and to), "
            f"found {', '.join(heading) or 'nothing'}"
        )
    for row in rows:
        where = f"{name}:{rows.line_num}"
        if None in row:
            raise ScenarioError(f"{where}: expected {len(heading)} columns, found more")
        given = {key: value.strip() for key, value in row.items() if value.strip()}
        link = {"from": given.pop(source, ""), "to": given.pop(target, "")}
        if not link["to"]:
            del link["to"]
        yield where, {**link, **_values(given, where)}


def _lines(text: str, name: str) -> Iterator[Link]:
    """Two names a line, then link keys as key=value; one name alone; `#` begins a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        words = line.partition("#")[0].replace("{}", "").split()
        if not words:
            continue
        ends, rest = words[:2], words[2:]
        given = dict(word.partition("=")[::2] for word in rest)
        if "=" in "".join(ends) or not all(given.values()):
            raise ScenarioError(
                f"{where}: expected two names, then keys such as latency=5ms loss=1%, "
                f"found {line.strip()!r}"
            )
        yield where, {**dict(zip(("from", "to"), ends, strict=False)), **_values(given, where)}


def _values(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The link keys of what is given. Raises: UnknownKeyError for what is almost one."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key in LINK_KEYS:
            found[key] = scalar(value, where) if isinstance(value, str) else value
        elif nearest(key.lower(), LINK_KEYS):
            hint = did_you_mean(key.lower(), LINK_KEYS)
            raise UnknownKeyError(f"{where}: unknown link key {key!r}; {hint}")
    return found
