"""What `sim check` says of agents and worlds.

Runs an author's agents alone, twice, and packed with a twin, and says where the runs part.

Alone, every host has a copy of the author's module to itself, as a process has; packed, all share
one, as agents of one host do. Between the runs memory is shifted. What an agent says and does must
come out the same, to the bit. Its source is read first (`agents.lint`). Worlds are tried by
`sim.worlds.check`.
"""

from __future__ import annotations

import inspect
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from agents.agent import Agent
from agents.behaviour import load_module
from agents.capture import current
from agents.faults import describe_failure
from agents.lint import FAULT, HINT, NOTE, Finding, lint
from agents.runtime import Deadline, HostRuntime
from broker.kernel import Kernel
from broker.server import drive
from sim.clock import monotonic
from sim.errors import AgentError, ScenarioError, SimError
from sim.ids import did_you_mean
from sim.prepare import Prepared, load, prepare
from sim.process import no_collector, one_thread
from sim.scenario.load import bundled, parse_scenario
from sim.store.recorder import Recorder
from sim.units import duration_text, format_ns
from sim.wire.codec import decode_payload
from sim.wire.memory import MemoryTransport
from sim.wire.messages import Activation, Done, Yield
from sim.worlds.catalogue import WORLDS

BLANK: Final = """
seed: 1
duration: 20s
world: {kind: blank, agents: 2, step: 50ms}
agents: {"agent-*": {behaviour: %r}}
network: {default: {latency: 10ms, jitter: {exponential: 5ms}, loss: 0.1}}
"""
_DECISIONS: Final = 400
"""Decisions of the agent's group that are looked at; past the 256 steps between collections."""
_HANDLER_SECONDS: Final = 5.0
"""Real time of one handler, after which it counts as hanging."""
_LOADING_SECONDS: Final = 60.0
"""The same of loading a module, which may import what takes long on a busy machine."""
_LOOK_SECONDS: Final = 0.25
_RUN_SECONDS: Final = 60.0
_AGAIN: Final = "time, addresses or a generator of Python's own decide something"
_PACKED: Final = "something is shared with the other agents of the host, as a global variable is"
_GUESS: Final = re.compile("no field|numbers|no slot|there is no agent")
"""What fails in a blank world without being wrong in another."""


class Entry(NamedTuple):
    """What an agent did at an instant: all of it to compare, and in words."""

    time_ns: int
    whole: bytes
    words: str


@dataclass
class Trace:
    """What one agent did, and what it logged."""

    deeds: list[Entry] = field(default_factory=list)
    words: list[Entry] = field(default_factory=list)


Failed: TypeAlias = tuple[str, int, str]
"""(agent, instant, error)"""


@dataclass
class Run:
    """What came of one run: traces by name, failures of all agents, folds of the digest."""

    traces: dict[str, Trace]
    failures: list[Failed]
    folds: list[tuple[int, str]]


def check(target: str, scenario: str = "", role: str = "") -> list[Finding]:
    """What is to be said of a file of agents or of a world, of a scenario's world, or of a world of
    the catalogue.

    Raises: ScenarioError for what does not exist.
    """
    if target.partition(":")[0].endswith(".py"):
        return check_file(target, scenario, role)
    return check_world(target)


def check_world(target: str, scenario: str = "") -> list[Finding]:
    """What is to be said of a world: a file, a scenario (whose parameters it takes), or a name.

    scenario: whose parameters a file's world takes, if it is that one's.
    Raises: ScenarioError for what does not exist.
    """
    spec, seed = None, 0
    if scenario or target in bundled() or target.endswith((".yaml", ".yml")):
        loaded = load(scenario or target)
        spec, seed = loaded.world, loaded.seed
    if target.endswith(".py"):
        kind = str(Path(target).absolute())
        params = spec.params if spec is not None and spec.kind == kind else {}
    elif spec is not None:
        kind, params = spec.kind, spec.params
    elif target in WORLDS:
        kind, params = target, {}
    else:
        beside = sorted(p.name for p in Path().glob("*.*") if p.suffix in (".py", ".yaml", ".yml"))
        own = [name for name in beside if Path(name).stem == target]
        close = did_you_mean(target, [*beside, *WORLDS, *bundled()])
        if own:
            close = f"did you mean {' or '.join(own)}?"
        raise ScenarioError(f"no file, scenario or world {target!r}; {close}")
    try:
        with one_thread():
            from sim.worlds.check import STEPS
            from sim.worlds.check import check_world as tried

            remarks = list(tried(kind, params, seed))
    except SimError:
        raise
    except Exception as error:
        return [_failed(target, "trying it", describe_failure(error))]
    found = [Finding(target, 0, *remark) for remark in remarks]
    if all(finding.severity == NOTE for finding in found):
        text = f"{STEPS} steps: form, shapes, bounds, the same bits for the same seed, rows of a "
        found.append(Finding(target, 0, NOTE, f"{text}batch as copies alone"))
    return found


