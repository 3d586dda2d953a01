"""A world that notes what the kernel does to it, for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from broker.kernel import Kernel
from sim.prepare import fault_setting
from sim.scenario.faults import resolve_faults
from sim.scenario.load import parse_scenario
from sim.scenario.roster import resolve_roster
from sim.scenario.topology import link_table
from sim.worlds.blank import Blank, Params
from sim.worlds.world import Array, PhysicalEvent


class Noting(Blank):
    """The blank world with a diary: one entry per call, in order.

    ("reset", seed, episode), ("advance", step, actions or None where none is in force),
    ("observe", step), ("inject", event, target, is_on), ("apply", time_ns, agent, verb, payload)
    """

    events = (PhysicalEvent("trip", ("line-1", "line-2")),)

    def __init__(
        self,
        agents: int = 2,
        step: str = "100ms",
        every: str = "",
        hold: str = "last",
        ttl_ns: int = 2**63 - 1,
        ends_after: int = 2**62,
    ) -> None:
        super().__init__(Params(agents=agents, step=step, every=every))
        (group,) = self.groups
        must = dataclasses.replace(group, hold=hold, ttl_ns=ttl_ns, must_act=True)
        self.groups = (must,)
        self.diary: list[tuple[Any, ...]] = []
        self.ends_after = ends_after

    @property
    def is_terminated(self) -> bool:  # type: ignore[override]
        return self._steps >= self.ends_after

    def reset(self, seed: int, episode: int) -> None:
        super().reset(seed, episode)
        self.diary.append(("reset", seed, episode))

    def advance(
        self, actions: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        super().advance(actions, present)
        in_force = zip(actions["agent"][:, 0].tolist(), present["agent"].tolist(), strict=True)
        told = [value if is_present else None for value, is_present in in_force]
        self.diary.append(("advance", self._steps, told))

    def observe(self) -> dict[str, Array]:
        self.diary.append(("observe", self._steps))
        return super().observe()

    def inject(self, event: str, target: str, is_on: bool) -> None:
        self.diary.append(("inject", event, target, is_on))

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        self.diary.append(("apply", time_ns, agent, verb, payload))

    @property
    def applied(self) -> list[list[float | None]]:
        """Per step, each agent's action in force."""
        return [entry[2] for entry in self.diary if entry[0] == "advance"]


def kernel_with(world: Blank, text: str, agents_per_host: int = 1) -> Kernel:
    """The kernel of a scenario, with this world in place of the one it names."""
    scenario = parse_scenario(text)
    plans = resolve_roster(scenario, world)
    names = [plan.name for plan in plans]
    faults = resolve_faults(scenario, fault_setting(scenario, world, plans), scenario.seed)
    faults_of_all = [
        msgspec.structs.replace(f, time_ns=f.time_ns + episode * scenario.duration_ns)
        for episode in range(scenario.episodes)
        for f in faults
    ]
    table = link_table(scenario.network, names, faults)
    return Kernel(scenario, world, plans, table, faults_of_all, agents_per_host)
