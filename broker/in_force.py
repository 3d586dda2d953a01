"""Which faults are in force, and what lifts them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sim.scenario.schema import Fault


class InForce:
    """Faults that have struck and are not lifted, by their ids.

    A killed agent's fault is in force until the agent is started again, by whatever.
    """

    def __init__(self) -> None:
        self.faults: dict[int, Fault] = {}
        self.killed: dict[str, int] = {}

    def see(self, fault: Fault) -> None:
        """A fault strikes, or is lifted."""
        if fault.kind == "restart":
            self.faults.pop(fault.id, None)
            for name in fault.targets:
                by = self.killed.pop(name, None)
                if by is not None and by not in self.killed.values():
                    self.faults.pop(by, None)
        elif not fault.is_on:
            self.faults.pop(fault.id, None)
        elif fault.kind != "heal":
            self.faults[fault.id] = fault
            if fault.kind == "kill":
                self.killed |= dict.fromkeys(fault.targets, fault.id)

    def lifts(self, time_ns: int, scheduled: Iterable[Fault]) -> list[Fault]:
        """What lifts all of them at a time: who was killed starts again, unless that is planned."""
        awaited = {n for f in scheduled if f.kind == "restart" for n in f.targets}
        found = []
        for fault in self.faults.values():
            lift = msgspec.structs.replace(fault, time_ns=time_ns, text=f"over: {fault.text}")
            if fault.kind != "kill":
                found.append(msgspec.structs.replace(lift, is_on=False))
                continue
            names = tuple(n for n in fault.targets if n in self.killed and n not in awaited)
            if names:
                text = f"{', '.join(names)} restarted"
                found.append(
                    msgspec.structs.replace(lift, kind="restart", targets=names, text=text)
                )
        return found

    def clear(self) -> None:
        """At the end of an episode everything is whole."""
        self.faults.clear()
        self.killed.clear()
