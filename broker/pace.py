"""Real time against virtual time: a speed to keep to, a pause, a step. The kernel knows nothing of
it, and the digest is the same whatever it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from broker.kernel import Kernel
from sim.clock import monotonic
from sim.units import SECOND

IDLE_SECONDS: Final = 0.1
"""The longest that nobody looks up while a run is held back."""
_MEMORY_SECONDS: Final = 2.0


class Pace:
    """Holds virtual time back to `speed` virtual seconds per real second, or altogether.

    A paused run waits between two windows for as long as it is left; nobody's deadline runs, as no
    host has anything to answer. rush: so many windows are not held back by the speed.
    """

    def __init__(self, speed: float = float("inf"), rush: int = 0) -> None:
        self.speed = speed
        self._rush = rush
        self.is_paused = False
        self._until_window = -1
        self._until_step = -1
        self._real = monotonic()
        self._virtual: int | None = None
        self._held = 0.0
        self._marks: tuple[float, int, float] = (self._real, 0, 0.0)
        self.measured = 0.0
        self.possible = 0.0

    # --- what a person asks for -----------------------------------------------------------------

    def pause(self) -> None:
        """From the next window on, nothing moves."""
        self.is_paused, self._until_window, self._until_step = True, -1, -1

    def go(self) -> None:
        """On, at the same speed as before."""
        self.is_paused = False
        self._virtual = None

    def step(self, kernel: Kernel) -> None:
        """Until the next step of the world has been taken, then pauses."""
        self.pause()
        self._until_step = kernel.steps + 1

    def window(self, kernel: Kernel) -> None:
        """One window, then pauses."""
        self.pause()
        self._until_window = kernel.windows + 1

    def change(self, speed: float) -> None:
        """Another speed from now on."""
        self.speed = speed
        self._virtual = None

    # --- holding --------------------------------------------------------------------------------

    def hold(self, kernel: Kernel, idle: Callable[[float], None]) -> None:
        """Returns when the next window may begin. idle: waits for real time, and may call the
        methods above.
        """
        if self.speed == float("inf") and not self.is_paused:
            return
        began = monotonic()
        while (left := self._left(kernel)) > 0:
            idle(min(left, IDLE_SECONDS))
        self._held += monotonic() - began

    def _left(self, kernel: Kernel) -> float:
        """Real seconds until the next window is due; a pause has no end."""
        if self.is_paused:
            is_due = kernel.windows < self._until_window or kernel.steps < self._until_step
            return 0.0 if is_due else IDLE_SECONDS
        if self.speed == float("inf") or kernel.windows < self._rush:
            return 0.0
        if self._virtual is None:
            self._real, self._virtual = monotonic(), kernel.now
        due = self._real + (kernel.next_instant() - self._virtual) / SECOND / self.speed
        return due - monotonic()

    def measure(self, now_ns: int) -> None:
        """Updates `measured`, and `possible`: virtual seconds per real second without holding."""
        real, virtual, held = self._marks
        now = monotonic()
        passed = now - real
        if passed < _MEMORY_SECONDS / (1 if self.measured else 8):
            return
        self.measured = (now_ns - virtual) / SECOND / passed
        busy = passed - (self._held - held)
        if now_ns > virtual and busy > 0:
            self.possible = (now_ns - virtual) / SECOND / busy
        self._marks = (now, now_ns, self._held)
