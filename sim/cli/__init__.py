"""The command `sim`: one function per command, each thin.

A mistake of the user's is one message on standard error and an exit code, never a traceback. With
`--json`, standard output is exactly one JSON document; everything else goes to standard error.
"""

# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sim.cli import learn, live, records
from sim.cli.complete import complete
from sim.cli.run import print_json, print_refusal, run_scenario
from sim.cli.words import Misuse, make_parser
from sim.errors import InvariantError, ScenarioError, SimError
from sim.ids import did_you_mean, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from sim.worlds.grid_data import GridData

_INTERRUPTED: Final = 130


def _show(options: argparse.Namespace) -> int:
    if options.schema:
        from sim.scenario.schema import json_schema

        print_json(json_schema())
        return 0
    if options.scenario is None:
        raise ScenarioError("expected a scenario: a file, or a name of `sim list`")
    from sim.console.show import print_scenario
    from sim.prepare import load, prepare

    loaded = load(
        options.scenario, seed=options.seed, duration=options.duration,
        overrides=options.overrides, behaviours=options.behaviours,
    )  # fmt: skip
    print_scenario(_console(), prepare(loaded))
    return 0


def _list(options: argparse.Namespace) -> int:
    from sim.console.show import print_list
    from sim.scenario.load import bundled, describe

    print_list(_console(), ((name, describe(path)) for name, path in bundled().items()))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from sim.console.show import print_check
    from sim.doctor import examine

    console, is_well = _console(), True
    for check in examine():
        print_check(console, check)
        is_well = is_well and check.state != "fault"
    return 0 if is_well else 3


def _import(options: argparse.Namespace) -> int:
    from pathlib import Path

    from sim.worlds.grid_data import load_grid
    from sim.worlds.grid_import import import_grid

    out = Path(options.out or f"{Path(options.code).stem}.npz")
    if out.exists():
        raise ScenarioError(f"{out} exists already; --out names another file")
    path = import_grid(options.code, out)
    print(f"{path}\n{_how_to_run(load_grid(path), path)}")
    return 0


def _how_to_run(grid: GridData, path: Path) -> str:
    """The next command; what the scenario's own grid has and this one lacks is taken out."""
    if not grid.times:
        return "it has no profiles: its power flow can be solved, but no day of it can be run"
    words = ["sim run smart_grid", "--set", f"world.grid={path}", "--set", "'faults=[]'"]
    if "trafo" not in grid.branches.kinds:
        words += ["--set", "world.transformer_kva=0"]
    return f"next  {' '.join(words)}"


def _check(options: argparse.Namespace) -> int:
    from sim.check import check, print_findings

    found = check(options.file, options.scenario, options.role)
    return print_findings(found, options.file)


def _new(options: argparse.Namespace) -> int:
    from sim.templates import create

    print("\n".join(create(options.kind, options.name)))
    return 0


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _completion(options: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["sim"], shell=options.shell))
    return 0


_COMMANDS: Final = {
    "run": run_scenario, "show": _show, "list": _list, "doctor": _doctor, "import": _import,
    "check": _check, "new": _new, "watch": live.watch, "inject": live.inject,
    "replay": records.replay, "verify": records.verify_run, "resume": records.resume_run,
    "report": records.report, "compare": records.compare, "export": records.export_run,
    "completion": _completion,
    "train": learn.train, "evaluate": learn.evaluate, "sweep": learn.sweep,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return _main(words, is_command=arguments is None)
    except Misuse as error:
        if words[0] == "run" and "--json" in words:
            print_refusal("unknown", 0, error)
        print(f"{error.prog}: {error}\ntry: {error.prog} --help", file=sys.stderr)
        return ScenarioError.exit_code
    except InvariantError as error:
        print(f"sim: a fault of sim itself, please report it: {error}", file=sys.stderr)
        return error.exit_code
    except SimError as error:
        print(f"sim: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("sim: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _is_scenario(word: str) -> bool:
    from sim.scenario.load import bundled

    return word in bundled() or word.endswith((".yaml", ".yml"))


def _main(words: list[str], is_command: bool) -> int:
    parser, commands = make_parser()
    complete(parser)
    first = next((word for word in words if not word.startswith("-")), None)
    if first is not None and first not in commands and words[0] == first:
        hint = f"did you mean `sim {nearest(first, commands)}`?"
        if _is_scenario(first):
            hint = f"did you mean `sim run {first}`?"
        elif nearest(first, commands) is None:
            hint = did_you_mean(first, commands)
        parser.error(f"no command {first!r}; {hint}")
    options, unknown = parser.parse_known_args(words)
    options.is_command = is_command
    if options.version:
        from sim.installation import version

        print(f"sim {version()}")
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return ScenarioError.exit_code
    if unknown:
        command = commands[options.command]
        known = [o for action in command._actions for o in action.option_strings]
        command.error(f"no option or argument {unknown[0]!r}; {did_you_mean(unknown[0], known)}")
    return _COMMANDS[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
