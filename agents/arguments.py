"""Arguments of what an agent calls, refused by their names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sim.errors import AgentError
from sim.ids import did_you_mean
from sim.units import duration_ns


def one_of(what: str, given: Any, known: Collection[str]) -> str:
    """Raises: AgentError naming the nearest known one."""
    if not isinstance(given, str) or given not in known:
        raise AgentError(f"{what}: there is no {given!r}; {did_you_mean(str(given), known)}")
    return given


def whole(what: str, given: Any, low: int, high: int | None = None) -> int:
    """Raises: AgentError for what is no whole number, or beyond the bounds."""
    if type(given) is not int or given < low or (high is not None and given > high):
        to = "" if high is None else f" to {high}"
        raise AgentError(f"{what}: expected a whole number from {low}{to}, found {given!r}")
    return given


def span_ns(what: str, given: Any, low_ns: int = 1) -> int:
    """Nanoseconds of a duration, of 1 or 0 at least. Raises: AgentError if it is none."""
    try:
        found = duration_ns(given)
    except ValueError as error:
        raise AgentError(f"{what}: {error}") from None
    if found < low_ns:
        raise AgentError(f"{what}: expected a duration above 0, found {given!r}")
    return found
