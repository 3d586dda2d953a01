"""Quantities as people write them, and as the kernel counts them.

Virtual time is an integer of nanoseconds; a float is a view of it. A duration is converted once.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
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
_SIZES: Final = {
    "B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000,
    "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
_FREQUENCIES: Final = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}
_DISTANCES: Final = {"m": 1.0, "km": 1e3}
_QUANTITY: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\d\s]*)\s*")
_PARTS: Final = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([a-zµ]+)")


def _parse(text: str | int | float, units: Mapping[str, float], bare: float, what: str) -> float:
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise ValueError(f"expected {what}, found {text!r}")
    if isinstance(text, int | float):
        return text * bare
    match = _QUANTITY.fullmatch(text)
    if match is None or (match[2] and match[2] not in units):
        raise ValueError(
            f"expected {what} (a number and one of {', '.join(units)}), found {text!r}"
        )
    return float(match[1]) * (units[match[2]] if match[2] else bare)


def _combined_ns(text: str) -> float | None:
    """Nanoseconds of `6h10min`: several numbers, each with a smaller unit; None if not that."""
    parts = _PARTS.findall(text)
    scales = [_DURATIONS.get(unit, 0) for _, unit in parts]
    if len(parts) < 2 or _PARTS.sub("", text).strip() or 0 in scales:
        return None
    if any(left <= right for left, right in itertools.pairwise(scales)):
        return None
    return sum(float(number) * scale for (number, _), scale in zip(parts, scales, strict=True))


def duration_ns(text: str | int | float) -> int:
    """Nanoseconds of `20ms`, `15min`, `6h10min`, or of a bare number of seconds.

    Raises: ValueError if `text` is not a finite duration, or is negative.
    """
    combined = _combined_ns(text) if isinstance(text, str) else None
    ns = _parse(text, _DURATIONS, SECOND, "a duration") if combined is None else combined
    if not 0 <= ns < NEVER:
        raise ValueError(f"expected a duration from 0 to 292 years, found {text!r}")
    return 1 if 0 < ns < 1 else round(ns)


def offset_ns(text: str | int | float) -> int:
    """Nanoseconds of `2s`, `-1min30s`, or of a bare number of seconds, of either sign.

    Raises: ValueError if `text` is not a finite duration.
    """
    if isinstance(text, str) and text.lstrip().startswith("-"):
        return -duration_ns(text.lstrip().removeprefix("-"))
    if isinstance(text, int | float) and text < 0:
        return -duration_ns(-text)
    return duration_ns(text)


def duration_text(ns: int) -> str:
    """A duration as a scenario writes it, exactly: `6h10min`, `20ms`; `duration_ns` reads it."""
    parts = []
    for unit in ("d", "h", "min", "s", "ms", "us", "ns"):
        count, ns = divmod(ns, _DURATIONS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


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
    """Bytes per second of `250kbit/s` or `1MB/s`; a bare number is bytes per second.

    Raises: ValueError if `text` is not a rate above 0; `unlimited` is infinite.
    """
    rate = math.inf if text == "unlimited" else _parse(text, _RATES, 1.0, "a data rate")
    if not rate > 0:
        raise ValueError(f"expected a data rate above 0, found {text!r}")
    return rate


def size_bytes(text: str | int | float) -> int:
    """Bytes of `64KiB` or `10kB`; a bare number is bytes.

    Raises: ValueError if `text` is not a finite size, or is negative.
    """
    size = _parse(text, _SIZES, 1.0, "a size")
    if not 0 <= size < 2**63:
        raise ValueError(f"expected a size from 0 bytes, found {text!r}")
    return round(size)


def frequency_hz(text: str | int | float) -> float:
    """Hertz of `5.9GHz`, or of a bare number of them. Raises: ValueError."""
    return _parse(text, _FREQUENCIES, 1.0, "a frequency")


def distance_m(text: str | int | float) -> float:
    """Metres of `300m` or `1.5km`, or of a bare number of them. Raises: ValueError."""
    return _parse(text, _DISTANCES, 1.0, "a distance")


def fraction(text: str | int | float) -> float:
    """A share of one, of `1%` or of `0.01`.

    Raises: ValueError if `text` is not a finite number or percentage.
    """
    value = _ratio(text, {"%": 100}, "a fraction")
    if not math.isfinite(value):
        raise ValueError(f"expected a fraction, found {text!r}")
    return value


def drift(text: str | int | float) -> float:
    """How much faster a clock runs, as a share: of `50ppm`, `-1%` or of `0.00005`.

    Raises: ValueError if `text` is none of these, or beyond one half: its unit may be missing.
    """
    value = _ratio(text, {"ppm": 1_000_000, "%": 100}, "a drift")
    if not -0.5 <= value <= 0.5:
        raise ValueError(
            f"expected a drift in ppm, or a fraction from -0.5 to 0.5, such as 50ppm or 0.00005; "
            f"found {text!r}"
        )
    return value


def _ratio(text: str | int | float, parts: Mapping[str, int], what: str) -> float:
    value = _parse(text, {unit: 1 / count for unit, count in parts.items()}, 1.0, what)
    # A percentage is divided, not multiplied: 0.3 is the double nearest to 30 %.
    for unit, count in parts.items():
        if isinstance(text, str) and text.rstrip().endswith(unit):
            return float(text.rstrip().removesuffix(unit)) / count
    return value


def speed_factor(text: str | int | float) -> float:
    """Virtual seconds per real second of `max` (infinite), `realtime` (1) or `900x`.

    Raises: ValueError if `text` is none of these, or not above 0.
    """
    if isinstance(text, str) and text in ("max", "realtime"):
        return math.inf if text == "max" else 1.0
    try:
        factor = _parse(text, {"x": 1.0}, 1.0, "a speed")
    except ValueError:
        factor = math.nan
    if not factor > 0:
        raise ValueError(f"expected max, realtime, or a factor such as 900x, found {text!r}")
    return factor


def format_ns(ns: int) -> str:
    """A virtual instant or duration as people read it: `13:45:06`, `1 d 02:00:00`, `20 ms`."""
    if ns >= NEVER:
        return "never"
    if 0 < ns < SECOND:
        for unit, scale in (("ms", 1_000_000), ("us", 1_000)):
            if ns >= scale:
                return f"{ns / scale:.6g} {unit}"
        return f"{ns} ns"
    return clock_text(ns)


def clock_text(ns: int) -> str:
    """A virtual instant as a clock shows it: `13:45:06`, `1 d 02:00:00.250`."""
    seconds, rest = divmod(ns, SECOND)
    days, seconds = divmod(seconds, 86_400)
    fraction = f".{rest // 1_000_000:03d}" if rest else ""
    clock = f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}{fraction}"
    return f"{days} d {clock}" if days else clock


def size_text(count: float) -> str:
    """Bytes as people read them: `31.7 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def number_text(value: float) -> str:
    """About four digits: `41.2`, `18,204`, `0.0031`."""
    is_plain = abs(value) >= 1000 or value == int(value)
    return f"{value:,.0f}" if is_plain else f"{value:,.4g}"
