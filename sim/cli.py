"""The command `sim`: one function per command, each thin.

A mistake of the user's is one message on standard error and an exit code, never a traceback. With
`--json`, standard output is exactly one JSON document; everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sim.errors import InstallationError, InvariantError, ScenarioError, SimError
from sim.ids import did_you_mean, nearest
from sim.units import duration_ns, speed_factor

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from sim.outcome import Result
    from sim.worlds.grid_data import GridData

_INTERRUPTED: Final = 130
_RERUN: Final = "SIM_HASH_SEED_SET"

_ABOUT: Final = """\
A wind tunnel for multi-agent systems: every agent a process, every link a model,
every run repeatable to the bit."""
_EXAMPLES: Final = """\
examples:
  sim list                                   the scenarios that come with it
  sim run quickstart                         run one
  sim show quickstart                        agents, links, faults, what can be set
  sim run quickstart --set network.default.loss=30%
  sim run quickstart --as 'agent-1=my_agents.py:Mine'
"""
_RUN_EXAMPLES: Final = """\
examples:
  sim run smart_grid                         a bundled scenario, at full speed
  sim run my_scenario.yaml --seed 3          a file
  sim run smart_grid --speed 900x            a quarter of an hour every second
  sim run smart_grid --duration 6h --set network.default.loss=0.3
  sim run smart_grid --as 'battery-*=my_agents.py:Saver' --as 'ev-3=none'
  sim run quickstart --inline                all agents in this process: breakpoints work
  sim run quickstart --json > outcome.json   one JSON document

A run is recorded in runs/<scenario>-<nnnn>/; runs/last is the newest.
exit codes: 0 ended as asked, 2 scenario or command line, 3 installation, 4 agent failed,
130 interrupted.
"""


class _Misuse(Exception):
    """The words of a command line do not go together."""

    def __init__(self, prog: str, message: str) -> None:
        super().__init__(message)
        self.prog = prog


class _Parser(argparse.ArgumentParser):
    """Names the nearest command or option in its errors."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise _Misuse(self.prog, message)


def _quantity(read: Callable[[str], object]) -> Callable[[str], str]:
    """An option's type: text that `read` takes; its complaint is the message."""

    def check(text: str) -> str:
        try:
            read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return text

    return check


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return number


def _seed(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, found {text!r}")
    return number


def _add_scenario_options(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    parser.add_argument(
        "scenario", metavar="SCENARIO", nargs=nargs, help="a file, or a name of `sim list`"
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="seed of everything random")
    parser.add_argument(
        "--duration", type=_quantity(duration_ns), metavar="D", help="virtual time, as 90s or 6h"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="PATH=VALUE",
        help="sets any key of the scenario, as network.default.loss=30%%; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--as", action="append", default=[], dest="behaviours", metavar="PATTERN=BEHAVIOUR",
        help="who plays: rule, none, my_agents.py:Class, package.module:Class, policy:FILE; "
        "may be repeated, later ones win",
    )  # fmt: skip


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(prog="sim", description=_ABOUT, epilog=_EXAMPLES)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    def add(name: str, what: str, **options: Any) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(
            name, help=what, description=what[0].upper() + what[1:] + ".", **options
        )
        return made

    run = add("run", "run a scenario", epilog=_RUN_EXAMPLES)
    _add_scenario_options(run)
    run.add_argument(
        "--speed", type=_quantity(speed_factor), metavar="S", help="max, realtime, or as 900x"
    )
    run.add_argument(
        "--agents-per-host", type=_positive, default=1, metavar="K",
        help="agents that share a process (default 1); same digest",
    )  # fmt: skip
    run.add_argument(
        "--inline", action="store_true", help="no processes: breakpoints work; same digest"
    )
    run.add_argument("--run-dir", metavar="DIR", help="record the run in this new directory")
    run.add_argument(
        "--no-baselines", action="store_true",
        help="leave out the columns `no control`, `rule` and the bound",
    )  # fmt: skip
    run.add_argument("--json", action="store_true", help="print the outcome as one JSON document")
    show = add("show", "show what a scenario means: agents, links, lookahead, faults, metrics")
    _add_scenario_options(show, nargs="?")
    show.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of scenario files, for editors"
    )
    add("list", "list the scenarios that come with it")
    add("doctor", "look at what this machine offers, and try a short run")
    bring = add("import", "convert foreign data")
    kinds = bring.add_subparsers(title="kinds", metavar="KIND", dest="kind", required=True)
    grid = kinds.add_parser(
        "grid", help="a distribution network",
        description="Convert a SimBench code, a pandapower case or a pandapower .json file.",
        epilog="example: sim import grid 1-LV-rural3--0-sw --out rural3.npz",
    )  # fmt: skip
    grid.add_argument("code", metavar="CODE", help="SimBench code, pandapower case, or a file")
    grid.add_argument("--out", metavar="FILE", help="where it goes (default CODE.npz)")
    check = add("check", "run an agent of your own alone, twice and packed, and say what is wrong")
    check.add_argument("file", metavar="FILE[:CLASS]", help="as my_agents.py or my_agents.py:Saver")
    check.add_argument(
        "--scenario", metavar="SCENARIO", default="", help="where it plays; default a blank world"
    )
    check.add_argument(
        "--role", metavar="PATTERN", default="",
        help="whom it plays there, as 'battery-*'; default the first two of the first group",
    )  # fmt: skip
    return parser, dict(commands.choices)


# --- commands -----------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    if options.inline and options.is_command:
        _fix_hash_seed()
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
            overrides=options.overrides, behaviours=options.behaviours,
        )  # fmt: skip
        scenario = loaded.name
        with Display(loaded.name, errors, is_live) as display:
            result = run(
                loaded, inline=options.inline, agents_per_host=options.agents_per_host,
                speed=options.speed, run_dir=options.run_dir,
                compare=not options.no_baselines, on_progress=display,
            )  # fmt: skip
    except (Exception, KeyboardInterrupt) as error:
        if options.json:
            _print_refusal(scenario, options.seed or 0, error)
        raise
    if options.json:
        _print_json(result.summary())
        print_result(errors, result)
    else:
        print_result(Console(highlight=False), result, _next_command(options, result))
    return result.exit_code


