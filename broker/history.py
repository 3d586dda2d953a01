"""What a log says came from outside, brought about again at the same windows.

The windows of a run depend on the seed, the scenario and what came from outside, and on nothing
else; so the number of windows begun names a moment exactly, at any speed, in any packing of
processes, in processes or in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from broker.kernel import Kernel
from sim.store.runlog import Decision, Input, Record
from sim.units import NEVER
from sim.wire.messages import OVERDUE, Activation, Done, Yield

Given: TypeAlias = tuple[int, Activation]
_LOSSES: Final = ("lost", "deadline", "blocked", "malformed", "nondeterministic", "overfull")


class History:
    """Inputs and decisions of a log. Empty for a run that is new."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._deaths: set[int] = set()
        self._inputs: deque[Input] = deque()
        self._losses: dict[int, list[Decision]] = {}
        self._overdue: dict[tuple[int, str], Decision] = {}
        self.end_window = 0
        for record in records:
            if isinstance(record, Input):
                self._inputs.append(record)
            elif isinstance(record, Decision) and record.kind == "overdue":
                self._overdue[record.window, record.agent] = record
            elif isinstance(record, Decision) and record.kind == "died":
                self._deaths.add(record.time_ns)
            elif isinstance(record, Decision) and record.kind in _LOSSES:
                self._losses.setdefault(record.window, []).append(record)
            if isinstance(record, Input | Decision):
                self.end_window = max(self.end_window, record.window)

    def inject(self, kernel: Kernel) -> None:
        """Before a window begins: the live faults that came before it."""
        while self._inputs and self._inputs[0].window <= kernel.windows:
            kernel.inject(self._inputs.popleft().faults)

    def settled(self, activations: Iterator[Given]) -> Iterable[Given]:
        """Activations as they are made; all at once, if some will be answered here and now."""
        return list(activations) if self._losses or self._overdue else activations

    def missing(self, window: int, host: int) -> Decision | None:
        """Why a host did not answer in a window; None if it did. It is not asked again."""
        for decision in self._losses.get(window, ()):
            if decision.host == host and not decision.counted:
                return decision
        return None

    def lost_after(self, window: int) -> list[Decision]:
        """Hosts lost when their yields in this window had been counted, or were not asked for."""
        return [d for d in self._losses.get(window, ()) if d.counted]

    def has_died(self, time_ns: int) -> bool:
        """Whether the broker was already killed by the fault of this instant."""
        return time_ns in self._deaths

    def without_overdue(
        self, window: int, activation: Activation, names: list[str]
    ) -> tuple[Activation, list[Done]]:
        """An activation without the agents that used up their time in it, and what they yielded."""
        if not self._overdue:
            return activation, []
        done = []
        for work in activation.work:
            decision = self._overdue.get((window, names[work.agent]))
            if decision is not None:
                done.append(Done(work.agent, NEVER, OVERDUE, error=decision.text))
        if not done:
            return activation, []
        out = {d.agent for d in done}
        left = [work for work in activation.work if work.agent not in out]
        return msgspec.structs.replace(activation, work=left), done


def completed(answer: Yield | None, serial: int, more: list[Done], agents: list[int]) -> Yield:
    """A yield of all agents that were asked, in their order."""
    done = {d.agent: d for d in [*(answer.done if answer else []), *more]}
    return Yield(serial, [done[agent] for agent in agents])
