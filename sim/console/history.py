"""What the console remembers of the frames it has seen: enough for charts and recent losses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sim.wire.live import Frame, LinkMatrix

DELIVERED: Final = "delivered %"
UP: Final = "agents up"
RECENT: Final = 30
"""Frames over which a loss counts as recent."""
_SAMPLES_MAX: Final = 4000


class Sample(NamedTuple):
    """A frame in short. values: metrics, figures of the scene, agents up; delivered, dropped: of
    the whole network, since the start."""

    now_ns: int
    values: dict[str, float]
    delivered: int
    dropped: int


class History:
    """Samples in the order of virtual time, thinned out where they are many."""

    def __init__(self, figures: Callable[[dict[str, Any]], dict[str, float]]) -> None:
        self._figures = figures
        self.samples: list[Sample] = []
        self._links: deque[tuple[int, LinkMatrix]] = deque(maxlen=RECENT + 1)

    def add(self, frame: Frame) -> None:
        """Takes a frame; one that is earlier than the last takes the place of what came after."""
        self.forget_from(frame.now_ns)
        dropped = sum(int(v) for v in frame.books.get("dropped", {}).values())
        delivered = int(frame.books.get("delivered", 0))
        values = dict(frame.metrics)
        values.update(self._figures(frame.scene))
        values[UP] = float(sum(state == "up" for state in frame.agents.state))
        then = self.samples[-10] if len(self.samples) >= 10 else None
        ended = delivered + dropped - (then.delivered + then.dropped if then else 0)
        if ended > 0:
            values[DELIVERED] = 100 * (delivered - (then.delivered if then else 0)) / ended
        elif self.samples and DELIVERED in self.samples[-1].values:
            values[DELIVERED] = self.samples[-1].values[DELIVERED]
        self.samples.append(Sample(frame.now_ns, values, delivered, dropped))
        self._links.append((frame.now_ns, frame.links))
        if len(self.samples) > _SAMPLES_MAX:
            self.samples[:] = (
                self.samples[: -_SAMPLES_MAX // 4 : 2] + self.samples[-_SAMPLES_MAX // 4 :]
            )

    def forget_from(self, now_ns: int) -> None:
        """Forgets this instant and all later ones."""
        while self.samples and self.samples[-1].now_ns >= now_ns:
            self.samples.pop()
        while self._links and self._links[-1][0] >= now_ns:
            self._links.pop()

    def links_before(self) -> LinkMatrix | None:
        """The oldest recent matrix that the newest is compared with."""
        return self._links[0][1] if len(self._links) > 1 else None

    def series(self, key: str, since_ns: int = 0) -> tuple[list[int], list[float]]:
        """Times and values of what is known."""
        times, values = [], []
        for sample in self.samples:
            if sample.now_ns >= since_ns and key in sample.values:
                times.append(sample.now_ns)
                values.append(sample.values[key])
        return times, values
