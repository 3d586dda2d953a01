"""What a run says of itself while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from broker.population import Event

PROGRESS_SECONDS: Final = 0.1
"""Real time between two reports."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come. phase: starting (hosts up), running (virtual ns) or comparing.

    counts: agents that are up, that are down and that have ended, messages sent so far.
    """

    phase: str
    done: int
    total: int
    up: int = 0
    down: int = 0
    sent: int = 0
    text: str = ""
    events: tuple[Event, ...] = ()
    ended: int = 0


OnProgress: TypeAlias = Callable[[Progress], None]
