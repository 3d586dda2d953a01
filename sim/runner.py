"""A run from beginning to end: scenario, world, kernel, hosts, directory, outcome.

Works from a script, a thread and a notebook. Whatever happens, the hosts are ended before it
returns. A scenario that is wrong raises; an agent that fails, or Ctrl-C, gives a result that says
so.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

import msgspec

from broker.kernel import Kernel
from broker.population import DOWN, ENDED, HUNG, UNPLAYED, UP, Event, Failure
from broker.server import drive
from sim.clock import monotonic
from sim.errors import InstallationError, InvariantError, ScenarioError, SimError
from sim.outcome import NO_CONTROL, RULE, Result, add_gap
from sim.scenario.casting import cast
from sim.scenario.load import at_world, dump, load_scenario
from sim.scenario.overrides import Overrides
from sim.scenario.roster import AgentPlan, resolve_faults, resolve_roster
from sim.scenario.schema import Fault, Scenario
from sim.scenario.topology import LinkTable, link_table
from sim.store.recorder import Recorder, new_recorder
from sim.units import SECOND, speed_factor
from sim.wire.memory import MemoryTransport
from sim.wire.transport import Transport
from sim.worlds import catalogue
from sim.worlds.world import World

__all__ = ["Prepared", "Progress", "Result", "baselines", "load", "prepare", "run"]

_PROGRESS_SECONDS: Final = 0.1
_EVENTS_MAX: Final = 100_000
"""Events kept in a result; the file of the run's directory has them all."""


@dataclass(frozen=True)
class Prepared:
    """A scenario with everything that follows from it: what a kernel is made of."""

    scenario: Scenario
    world: World
    plans: tuple[AgentPlan, ...]
    table: LinkTable
    faults: tuple[Fault, ...]

    def kernel(self, agents_per_host: int = 1, is_eager: bool = False) -> Kernel:
        """A kernel at virtual time 0."""
        return Kernel(
            self.scenario,
            self.world,
            self.plans,
            self.table,
            self.faults,
            agents_per_host,
            is_eager,
        )


@dataclass(frozen=True)
class Progress:
    """How far a run has come. phase: starting (hosts up), running (virtual ns) or comparing.

    counts: agents that are up and down, messages sent so far, messages delivered.
    """

    phase: str
    done: int
    total: int
    up: int = 0
    down: int = 0
    sent: int = 0
    text: str = ""
    events: tuple[Event, ...] = ()


OnProgress: TypeAlias = Callable[[Progress], None]


def load(
    scenario: str | Path | Scenario,
    *,
    seed: int | None = None,
    duration: str | float | None = None,
    overrides: Overrides = (),
    behaviours: Sequence[str] | Mapping[str, str] = (),
) -> Scenario:
    """The scenario of a file or a bundled name with options applied; a loaded one takes none.

    Raises: ScenarioError.
    """
    given = {"seed": seed, "duration": duration}
    options = {key: value for key, value in given.items() if value is not None}
    if isinstance(scenario, Scenario):
        if options or overrides or behaviours:
            raise ScenarioError(
                "a scenario that is loaded already takes no options; give its name or file"
            )
        return scenario
    if isinstance(overrides, Mapping):
        overrides = {**overrides, **options}
    else:
        overrides = [*overrides, *(f"{key}={value}" for key, value in options.items())]
    return load_scenario(scenario, overrides, behaviours)


def prepare(scenario: Scenario) -> Prepared:
    """Makes the world and resolves everything that depends on it.

    Raises: ScenarioError.
    """
    world = _make_world(scenario)
    plans = resolve_roster(scenario, world)
    return _prepared(scenario, world, plans)


def _make_world(scenario: Scenario) -> World:
    try:
        return catalogue.make_world(scenario.world.kind, scenario.world.params, scenario.seed)
    except ScenarioError as error:
        raise at_world(scenario, error) from None


def _prepared(scenario: Scenario, world: World, plans: Sequence[AgentPlan]) -> Prepared:
    names = [plan.name for plan in plans]
    kind = scenario.world.kind
    faults = resolve_faults(scenario, names, world.events, scenario.seed)
    table = link_table(scenario.network, names, faults)
    return Prepared(
        scenario, world, cast(plans, catalogue.rules(kind), kind), table,
        tuple(_every_episode(scenario, faults)),
    )  # fmt: skip


def _every_episode(scenario: Scenario, faults: Sequence[Fault]) -> Iterator[Fault]:
    """The schedule of one episode, in each of them."""
    width = max((fault.id for fault in faults), default=0) + 1
    for episode in range(scenario.episodes):
        for fault in faults:
            yield msgspec.structs.replace(
                fault,
                time_ns=fault.time_ns + episode * scenario.duration_ns,
                id=fault.id + episode * width,
            )


