"""How a field of a scenario's record is written in a file: what readers and schema use."""

from __future__ import annotations

import math
from typing import get_type_hints

import msgspec


class Key(msgspec.Struct, frozen=True):
    """How a field is written in a file. `form` names its reader; `low`, `high` are its bounds."""

    form: str
    help: str
    key: str = ""
    of: str = ""
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf


def keys_of(record: type[msgspec.Struct]) -> dict[str, tuple[str, Key]]:
    """Per key a file may write in `record`: the field it sets, and its `Key`."""
    hints = get_type_hints(record, include_extras=True)
    keys = {}
    for field in record.__struct_fields__:
        for mark in getattr(hints[field], "__metadata__", ()):
            if isinstance(mark, Key):
                keys[mark.key or field] = (field, mark)
    return keys