def check_file(
    path: str, scenario: str = "", role: str = "", seconds: float = _RUN_SECONDS
) -> list[Finding]:
    """What is to be said of `my_agents.py`, or of one class as `my_agents.py:Class`.

    scenario: where the agents are tried, a bundled name or a file; a blank world if empty.
    role:     pattern of the names they play there; the first two of the first group if empty.
    seconds:  real time of one run, after which it is taken as it stands.
    Raises: ScenarioError for a file, class or scenario that does not exist.
    """
    name, _, only = path.partition(":")
    file = Path(name)
    if not file.is_file():
        raise ScenarioError(f"no file {name!r}")
    findings = lint(file.read_text(encoding="utf-8"), name, only)
    if any(f.text.startswith("not Python") for f in findings):
        return findings
    try:
        with _watched(is_loading=True):
            module = load_module(str(file.resolve()), "")
    except (Exception, SystemExit, Deadline) as error:
        return [*findings, _failed(name, "loading it", describe_failure(error))]
    classes = _agents(module)
    if not only and hasattr(module, "make") and hasattr(module, "RULES"):
        findings += check_world(name, scenario)
        if not classes:
            return findings
    if only and only not in classes:
        raise ScenarioError(f"no agent {only!r} in {name}; {did_you_mean(only, classes)}")
    if not classes:
        findings.append(Finding(name, 0, HINT, "there is no sim.Agent in it"))
    for each in [only] if only else classes:
        trial = _Trial(name, each, module, seconds)
        findings.extend(trial.findings(scenario, role))
    return findings


def print_findings(findings: Sequence[Finding], path: str) -> int:
    """Prints what was found; the exit code: 4 if anything is to be mended."""
    for finding in findings:
        print(finding)
    faults = sum(f.severity == FAULT for f in findings)
    print(f"{path}: {faults} to mend" if faults else f"{path}: nothing to mend")
    return AgentError.exit_code if faults else 0


def _agents(module: ModuleType) -> dict[str, type[Agent]]:
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, Agent)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _failed(file: str, what: str, error: str, severity: str = FAULT, remedy: str = "") -> Finding:
    """A failure at the author's innermost line."""
    cause, _, frames = error.partition("\n")
    place = str(Path(file).resolve())
    lines = [int(n) for n in re.findall(rf'File "{re.escape(place)}", line (\d+)', frames)]
    return Finding(file, lines[-1] if lines else 0, severity, f"{what}: {cause}", remedy)


# --- one class ----------------------------------------------------------------------------------


