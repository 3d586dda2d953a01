"""A run from beginning to end: scenario, world, kernel, hosts, directory, outcome.

Works from a script, a thread and a notebook. Whatever happens, the hosts are ended before it
returns. A scenario that is wrong raises; an agent that fails, or Ctrl-C, gives a result that says
so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from broker.kernel import Kernel
from broker.pace import Pace
from broker.population import DOWN, ENDED, HUNG, UNPLAYED, UP, Event, Failure
from broker.server import drive
from sim.clock import monotonic
from sim.comparison import baselines
from sim.comparison import compare as compare_with
from sim.errors import InstallationError, InvariantError, ScenarioError, SimError
from sim.outcome import Result
from sim.prepare import Prepared, load, prepare
from sim.process import Interrupts, no_collector, one_thread
from sim.progress import PROGRESS_SECONDS, OnProgress, Progress
from sim.scenario.load import dump
from sim.scenario.overrides import Overrides
from sim.scenario.roster import idle_faults
from sim.scenario.schema import Fault, Scenario
from sim.store.recorder import Recorder, new_recorder
from sim.units import SECOND, speed_factor
from sim.wire.memory import MemoryTransport
from sim.wire.transport import Transport

__all__ = ["Prepared", "Progress", "Result", "baselines", "load", "prepare", "run"]

_RULES: Final = "agents.behaviours"
"""Where the rules of the bundled worlds are, one module per world; loaded before hosts are forked,
so that not every host loads them again."""
_RULES_NEED: Final = ("array_api_compat.numpy",)
_EVENTS_MAX: Final = 100_000
"""Events kept in a result; the file of the run's directory has them all."""


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
    with Interrupts() as interrupts:
        transport = _transport(loaded, inline, report)
        try:
            prepared = prepare(loaded)
            kernel = prepared.kernel(agents_per_host, is_eager)
            packing = {"agents_per_host": agents_per_host, "inline": inline}
            recorder = _recorder(loaded, packing, run_dir) if record else Recorder()
            live = _Live(kernel, transport, recorder, interrupts, report)
            with recorder, one_thread():
                result = live.run(factor, inline)
                recorder.write(result.summary())
                if compare and result.status == "completed":
                    compare_with(result, prepared, report)
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
    rules = f"{_RULES}.{scenario.world.kind}"
    has_rules = importlib.util.find_spec(_RULES) and importlib.util.find_spec(rules)
    preload = [rules, *_RULES_NEED] if has_rules else []
    return process_transport(torch=torch, preload=preload, progress=started)


@dataclass
class _Live:
    """A kernel while it runs, and what is said of it."""

    kernel: Kernel
    transport: Transport
    recorder: Recorder
    interrupts: Interrupts
    report: OnProgress
    events: list[dict[str, Any]] = field(default_factory=list)
    _news: list[Event] = field(default_factory=list)
    _next: float = 0.0

    def run(self, speed: float, inline: bool) -> Result:
        """Drives the kernel to its end, whichever it is, and ends the hosts."""
        kernel, log = self.kernel, self.recorder
        for text in (*kernel.network.table.warnings(), *idle_faults(kernel.scenario)):
            kernel.events.append(Event(0, "warning", "", text))
        began = monotonic()
        status, processes = "failed", 0
        error: SimError | None = None
        try:
            self.transport.start(range(len(kernel.agents.hosts)))
            processes = self.transport.processes
            with self.interrupts.deferred(), no_collector(inline):
                drive(kernel, self.transport, log, Pace(speed), on_window=self.tick)
            status, error = kernel.status, kernel.error
        except KeyboardInterrupt:
            status = "interrupted"
        except InvariantError as fault:
            where = f"{kernel.scenario.name}, seed {kernel.scenario.seed}, {log.path or 'no log'}"
            raise InvariantError(f"{fault} ({where})") from fault
        except InstallationError:
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
            self._next = now + PROGRESS_SECONDS
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
            actions=_unpunctual(kernel),
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


def _unpunctual(kernel: Kernel) -> dict[str, dict[str, int]]:
    """Per agent that was late with an action, or gave none for a decision: how often."""
    return {
        agent: {"late": late, "missing": missing}
        for actions in kernel.actions.values()
        for agent, late, missing in zip(
            actions.group.agents, actions.late.tolist(), actions.missing.tolist(), strict=True
        )
        if late or missing
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
