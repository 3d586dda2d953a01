"""The columns that an outcome is read against: nobody acting, the world's rules, the bound.

Each is the same scenario with the same seed and the scenario's own faults, run in memory. What a
person does to a run while it goes on is not done to them: that is what they are to show.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from broker.kernel import Kernel
from broker.server import drive
from sim.clock import monotonic
from sim.errors import ScenarioError, SimError
from sim.outcome import NO_CONTROL, RULE, Result, add_gap
from sim.prepare import Prepared, make_world, prepare, with_plans
from sim.process import no_collector, one_thread
from sim.progress import PROGRESS_SECONDS, OnProgress, Progress
from sim.scenario.casting import cast
from sim.scenario.load import load_scenario
from sim.scenario.roster import AgentPlan, resolve_roster
from sim.scenario.schema import Scenario
from sim.store.columns import FILE, POINTS, Column, write_columns
from sim.store.recorder import Recorder
from sim.wire.memory import MemoryTransport
from sim.worlds import catalogue
from sim.worlds.world import World

OnColumns = Callable[[dict[str, Column]], None]
_NOTE_SECONDS: Final = 1.0


def baselines(
    scenario: Scenario, on_progress: OnProgress | None = None
) -> dict[str, dict[str, float]]:
    """The metrics of the same scenario, seed and faults with nobody acting, and with the world's
    rules in every slot, run in memory. Without `rule` if the world has none or they fail there.
    """
    report = on_progress or (lambda progress: None)
    found = {}
    for name in _played(scenario):
        column = _baseline(scenario, name, report)
        if column is not None:
            found[name] = column.metrics
    return found


def compare(
    result: Result, prepared: Prepared, report: OnProgress, known: dict[str, Column]
) -> dict[str, Column]:
    """Fills the reference columns, and returns them; Ctrl-C leaves out what is still missing.

    known: columns that have been found already.
    """
    columns = dict(known)
    own = {name: metric.value for name, metric in result.metrics.items()}
    is_plain = result.real_time_decisions == 0 and not result.is_disturbed
    try:
        _fill(prepared, columns, report, own if is_plain else None, lambda columns: None)
    except KeyboardInterrupt:
        pass
    result.reference.update({n: column.metrics for n, column in columns.items() if column.metrics})
    add_gap(result)
    return columns


def _fill(
    prepared: Prepared,
    columns: dict[str, Column],
    report: OnProgress,
    own: dict[str, float] | None,
    note: OnColumns,
) -> None:
    """Adds the columns that are not complete. own: metrics of the run, if it was left alone."""
    scenario = prepared.scenario
    for name in _played(scenario):
        if name in columns and columns[name].metrics:
            continue
        plans = plans_of(scenario, prepared.world, name)
        if own is not None and _who(plans) == _who(prepared.plans):
            columns[name] = Column(own)
            continue

        def grow(column: Column, name: str = name) -> None:
            note({**columns, name: column})

        column = _baseline(scenario, name, report, grow)
        if column is not None:
            columns[name] = column
            note(columns)
    if scenario.episodes == 1:
        report(Progress("comparing", 0, 1, text="bound"))
        spec = scenario.world
        bounds = catalogue.reference(spec.kind, spec.params, scenario.seed, scenario.duration_ns)
        columns.update({n: Column(values) for n, values in bounds.items() if n not in columns})
        note(columns)


def _played(scenario: Scenario) -> tuple[str, ...]:
    """Columns that are runs of their own."""
    return (NO_CONTROL, RULE) if catalogue.rules(scenario.world.kind) else (NO_CONTROL,)


def main(run_dir: str, parent: int) -> None:
    """A process of its own: fills `columns.json` of a run that goes on, while its parent lives."""
    os.nice(19)
    path = Path(run_dir)
    prepared = prepare(load_scenario(str(path / "scenario.yaml")))

    def alive(progress: Progress) -> None:
        if os.getppid() != parent:
            raise SystemExit

    with one_thread():
        _fill(prepared, {}, alive, None, lambda columns: write_columns(path / FILE, columns))


def plans_of(scenario: Scenario, world: World, column: str) -> tuple[AgentPlan, ...]:
    """The roster with everybody who has a slot played by nobody, or by the world's rule."""
    kind = scenario.world.kind
    rules = catalogue.rules(kind)
    try:
        plans = resolve_roster(msgspec.structs.replace(scenario, assignments=()), world)
    except ScenarioError:
        plans = resolve_roster(scenario, world)
    changed: list[AgentPlan] = []
    for plan in plans:
        wanted = "none" if column == NO_CONTROL or plan.group not in rules else "rule"
        if plan.group is not None and plan.behaviour != wanted:
            plan = msgspec.structs.replace(plan, behaviour=wanted, params={})
        changed.append(plan)
    return cast(changed, rules, kind)


def _who(plans: Sequence[AgentPlan]) -> list[tuple[Any, ...]]:
    """What makes two rosters the same run."""
    return [
        (p.name, p.behaviour, p.params if p.behaviour != "none" else {}, p.processing_ns, p.budget)
        for p in plans
    ]


def _baseline(
    scenario: Scenario,
    name: str,
    report: OnProgress,
    note: Callable[[Column], None] = lambda column: None,
) -> Column | None:
    """The scenario played as `name` says; None if it does not come to its end."""
    world = make_world(scenario)
    prepared = with_plans(scenario, world, plans_of(scenario, world, name))
    kernel = prepared.kernel()
    transport = MemoryTransport()
    total = scenario.duration_ns * scenario.episodes
    column = Column()
    due, noted, next_ns = 0.0, monotonic(), 0

    def tick(kernel: Kernel) -> None:
        nonlocal due, noted, next_ns
        if kernel.now >= next_ns:
            next_ns = kernel.now + max(total // POINTS, scenario_step)
            column.note(kernel.now, _values(world))
        now = monotonic()
        if now >= due:
            due = now + PROGRESS_SECONDS
            report(Progress("comparing", kernel.now, total, text=name))
        if now - noted >= _NOTE_SECONDS:
            noted = now
            note(column)

    scenario_step = world.dt_ns
    transport.start(range(len(kernel.agents.hosts)))
    try:
        with no_collector(True):
            drive(kernel, transport, Recorder(), on_window=tick)
    except SimError:
        return None
    if kernel.status != "completed":
        return None
    column.metrics = _values(world)
    column.note(kernel.now, column.metrics)
    return column


def _values(world: World) -> dict[str, float]:
    return {name: metric.value for name, metric in world.metrics().items()}