# --- the run ------------------------------------------------------------------------------------


def run(
    scenario: str | Path | Scenario,
    *,
    seed: int | None = None,
    duration: str | float | None = None,
    overrides: Overrides = (),
    behaviours: Sequence[str] | Mapping[str, str] = (),
    inline: bool = False,
    agents_per_host: int = 1,
    speed: str | float | None = None,
    run_dir: str | Path | None = None,
    record: bool = True,
    compare: bool = True,
    is_eager: bool = False,
    on_progress: OnProgress | None = None,
) -> Result:
    """Runs a scenario to its end, every agent a process of its own.

    scenario:   a bundled name, a file, or a loaded scenario.
    overrides:  `{"network.default.loss": 0.3}`, or texts as of `--set`.
    behaviours: `{"battery-*": "my_agents.py:Saver"}`, or texts as of `--as`.
    inline:     all agents in this process, where breakpoints work; same digest.
    speed:      `max`, `realtime` or `900x`; the scenario's own if None.
    run_dir:    where the run is recorded instead of `runs/<name>-<nnnn>`; nowhere if not `record`.
    compare:    also fills the columns that the outcome is read against.
    is_eager:   every delivery wakes its agent; slower, for comparison.

    Raises: ScenarioError and other SimErrors of the user's; a failing agent is in the result.
    """
    if agents_per_host < 1:
        raise ScenarioError(f"expected at least 1 agent per host, found {agents_per_host}")
    loaded = load(
        scenario, seed=seed, duration=duration, overrides=overrides, behaviours=behaviours
    )
    factor = _speed(loaded, speed)
    report = on_progress or (lambda progress: None)
    with _Interrupts() as interrupts:
        transport = _transport(loaded, inline, report)
        try:
            prepared = prepare(loaded)
            kernel = prepared.kernel(agents_per_host, is_eager)
            packing = {"agents_per_host": agents_per_host, "inline": inline}
            recorder = _recorder(loaded, packing, run_dir) if record else Recorder()
            live = _Live(kernel, transport, recorder, interrupts, report)
            with recorder, _one_thread():
                result = live.run(factor, inline)
                recorder.write(result.summary())
                if compare and result.status == "completed":
                    _compare(result, prepared, report)
                    recorder.write(result.summary())
        finally:
            transport.close()
    return result


def _recorder(
    scenario: Scenario, packing: Mapping[str, Any], run_dir: str | Path | None
) -> Recorder:
    return new_recorder(scenario.name, scenario.seed, dump(scenario), packing, run_dir)


def _speed(scenario: Scenario, speed: str | float | None) -> float:
    if speed is None:
        return scenario.console.speed
    try:
        return speed_factor(speed)
    except ValueError as error:
        raise ScenarioError(f"speed: {error}") from None


def _transport(scenario: Scenario, inline: bool, report: OnProgress) -> Transport:
    """The way to the hosts. Their launcher begins to load at once, beside the broker."""

    is_up = False

    def started(up: int, total: int) -> None:
        nonlocal is_up
        if not is_up:
            report(Progress("starting", up, total))
        is_up = is_up or up == total

    if inline:
        return MemoryTransport(progress=started)
    from sim.launch.local import process_transport

    specs = (*scenario.agents, *scenario.assignments)
    torch = any((spec.behaviour or "").startswith("policy:") for spec in specs)
    return process_transport(torch=torch, progress=started)


