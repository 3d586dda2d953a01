"""Real time, for pacing, progress and deadlines. Nothing that enters a digest comes from here.

The only module that imports `time`, so that a stray wall-clock reading is seen at once.
"""

from __future__ import annotations

import datetime
import time


def monotonic() -> float:
    """Seconds of real time from an arbitrary origin."""
    return time.perf_counter()


def pause(seconds: float) -> None:
    """Blocks this thread for real time."""
    time.sleep(max(seconds, 0.0))


def timestamp() -> str:
    """The date and time now, UTC, ISO 8601, for manifests."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
