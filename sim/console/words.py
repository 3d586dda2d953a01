"""Quantities as the console writes them: short, with units, a dash where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sim.units import NEVER, SECOND
from sim.wire.live import Frame, Intro

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def number(value: float | None, digits: int = 4) -> str:
    """About four digits: `41.2`, `18,204`, `0.0031`; `-` for none, `∞` for infinity."""
    if value is None or value != value:
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    value = value + 0.0  # no negative zero
    size = abs(value)
    if size >= 1e6:
        return f"{value:.{max(digits - 1, 2)}g}".replace("e+0", "e").replace("e+", "e")
    if size >= 10 ** (digits - 1) or value == int(value):
        return f"{value:,.0f}"
    if size < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-")
    if size < 1:
        return f"{value:.{digits - 1}g}" if size >= 0.01 else f"{value:.2g}"
    return f"{value:.{digits}g}"


def short_number(value: float | None, width: int) -> str:
    """The same with as many digits as fit into `width` characters, at least one: `7e-4`."""
    texts = [number(value, digits) for digits in (4, 3, 2)]
    if value is not None and math.isfinite(value):
        size = abs(value)
        if 1e4 <= size < 1e7:
            texts.append(f"{value / 1e3:,.0f}k")
        elif size >= 1e6:
            texts.append(_power(f"{value:.1e}"))
        elif size >= 1:
            texts.append(f"{value:.0f}")
        texts += [_power(f"{value:.1e}"), _power(f"{value:.0e}")]
    return next((text for text in texts if len(text) <= width), texts[-1])


def _power(text: str) -> str:
    """`7e-4` for `7e-04`."""
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def count(value: int) -> str:
    """`18,204`; above ten million `18.2M`."""
    return f"{value:,}" if abs(value) < 10_000_000 else f"{value / 1e6:,.1f}M"


def age(ns: int) -> str:
    """Since when, in at most four characters: `80ms`, `2s`, `15m`, `3h`; `-` if never."""
    if ns < 0 or ns >= NEVER:
        return "-"
    if ns < SECOND:
        return f"{ns // 1_000_000}ms" if ns else "0s"
    seconds = ns // SECOND
    if seconds < 100:
        return f"{seconds}s"
    return f"{seconds // 60}m" if seconds < 6000 else f"{seconds // 3600}h"


def delay(ns: float) -> str:
    """A delay in at most five characters; `-` if there was none."""
    if ns < 0 or ns != ns:
        return "-"
    if ns < 1e6:
        return f"{ns / 1e3:.0f}µs"
    if ns < 0.9995e9:
        return f"{ns / 1e6:.0f}ms"
    return f"{ns / 1e9:.1f}s" if ns < 9.95e9 else f"{ns / 1e9:.0f}s"


def span(seconds: float) -> str:
    """A length of time as people say it: `0.4 s`, `47 min`, `6 h 10 min`."""
    if not math.isfinite(seconds):
        return "for ever"
    if seconds < 10:
        return f"{seconds:.2g} s"
    left = round(seconds)
    parts = []
    for unit, size in _UNITS:
        many, left = divmod(left, size)
        if many:
            parts.append(f"{many} {unit}")
    return " ".join(parts[:2])


def clock(ns: int, is_short: bool = False) -> str:
    """A virtual instant: `13:45:06`, `d2 13:45`; the seconds only if not `is_short`."""
    seconds, rest = divmod(max(ns, 0), SECOND)
    days, seconds = divmod(seconds, 86_400)
    text = f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
    if not is_short:
        text += f":{seconds % 60:02d}"
        if rest:
            text += f".{rest // 100_000_000}"
    return f"d{days + 1} {text}" if days else text


def end_clock(ns: int, is_short: bool) -> str:
    """The end of a run: a whole first day ends at 24:00."""
    if ns == 86_400 * SECOND:
        return "24:00" if is_short else "24:00:00"
    return clock(ns, is_short)


def is_coarse(intro: Intro) -> bool:
    """Whether seconds say nothing about this run's clock."""
    return intro.dt_ns >= 60 * SECOND


def speed(value: float) -> str:
    """`900x`, `0.5x`, `12,400x`, `max`."""
    if math.isinf(value):
        return "max"
    if value != value:
        return "-"
    return f"{value:,.0f}x" if value >= 10 else f"{value:.2g}x"


def memory(size: int) -> str:
    """Mega bytes of a process; `-` if unknown."""
    return f"{size / 1e6:.0f}" if size > 0 else "-"


def action(values: Sequence[float], fields: Sequence[tuple[str, str, int]]) -> str:
    """An action in words: `power_kw 3.0`, `limit 5 kW, q 1.2 kvar`; `-` if none is in force."""
    if not values:
        return "-"
    parts, at = [], 0
    for name, unit, size in fields or [("", "", len(values))]:
        some = values[at : at + size]
        at += size
        shown = " ".join(number(v, 3) for v in some[:3]) + (" …" if size > 3 else "")
        unit_said = unit and not name.endswith(f"_{unit.lower().replace('/', '_per_')}")
        parts.append(f"{name} {shown}{f' {unit}' if unit_said else ''}".strip())
    return ", ".join(parts)


def for_you(virtual_seconds: float, frame: Frame | None) -> str:
    """How long a virtual time is for the person who waits, at the present speed."""
    said = span(virtual_seconds)
    if frame is None:
        return said
    factor = min(frame.wanted, frame.speed or frame.wanted)
    if frame.status == "paused":
        factor = frame.wanted
    if not 0 < factor < math.inf:
        return said
    real = span(virtual_seconds / factor)
    return f"{said} = {real} for you" + (" once it goes on" if frame.status == "paused" else "")


def short_name(name: str, width: int) -> str:
    """A name in a few characters, its number kept: `household-12` as `hou12`."""
    if len(name) <= width:
        return name
    head = name.rstrip("0123456789")
    tail = name[len(head) :][-width + 1 :]
    return head[: width - len(tail)].rstrip("-_.") + tail
