"""Numbers, times and sizes as a page shows them."""

from __future__ import annotations

import math

from sim.units import SECOND, format_ns, number_text


def number(value: float | None) -> str:
    """About four digits: `41.2`, `18,204`, `0.0031`, `1.2e-7`; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    shown = number_text(value)
    if 0 < abs(value) < 1e-4:
        mantissa, _, power = f"{value:.1e}".partition("e")
        shown = f"{mantissa.removesuffix('.0')}e{int(power)}"
    return shown.replace("-", "−")


def percent(share: float | None) -> str:
    """A share: `3.9 %`, `0.02 %`; a dash where there is none."""
    if share is None or not math.isfinite(share):
        return "–"
    value = 100 * share
    if value == 0 or abs(value) >= 9.95:
        return f"{value:.0f} %".replace("-", "−")
    return f"{value:.2g} %".replace("-", "−")


def clock(seconds: float) -> str:
    """A virtual instant: `13:45:06`; below a minute of whole run, see `span`."""
    return (
        format_ns(round(seconds * SECOND))
        if seconds >= 1 or not seconds
        else f"00:00:{seconds:06.3f}"
    )


def span(seconds: float) -> str:
    """A duration: `24 h`, `1 min 40 s`, `2.3 s`, `41 ms`."""
    if not math.isfinite(seconds):
        return "–"
    if seconds >= 60:
        whole = round(seconds)
        units = (("h", whole // 3600), ("min", whole // 60 % 60), ("s", whole % 60))
        return " ".join(f"{count:,} {unit}" for unit, count in units if count)
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def plain(name: str) -> str:
    """A name as words: `peak_import` is `peak import`."""
    return name.replace("_", " ")


def many(count: int, word: str) -> str:
    """`1 agent`, `30 agents`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
