"""From a scenario's tree to its records: one reader per form of `sim.scenario.schema.Key`.

Every error names file and line (or the option), the path of the key, what was expected and what was
found. What needs the world (names, patterns) is checked in `sim.scenario.roster` and
`sim.scenario.faults`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from sim import units
from sim.errors import BoundError, ScenarioError, TopologyError, UnknownKeyError
from sim.ids import did_you_mean, hint, is_name
from sim.scenario.bursts import read_burst
from sim.scenario.forms import bounded, duration, integer, items, number, pair, wrong
from sim.scenario.jitters import read_jitter
from sim.scenario.keys import Key, keys_of
from sim.scenario.learn_forms import FORMS, check_learn
from sim.scenario.learning import LearnSpec
from sim.scenario.link import LINK_KEYS
from sim.scenario.link_presets import PRESETS
from sim.scenario.network_file import read_graph
from sim.scenario.outages import read_outages
from sim.scenario.radio import read_radio
from sim.scenario.schema import (
    FAULTS,
    LIES,
    RECORDS,
    SENSOR_MODES,
    TABLE_KEYS,
    AgentSpec,
    FaultSpec,
    Scenario,
)
from sim.scenario.tree import Node, node_of

Record = TypeVar("Record", bound=msgspec.Struct)
_TEXT_MAX: Final = 256
_BEHAVIOUR: Final = re.compile(
    r"rule|none|policy:\S.*|(?:[^:]+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*"
)
_FAULT_KEYS: Final = {
    "kill": ("for", "choose"),
    "restart": ("choose",),
    "hang": ("for", "choose"),
    "slow": ("for", "factor", "choose"),
    "skew": ("for", "offset", "drift", "choose"),
    "sensor": ("for", *SENSOR_MODES, "field", "choose"),
    "actuator": ("for", "stuck", "choose"),
    "byzantine": ("for", "topic", "field", "mode", "choose"),
    "partition": ("for",),
    "link": ("for", "both", *LINK_KEYS),
    "noise": ("for", "topics"),
    "world": ("for", "target", "choose"),
    "broker": (),
    "heal": (),
}
_TOPOLOGY_KEYS: Final = {
    "hub": ("star",), "branching": ("tree",), "rows": ("grid",), "columns": ("grid",),
    "wrap": ("grid",), "radius": ("random_geometric",), "k": ("small_world",),
    "p": ("small_world",), "m": ("scale_free",), "file": ("file",),
    "edges": ("edges", "file", "world"),
}  # fmt: skip
_REQUIRED: Final = {"star": ("hub",), "grid": ("rows", "columns"), "file": ("file",),
                    "edges": ("edges",)}  # fmt: skip
"""Per topology, the keys of which it needs one."""


@functools.cache
def _keys(record: type[msgspec.Struct]) -> dict[str, tuple[str, Key]]:
    return keys_of(record)


def _text(node: Node, path: str, key: Key) -> str:
    value = node.value
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT_MAX or not value.isprintable():
        raise wrong(node, path, f"text of 1 to {_TEXT_MAX} characters")
    return value


def _name(node: Node, path: str, key: Key) -> str:
    if not isinstance(node.value, str) or not is_name(node.value):
        raise wrong(node, path, "a name: a letter, then letters, digits or any of _ . -")
    return node.value


def _names(node: Node, path: str, key: Key) -> tuple[str, ...]:
    return tuple(_name(child, at, key) for child, at in items(node, path, "a list of names"))


def _patterns(node: Node, path: str, key: Key) -> tuple[str, ...]:
    if not node.is_list:
        return (_text(node, path, key),)
    if not node.value:
        raise wrong(node, path, "a name, a pattern, or a list of them")
    return tuple(_text(child, at, key) for child, at in items(node, path, ""))


def _pairs(node: Node, path: str, key: Key) -> tuple[tuple[str, str], ...]:
    found = []
    for child, at in items(node, path, "a list of pairs such as [a-*, b]"):
        a, b = pair(child, at, "a pair of names or patterns such as [a-*, b]")
        found.append((_text(a, f"{at}[0]", key), _text(b, f"{at}[1]", key)))
    return tuple(found)


def _ends(node: Node, path: str, key: Key) -> tuple[tuple[str, ...], ...]:
    sides = pair(node, path, 'two sides such as [feeder-c-*, "*"]')
    return tuple(_patterns(side, f"{path}[{i}]", key) for i, side in enumerate(sides))


def _choice(node: Node, path: str, key: Key) -> str:
    if not isinstance(node.value, str) or node.value not in key.choices:
        first, *rest = key.choices
        expected = f"{first} or {rest[0]}" if len(rest) == 1 else f"one of {', '.join(key.choices)}"
        raise UnknownKeyError(f"{wrong(node, path, expected)}{hint(str(node.value), key.choices)}")
    return node.value


def _flag(node: Node, path: str, key: Key) -> bool:
    if not isinstance(node.value, bool):
        raise wrong(node, path, "true or false")
    return node.value


def _quantity(read: Callable[[Any], float]) -> Callable[[Node, str, Key], Any]:
    """The reader of a quantity of `sim.units`."""

    def reader(node: Node, path: str, key: Key) -> float:
        if node.value is None or node.is_map or node.is_list:
            raise wrong(node, path, f"a value such as {_EXAMPLES[key.form]}")
        try:
            value = read(node.value)
        except ValueError as error:
            raise ScenarioError(f"{node.where}: {path}: {error}") from None
        if not key.low <= value <= key.high:
            if key.form == "duration":
                raise BoundError(str(wrong(node, path, "a duration above 0")))
            bounded(value, node, path, key)
        return value

    return reader


_EXAMPLES: Final = {
    "duration": "20ms, 15min or 6h10min",
    "fraction": "0.01 or 1%",
    "rate": "250kbit/s",
    "size": "64KiB",
    "speed": "max, realtime or 900x",
    "offset": "2s or -20ms",
    "drift": "50ppm",
}
_duration = _quantity(units.duration_ns)


def _fields(node: Node, path: str, key: Key) -> tuple[str | int, ...]:
    expected = "a name, an index from 0, or a list of them"
    if node.is_list and not node.value:
        raise wrong(node, path, expected)
    found: list[str | int] = []
    for child in node.value if node.is_list else [node]:
        if type(child.value) is int and child.value >= 0:
            found.append(child.value)
        elif isinstance(child.value, str):
            found.append(_text(child, path, key))
        else:
            raise wrong(child, path, expected)
    return tuple(found)


def _mode(node: Node, path: str, key: Key) -> tuple[str, float]:
    expected = f"{', '.join(LIES[:-1])} or {LIES[-1]}:3"
    name, colon, text = str(node.value).partition(":")
    if name not in LIES or not isinstance(node.value, str):
        raise UnknownKeyError(f"{wrong(node, path, expected)}{hint(name, LIES)}")
    if name != "inflate":
        if colon:
            raise wrong(node, path, f"{name} without a number")
        return name, 0.0
    try:
        return name, number(Node(float(text), node.where), path, key)
    except ValueError:
        raise wrong(node, path, "inflate with a factor, such as inflate:3") from None


def _expiry(node: Node, path: str, key: Key) -> int:
    if node.value in (None, "none"):
        return units.NEVER
    found = duration(node, path)
    if found == 0:
        raise BoundError(str(wrong(node, path, "a duration above 0, or none")))
    return found


def _behaviour(node: Node, path: str, key: Key) -> str:
    value = node.value
    if not isinstance(value, str) or not _BEHAVIOUR.fullmatch(value) or len(value) > 1024:
        expected = "rule, none, my_agents.py:Class, package.module:Class or policy:FILE"
        close = hint(str(value), ("rule", "none"))
        raise ScenarioError(f"{wrong(node, path, expected)}{close}")
    return value


def _params(node: Node, path: str, key: Key) -> Any:
    if not node.is_map:
        raise wrong(node, path, "a mapping")
    return node.plain()


def _record(node: Node, path: str, key: Key) -> Any:
    return read_record(RECORDS[key.of], node, path)


def _records(node: Node, path: str, key: Key) -> tuple[Any, ...]:
    return tuple(_record(child, at, key) for child, at in items(node, path, "a list"))


def _graph(node: Node, path: str, key: Key) -> tuple[Any, ...]:
    if node.is_list:
        return _records(node, path, key)
    return _records(read_graph(Node(_text(node, path, key), node.where, node.folder)), path, key)


def _entries(node: Node, path: str, key: Key) -> Iterator[tuple[str, Node, str]]:
    """Pattern, value and path of each entry of a mapping by pattern."""
    if not node.is_map:
        raise wrong(node, path, "a mapping by name or pattern")
    for pattern, child in node.value.items():
        at = f"{path}.{pattern}"
        _text(Node(pattern, child.where), at, key)
        yield pattern, child, at


def _table(node: Node, path: str, key: Key) -> tuple[Any, ...]:
    return tuple(
        read_record(RECORDS[key.of], child, at, **{TABLE_KEYS[key.of]: pattern})
        for pattern, child, at in _entries(node, path, key)
    )


def _assignments(node: Node, path: str, key: Key) -> tuple[AgentSpec, ...]:
    return tuple(
        AgentSpec(
            pattern=pattern,
            behaviour=_behaviour(child, at, key),
            where=f"{child.where}: {at}",
            folder=child.folder,
        )
        for pattern, child, at in _entries(node, path, key)
    )


_READERS: Final[dict[str, Callable[[Node, str, Key], Any]]] = {
    "text": _text, "name": _name, "names": _names, "patterns": _patterns, "pairs": _pairs,
    "ends": _ends, "choice": _choice, "flag": _flag, "number": number, "integer": integer,
    "duration": _duration, "fraction": _quantity(units.fraction),
    "rate": _quantity(units.rate_bytes_per_s), "size": _quantity(units.size_bytes),
    "speed": _quantity(units.speed_factor), "offset": _quantity(units.offset_ns),
    "drift": _quantity(units.drift), "fields": _fields, "mode": _mode, "jitter": read_jitter,
    "burst": read_burst, "expiry": _expiry, "outages": read_outages, "radio": read_radio,
    "behaviour": _behaviour, "params": _params, "record": _record, "records": _records,
    "graph": _graph, "table": _table, "assignments": _assignments, **FORMS,
}  # fmt: skip


def read_record(record: type[Record], node: Node, path: str, **given: Any) -> Record:
    """The record that the mapping `node` writes; `given` are fields that it does not.

    Raises: ScenarioError with file, line and path.
    """
    if not node.is_map:
        raise wrong(node, path or "the file", "a mapping")
    keys, fields = _keys(record), record.__struct_fields__
    rest = next((field for field, key in keys.values() if key.form == "rest"), None)
    values: dict[str, Any] = dict(given)
    others: dict[str, Node] = {}
    for name, child in (_with_preset(node) if "preset" in keys else node.value).items():
        field, key = keys.get(name, ("", None))
        at = f"{path}.{name}" if path else name
        if key is not None and key.form != "rest":
            values[field] = _READERS[key.form](child, at, key)
        elif rest is None:
            inside = f"{path}: " if path else ""
            raise UnknownKeyError(
                f"{child.where}: {inside}unknown key {name!r}; {did_you_mean(name, keys)}"
            )
        else:
            others[name] = child
    if rest is not None:
        values[rest] = {name: child.plain() for name, child in others.items()}
        values["places"] = {name: child.where for name, child in others.items()}
    required = {field.name for field in msgspec.structs.fields(record) if field.required}
    for name, (field, _) in keys.items():
        if field in required and field not in values:
            at = f"{path}.{name}" if path else name
            raise ScenarioError(f"{node.where}: {at}: a required key is missing")
    if "where" in fields:
        values.setdefault("where", f"{node.where}: {path}")
    _check(record.__name__, node, path)
    if record is AgentSpec:
        values["folder"] = node.value.get("behaviour", node).folder
    if record is LearnSpec:
        values["folder"] = node.value.get("groups", node).folder
    return record(**values)


def _with_preset(node: Node) -> dict[str, Node]:
    """The keys of a mapping, with those that a link's `preset` stands for before them."""
    written: dict[str, Node] = node.value
    name = written.get("preset")
    if name is None or not isinstance(name.value, str) or name.value not in PRESETS:
        return written
    preset: dict[str, Node] = node_of(PRESETS[name.value].keys, name.where).value
    return {**preset, **written}


