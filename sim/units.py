"""Quantities as people write them, and as the kernel counts them.

Virtual time is an integer of nanoseconds; a float is a view of it. A duration is converted once.
"""

from __future__ import annotations

import re
from typing import Final

SECOND: Final = 1_000_000_000
NEVER: Final = 2**63 - 1
"""Later than any instant of any run."""

_DURATIONS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND,
    "min": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND,
}  # fmt: skip
_RATES: Final = {  # bytes per second
    "bit/s": 1 / 8, "kbit/s": 1e3 / 8, "Mbit/s": 1e6 / 8, "Gbit/s": 1e9 / 8,
    "B/s": 1.0, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9,
}  # fmt: skip
_SIZES: Final = {"B": 1, "kB": 1_000, "MB": 1_000_000, "KiB": 1024, "MiB": 1024**2}
_QUANTITY: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\d\s]*)\s*")


def _parse(text: str | int | float, units: dict[str, float], bare: float, what: str) -> float:
    if isinstance(text, bool):
        raise ValueError(f"expected {what}, found {text!r}")
    if isinstance(text, int | float):
        return text * bare
    match = _QUANTITY.fullmatch(text)
    if match is None or (match[2] and match[2] not in units):
        raise ValueError(
            f"expected {what} (a number and one of {', '.join(units)}), found {text!r}"
        )
    return float(match[1]) * (units[match[2]] if match[2] else bare)


def duration_ns(text: str | int | float) -> int:
    """Nanoseconds of `20ms`, `15min`, `24h`, or of a bare number of seconds.

    Raises: ValueError if `text` is not a finite duration, or is negative.
    """
    ns = _parse(text, {k: float(v) for k, v in _DURATIONS.items()}, SECOND, "a duration")
    if not 0 <= ns < NEVER:
        raise ValueError(f"expected a duration from 0 to 292 years, found {text!r}")
    return 1 if 0 < ns < 1 else round(ns)


def seconds_ns(seconds: float) -> int:
    """Nanoseconds of a delay in seconds; a positive delay is at least 1 ns.

    Raises: ValueError if `seconds` is not a number.
    """
    if seconds != seconds:
        raise ValueError("a delay must be a number, found nan")
    if seconds >= NEVER / SECOND:
        return NEVER
    ns = round(seconds * SECOND)
    return ns if ns or seconds <= 0 else 1


def rate_bytes_per_s(text: str | int | float) -> float:
    """Bytes per second of `250kbit/s` or `1MB/s`; a bare number is bytes per second."""
    return _parse(text, _RATES, 1.0, "a data rate")


def size_bytes(text: str | int | float) -> int:
    """Bytes of `64KiB` or `10kB`; a bare number is bytes."""
    return round(_parse(text, {k: float(v) for k, v in _SIZES.items()}, 1.0, "a size"))


def format_ns(ns: int) -> str:
    """A virtual instant or duration as people read it: `13:45:06`, `1 d 02:00:00`, `20 ms`."""
    if ns >= NEVER:
        return "never"
    if 0 < ns < SECOND:
        for unit, scale in (("ms", 1_000_000), ("us", 1_000)):
            if ns >= scale:
                return f"{ns / scale:.6g} {unit}"
        return f"{ns} ns"
    seconds, rest = divmod(ns, SECOND)
    days, seconds = divmod(seconds, 86_400)
    fraction = f".{rest // 1_000_000:03d}" if rest else ""
    clock = f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}{fraction}"
    return f"{days} d {clock}" if days else clock
