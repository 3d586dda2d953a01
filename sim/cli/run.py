"""`sim run`: one scenario to its end, shown while it goes on, told when it is over."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from sim.errors import InstallationError

if TYPE_CHECKING:
    from sim.outcome import Result

_RERUN: Final = "SIM_HASH_SEED_SET"


def run_scenario(options: argparse.Namespace) -> int:
    if options.inline and options.is_command:
        fix_hash_seed()
    from sim.cli.screen import Screen, is_terminal, stand_by

    has_console = not (options.headless or options.json or options.inline) and is_terminal()
    if has_console and options.is_command:
        stand_by()
    from rich.console import Console

    from sim.console.progress import Display
    from sim.console.summary import print_result
    from sim.installation import check_names
    from sim.runner import load, run

    errors = Console(stderr=True, highlight=False)
    is_live = errors.is_terminal and not options.inline and errors.width >= 40
    scenario = "unknown"
    try:
        check_names()
        loaded = load(
            options.scenario, seed=options.seed, duration=options.duration,
            overrides=[*options.overrides, *(["learn.online=true"] if options.learn else [])],
            behaviours=options.behaviours,
        )  # fmt: skip
        scenario = loaded.name
        display = Display(loaded.name, errors, is_live)
        with Screen(display) if has_console else display as shown:
            result = run(
                loaded, inline=options.inline, agents_per_host=options.agents_per_host,
                speed=options.speed, run_dir=options.run_dir,
                compare=not options.no_baselines, on_progress=shown,
                on_live=shown.open if isinstance(shown, Screen) else None,
            )  # fmt: skip
    except (Exception, KeyboardInterrupt) as error:
        if options.json:
            print_refusal(scenario, options.seed or 0, error)
        raise
    if options.json:
        print_json(result.summary())
        print_result(errors, result)
    else:
        print_result(Console(highlight=False), result, next_command(options, result))
    return result.exit_code


def fix_hash_seed() -> None:
    """Inline agents find the hashes that agent processes find; that takes a fresh interpreter."""
    if os.environ.get("PYTHONHASHSEED") == "0" or os.environ.get(_RERUN):
        return
    environment = {**os.environ, "PYTHONHASHSEED": "0", _RERUN: "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def print_json(document: dict[str, Any]) -> None:
    from sim.store.rundir import to_json

    print(to_json(document), flush=True)


def print_refusal(scenario: str, seed: int, error: BaseException) -> None:
    """The document of a run that never began."""
    from sim.outcome import Result

    is_user = isinstance(error, KeyboardInterrupt)
    status = "interrupted" if is_user else "failed"
    print_json(Result(scenario, seed, status, error="" if is_user else str(error)).summary())


def next_command(options: argparse.Namespace, result: Result) -> list[str]:
    """What a person would probably want to type next."""
    words = ["sim", "run", options.scenario]
    from sim.store.rundir import run_name

    mine = [b.rpartition("=")[2].partition(":")[0] for b in options.behaviours if ".py:" in b]
    seed = [] if options.seed is None else ["--seed", str(options.seed)]
    again = [
        *(["--duration", options.duration] if options.duration else []),
        *(word for text in options.overrides for word in ("--set", text)),
        *(word for text in options.behaviours for word in ("--as", text)),
        *(["--learn"] if options.learn else []),
    ]
    if result.agent_failures and mine:
        return ["sim", "check", mine[0]]
    if result.exit_code == InstallationError.exit_code:
        return ["sim", "doctor"]
    if result.status == "failed":
        return [*words, *seed, *again, "--inline"]
    if result.run_dir is not None:
        verb = "resume" if result.status == "interrupted" else "report"
        return ["sim", verb, str(run_name(result.run_dir))]
    return [*words, *seed, *again]