class _Trial:
    """The runs of one class."""

    def __init__(self, file: str, name: str, module: ModuleType, seconds: float) -> None:
        self.file = file
        self.name = name
        self.module = module
        self.behaviour = f"{Path(file).resolve()}:{name}"
        self.seconds = seconds
        self.is_cut = False

    def findings(self, scenario: str, role: str) -> Iterator[Finding]:
        """Three runs, and what they say."""
        prepared, names = self._prepared(scenario, role)
        if not scenario:
            missing = _needs(getattr(self.module, self.name))
            if missing:
                text = f"{self.name} is not tried: it needs {', '.join(missing)}"
                yield Finding(self.file, 0, HINT, text, "name a scenario with --scenario")
                return
        first = self._run(prepared, names, 1)
        if first.failures:
            yield from self._failures(first.failures, bool(scenario))
            return
        kept = [bytearray(size) for size in range(64, 4096)]
        again = self._run(self._prepared(scenario, role)[0], names, 1)
        del kept
        packed = self._run(self._prepared(scenario, role)[0], names, len(prepared.plans))
        parted = list(self._parted(first, again, "the same run again", _AGAIN))
        if not any(finding.severity == FAULT for finding in parted):
            more = list(self._parted(first, packed, "packed with a twin", _PACKED))
            parted += [f for f in more if not parted or f.severity == FAULT]
        yield from parted
        if not parted:
            span = duration_text(prepared.scenario.duration_ns)
            done = sum(len(trace.deeds) for trace in first.traces.values())
            text = f"{self.name}: {span} in {scenario or 'a blank world'}, {done:,} messages and "
            text += "actions: alone, again and packed with a twin the same to the bit"
            yield Finding(self.file, 0, NOTE, text)
        if self.is_cut:
            text = f"{self.name}: a run took more than {self.seconds:.0f} s and was cut short"
            yield Finding(self.file, 0, HINT, text)

    def _prepared(self, scenario: str, role: str) -> tuple[Prepared, list[str]]:
        """The scenario with the class in its roles, and the names it plays."""
        if not scenario:
            prepared = prepare(parse_scenario(BLANK % self.behaviour, "check"))
            return prepared, [plan.name for plan in prepared.plans]
        plain = prepare(load(scenario))
        group = plain.world.groups[0]
        names = list(group.agents[:2])
        if role:
            changed = prepare(load(scenario, behaviours={role: self.behaviour}))
            names = [p.name for p in changed.plans if p.behaviour == self.behaviour]
        every_ns = min((g.every_ns for g in plain.world.groups if {*names} & {*g.agents}),
                       default=group.every_ns)  # fmt: skip
        duration_ns = min(plain.scenario.duration_ns, _DECISIONS * every_ns)
        return prepare(
            load(
                scenario,
                overrides={"duration": duration_text(duration_ns), "episodes": 1},
                behaviours=dict.fromkeys(names, self.behaviour),
            )
        ), names

    def _run(self, prepared: Prepared, names: Sequence[str], agents_per_host: int) -> Run:
        """A run in which the agents of `names` are looked at."""
        kernel = prepared.kernel(agents_per_host)
        traces = {name: Trace() for name in names}

        def make(host: int) -> _Witness:
            return _Witness(host, kernel.agents.names, traces, self.module.__name__)

        transport = MemoryTransport(make)
        until = monotonic() + self.seconds

        def tick(kernel: Kernel) -> None:
            if monotonic() > until:
                self.is_cut = True
                raise _Enough

        sys.modules.pop(self.module.__name__, None)
        try:
            with no_collector(True), one_thread(), _watched():
                transport.start(range(len(kernel.agents.hosts)))
                drive(kernel, transport, Recorder(), on_window=tick)
        except _Enough:
            pass
        except SimError as error:
            return Run(traces, [("", kernel.now, str(error))], kernel.digest.folds)
        finally:
            transport.close()
            sys.modules[self.module.__name__] = self.module
        failures = [(f.agent, f.time_ns, f.error) for f in kernel.agents.failures]
        return Run(traces, failures, kernel.digest.folds)

    def _failures(self, failures: list[Failed], is_told: bool) -> Iterator[Finding]:
        for agent, time_ns, error in failures[:1]:
            is_guess = not is_told and _GUESS.search(error.partition("\n")[0])
            yield _failed(
                self.file, f"{self.name} failed at {format_ns(time_ns)} as {agent or 'an agent'}",
                error, HINT if is_guess else FAULT,
                "a blank world was assumed: name yours with --scenario" if is_guess else "",
            )  # fmt: skip

    def _parted(self, first: Run, second: Run, what: str, why: str) -> Iterator[Finding]:
        """The first thing that an agent did otherwise, or else what it logged otherwise."""
        one, other = first.traces, second.traces
        for kind, severity in (("deeds", FAULT), ("words", HINT)):
            parts = [
                (*difference, name)
                for name in one
                if (
                    difference := self._difference(
                        getattr(one[name], kind), getattr(other[name], kind)
                    )
                )
            ]
            if parts:
                time_ns, before, after, name = min(parts)
                place = f"{self.name} parts at {format_ns(time_ns)} as {name}"
                text = f"{place}: it {before}, and {what} it {after}"
                yield Finding(self.file, 0, severity, text, why)
                return
        if first.folds != second.folds and not self.is_cut:
            folds = zip(first.folds, second.folds, strict=False)
            at = next((a[0] for a, b in folds if a != b), 0)
            text = f"{self.name} parts at {format_ns(at)}: the digests of the run and of {what}"
            yield Finding(self.file, 0, FAULT, text, "though its agents did the same")

    def _difference(self, one: list[Entry], other: list[Entry]) -> tuple[int, str, str] | None:
        """The first instant at which two lists part, and what each has there."""
        for before, after in zip(one, other, strict=False):
            if before != after:
                first = min(before.time_ns, after.time_ns)
                words = [e.words if e.time_ns == first else "did nothing" for e in (before, after)]
                return first, words[0], words[1]
        if len(one) == len(other) or self.is_cut:
            return None
        if len(one) > len(other):
            return one[len(other)].time_ns, one[len(other)].words, "did nothing"
        return other[len(one)].time_ns, "did nothing", other[len(one)].words