@dataclass
class _Live:
    """A kernel while it runs, and what is said of it."""

    kernel: Kernel
    transport: Transport
    recorder: Recorder
    interrupts: _Interrupts
    report: OnProgress
    events: list[dict[str, Any]] = field(default_factory=list)
    _news: list[Event] = field(default_factory=list)
    _next: float = 0.0

    def run(self, speed: float, inline: bool) -> Result:
        """Drives the kernel to its end, whichever it is, and ends the hosts."""
        kernel, log = self.kernel, self.recorder
        for text in kernel.network.table.warnings():
            kernel.events.append(Event(0, "warning", "", text))
        began = monotonic()
        status, processes = "failed", 0
        error: SimError | None = None
        try:
            self.transport.start(range(len(kernel.agents.hosts)))
            processes = self.transport.processes
            with self.interrupts.deferred(), _no_collector(inline):
                drive(kernel, self.transport, log, speed, self.tick)
            status, error = kernel.status, kernel.error
        except KeyboardInterrupt:
            status = "interrupted"
        except (InvariantError, InstallationError):
            raise
        except SimError as raised:
            error = raised
        finally:
            wall_seconds = monotonic() - began
            log.end(status, kernel.digest.chain.hex())
            self.transport.close()
            self._tell()
        return self._result(status, error, wall_seconds, processes)

    def tick(self, kernel: Kernel) -> None:
        """After every window and while waiting. Raises: KeyboardInterrupt if one is due."""
        self.interrupts.check()
        now = monotonic()
        if now >= self._next:
            self._next = now + _PROGRESS_SECONDS
            self._tell()

    def _tell(self) -> None:
        """Hands out the news."""
        kernel = self.kernel
        news = tuple(kernel.events)
        kernel.events.clear()
        plain = [_event(event) for event in news]
        self.recorder.add_events(plain)
        self.recorder.flush()
        self.events.extend(plain[: _EVENTS_MAX - len(self.events)])
        state = kernel.agents.state
        self.report(
            Progress(
                "running",
                kernel.now,
                kernel.scenario.duration_ns * kernel.scenario.episodes,
                up=int((state == UP).sum()),
                down=int(((state == DOWN) | (state == HUNG) | (state == ENDED)).sum()),
                sent=kernel.network.ledger.sent,
                events=news,
            )
        )

    def _result(
        self, status: str, error: SimError | None, wall_seconds: float, processes: int
    ) -> Result:
        kernel, scenario = self.kernel, self.kernel.scenario
        return Result(
            scenario=scenario.name,
            seed=scenario.seed,
            status=status,
            virtual_seconds=kernel.now / SECOND,
            wall_seconds=wall_seconds,
            steps=kernel.steps,
            agents=int((kernel.agents.state != UNPLAYED).sum()),
            processes=processes,
            digest=kernel.digest.chain.hex(),
            messages=kernel.network.totals(),
            agent_failures=[_failure(each) for each in kernel.agents.failures],
            faults=[_fault(each) for each in kernel.faults_applied],
            metrics=dict(kernel.world.metrics()),
            activations=kernel.activations,
            real_time_decisions=kernel.real_time_decisions,
            folds=list(kernel.digest.folds),
            accounts=kernel.network.ledger.accounts(),
            events=self.events,
            run_dir=self.recorder.path,
            error=str(error) if error is not None else "",
            exit_code=130 if status == "interrupted" else error.exit_code if error else 0,
        )


def _event(event: Event) -> dict[str, Any]:
    return {
        "time": event.time_ns / SECOND,
        "kind": event.kind,
        "agent": event.agent,
        "text": event.text,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    cause, _, frames = failure.error.partition("\n")
    return {
        "agent": failure.agent,
        "time": failure.time_ns / SECOND,
        "cause": cause,
        "frames": frames,
        "policy": failure.policy,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "time": fault.time_ns / SECOND,
        "kind": fault.kind,
        "targets": list(fault.targets),
        "is_on": fault.is_on,
        "text": fault.text,
    }


# --- columns to read it against -----------------------------------------------------------------


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


def _compare(result: Result, prepared: Prepared, report: OnProgress) -> None:
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
    world = _make_world(scenario)
    prepared = _prepared(scenario, world, _plans_of(scenario, world, column))
    kernel = prepared.kernel()
    transport = MemoryTransport()
    total = scenario.duration_ns * scenario.episodes
    due = 0.0

    def tick(kernel: Kernel) -> None:
        nonlocal due
        if monotonic() >= due:
            due = monotonic() + _PROGRESS_SECONDS
            report(Progress("comparing", kernel.now, total, text=column))

    transport.start(range(len(kernel.agents.hosts)))
    try:
        with _no_collector(True):
            drive(kernel, transport, Recorder(), on_window=tick)
    except SimError:
        return None
    if kernel.status != "completed":
        return None
    return {name: metric.value for name, metric in world.metrics().items()}


# --- this process -------------------------------------------------------------------------------


class _Interrupts:
    """Ctrl-C. While virtual time runs it is noted, and acted upon between two windows, so that the
    books are in order; a second one is acted upon at once, and further ones do not disturb the
    end. Elsewhere than in the main thread, signals are somebody else's.
    """

    def __init__(self) -> None:
        self._is_deferred = False
        self._is_requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_deferred and not self._is_requested:
            self._is_requested = True
        elif self._is_deferred or not self._is_requested:
            self._is_requested = True
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def check(self) -> None:
        if self._is_requested:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _no_collector(is_inline: bool) -> Iterator[None]:
    """Inline agents collect garbage on their grid of virtual time, and not in between."""
    if not is_inline or not gc.isenabled():
        yield
        return
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in torch do not depend on how many cores there are; small tensors are faster, too."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)
