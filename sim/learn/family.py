"""What a family of algorithms offers to the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sim.learn.record import Actor, Record, Side


class Family(Protocol):
    """An algorithm that trains some sides together. Made by a preset, see `sim.learn.presets`.

    sides:     whom it trains.
    decisions: how many decisions of each copy it wants before it updates.
    """

    sides: Sequence[Side]
    decisions: int

    def actors(self) -> Mapping[str, Actor]:
        """Per group, who decides while experience is collected (with exploration)."""

    def greedy(self) -> Mapping[str, Actor]:
        """Per group, who decides when it counts (without)."""

    def update(self, records: Mapping[str, Record]) -> dict[str, float]:
        """Learns from the newest records. Returns what to log, as "battery/policy_loss"."""

    def state(self) -> dict[str, Any]:
        """Everything `load` needs to go on to the same result: nested dicts of tensors, numbers
        and texts."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""

    def policies(self) -> Mapping[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Per group, tensors and card of its policy file (see `agents.networks`)."""