def _check(record: str, node: Node, path: str) -> None:
    """What depends on more than one key of a record."""
    if record == "NetworkSpec":
        _check_network(node.value, node, path)
    elif record == "LearnSpec":
        check_learn(node.value, path)
    elif record == "FaultSpec":
        _check_fault(node.value, node, path)
    elif record == "Budget" and node.value.keys().isdisjoint(("messages", "bytes")):
        raise ScenarioError(f"{node.where}: {path}: expected messages, bytes or both")
    elif record == "LinkRule" and node.value.keys().isdisjoint(LINK_KEYS):
        raise ScenarioError(f"{node.where}: {path}: expected at least one of {_listed(LINK_KEYS)}")


def _listed(names: Any) -> str:
    return ", ".join(names)


def _check_network(values: dict[str, Node], node: Node, path: str) -> None:
    if values["default"].value.keys().isdisjoint(("latency", "preset")):
        raise ScenarioError(
            f"{values['default'].where}: {path}.default.latency: a required key is missing: the "
            "smallest time a message takes, such as 20ms; the larger it is, the faster a run"
        )
    topology = values["topology"].value if "topology" in values else "complete"
    for key, owners in _TOPOLOGY_KEYS.items():
        if key in values and topology not in owners:
            raise TopologyError(
                f"{values[key].where}: {path}.{key}: belongs to topology "
                f"{' or '.join(owners)}, not {topology}"
            )
    needed = _REQUIRED.get(topology, ())
    if needed and values.keys().isdisjoint(needed):
        keys = " or ".join(needed)
        raise TopologyError(f"{node.where}: {path}.{keys}: required by topology {topology}")
    routing = values["routing"].value if "routing" in values else "fixed"
    if "detection" in values and routing != "reroute":
        raise TopologyError(
            f"{values['detection'].where}: {path}.detection: belongs to routing reroute, "
            f"not {routing}"
        )


