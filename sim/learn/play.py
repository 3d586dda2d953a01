"""One episode of a scenario, played in memory or in processes, for evaluation and for sweeps.

Works on plain data, so that a worker process can do it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from broker.kernel import Kernel
from broker.server import drive
from sim.comparison import plans_of
from sim.errors import SimError
from sim.learn.plan import over_days
from sim.outcome import NO_CONTROL, RULE, bound_of
from sim.prepare import Prepared, make_world, prepare, with_plans
from sim.process import no_collector, one_thread
from sim.runner import make_transport
from sim.scenario.link import LinkValues
from sim.scenario.load import parse_scenario
from sim.scenario.schema import Scenario
from sim.store.recorder import Recorder
from sim.worlds import catalogue

TARGET: Final = "sim.learn.play:answer"
Links = TypeVar("Links", bound=LinkValues)
OWN: Final = "own"
SILENT: Final = "silent"
"""The same with every message lost: what communication is worth."""
REFERENCE: Final = "reference"
"""The bound or optimum of the world."""


def answer(job: Mapping[str, Any]) -> dict[str, Any]:
    """One episode, or those of all `seeds` in a batch: see `sim.learn.episodes.play_all`."""
    if "seeds" in job:
        from sim.learn.episodes import play_all  # torch comes along

        return play_all(job)
    return play(job)


def play(job: Mapping[str, Any]) -> dict[str, Any]:
    """One episode. job:

    scenario:  the resolved file's text.   seed: of everything random.
    column:    who plays: `own`, as the scenario says; `silent`; `no control`; `rule`; `reference`.
    days:      first and last day that the world draws from, or None.
    processes: every agent a process, instead of in memory.

    Result: `metrics` by name, `returns` per agent (undiscounted sums of rewards), `groups` (per
    agent), `sent`, `delivered`, `bytes`; only `metrics` for the reference.
    Raises: SimError if the episode does not come to its end.
    """
    parent = os.getppid()
    scenario = msgspec.structs.replace(scenario_of(job), seed=int(job["seed"]))
    column = job.get("column", OWN)
    with one_thread():
        if column == REFERENCE:
            return {"metrics": reference(scenario)}
        return _episode(scenario, column, bool(job.get("processes")), parent)


def scenario_of(job: Mapping[str, Any]) -> Scenario:
    """The scenario of a job, of one episode, with the days that it is to be played on."""
    scenario = parse_scenario(job["scenario"], source=job.get("source", "scenario"))
    scenario = msgspec.structs.replace(scenario, episodes=1)
    days = job.get("days")
    return scenario if days is None else over_days(scenario, (days[0], days[1]), "held_out")


def prepared_of(scenario: Scenario, column: str) -> Prepared:
    """The scenario with those who play in a column, see `play`."""
    if column in (RULE, NO_CONTROL):
        world = make_world(scenario)
        return with_plans(scenario, world, plans_of(scenario, world, column))
    return prepare(silenced(scenario) if column == SILENT else scenario)


def _episode(scenario: Scenario, column: str, processes: bool, parent: int) -> dict[str, Any]:
    prepared = prepared_of(scenario, column)
    scenario = prepared.scenario
    kernel = prepared.kernel()
    transport = make_transport(scenario, not processes, lambda progress: None)

    def tick(kernel: Kernel) -> None:
        if os.getppid() != parent:
            raise SystemExit

    try:
        transport.start(range(len(kernel.agents.hosts)))
        with no_collector(not processes):
            drive(kernel, transport, Recorder(), on_window=tick)
    finally:
        transport.close()
    if kernel.status != "completed":
        failures = kernel.agents.failures
        cause = f": {failures[0].agent}: {failures[0].error}" if failures else ""
        raise SimError(f"seed {scenario.seed}, {column}: the run {kernel.status}{cause}")
    books = kernel.network.totals()
    groups = {name: g.name for g in prepared.world.groups for name in g.agents}
    return {
        "metrics": {name: m.value for name, m in prepared.world.metrics().items()},
        "returns": _returns(kernel),
        "groups": groups,
        "sent": books["sent"],
        "delivered": books["delivered"],
        "bytes": books["bytes"],
    }


def _returns(kernel: Kernel) -> dict[str, float]:
    """What each agent earned, of those that can."""
    return {
        name: float(value)
        for group in kernel.world.groups
        if group.name in kernel.handover.scores
        for name, value in zip(group.agents, kernel.handover.scores[group.name], strict=True)
    }


def reference(scenario: Scenario) -> dict[str, float]:
    """The world's bound or optimum for this seed and duration; {} if it has none."""
    spec = scenario.world
    columns = catalogue.reference(spec.kind, spec.params, scenario.seed, scenario.duration_ns)
    name = bound_of(columns)
    return dict(columns[name]) if name is not None else {}


def silenced(scenario: Scenario) -> Scenario:
    """The scenario with every message of every link lost, whatever its links and faults say."""
    network = scenario.network
    links = tuple(_mute(rule) for rule in network.links)
    faults = tuple(_mute(fault) if fault.link else fault for fault in scenario.faults)
    default = msgspec.structs.replace(network.default, loss_probability=1.0)
    network = msgspec.structs.replace(network, default=default, links=links)
    return msgspec.structs.replace(scenario, network=network, faults=faults)


def _mute(values: Links) -> Links:
    """An entry about links that leaves nothing through, if it says anything of losses."""
    if values.loss_probability is None:
        return values
    return msgspec.structs.replace(values, loss_probability=1.0)
