"""What is broken just now: links degraded or cut, topics made noisy; and, by what they are about,
the clocks, instruments, words and pace of agents.

Agents that are killed, hung or restarted, and events of the world, are the kernel's business.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from broker.actions import Actions
from broker.byzantine import Byzantine
from broker.clocks import Clocks
from broker.instruments import Actuators, Sensors
from broker.network import Bodies, Network, Rows
from sim.errors import MalformedFrameError
from sim.rng import generator_at
from sim.scenario.link import LinkSpec
from sim.scenario.schema import Fault, Scenario
from sim.scenario.topology import replace_link
from sim.units import NEVER
from sim.wire.codec import decode_payload, encode_payload
from sim.worlds.world import World


class FaultBoard:
    """The faults in force, in the order in which they began."""

    def __init__(
        self, scenario: Scenario, world: World, network: Network, actions: Mapping[str, Actions]
    ) -> None:
        self.clocks = Clocks()
        self.sensors = Sensors(scenario.seed, world.groups)
        self.byzantine = Byzantine(scenario.seed, network.table.names, world.rounds)
        self._actuators = Actuators(actions)
        self._network = network
        self._index = {name: i for i, name in enumerate(network.table.names)}
        self._active: dict[int, Fault] = {}
        self._topics = scenario.network.topics
        self._noises: dict[str, tuple[float, float]] = {}
        self.has_noise = bool(self._topics)

    def switch(self, fault: Fault, boundary: int) -> None:
        """Begins or lifts a fault; `boundary` is the last one of the world's steps before it."""
        if fault.kind == "sensor":
            self.sensors.switch(fault)
        elif fault.kind == "actuator":
            self._actuators.switch(fault, boundary)
        elif fault.kind == "slow":
            self._network.pace.switch(fault, self._struck(fault))
        elif fault.kind == "skew":
            self.clocks.switch(fault, self._struck(fault))
        elif fault.kind == "byzantine":
            self.byzantine.switch(fault, self._struck(fault))
        else:
            self._switch_network(fault)

    def _struck(self, fault: Fault) -> list[int]:
        return [self._index[name] for name in fault.targets]

    def _switch_network(self, fault: Fault) -> None:
        if fault.is_on:
            self._active[fault.id] = fault
        else:
            self._active.pop(fault.id, None)
        self._noises.clear()
        self.has_noise = bool(self._topics) or any(f.kind == "noise" for f in self._active.values())
        self._redraw(fault.time_ns)

    def begin_episode(self, episode: int) -> None:
        """Lifts everything, and keys what is random anew."""
        self._network.pace.heal()
        self.clocks.heal()
        self.sensors.begin_episode(episode)
        self._actuators.heal()
        self.byzantine.begin_episode(episode)
        self._active.clear()
        self._noises.clear()
        self._redraw(None)

    @property
    def floor_ns(self) -> int:
        """The smallest latency that a fault in force gives a link; NEVER if none does."""
        floors = [
            f.values.latency_ns
            for f in self._active.values()
            if f.kind == "link" and f.values.latency_ns is not None
        ]
        return min(floors, default=NEVER)

    def _redraw(self, now: int | None) -> None:
        def sides(fault: Fault) -> tuple[set[int], set[int]]:
            first, second = (
                {self._index[name] for name in names} for names in (fault.targets, fault.targets_b)
            )
            return first, second

        cuts = [sides(f) for f in self._active.values() if f.kind == "partition"]
        links = [(f, *sides(f)) for f in self._active.values() if f.kind == "link"]

        def is_cut(at: int, to: int) -> bool:
            return any((at in a and to in b) or (at in b and to in a) for a, b in cuts)

        def overlay(at: int, to: int, spec: LinkSpec) -> LinkSpec:
            for fault, sources, targets in links:
                is_back = fault.both and to in sources and at in targets
                if is_back or (at in sources and to in targets):
                    spec = replace_link(spec, fault.values)
            return spec

        table = np.zeros((len(cuts), len(self._index)), dtype=np.int8)
        for row, (first, second) in zip(table, cuts, strict=True):
            row[list(first)], row[list(second)] = 1, -1
        self._network.degrade(overlay, is_cut, table, now)

    # --- noise on payloads ----------------------------------------------------------------------

    def noise_of(self, topic: str) -> tuple[float, float]:
        """Relative and absolute standard deviation on a topic; independent noises add in square."""
        found = self._noises.get(topic)
        if found is None:
            relative = absolute = 0.0
            for spec in self._topics:
                if fnmatch.fnmatchcase(topic, spec.topic):
                    relative, absolute = spec.noise, spec.noise_absolute
            for fault in self._active.values():
                if fault.kind == "noise" and any(
                    fnmatch.fnmatchcase(topic, pattern) for pattern in fault.targets or ("*",)
                ):
                    relative = float(np.hypot(relative, fault.number))
            found = self._noises[topic] = (relative, absolute)
        return found

    def disturb(self, rows: Rows, bodies: Bodies) -> Bodies:
        """The bodies as they arrive: every float of a noisy topic's payload drawn anew."""
        topics = self._network.topics
        levels = {t: self.noise_of(topics[t]) for t in set(rows["topic"].tolist())}
        noisy = [t for t, level in levels.items() if level != (0.0, 0.0)]
        if not noisy:
            return bodies
        bodies = bodies.copy()
        for i in np.flatnonzero(np.isin(rows["topic"], noisy)):
            row = rows[i]
            draw = generator_at(int(row["key"]), int(row["counter"]))
            try:
                payload = decode_payload(bodies[i])
            except MalformedFrameError:
                continue
            bodies[i] = encode_payload(disturbed(payload, draw, *levels[int(row["topic"])]))
        return bodies


def disturbed(value: Any, draw: np.random.Generator, relative: float, absolute: float) -> Any:
    """A payload with every float in it drawn anew, by noise of these standard deviations."""
    if isinstance(value, float):
        return value + (abs(value) * relative * draw.normal() + absolute * draw.normal())
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        noise = np.abs(value) * relative * draw.normal(size=value.shape)
        noise += absolute * draw.normal(size=value.shape)
        return (value + noise).astype(value.dtype)
    if isinstance(value, list):
        return [disturbed(v, draw, relative, absolute) for v in value]
    if isinstance(value, dict):
        return {k: disturbed(v, draw, relative, absolute) for k, v in value.items()}
    return value


def fault_bytes(fault: Fault) -> bytes:
    """A fault in canonical bytes, for the digest; its number among others is no part of it."""
    return msgspec.msgpack.encode(msgspec.structs.replace(fault, id=0))