def _check_fault(values: dict[str, Node], node: Node, path: str) -> None:
    kinds = [kind for kind in FAULTS if kind in values]
    if "sensor" in kinds and "noise" in kinds:
        kinds.remove("noise")
    if len(kinds) != 1:
        raise ScenarioError(
            f"{node.where}: {path}: expected exactly one of {_listed(FAULTS)}, "
            f"found {_listed(kinds) or 'none of them'}"
        )
    if "at" not in values and "every" not in values:
        raise ScenarioError(f"{node.where}: {path}: expected at or every: when it happens")
    allowed = ("at", "every", kinds[0], *_FAULT_KEYS[kinds[0]])
    for name, child in values.items():
        if name not in allowed:
            raise ScenarioError(
                f"{child.where}: {path}.{name}: does not belong to a {kinds[0]} fault; "
                f"it takes {_listed(allowed)}"
            )
    _check_parts(kinds[0], values, node, path)
    spans = {key: units.duration_ns(values[key].value) for key in ("every", "for") if key in values}
    for key, span in spans.items():
        if span == 0:
            raise BoundError(str(wrong(values[key], f"{path}.{key}", "a duration above 0")))
    if len(spans) == 2 and spans["for"] >= spans["every"]:
        raise BoundError(str(wrong(values["for"], f"{path}.for", "less than every")))


