"""`sim train`, `sim evaluate`, `sim sweep`."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from sim.cli.run import print_json
from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from sim.learn.evaluate import Evaluation
    from sim.learn.plan import Plan
    from sim.learn.record import Rollout
    from sim.learn.sweep import Series, Sweep
    from sim.learn.train import Outcome
    from sim.scenario.schema import Scenario
    from sim.store.rundir import RunDirectory


def train(options: argparse.Namespace) -> int:
    """Trains, or goes on training."""
    errors = _loaded("sim.learn.start")
    from rich.console import Console

    from sim.console.training import TrainingDisplay, print_outcome, print_plan
    from sim.learn.start import Machine, rate_before, resume, start

    machine = Machine(options.device or "auto", options.workers or 1, options.rollout)
    past, scenario = None, None
    if options.resume is not None:
        past = _past(options)
    else:
        scenario = _training(options)
    name = scenario.name if scenario is not None else past.name if past is not None else ""
    with TrainingDisplay(name, errors, errors.is_terminal and errors.width >= 40) as shown:

        def begin(plan: Plan, rollout: Rollout, run: RunDirectory, decisions: int) -> None:
            device = machine.torch_device()
            frames = options.frames or plan.spec.frames
            print_plan(errors, plan, rollout, frames, device, str(run.path))
            rate = rate_before(plan.scenario.name, device, rollout)
            shown.first(rollout.copies, decisions, rate)

        told: dict[str, Any] = {"on_begin": begin, "on_progress": shown, "on_interrupt": shown.stop}
        if past is not None:
            outcome = resume(past, frames=options.frames, **told)
        else:
            assert scenario is not None
            outcome = start(scenario, machine, run_dir=options.run_dir, **told)
    if options.json:
        print_json(outcome.summary())
    said = errors if options.json else Console(highlight=False)
    print_outcome(said, outcome, _after_training(options, outcome))
    return outcome.exit_code


def _loaded(module: str) -> Console:
    """Imports what a command stands on, and says so meanwhile: with torch it takes seconds. The
    console for everything but the outcome.
    """
    from rich.console import Console

    from sim.console.line import Waiting

    console = Console(stderr=True, highlight=False)
    with Waiting("loading", console, console.is_terminal):
        importlib.import_module(module)
    return console


def _past(options: argparse.Namespace) -> Path:
    """The run to go on with. Raises: ScenarioError for options that are settled already."""
    from sim.learn.checkpoint import checkpoints
    from sim.learn.train import CHECKPOINTS, KIND
    from sim.scenario.policies import LAST
    from sim.store.rundir import find_run

    given = {
        "scenario": options.scenario, "--algorithm": options.algorithm, "--seed": options.seed,
        "--copies": options.copies, "--links": options.links, "--set": options.overrides,
        "--as": options.behaviours, "--run-dir": options.run_dir, "--rollout": options.rollout,
        "--workers": options.workers, "--device": options.device, "--duration": options.duration,
    }  # fmt: skip
    for name, value in given.items():
        if value not in (None, []):
            raise ScenarioError(f"--resume goes on with what the run was given; it takes no {name}")
    run = _newest(KIND) if options.resume == LAST else find_run(options.resume)
    there = max((int(path.stem) for path in checkpoints(run / CHECKPOINTS)), default=0)
    if options.frames is not None and options.frames <= there:
        raise ScenarioError(
            f"--frames {options.frames:,}: {run} has {there:,} frames already; expected more"
        )
    return run


def _newest(kind: str) -> Path:
    """The newest run of a kind, which `last` is where only that kind will do.

    Raises: UnknownKeyError if there is none.
    """
    from pathlib import Path

    from sim.scenario.policies import LAST, RUNS

    found = []
    for path in Path(RUNS).glob("*/manifest.json"):
        with contextlib.suppress(OSError, ValueError):
            if path.parent.name != LAST and json.loads(path.read_text()).get("kind") == kind:
                found.append(path)
    if not found:
        raise UnknownKeyError(f"--resume {LAST}: there is no {kind} in {Path(RUNS).resolve()} yet")
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent


def _training(options: argparse.Namespace) -> Scenario:
    """The scenario with the options applied."""
    from sim.learn.plan import load_training

    if options.scenario is None:
        raise ScenarioError("expected a scenario: a file, or a name of `sim list`; or --resume RUN")
    given = {"frames": options.frames, "copies": options.copies, "links": options.links}
    overrides = [
        *options.overrides,
        *(f"learn.{key}={value}" for key, value in given.items() if value is not None),
    ]
    if options.duration:
        overrides.append(f"duration={options.duration}")
    try:
        return load_training(
            options.scenario, seed=options.seed, algorithm=options.algorithm, overrides=overrides,
            behaviours=options.behaviours,
        )  # fmt: skip
    except ScenarioError as error:
        raise _of_links(error, options.links) from None


def _of_links(error: ScenarioError, links: str | None) -> ScenarioError:
    """An error about `--links` as one about that option, and not about the key that it sets."""
    from sim.learn.links import MODES

    head = f"--set {f'learn.links={links}'[:100]}: "
    if links is None or not str(error).startswith(head):
        return error
    if links.lstrip().startswith(("{", "[")):
        message = str(error).removeprefix(head).removeprefix("learn.links").lstrip(".: ")
        return type(error)(f"--links: {message}")
    near = did_you_mean(links, [*MODES, "{loss: [0, 0.4], latency: [0s, 10s]}"])
    return UnknownKeyError(f"--links: no links {links!r}; {near}")


def _after_training(options: argparse.Namespace, outcome: Outcome) -> list[list[str]]:
    """What a person would probably want to type next."""
    from sim.store.rundir import run_name

    run = str(run_name(outcome.run_dir)) if outcome.run_dir else "last"
    if outcome.status == "interrupted":
        return [["sim", "train", "--resume", run]] if outcome.checkpoint >= 0 else []
    if outcome.status == "failed":
        return [["sim", "report", run]]
    # What `sim run` does not understand of training is left out; days matter to evaluation.
    scenario = options.scenario or f"{outcome.run_dir}/scenario.yaml"
    given = [f"--duration={options.duration}"] if options.duration else []
    sets = [text for text in options.overrides if not text.startswith("learn")]
    days = [text for text in options.overrides if text.startswith("learn.held_out=")]
    who = [f"{_pattern(outcome.agents[group])}=policy:{run}" for group in outcome.groups]
    played = [word for text in (*options.behaviours, *who) for word in ("--as", text)]
    again, held_out = ([w for text in texts for w in ("--set", text)] for texts in (sets, days))
    return [
        ["sim", "run", scenario, *given, *again, *played],
        ["sim", "evaluate", scenario, *given, *again, *held_out, *played],
        ["sim", "report", run],
    ]


def _pattern(names: tuple[str, ...]) -> str:
    """A pattern that matches all agents of a group."""
    if len(names) == 1:
        return names[0]
    prefix = names[0]
    while not all(name.startswith(prefix) for name in names):
        prefix = prefix[:-1]
    return f"{prefix}*"


# --- evaluate -----------------------------------------------------------------------------------


def evaluate(options: argparse.Namespace) -> int:
    """Plays held-out episodes, and says how good they were."""
    errors = _loaded("sim.learn.evaluate")
    from rich.console import Console

    from sim.clock import monotonic
    from sim.console.evaluation import print_evaluation
    from sim.console.line import Counting
    from sim.learn.evaluate import KIND, write
    from sim.learn.evaluate import evaluate as play_all
    from sim.learn.judged import keep_evaluation
    from sim.prepare import load, prepare
    from sim.scenario.load import dump
    from sim.store.rundir import create_run, manifest, run_name

    overrides = list(options.overrides)
    if options.duration:
        overrides.append(f"duration={options.duration}")
    given = {"seed": options.seed, "overrides": overrides}
    scenario = load(options.scenario, behaviours=options.behaviours, **given)
    selfish = None
    if options.selfish:
        selfish = load(options.scenario, behaviours=options.selfish, **given)
        prepare(selfish)
    prepared, began = prepare(scenario), monotonic()
    workers = options.jobs or os.cpu_count() or 1
    with Counting("episodes", errors, errors.is_terminal) as shown:
        shown(0.0, 0)
        found, rows = play_all(
            prepared, episodes=options.episodes, selfish=selfish, processes=options.processes,
            workers=workers, on_begin=errors.print, on_done=shown,
        )  # fmt: skip
    found.wall_seconds = round(monotonic() - began, 3)
    run = create_run(scenario.name, options.run_dir)
    found.run = str(run.path)
    run.write_text("scenario.yaml", dump(scenario))
    run.write_json(
        "manifest.json", manifest(kind=KIND, scenario=scenario.name, seed=scenario.seed)
    )  # fmt: skip
    write(found, rows, run.path)
    run.write_json("summary.json", found.summary())
    keep_evaluation(found.summary())
    if options.json:
        print_json(found.summary())
    said: Console = errors if options.json else Console(highlight=False)
    print_evaluation(said, found, _cards(found), ["sim", "report", str(run_name(run.path))])
    return 0


def _cards(found: Evaluation) -> dict[str, str]:
    """The objective, marked."""
    arrow = {"lower": "↓", "higher": "↑"}.get(found.better, "")
    return {found.objective: f"{found.unit} {arrow}".strip()}


# --- sweep --------------------------------------------------------------------------------------


def sweep(options: argparse.Namespace) -> int:
    """Runs one scenario over a grid of settings, with the same seeds everywhere."""
    errors = _loaded("sim.learn.sweep")
    from pathlib import Path

    from rich.console import Console

    from sim.console.line import Counting, span
    from sim.console.sweep import print_sweep
    from sim.learn.sweep import labels_of, read_table, run_sweep, series_of, write_parquet

    figure = Path(options.figure) if options.figure else None
    if figure is not None:
        from sim.report.resilience import check_figure

        check_figure(figure)
    wanted = [name for text in options.metric for name in text.split(",")]
    planned, metrics, folder = _planned(options, wanted)
    labels = labels_of(planned, options.labels)
    workers = options.jobs or os.cpu_count() or 1
    errors.print(
        f"{planned.runs:,} runs: {len(planned.cases):,} settings, {len(planned.seeds):,} seeds, "
        f"{workers} at a time; in {folder}", soft_wrap=True,
    )  # fmt: skip

    def cost(left: int, seconds: float) -> None:
        errors.print(f"about {span(seconds)} for the {left:,} runs that are left")

    with Counting("runs", errors, errors.is_terminal) as shown:
        run_sweep(planned, folder, workers, errors.print, cost, shown)
    if not write_parquet(folder):
        errors.print("no Parquet beside the CSV: pip install 'sim-agents\\[parquet]'")
    rows = read_table(folder)
    lines = {name: series_of(planned, rows, name, labels) for name in metrics}
    drawn = _draw(planned, lines, figure, options.width) if figure is not None else None
    document = {
        "kind": "sweep", "status": "completed", "scenario": planned.name, "run": str(folder),
        "runs": planned.runs, "axes": {axis.path: axis.values for axis in planned.axes},
        "figure": str(drawn or ""),
        "metrics": {
            name: [
                {"label": line.label, "x": line.x, "mean": line.mean, "half": line.half}
                for line in each
            ]
            for name, each in lines.items()
        },
    }  # fmt: skip
    from sim.store.rundir import RunDirectory

    RunDirectory(folder).write_json("summary.json", document)
    if options.json:
        print_json(document)
    said = errors if options.json else Console(highlight=False)
    print_sweep(said, planned, lines, folder, drawn)
    return 0


def _planned(options: argparse.Namespace, wanted: list[str]) -> tuple[Sweep, list[str], Path]:
    """The sweep, the metrics that are told, and its directory: a new one, or that of `--resume`
    with what it was given.
    """
    from sim.learn.sweep import KIND, check_metrics, plan_sweep
    from sim.scenario.load import dump
    from sim.scenario.policies import LAST
    from sim.store.rundir import create_run, find_run, manifest

    if options.resume is not None:
        folder = _newest(KIND) if options.resume == LAST else find_run(options.resume)
        known = json.loads((folder / "manifest.json").read_text()).get("sweep")
        if known is None:
            raise ScenarioError(f"{folder} is no sweep")
        planned = plan_sweep(folder / "scenario.yaml", known["vary"], known["seeds"])
        return planned, check_metrics(planned, wanted), folder
    if options.scenario is None:
        raise ScenarioError("expected a scenario: a file, or a name of `sim list`; or --resume RUN")
    overrides = list(options.overrides)
    if options.duration:
        overrides.append(f"duration={options.duration}")
    given = {"seed": options.seed, "overrides": overrides, "behaviours": options.behaviours}
    from sim.prepare import load

    scenario = load(options.scenario, **given)
    vary = [_for_good(text, scenario.name) for text in options.vary]
    planned = plan_sweep(options.scenario, vary, options.seeds, **given)
    metrics = check_metrics(planned, wanted)
    run = create_run(planned.name, options.run_dir)
    run.write_text("scenario.yaml", dump(scenario))
    what = {"vary": vary, "seeds": options.seeds}
    seed = planned.cases[0].scenario.seed
    run.write_json(
        "manifest.json", manifest(kind=KIND, scenario=planned.name, seed=seed, sweep=what)
    )
    return planned, metrics, run.path


def _for_good(vary: str, scenario: str) -> str:
    """`--vary` with `policy:last` as the run that it is now: going on must not mean another."""
    from sim.scenario.policies import LAST, policy_folder

    folder = policy_folder(LAST, (), scenario)
    if folder is None:
        return vary
    return re.sub(rf"policy:{LAST}(?=[,+]|$)", f"policy:{folder.parent.name}", vary)


def _draw(planned: Sweep, lines: dict[str, list[Series]], path: Path, width: float) -> Path:
    from sim.report.resilience import Axis, Panel, draw_curves

    first = planned.axes[0]
    name = first.path.rpartition(".")[2]
    is_share = first.numbers is not None and name == "loss"
    label = "messages lost, %" if is_share else name.replace("_", " ")
    ticks = first.values if first.numbers is None else ()
    panels = []
    for metric, each in lines.items():
        words, unit = metric.replace("_", " "), planned.cards[metric].unit
        panels.append(Panel(f"{words}, {unit}" if unit else words, each))
    return draw_curves(path, panels, Axis(label, ticks, is_share), width)
