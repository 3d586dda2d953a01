"""A central controller of the smart grid: one programme plans everybody, and one failure ends it.

It sits in the market's place. Devices (`smart_grid_follower`) tell it what they observe, forecasts
and state, over the same links as everything else; 30 s into each quarter of an hour it plans the
coming day by a linear programme (`smart_grid_plan`), sends each device its set-point for the next
quarter as an award, and settles what it has planned at one price between feed-in and import. For
whom it has not heard of it plans nothing. Killed, it plans and trades for nobody: a single point
of failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from agents.agent import Agent
from agents.behaviours.smart_grid import MILLICENT
from agents.behaviours.smart_grid_plan import Report, Values, plan, report_of
from sim.units import SECOND
from sim.worlds.programme import Ints
from sim.worlds.smart_grid_devices import ROLES
from sim.worlds.smart_grid_spaces import DEADLINE_NS, QUARTER_MIN

STALE_S: Final = 1000.0
"""A device whose report is older is not planned for: one may be lost, not two."""


class Controller(Agent):
    """params: of `smart_grid_plan.Values`."""

    def __init__(self, **params: float) -> None:
        self.values = Values(**(asdict(Values()) | params))

    async def run(self) -> None:
        (round_,) = (r for r in self._cell.start.rounds if r["receiver"] == self.name)
        devices: list[str] = round_["senders"]
        reports: dict[int, Report] = {}
        given: dict[int, float] = {}
        for role in ROLES:
            self.subscribe(f"status-{role}")
        async for begin in self.every(QUARTER_MIN * 60.0):
            await asyncio.sleep(DEADLINE_NS / SECOND)
            self._read(devices, reports)
            fresh = {slot: r for slot, r in reports.items() if begin - r.sent_s <= STALE_S}
            energy: dict[int, float] = {}
            if fresh:
                energy, price = plan(fresh, given, self.values)
                price_mc = round(price * MILLICENT)
                for slot, wh in energy.items():
                    self.send(devices[slot], round_["reply"], np.array([round(wh), price_mc]))
                self.act(table(energy, price_mc, len(devices)).ravel().astype(np.float64))
            given = energy
            self.log(f"planned for {len(fresh)} of {len(devices)} devices", "market")

    def _read(self, devices: Sequence[str], reports: dict[int, Report]) -> None:
        for role in ROLES:
            while (message := self._cell.channels.take(f"status-{role}")) is not None:
                report = _report(role, message)
                if report is not None and message.sender in devices:
                    reports[devices.index(message.sender)] = report


def table(energy: Mapping[int, float], price_mc: int, devices: int) -> Ints:
    """Awards that add up to nothing: the side that has more is cut in proportion.

    Shapes: energy in Wh by slot, bought positive -> int64 [devices, 2].
    """
    wanted = np.zeros(devices)
    wanted[list(energy)] = list(energy.values())
    buys, sells = wanted.clip(min=0.0), (-wanted).clip(min=0.0)
    traded = np.floor(min(buys.sum(), sells.sum()))
    awards = np.zeros((devices, 2), dtype=np.int64)
    for side, sign in ((buys, 1), (sells, -1)):
        if traded > 0:
            # Whole Wh that add up to the whole: differences of the rounded running sum.
            running = np.rint(np.cumsum(side) * (traded / side.sum())).astype(np.int64)
            awards[:, 0] += sign * np.diff(running, prepend=0)
    awards[awards[:, 0] != 0, 1] = price_mc
    return awards


def _report(role: str, message: Any) -> Report | None:
    """What a message reports; None if it is something else, whatever its sender meant."""
    try:
        row = np.asarray(message.payload, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    return report_of(role, message.sent, row)
