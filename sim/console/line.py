"""One line of the terminal that changes, and what commands that learn say in common."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from sim.clock import monotonic


class Line:
    """A place on the terminal that changes, if it can; drawn anew four times a second. Use as a
    context manager.
    """

    def __init__(self, console: Console, is_live: bool) -> None:
        self._console, self._is_live = console, is_live
        self._live: Live | None = None

    def _shown(self) -> RenderableType:
        """What stands there now."""
        return Text("")

    def __enter__(self) -> Self:
        if self._is_live:
            self._live = Live(console=self._console, transient=True, get_renderable=self._shown)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()


class Waiting(Line):
    """Says what is waited for, and for how long. Use as a context manager."""

    def __init__(self, what: str, console: Console, is_live: bool) -> None:
        super().__init__(console, is_live)
        self._what, self._began = what, monotonic()

    def _shown(self) -> RenderableType:
        return Text(f"{self._what}  {span(monotonic() - self._began)}", style="dim")


_MEASURED: Final = 0.05
"""Share of all that must be done before it is said how long the rest takes."""


class Counting(Line):
    """A line that counts what is done. Use as a context manager. What the first news say is there
    already: the time that is left is told by what is done from then on.
    """

    def __init__(self, what: str, console: Console, is_live: bool) -> None:
        super().__init__(console, is_live)
        self._what = what
        self._began = monotonic()
        self._before: float | None = None
        self._done, self._total = 0.0, 0

    def __call__(self, done: float, total: int) -> None:
        """Takes news."""
        if self._before is None:
            self._before = done
        self._done, self._total = done, total

    def _shown(self) -> RenderableType:
        spent = monotonic() - self._began
        if not self._done:
            return Text(f"{self._what}: the first are played  {span(spent)}")
        here = self._done - (self._before or 0.0)
        told = span(spent)
        if here > _MEASURED * self._total:
            told = f"{span(spent / here * (self._total - self._done))} left"
        return Text(f"{int(self._done):,} of {self._total:,} {self._what}  {told}")


def span(seconds: float | None) -> str:
    """A duration for people: 42 s, 7 min 20 s, 3 h 05 min."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 90:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def print_next(console: Console, label: str, words: Sequence[str]) -> None:
    """A command to type, on one line however long, so that it can be copied."""
    text = Text.assemble((f"{label:12}", "dim"), (shlex.join(words), "bold cyan"))
    console.print(text, soft_wrap=True)
