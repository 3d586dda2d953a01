"""Traffic of SUMO, with some of its vehicles as agents. One copy per process, as libsumo has it.

    world: {sumo: "sumo:tools/game/A10KW.sumocfg", agents: 4}

The agents car-1, car-2 ... are bound to vehicles of the simulation one after another, as these
enter it after the warm-up with a name that is wanted. When it arrives its agent has nothing to
drive any more, and no name is used twice. An agent asks for an acceleration and for a lane; without
an action in force, SUMO drives. All others are SUMO's all the time.

SUMO keeps an agent from asking for what would be a collision, as long as `safe` is true. What a
vehicle must do for its route (change to the lane of its exit) SUMO does for it, if it does not ask.

Source: Alvarez Lopez et al., Microscopic Traffic Simulation using SUMO, 2018. Metrics: see
`vehicles.outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import BoundError, UnknownKeyError
from sim.rng import key_of
from sim.spaces import Field, Space
from sim.units import SECOND
from sim.worlds.catalogue import parse
from sim.worlds.classics.common import Columns, numbered
from sim.worlds.sumo.params import (
    SEES,
    SIGHT_M,
    Params,
    config_of,
    duration,
    errors_in_file,
    library,
    options_of,
)
from sim.worlds.vehicles.outcome import KWH, MASS_KG, NEAR_S, PER_HOUR, TTC_MAX_S, specific_power
from sim.worlds.world import Array, Group, Metric, PhysicalEvent, Round

RULES: Final = {"car": "agents.behaviours.vehicles_sumo:Driver"}
SHOWN_MAX: Final = 60
KEEP, LEFT, RIGHT = range(3)
_DRIVES_ITSELF, _OBEYS = 1621, 513
"""Lane change modes of SUMO: its default; and for its route alone, else what is asked, if others
need not brake hard for it."""
_SAFE, _UNSAFE, _BY_ITSELF = 31, 32, -1.0
"""Speed modes of SUMO: with all its checks, with none; and the speed that lifts ours."""


_owner: list[Sumo] = []
"""Whose simulation libsumo runs in this process."""


class Sumo:
    """The World. The simulation starts at the first observation after `reset`."""

    name = "sumo"
    rounds: Sequence[Round] = ()
    events: Sequence[PhysicalEvent] = ()
    reward_components = ("progress", "safety")

    def __init__(self, p: Params) -> None:
        self.params = p
        self.dt_ns, self.every_ns = (duration(p, name) for name in ("dt", "decide"))
        if self.every_ns % self.dt_ns:
            raise BoundError(f"world.decide: expected a multiple of dt = {p.dt}, found {p.decide}")
        self.warmup = duration(p, "warmup") // self.dt_ns
        self.dt = self.dt_ns / SECOND
        self.config, self.options = config_of(p), options_of(p)
        names = tuple(numbered("car", p.agents))
        change = Field("change", low=0.0, high=2.0, choices=3, help="0: keep, 1: left, 2: right")
        asked = Field("acceleration", "m/s2", -p.brake, p.accelerate)
        ttl = max(self.every_ns, SECOND)
        self.groups = (
            Group("car", names, SEES, Space((asked, change)), self.every_ns, "last", ttl),
        )
        self._sumo = library()
        self.reset(0, 0)

    # --- one copy -----------------------------------------------------------------------------

    def reset(self, seed: int, episode: int) -> None:
        self._seed, self._is_on = key_of(seed, "sumo", episode) & 0x7FFFFFFF, False
        self.step, names = 0, self.groups[0].agents
        self.bound: dict[str, str] = {}
        self._known: set[str] = set()
        self._asked: set[str] = set()
        self._seen = np.zeros((len(names), SEES.size))
        self._earned = np.zeros((len(names), 2))
        self._is_near = np.zeros(len(names), dtype=bool)
        self._total = dict.fromkeys(
            ("reward", "there", "near", "hits", "driven", "work", "lost", "arrived", "way", "time"),
            0.0,
        )
        self._least_ttc = TTC_MAX_S
        self._state = b""
        self.is_terminated = False

    def _begin(self) -> None:
        """Starts SUMO, in place of whoever's it was. Raises: BoundError with its own words."""
        sumo = self._sumo
        if _owner:
            _owner.clear()
            sumo.close()
        command = [
            "sumo", "-c", str(self.config), "--step-length", repr(self.dt),
            "--seed", str(self._seed), "--no-step-log", "true", "--verbose", "false",
            "--no-warnings", "true", "--duration-log.disable", "true",
            "--duration-log.statistics", "false", "--collision.action", "warn",
            "--collision.check-junctions", "true", *self.options,
        ]  # fmt: skip
        with errors_in_file() as log:
            try:
                sumo.start(command)
            except sumo.TraCIException as error:
                log.seek(0)
                said = " ".join(log.read().split()) or str(error)
                raise BoundError(f"world.config: SUMO does not start: {said}") from None
        _owner.append(self)
        self._is_on = True
        (left, low), (right, high) = sumo.simulation.getNetBoundary()
        self._middle = (left + right) / 2, (low + high) / 2
        for _ in range(self.warmup):
            sumo.simulationStep()
        if self.warmup:
            self._known.update(sumo.vehicle.getIDList())
        self._look()

    def _ready(self) -> None:
        if not self._is_on:
            self._begin()
        if _owner != [self]:
            raise BoundError(
                "world.sumo: libsumo runs one simulation per process, and another has begun since; "
                "train with as many --copies as --workers, and run others in processes of their own"
            )

    # --- a step -------------------------------------------------------------------------------

    def advance(
        self, actions: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        self._ready()
        for name, action, is_there in zip(
            self.groups[0].agents, actions["car"], present["car"], strict=True
        ):
            if name in self.bound:
                self._drive(self.bound[name], action, bool(is_there))
        self._sumo.simulationStep()
        self.step += 1
        self._look()
        self._count()
        self.is_terminated = self._sumo.simulation.getMinExpectedNumber() == 0

    def _drive(self, vehicle: str, action: Array, is_there: bool) -> None:
        """What is asked, and what SUMO decides by itself where nothing is."""
        of = self._sumo.vehicle
        if is_there != (vehicle in self._asked):
            self._asked ^= {vehicle}
            of.setLaneChangeMode(vehicle, _OBEYS if is_there else _DRIVES_ITSELF)
            of.setSpeedMode(vehicle, _SAFE if self.params.safe or not is_there else _UNSAFE)
        if not is_there:
            of.setSpeed(vehicle, _BY_ITSELF)
            return
        of.setSpeed(vehicle, max(of.getSpeed(vehicle) + float(action[0]) * self.dt, 0.0))
        change, lane = round(float(action[1])), of.getLaneIndex(vehicle)
        if change in (LEFT, RIGHT) and self.step * self.dt_ns % self.every_ns == 0:
            to = lane + (1 if change == LEFT else -1)
            if 0 <= to < self._sumo.edge.getLaneNumber(of.getRoadID(vehicle)):
                of.changeLane(vehicle, to, self.every_ns / SECOND)

    def _look(self) -> None:
        """Who is there, who plays whom, and what everybody sees."""
        vehicles = self._sumo.vehicle.getIDList()
        here = set(vehicles)
        for name in [name for name, vehicle in self.bound.items() if vehicle not in here]:
            del self.bound[name]
        free = [name for name in self.groups[0].agents if name not in self._known]
        for vehicle in vehicles if free else ():
            if free and vehicle not in self._known:
                self._known.add(vehicle)
                if any(fnmatchcase(vehicle, pattern) for pattern in self.params.vehicles):
                    self.bound[free[0]] = vehicle
                    self._known.add(free.pop(0))
        self._seen = np.stack([self._sees(name) for name in self.groups[0].agents])
        self._state = b"".join(self._row(vehicle) for vehicle in sorted(vehicles))

    def _row(self, vehicle: str) -> bytes:
        of = self._sumo.vehicle
        numbers = (*of.getPosition(vehicle), of.getSpeed(vehicle), float(of.getLaneIndex(vehicle)))
        return vehicle.encode() + np.array(numbers).tobytes()

    def _sees(self, name: str) -> Array:
        vehicle, of = self.bound.get(name, ""), self._sumo.vehicle
        if not vehicle:
            return np.zeros(SEES.size)
        speed, ahead = of.getSpeed(vehicle), of.getLeader(vehicle, SIGHT_M)
        # SUMO leaves the gap that it keeps at rest out of the distance.
        rest = of.getMinGap(vehicle)
        gap, closing, seen = SIGHT_M, 0.0, 0.0
        if ahead and ahead[0] and ahead[1] + rest <= SIGHT_M:
            gap, seen = max(ahead[1] + rest, 0.0), 1.0
            closing = speed - of.getSpeed(ahead[0])
        lanes = self._sumo.edge.getLaneNumber(of.getRoadID(vehicle))
        told: list[float] = [
            1.0,
            speed,
            of.getAcceleration(vehicle),
            of.getAllowedSpeed(vehicle),
            gap,
            closing,
            seen,
            of.getLaneIndex(vehicle),
            lanes,
        ]
        for side in (1, -1):
            to = of.getLaneIndex(vehicle) + side
            can = 0 <= to < lanes and of.couldChangeLane(vehicle, side)
            others = of.getLeftLeaders(vehicle) if side == 1 else of.getRightLeaders(vehicle)
            near = min([max(gap + rest, 0.0) for _, gap in others] + [SIGHT_M])
            told += [float(can), near]
        return np.array([*told, *of.getPosition(vehicle)], dtype=np.float64)

    def _count(self) -> None:
        """What the step was worth, and the sums of the outcome."""
        at = {field.name: self._seen[:, i] for i, field in enumerate(SEES.fields)}
        there, speed, limit = at["there"], at["speed"], np.maximum(at["limit"], 1e-9)
        is_closing = (at["closing"] > 0) & (at["seen"] > 0)
        ttc = np.where(is_closing, at["gap"] / np.where(is_closing, at["closing"], 1), TTC_MAX_S)
        near = (ttc < NEAR_S) & (there > 0)
        hit = set(self._sumo.simulation.getCollidingVehiclesIDList())
        hits = np.array([self.bound.get(name) in hit for name in self.groups[0].agents])
        share = np.minimum(speed / limit, 1.0)
        safety = -(near * self.dt + 20.0 * hits)
        self._earned = np.stack((there * share * self.dt, safety), -1)
        power = np.maximum(specific_power(speed, at["acceleration"]), 0.0)
        total, sums = self._total, self._sumo.simulation
        ids = self._sumo.vehicle.getIDList()
        total["reward"] += float(self._earned.sum())
        total["there"] += float(there.sum()) * self.dt
        total["near"] += float((near & ~self._is_near).sum())
        total["hits"] += float(hits.sum())
        total["driven"] += float((there * speed).sum()) * self.dt
        total["work"] += float((there * power).sum()) * self.dt
        total["lost"] += float((there * (1 - share)).sum()) * self.dt
        total["arrived"] += sums.getArrivedNumber()
        total["way"] += sum(self._sumo.vehicle.getSpeed(i) for i in ids) * self.dt
        total["time"] += len(ids) * self.dt
        self._least_ttc = min([self._least_ttc, *ttc[there > 0].tolist()])
        self._is_near = near

    # --- what is told -------------------------------------------------------------------------

    def observe(self) -> dict[str, Array]:
        self._ready()
        return {"car": self._seen}

    def rewards(self) -> dict[str, Array]:
        return {"car": self._earned}

    def alive(self) -> dict[str, NDArray[np.bool_]]:
        """Who has a vehicle on the road. Shapes: [n]."""
        return {"car": self._seen[:, 0] > 0}

    def positions(self) -> dict[str, tuple[float, float]]:
        """Of the agents on the road, in the network's own metres; others are far away."""
        away = (-1e6, -1e6)
        return {
            name: (float(row[-2]), float(row[-1])) if row[0] else away
            for name, row in zip(self.groups[0].agents, self._seen, strict=True)
        }

    def inject(self, event: str, target: str, is_on: bool) -> None:
        raise UnknownKeyError(f"world 'sumo' has no physical events, found {event!r}")

    def apply(self, time_ns: int, agent: str, verb: str, payload: Any) -> Any:
        raise ValueError(f"world 'sumo' takes actions only, not the verb {verb!r}")

    def state_bytes(self) -> bytes:
        self._ready()
        return self._state

    def metrics(self) -> dict[str, Metric]:
        t, seconds = self._total, max(self.step * self.dt, 1e-9)
        there, driven = max(t["there"], 1e-9), max(t["driven"], 1e-9)
        told = "per agent on the road: share of the speed that is allowed, safety"
        return {
            "reward": Metric(t["reward"] / there, "per s", "higher", True, told),
            "speed": Metric(t["driven"] / there, "m/s", "higher", False, "of agents"),
            "delay": Metric(
                60 * t["lost"] / there, "s/min", "lower", False, "of agents, by the limit"
            ),
            "near_misses": Metric(
                t["near"], "", "lower", False, "of agents: times to collision below 1.5 s"
            ),
            "least_ttc": Metric(
                self._least_ttc, "s", "higher", False, "shortest time to collision of an agent"
            ),
            "collisions": Metric(t["hits"], "", "lower", False, "of agents"),
            "energy": Metric(
                t["work"] * MASS_KG / KWH / driven * 1e5, "kWh/100km", "lower", False,
                "of agents, at the wheels, of 1,500 kg",
            ),
            "traffic_speed": Metric(
                t["way"] / max(t["time"], 1e-9), "m/s", "higher", False, "of everybody"
            ),
            "throughput": Metric(
                t["arrived"] / seconds * PER_HOUR, "vehicles/h", "higher", False, "that arrive"
            ),
        }  # fmt: skip

    def scene(self) -> dict[str, Any]:
        """kind "points": agents by name, and others (role "point"), from the network's middle."""
        self._ready()
        of, mine = self._sumo.vehicle, set(self.bound.values())
        others = [vehicle for vehicle in of.getIDList() if vehicle not in mine][:SHOWN_MAX]
        drawn = [(name, vehicle, "car") for name, vehicle in self.bound.items()]
        drawn += [(vehicle, vehicle, "point") for vehicle in others]
        points = []
        for name, vehicle, role in drawn:
            x, y = of.getPosition(vehicle)
            at = [x - self._middle[0], y - self._middle[1]]
            points.append({"name": name, "at": at, "role": role})
        title = f"{len(of.getIDList())} vehicles, {self.step * self.dt:.1f} s"
        return {"kind": "points", "title": title, "points": points}


def make(params: Mapping[str, Any]) -> Sumo:
    """The world of these parameters.

    Raises: UnknownKeyError, BoundError, InstallationError where SUMO is missing.
    """
    return Sumo(parse(Params, params, "sumo"))


def reference(params: Mapping[str, Any], seed: int, duration_ns: int) -> Columns:
    """None; the column `no control` is SUMO's own drivers."""
    return {}
