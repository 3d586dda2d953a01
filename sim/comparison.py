"""The columns that an outcome is read against: nobody acting, the world's rules, the bound.

Each is the same scenario with the same seed and the same faults, run in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from broker.kernel import Kernel
from broker.server import drive
from sim.clock import monotonic
from sim.errors import ScenarioError, SimError
from sim.outcome import NO_CONTROL, RULE, Result, add_gap
from sim.prepare import Prepared, make_world, with_plans
from sim.process import no_collector
from sim.progress import PROGRESS_SECONDS, OnProgress, Progress
from sim.scenario.casting import cast
from sim.scenario.roster import AgentPlan, resolve_roster
from sim.scenario.schema import Scenario
from sim.store.recorder import Recorder
from sim.wire.memory import MemoryTransport
from sim.worlds import catalogue
from sim.worlds.world import World


def baselines(
    scenario: Scenario, on_progress: OnProgress | None = None
) -> dict[str, dict[str, float]]:
    """The metrics of the same scenario, seed and faults with nobody acting, and with the world's
    rules in every slot, run in memory. Without `rule` if the rules fail there.
    """
    report = on_progress or (lambda progress: None)
    found = {}
    for column in (NO_CONTROL, RULE):
        values = _baseline(scenario, column, report)
        if values is not None:
            found[column] = values
    return found


def compare(result: Result, prepared: Prepared, report: OnProgress) -> None:
    """Fills the reference columns; Ctrl-C leaves out what is still missing."""
    scenario = prepared.scenario
    try:
        for column in (NO_CONTROL, RULE):
            plans = _plans_of(scenario, prepared.world, column)
            as_run = result.real_time_decisions == 0 and _who(plans) == _who(prepared.plans)
            values = (
                {name: metric.value for name, metric in result.metrics.items()}
                if as_run
                else _baseline(scenario, column, report)
            )
            if values is not None:
                result.reference[column] = values
        if scenario.episodes == 1:
            report(Progress("comparing", 0, 1, text="bound"))
            spec = scenario.world
            result.reference.update(
                catalogue.reference(spec.kind, spec.params, scenario.seed, scenario.duration_ns)
            )
    except KeyboardInterrupt:
        pass
    add_gap(result)


def _plans_of(scenario: Scenario, world: World, column: str) -> tuple[AgentPlan, ...]:
    """The roster with everybody who has a slot played by nobody, or by the world's rule."""
    kind = scenario.world.kind
    rules = catalogue.rules(kind)
    try:
        plans = resolve_roster(msgspec.structs.replace(scenario, assignments=()), world)
    except ScenarioError:
        plans = resolve_roster(scenario, world)
    changed = []
    for plan in plans:
        wanted = "none" if column == NO_CONTROL or plan.group not in rules else "rule"
        if plan.group is not None and plan.behaviour != wanted:
            plan = msgspec.structs.replace(plan, behaviour=wanted, params={})
        changed.append(plan)
    return cast(changed, rules, kind)


def _who(plans: Sequence[AgentPlan]) -> list[tuple[Any, ...]]:
    """What makes two rosters the same run."""
    return [
        (p.name, p.behaviour, p.params if p.behaviour != "none" else {}, p.processing_ns)
        for p in plans
    ]


def _baseline(scenario: Scenario, column: str, report: OnProgress) -> dict[str, float] | None:
    """Metrics of the scenario played as `column` says; None if it does not come to its end."""
    world = make_world(scenario)
    prepared = with_plans(scenario, world, _plans_of(scenario, world, column))
    kernel = prepared.kernel()
    transport = MemoryTransport()
    total = scenario.duration_ns * scenario.episodes
    due = 0.0

    def tick(kernel: Kernel) -> None:
        nonlocal due
        if monotonic() >= due:
            due = monotonic() + PROGRESS_SECONDS
            report(Progress("comparing", kernel.now, total, text=column))

    transport.start(range(len(kernel.agents.hosts)))
    try:
        with no_collector(True):
            drive(kernel, transport, Recorder(), on_window=tick)
    except SimError:
        return None
    if kernel.status != "completed":
        return None
    return {name: metric.value for name, metric in world.metrics().items()}
