"""Agents whose own clock is wrong: by how much, and who has yet to be told."""

from __future__ import annotations

from typing import TypeAlias

from sim.scenario.schema import Fault

Skew: TypeAlias = tuple[int, int, float]
"""Since when (ns), how far ahead (ns), how much faster (a share)."""


class Clocks:
    """Skews in force. They belong to the agent's clock, so they outlive its process."""

    def __init__(self) -> None:
        self._skews: dict[int, dict[int, Skew]] = {}
        self._untold: set[int] = set()

    def switch(self, fault: Fault, agents: list[int]) -> None:
        """Begins or lifts a fault of kind skew; several add up."""
        for agent in agents:
            skews = self._skews.setdefault(agent, {})
            if fault.is_on:
                skews[fault.id] = (fault.time_ns, fault.offset_ns, fault.number)
            else:
                skews.pop(fault.id, None)
            self._untold.add(agent)

    def heal(self) -> None:
        """All clocks right, those of agents that start anew."""
        self._skews.clear()
        self._untold.clear()

    def tell(self, agent: int, is_new: bool) -> list[Skew] | None:
        """What an agent that runs must hear of its clock; None if it is as it knows it."""
        if agent in self._untold:
            self._untold.remove(agent)
            return list(self._skews[agent].values())
        return list(self._skews[agent].values()) if is_new and agent in self._skews else None
