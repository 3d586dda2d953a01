"""Invariant: virtual time never goes back, and nothing comes before what caused it."""

from __future__ import annotations

from broker.kernel import Kernel
from sim.wire.messages import DELIVERY, Activation


class ClockChecker:
    """`check` for `on_window`, and `check_activation` for what hosts get."""

    def __init__(self) -> None:
        self._now = 0
        self._until = 0
        self._arrived: dict[int, int] = {}

    def check(self, kernel: Kernel) -> None:
        """Windows are not empty, follow each other, and leave nothing behind."""
        now, until = kernel.now, kernel.until
        if now < self._now or (now < self._until and now != self._now):
            raise AssertionError(f"window at {now} ns after [{self._now}, {self._until}) ns")
        if kernel.status == "running":
            if until <= now:
                raise AssertionError(f"empty window [{now}, {until}) ns")
            if kernel.next_instant() < now:
                raise AssertionError(f"{kernel.next_instant()} ns is due, after {now} ns")
            self._until = until
        self._now = now

    def check_activation(self, activation: Activation) -> None:
        """Messages reach an agent in order of arrival, inside or before its window."""
        for work in activation.work:
            if not activation.now <= work.wake < activation.until:
                raise AssertionError(f"woken at {work.wake}, outside {activation}")
            last = self._arrived.get(work.agent, 0)
            for arrival, sent, *_ in DELIVERY.iter_unpack(work.rows):
                if not (sent <= arrival < activation.until and arrival >= last):
                    raise AssertionError(
                        f"agent {work.agent}: sent {sent}, arrival {arrival} after {last}, "
                        f"window [{activation.now}, {activation.until})"
                    )
                last = arrival
            self._arrived[work.agent] = last