def _fix_hash_seed() -> None:
    """Inline agents find the hashes that agent processes find; that takes a fresh interpreter."""
    if os.environ.get("PYTHONHASHSEED") == "0" or os.environ.get(_RERUN):
        return
    environment = {**os.environ, "PYTHONHASHSEED": "0", _RERUN: "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def _print_json(document: dict[str, Any]) -> None:
    from sim.store.rundir import to_json

    print(to_json(document), flush=True)


def _print_refusal(scenario: str, seed: int, error: BaseException) -> None:
    """The document of a run that never began."""
    from sim.outcome import Result

    is_user = isinstance(error, KeyboardInterrupt)
    status = "interrupted" if is_user else "failed"
    _print_json(Result(scenario, seed, status, error="" if is_user else str(error)).summary())


def _next_command(options: argparse.Namespace, result: Result) -> list[str]:
    """What a person would probably want to type next."""
    words = ["sim", "run", options.scenario]
    mine = [b.rpartition("=")[2].partition(":")[0] for b in options.behaviours if ".py:" in b]
    seed = [] if options.seed is None else ["--seed", str(options.seed)]
    again = [
        *(["--duration", options.duration] if options.duration else []),
        *(word for text in options.overrides for word in ("--set", text)),
        *(word for text in options.behaviours for word in ("--as", text)),
    ]
    if result.agent_failures and mine:
        return ["sim", "check", mine[0]]
    if result.exit_code == InstallationError.exit_code:
        return ["sim", "doctor"]
    if result.status == "failed":
        return [*words, *seed, *again, "--inline"]
    if result.status == "interrupted":
        return [*words, *seed, *again]
    if not any("loss" in text for text in options.overrides):
        return [*words, *seed, *again, "--set", "network.default.loss=30%"]
    if not mine:
        return ["sim", "show", options.scenario]
    return [*words, *again, "--seed", str(result.seed + 1)]


def _show(options: argparse.Namespace) -> int:
    if options.schema:
        from sim.scenario.schema import json_schema

        _print_json(json_schema())
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
    from sim.check import check_file, print_findings

    found = check_file(options.file, options.scenario, options.role)
    return print_findings(found, options.file)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


_COMMANDS: Final = {
    "run": _run, "show": _show, "list": _list, "doctor": _doctor, "import": _import,
    "check": _check,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return _main(words, is_command=arguments is None)
    except _Misuse as error:
        if words[0] == "run" and "--json" in words:
            _print_refusal("unknown", 0, error)
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
    parser, commands = _parser()
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
