"""What several runs were given differently: keys of the scenario, commands by hand."""

from __future__ import annotations

from typing import Final

from sim.report.page import Cell, join, table, tag
from sim.store.difference import Difference

_KEYS_MAX: Final = 120


def settings(found: Difference) -> list[Cell]:
    """Keys that are not equal everywhere, and what people did."""
    return [*_keys(found), *_commands(found)]


def _commands(found: Difference) -> list[Cell]:
    if not any(found.commands):
        return []
    rows: list[list[Cell]] = []
    for label, commands in zip(found.labels, found.commands, strict=True):
        lines: list[Cell] = [tag("code", words) for words in commands[:_KEYS_MAX]]
        if len(commands) > _KEYS_MAX:
            lines.append(f"and {len(commands) - _KEYS_MAX:,} more")
        rows.append([label, join(lines, "<br>") if lines else "none"])
    return [tag("h3", "Commands by hand"), table(["run", "when and what"], rows)]


def _keys(found: Difference) -> list[Cell]:
    if not found.settings:
        return [tag("p", "The scenarios are equal, key by key.")]
    rows: list[list[Cell]] = [
        [tag("code", name), *(tag("code", v) for v in values)]
        for name, values in list(found.settings.items())[:_KEYS_MAX]
    ]
    classes = {
        (row, i + 1): "own"
        for row, values in enumerate(list(found.settings.values())[:_KEYS_MAX])
        for i, value in enumerate(values)
        if i and value != values[0]
    }
    parts: list[Cell] = [
        tag("div", table(["key of the scenario", *found.labels], rows, cell_css=classes), "scroll")
    ]
    more = len(found.settings) - _KEYS_MAX
    if more > 0:
        parts.append(tag("p", f"And {more:,} more keys.", "note"))
    return parts
