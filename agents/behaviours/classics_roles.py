"""Roles of the classics in which what is learned includes what is said.

As `agents.roles:PlainRole`, with the topic and its width taken from the world's own spaces, so that
a scenario need not repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.roles import PlainRole


class Sender(PlainRole):
    """Of the signalling game. params: signals (how many there are; as many as states)."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        where = group.observation.index("state")
        signals = int(params.get("signals", where.stop - where.start))
        super().__init__(name, group, {"speaks": {"signal": {"choices": signals}}})


class Receiver(PlainRole):
    """Of the signalling game. params: signals (how many there are; as many as states)."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        signals = int(params.get("signals", group.action.fields[0].choices))
        super().__init__(name, group, {"hears": {"signal": signals}})


class Speaker(PlainRole):
    """Of speaker and listener: with an action it says nothing else, without one it says a word."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        said = {} if group.action.size else {"speaks": {"speech": {"choices": 3}}}
        super().__init__(name, group, said)


class Listener(PlainRole):
    """Of speaker and listener: hears what it does not see."""

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        is_seen = any(field.name == "speech" for field in group.observation.fields)
        super().__init__(name, group, {} if is_seen else {"hears": {"speech": 3}})
