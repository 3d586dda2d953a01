"""Sharing under coordinators: demand curves up, quantities down, at any depth of the tree.

A consumer says how much it would draw at each of some prices; sums of such curves are the curve of
a group, which a coordinator needs to know nothing more about. The root splits the supply, as the
source tells of it, where its curve adds up to it; every group splits its quantity likewise. With a
tree of one group this is a central controller that knows everything.
Source: Kok, Warmer and Kamphuis, PowerMatcher: multiagent control in the electricity infrastructure
(2005).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from agents.agent import Agent
from agents.hierarchy.coordinator import coordinate
from agents.hierarchy.member import Setpoint, Vector, follow
from agents.hierarchy.tree import Tree
from sim.errors import AgentError
from sim.ids import did_you_mean

PER_PRICE: Final = np.geomspace(0.4, 40.0, 48)
"""1 / price of the points of a curve: in it demand is linear but for where a consumer drops out."""


def curve(weight: float) -> Vector:
    """What a consumer would draw at each price, with 1 before it: how many consumers this is of."""
    return np.concatenate(([1.0], np.maximum(weight * PER_PRICE - 1.0, 0.0)))


def split(quantity: Vector, curves: Mapping[str, Vector]) -> dict[str, Vector]:
    """To each as much as it would draw at the price at which all together draw the quantity.

    Beyond the dearest and the cheapest price in proportion to the demand there.
    """
    demands = np.array([each[1:] for each in curves.values()])
    sums, wanted = demands.sum(axis=0), float(quantity[0])
    if not sums[-1] > 0:
        shares = np.full(len(demands), wanted / len(demands))
    elif wanted >= sums[-1]:
        shares = demands[:, -1] * (wanted / sums[-1])
    else:
        at = int(np.searchsorted(sums, wanted, side="right"))
        before, low = (demands[:, at - 1], sums[at - 1]) if at else (0.0 * demands[:, 0], 0.0)
        shares = before + (demands[:, at] - before) * ((wanted - low) / (sums[at] - low))
    return dict(zip(curves, shares[:, None], strict=True))


class Player(Agent):
    """Plays its part in a tree: consumer, coordinator, deputy, or the source that it hears of.

    trees: by name. tree: which of them. period: of the rounds. hold: seconds since the root's
    decision for which a consumer keeps to its set-point; afterwards it does not ask.
    Raises: AgentError if there is no such tree, or it is none.
    """

    def __init__(
        self, trees: Mapping[str, Any], tree: str, period: float | str = "5s", hold: float = 15.0
    ) -> None:
        if tree not in trees:
            raise AgentError(f"tree: there is no {tree!r}; {did_you_mean(str(tree), trees)}")
        self.groups, self.period, self.hold = trees[tree], period, float(hold)

    async def run(self) -> None:
        groups = self.groups
        tree = Tree(groups, self.names)
        if self.group == "source":
            await self._tell()
        elif self.group == "consumer":
            await self._consume(groups)
        else:
            lines = tree.led_by(self.name)
            await asyncio.gather(*(self._coordinate(groups, group) for group in lines))

    async def _tell(self) -> None:
        async for obs in self.observations():
            self.publish("supply", obs.values)

    async def _coordinate(self, groups: Mapping[str, Any], group: str) -> None:
        self.subscribe("supply")

        def supply(total: Vector) -> float | None:
            """What is left for those heard of; the others draw what is safe."""
            heard = self.latest("supply")
            if heard is None:
                return None
            supply, safe, among = heard.payload
            return max(float(supply - safe * (among - total[0])), 0.0)

        await coordinate(
            self, groups, group, disaggregate=split, setpoint=supply, period=self.period
        )

    async def _consume(self, groups: Mapping[str, Any]) -> None:
        told: Setpoint | None = None
        weight = await self._weight()

        async def listen() -> None:
            nonlocal told
            async for setpoint in follow(self, groups, lambda: curve(weight)):
                told = setpoint

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            async for _ in self.observations():
                if told is not None and self.now - told.issued <= self.hold:
                    self.act(draw=float(told.value[0]))

    async def _weight(self) -> float:
        async for obs in self.observations():
            return float(obs.weight)
        raise AssertionError("observations never end")