def _check_parts(kind: str, values: dict[str, Node], node: Node, path: str) -> None:
    """What a kind of fault needs beside its name."""
    some = {"link": LINK_KEYS, "skew": ("offset", "drift"), "byzantine": ("mode",)}.get(kind)
    if some and values.keys().isdisjoint(some):
        few = "mode: random, sign-flip, stale or inflate:3" if kind == "byzantine" else ""
        raise ScenarioError(
            f"{node.where}: {path}: expected {few or f'at least one of {_listed(some)}'}"
        )
    if kind == "sensor":
        modes = [name for name in SENSOR_MODES if name in values]
        if len(modes) != 1:
            raise ScenarioError(
                f"{node.where}: {path}: expected exactly one of {_listed(SENSOR_MODES)}, "
                f"found {_listed(modes) or 'none of them'}"
            )
        if modes == ["drop"] and "field" in values:
            raise ScenarioError(
                f"{values['field'].where}: {path}.field: does not belong to drop: an observation "
                "arrives as a whole, or not at all"
            )
    for name in ("freeze", "stuck", "heal"):
        if name in values and values[name].value is False:
            raise wrong(values[name], f"{path}.{name}", "true, or no such fault")


def read_fault(entry: Any, where: str = "command") -> FaultSpec:
    """One entry of `faults` given as plain data: what a command says while a run goes on.

    It needs no `at`; without one, `at_ns` is None, which means at once.
    Raises: ScenarioError as for an entry in a file, with `where` in place of file and line.
    """
    node = node_of(entry, where)
    if not node.is_map or not node.value.keys().isdisjoint(("at", "every")):
        return read_record(FaultSpec, node, "fault")
    timed = Node({**node.value, "at": Node("0s", where)}, where)
    return msgspec.structs.replace(read_record(FaultSpec, timed, "fault"), at_ns=None)


def read_scenario(root: Node, **given: Any) -> Scenario:
    """The scenario that the tree of a file writes."""
    return read_record(Scenario, root, "", **given)
