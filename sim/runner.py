"""A run from beginning to end: scenario, world, kernel, hosts, directory, outcome.

Works from a script, a thread and a notebook. Whatever happens, the hosts are ended before it
returns. A scenario that is wrong raises; an agent that fails, or Ctrl-C, gives a result that says
so.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from broker.history import History
from broker.kernel import Kernel
from broker.pace import Pace
from sim.clock import pause
from sim.comparison import baselines
from sim.comparison import compare as compare_with
from sim.errors import ScenarioError
from sim.launch.columns import Popen, start_columns
from sim.live import Live, OnLive
from sim.online import is_online
from sim.outcome import Result
from sim.prepare import Prepared, load, prepare
from sim.process import Interrupts, one_thread
from sim.progress import OnProgress, Progress
from sim.scenario.load import dump
from sim.scenario.overrides import Overrides
from sim.scenario.policies import POLICIES, SUFFIX
from sim.scenario.roster import LEARNER, AgentPlan
from sim.scenario.schema import Scenario
from sim.store.columns import FILE, Columns, read_columns, write_columns
from sim.store.recorder import Recorder, new_recorder
from sim.units import speed_factor
from sim.wire.codec import decode_payload
from sim.wire.memory import MemoryTransport
from sim.wire.transport import Transport

__all__ = [
    "Prepared", "Progress", "Result", "baselines", "conduct", "load", "make_transport", "prepare",
    "run",
]  # fmt: skip

_RULES: Final = "agents.behaviours"
"""Where the rules of the bundled worlds are, one module per world; loaded before hosts are forked,
so that not every host loads them again."""
_POLICIES_NEED: Final = "array_api_compat.numpy"
_LEARNED_NEED: Final = "agents.networks"
_LOOK_SECONDS: Final = 0.1


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
    on_live: OnLive | None = None,
) -> Result:
    """Runs a scenario to its end, every agent a process of its own.

    scenario:   a bundled name, a file, or a loaded scenario.
    overrides:  `{"network.default.loss": 0.3}`, or texts as of `--set`.
    behaviours: `{"battery-*": "my_agents.py:Saver"}`, or texts as of `--as`.
    inline:     all agents in this process, where breakpoints work; same digest.
    speed:      `max`, `realtime` or `900x`; if None, as fast as it goes, or at the scenario's
                `console.speed` if somebody watches from the start.
    run_dir:    where the run is recorded instead of `runs/<name>-<nnnn>`; nowhere if not `record`.
    compare:    also fills the columns that the outcome is read against.
    is_eager:   every delivery wakes its agent; slower, for comparison.
    on_live:    called with the address of the run's door, for whoever watches from the start.

    Raises: ScenarioError and other SimErrors of the user's; a failing agent is in the result.
    """
    if agents_per_host < 1:
        raise ScenarioError(f"expected at least 1 agent per host, found {agents_per_host}")
    loaded = load(
        scenario, seed=seed, duration=duration, overrides=overrides, behaviours=behaviours
    )
    packing = {"agents_per_host": agents_per_host, "inline": inline}

    def recorder(prepared: Prepared) -> Recorder:
        if not record:
            return Recorder()
        given = {"packing": packing, "behaviours": _hashes(prepared.plans)}
        return new_recorder(loaded.name, loaded.seed, dump(loaded), given, run_dir)

    pace = Pace(_speed(loaded, speed, on_live is not None))
    return conduct(
        loaded, recorder, pace, inline=inline, agents_per_host=agents_per_host, compare=compare,
        is_eager=is_eager, on_progress=on_progress, on_live=on_live,
    )  # fmt: skip


def conduct(
    scenario: Scenario,
    make_recorder: Callable[[Prepared], Recorder],
    pace: Pace,
    *,
    inline: bool,
    agents_per_host: int,
    history: History | None = None,
    compare: bool = True,
    is_eager: bool = False,
    on_progress: OnProgress | None = None,
    on_live: OnLive | None = None,
) -> Result:
    """A loaded scenario to its end, given from outside what `history` holds."""
    report = on_progress or (lambda progress: None)
    helpers: list[Popen] = []
    with Interrupts() as interrupts:
        transport = make_transport(scenario, inline, report)
        try:
            prepared = prepare(scenario)
            kernel = prepared.kernel(agents_per_host, is_eager)
            recorder = make_recorder(prepared)
            path = recorder.path / FILE if recorder.path else None

            def watched() -> None:
                if compare and path:
                    helpers.append(start_columns(path.parent))

            live = Live(
                prepared, kernel, transport, recorder, interrupts, report, pace,
                history or History(), Columns(path) if path else None, on_live, watched,
            )  # fmt: skip
            with recorder, one_thread():
                result = live.run(inline)
                if is_online(scenario):
                    result.learning = _learned(kernel, recorder.path)
                recorder.write(result.record())
                if compare and result.status == "completed":
                    _compare(result, prepared, live, report, path, helpers)
                    recorder.write(result.record())
                live.warn()
                live.say(result.status, "")
                live.close()
        finally:
            for helper in helpers:
                helper.kill()
                helper.wait()
            transport.close()
    return result


def _compare(
    result: Result,
    prepared: Prepared,
    live: Live,
    report: OnProgress,
    path: Path | None,
    helpers: Sequence[Popen],
) -> None:
    """Fills the columns: those that the helper finds, then those that are missing."""

    def tell(progress: Progress) -> None:
        report(progress)
        live.say("comparing", f"for comparison: {progress.text}")

    try:
        while any(helper.poll() is None for helper in helpers):
            tell(Progress("comparing", 0, 1, text="no control, rule, bound"))
            pause(_LOOK_SECONDS)
    except KeyboardInterrupt:
        return
    known = read_columns(path) if path else {}
    columns = compare_with(result, prepared, tell, known)
    if path is not None:
        with contextlib.suppress(OSError):  # a full disk has been told already
            write_columns(path, columns)


def _learned(kernel: Kernel, path: Path | None) -> dict[str, Any]:
    """What is to be said of what a run has learned. Writes its policies into the directory, as a
    training run would.
    """
    kept = kernel.agents.saved(kernel.agents.index[LEARNER])
    state = {} if kept is None else decode_payload(kept)
    files: dict[str, bytes] = state.get("policies", {})
    if path is not None and files:
        with contextlib.suppress(OSError):  # a full disk has been told already
            (path / POLICIES).mkdir(exist_ok=True)
            for group, data in files.items():
                (path / POLICIES / f"{group}{SUFFIX}").write_bytes(data)
    tap = kernel.scenario.learn.tap if kernel.scenario.learn is not None else ""
    return {"tap": tap, "is_privileged": tap == "broker", "versions": state.get("versions", {})}


def _hashes(plans: Sequence[AgentPlan]) -> dict[str, str]:
    """SHA-256 of the files that agents come from."""
    found = {}
    for plan in plans:
        file, _, _ = plan.behaviour.removeprefix("policy:").partition(":")
        path = Path(plan.folder, file)
        if path.suffix in (".py", ".safetensors") and path.is_file():
            found[str(path.resolve())] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _speed(scenario: Scenario, speed: str | float | None, is_watched: bool) -> float:
    if speed is None:
        return scenario.console.speed if is_watched else float("inf")
    try:
        return speed_factor(speed)
    except ValueError as error:
        raise ScenarioError(f"speed: {error}") from None


def make_transport(scenario: Scenario, inline: bool, report: OnProgress) -> Transport:
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
    learned = any((spec.behaviour or "").startswith("policy:") for spec in specs)
    kind = scenario.world.kind
    rules = f"{_RULES}.{kind}"
    has_rules = kind.isidentifier() and importlib.util.find_spec(rules)
    preload = [rules, _POLICIES_NEED] if has_rules else []
    if learned:  # they act on NumPy: no host loads torch
        preload += [_LEARNED_NEED, _POLICIES_NEED]
    memory = scenario.limits.memory_bytes_max
    return process_transport(preload=preload, data_bytes_max=memory, progress=started)
