"""What a typed line means: the console's own words, and commands that change the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sim.console.source import time_ns
from sim.console.state import State
from sim.console.words import clock, for_you
from sim.errors import ScenarioError
from sim.scenario.commands import parse_command, split_words
from sim.units import SECOND, duration_ns, speed_factor

OWN_WORDS: Final = ("pause", "go", "step", "window", "speed", "inspect", "find", "goto", "quit")


def meaning(line: str, state: State) -> str:
    """What a line means, for the person who types it. Raises: SimError."""
    words = split_words(line)
    if words and words[0] in OWN_WORDS:
        check_own(words, state.total_ns)
        return " ".join(words).strip()
    entry = parse_command(words, state.intro)
    for i, word in enumerate(words):
        span = word.partition("=")[2] if word.startswith("--for=") else ""
        span = words[i + 1] if word == "--for" else span
        if span:
            return f"{entry}   {for_you(duration_ns(span) / SECOND, state.frame)}"
    return entry


def check_own(words: Sequence[str], total_ns: int) -> None:
    """Whether one of the console's own words can be done. Raises: ScenarioError if it cannot."""
    word, rest = words[0], " ".join(words[1:])
    try:
        if word == "speed":
            speed_factor(rest)
        if word == "goto":
            time_ns(rest, total_ns)
    except ValueError as error:
        raise ScenarioError(f"{word}: {error}") from None
    if word == "inspect" and not all(ends_of(rest)):
        raise ScenarioError("inspect: expected an agent, or A > B")


def ends_of(text: str) -> list[str]:
    """The names in `A` or `A > B`."""
    return [end.strip() for end in text.split(">")]


def time_meaning(line: str, end_ns: int) -> str:
    """What a typed virtual time means. Raises: ScenarioError."""
    try:
        return f"to {clock(min(time_ns(line, end_ns), end_ns))}"
    except ValueError as error:
        raise ScenarioError(str(error)) from None