def _needs(agent: type[Agent]) -> list[str]:
    """Parameters that an agent cannot do without."""
    parameters = list(inspect.signature(agent.__init__).parameters.values())[1:]
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]


# --- hosts that are looked at -------------------------------------------------------------------


class _Enough(Exception):
    """The run has taken long enough."""


class _Witness(HostRuntime):
    """A host that writes down what its agents do, with a copy of the author's module of its own."""

    def __init__(
        self,
        host: int,
        names: Sequence[str],
        traces: dict[str, Trace],
        module: str,
    ) -> None:
        super().__init__(host)
        self._names = names
        self._traces = traces
        self._module = module
        self._copy: ModuleType | None = None

    def run(self, activation: Activation) -> Yield:
        """As its base; the author's module is this host's while it runs."""
        if self._copy is not None:
            sys.modules[self._module] = self._copy
        try:
            report = super().run(activation)
        finally:
            self._copy = sys.modules.pop(self._module, None)
        for done in report.done:
            trace = self._traces.get(self._names[done.agent])
            if trace is not None:
                trace.deeds.extend(_deeds(done))
                trace.words.extend(
                    Entry(time, text.encode(), f"logged {text!r:.80}")
                    for time, _, text in done.logs
                )
        return report


def _deeds(done: Done) -> list[Entry]:
    found = []
    for send in done.sends:
        way = f"on {send.topic!r}" + (f" to {send.to}" if send.to else "")
        words = f"sent {decode_payload(send.body)!r:.80} {way}"
        found.append(Entry(send.time, send.body + way.encode(), words))
    for act in done.acts:
        found.append(Entry(act.time, act.body, f"acted {np.frombuffer(act.body).tolist()!r:.80}"))
    for time, topic, is_on in done.subscribes:
        words = f"{'subscribed to' if is_on else 'left'} {topic!r}"
        found.append(Entry(time, words.encode(), words))
    return sorted(found, key=lambda entry: entry.time_ns)


@contextmanager
def _watched(is_loading: bool = False) -> Iterator[None]:
    """While inside, a handler that holds the clock for too long is ended, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    since: tuple[object, float] = (None, 0.0)

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal since
        cell = current.cell
        held = (cell, cell.loop.now_ns) if cell else is_loading
        if not held or since[0] != held:
            since = (held, monotonic())
        elif monotonic() - since[1] > (allowed := _HANDLER_SECONDS if cell else _LOADING_SECONDS):
            error = Deadline(
                f"held the clock for {allowed:.0f} s: it loops or blocks without awaiting"
            )
            if cell is not None:
                cell.overdue = error
            raise error

    before: Callable[[int, FrameType | None], Any] | int | None
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
