"""Times at which a link passes nothing, as a file writes them."""

from __future__ import annotations

from typing import Final

import msgspec

from sim import units
from sim.errors import BoundError
from sim.scenario.forms import check_keys, duration, items, wrong
from sim.scenario.keys import Key
from sim.scenario.tree import Node

OUTAGE_KEYS: Final = ("every", "for", "offset")
OUTAGES_MAX: Final = 1_000
"""Entries for one link; a message is compared with each of them."""
_EXPECTED: Final = (
    "none, {every: 1h, for: 30s, offset: 5min}, or a list of such mappings and of pairs such as "
    "[10min, 12min]"
)


class Outage(msgspec.Struct, frozen=True):
    """From `begins_ns` of an episode for `lasts_ns`, and again `every_ns`; 0: only once."""

    begins_ns: int
    lasts_ns: int
    every_ns: int = 0

    @property
    def text(self) -> str:
        """`out 30s every 1h from 5min on`."""
        begins, lasts = units.duration_text(self.begins_ns), units.duration_text(self.lasts_ns)
        if not self.every_ns:
            return f"out from {begins} to {units.duration_text(self.begins_ns + self.lasts_ns)}"
        return f"out {lasts} every {units.duration_text(self.every_ns)} from {begins} on"


def read_outages(node: Node, path: str, key: Key) -> tuple[Outage, ...]:
    """The reader of the form `outages`."""
    if node.value in (None, "none"):
        return ()
    if node.is_map:
        return (_periodic(node, path),)
    found = tuple(
        _periodic(child, at) if child.is_map else _once(child, at)
        for child, at in items(node, path, _EXPECTED)
    )
    if len(found) > OUTAGES_MAX:
        raise BoundError(f"{node.where}: {path}: expected at most {OUTAGES_MAX} outages")
    return found


def _periodic(node: Node, path: str) -> Outage:
    check_keys(node.value, path, OUTAGE_KEYS)
    if not {"every", "for"} <= node.value.keys():
        raise wrong(node, path, "every and for, as {every: 1h, for: 30s}")
    spans = {name: duration(child, f"{path}.{name}") for name, child in node.value.items()}
    if not 0 < spans["for"] < spans["every"]:
        raise BoundError(f"{node.where}: {path}.for: expected a duration above 0, less than every")
    return Outage(spans.get("offset", 0), spans["for"], spans["every"])


def _once(node: Node, path: str) -> Outage:
    if not node.is_list or len(node.value) != 2:
        raise wrong(node, path, "a pair such as [10min, 12min], or a mapping with every and for")
    begins, ends = (duration(child, f"{path}[{i}]") for i, child in enumerate(node.value))
    if begins >= ends:
        raise BoundError(f"{node.where}: {path}: expected an outage that ends after it begins")
    return Outage(begins, ends - begins)
