"""What a message says, for people: of a run that goes on and of one that was recorded alike."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sim.errors import MalformedFrameError
from sim.wire.codec import decode_payload

_CHARACTERS: Final = 200


def payload_text(body: bytes | None) -> str:
    """A body in one line, cut short; "" for one that was not recorded."""
    if body is None:
        return ""
    try:
        text = _short(decode_payload(body))
    except MalformedFrameError:
        text = f"{len(body)} bytes: {body[:24].hex(' ')}"
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 3] + "..."


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray):
        return _short(value.ravel()[:64].tolist())
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value[:64])) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in list(value.items())[:32])
    return repr(value[:_CHARACTERS]) if isinstance(value, str | bytes) else str(value)
