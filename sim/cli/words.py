"""The words of the command line: every command, its options, and what each is for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final, NoReturn

from sim.cli.quantities import positive, quantity, seed
from sim.cli.words_learn import add_learning_commands
from sim.units import duration_ns, speed_factor

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
  sim watch                                  look at a run that goes on, from elsewhere
  sim inject kill battery-2 --for 10min      hurt it
  sim replay last                            go through a run again, back and forth
  sim report last                            a page to take home
  sim train smart_grid                       learn policies, for --as 'battery-*=policy:last'
"""
_RUN_EXAMPLES: Final = """\
examples:
  sim run smart_grid                         a bundled scenario, at full speed
  sim run my_scenario.yaml --seed 3          a file
  sim run smart_grid --speed 900x            a quarter of an hour every second
  sim run smart_grid --duration 6h --set network.default.loss=0.3
  sim run smart_grid --as 'battery-*=my_agents.py:Saver' --as 'ev-3=none'
  sim run smart_grid --headless              without the console
  sim run quickstart --inline                all agents in this process: breakpoints work
  sim run quickstart --json > outcome.json   one JSON document

In a terminal the console opens, at the scenario's console.speed; --headless, or no terminal, keeps
a line of progress and goes as fast as it can.
A run is recorded in runs/<scenario>-<nnnn>/; runs/last is the newest.
exit codes: 0 ended as asked, 2 scenario or command line, 3 installation, 4 agent failed,
130 interrupted.
"""


_WATCH_EXAMPLES: Final = """\
examples:
  sim watch                       the run that goes on
  sim watch smart_grid-0042       one of several
  sim watch --web                 in a browser: prints two addresses, to look and to touch
"""
_INJECT_EXAMPLES: Final = """\
examples:
  sim inject --list
  sim inject kill battery-2 --for 10min
  sim inject link 'feeder-a-*' 'feeder-b-*' --loss 0.3 --latency 80ms --for 60s
  sim inject partition 'battery-*' '*' --for 1h
  sim inject --run smart_grid-0042 heal

Times are virtual. What is injected is written to the run's log before it takes effect, so that the
run can be replayed, verified and resumed with it.
"""


_NEW: Final = """\
examples:
  sim new agent greeter           greeter.py and test_greeter.py
  sim new world pond              pond.py, pond_rule.py, pond.yaml and test_pond.py
"""
_KINDS: Final = {
    "agent": "an agent that talks and acts, and its test",
    "world": "a world of physics, its rule, a scenario and its test",
}
_CHECK: Final = """\
examples:
  sim check my_agents.py                         every agent of a file
  sim check my_agents.py:Saver --scenario smart_grid --role 'battery-*'
  sim check pond.py                              a world of your own
  sim check platoon                              the world of a scenario, with its parameters

An agent is run alone, twice, and packed with a twin. Of a world: form, shapes, bounds, the same
bits for the same seed, rows of a batch against copies alone, a GPU against the processor.
exit codes: 0 nothing to mend, 2 there is no such thing, 4 something is to be mended.
"""


class Misuse(Exception):
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
        raise Misuse(self.prog, message)


def _add_scenario_options(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    parser.add_argument(
        "scenario", metavar="SCENARIO", nargs=nargs, help="a file, or a name of `sim list`"
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of everything random")
    parser.add_argument(
        "--duration", type=quantity(duration_ns), metavar="D", help="virtual time, as 90s or 6h"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="PATH=VALUE",
        help="sets any key of the scenario, as network.default.loss=30%%; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--as", action="append", default=[], dest="behaviours", metavar="PATTERN=BEHAVIOUR",
        help="who plays: rule, none, my_agents.py:Class, package.module:Class, policy:FILE, "
        "policy:RUN or policy:last (of the newest training run of this scenario); may be repeated, "
        "later ones win",
    )  # fmt: skip


def make_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
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
        "--speed", type=quantity(speed_factor), metavar="S", help="max, realtime, or as 900x"
    )
    run.add_argument(
        "--agents-per-host", type=positive, default=1, metavar="K",
        help="agents that share a process (default 1); same digest",
    )  # fmt: skip
    run.add_argument(
        "--inline", action="store_true", help="no processes: breakpoints work; same digest"
    )
    run.add_argument(
        "--headless", action="store_true", help="a line of progress instead of the console"
    )
    run.add_argument(
        "--learn", action="store_true",
        help="learn from the agents as they run, as the scenario's learn block says",
    )  # fmt: skip
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
    new = add("new", "write a commented starting point, with a test that passes", epilog=_NEW)
    kinds = new.add_subparsers(title="kinds", metavar="KIND", dest="kind", required=True)
    for kind, what in _KINDS.items():
        one = kinds.add_parser(kind, help=what, description=f"Write {what}.", epilog=_NEW)
        one.add_argument("name", metavar="NAME", help="as in NAME.py; lower case, as my_name")
    check = add("check", "try agents or a world of your own, and say what is wrong", epilog=_CHECK)
    check.add_argument(
        "file", metavar="WHAT", help="FILE.py, FILE.py:Class, a scenario (its world), or a world"
    )
    check.add_argument(
        "--scenario", metavar="SCENARIO", default="",
        help="where an agent plays, default a blank world; whose parameters a world takes",
    )  # fmt: skip
    check.add_argument(
        "--role", metavar="PATTERN", default="",
        help="whom it plays there, as 'battery-*'; default the first two of the first group",
    )  # fmt: skip
    _add_live_commands(add)
    _add_record_commands(add)
    add_learning_commands(add, _add_scenario_options)
    return parser, dict(commands.choices)


def _add_run(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "run", metavar="RUN", nargs="?", default="last",
        help=f"{what}: a directory, a name under runs/, or last (default)",
    )  # fmt: skip


def _add_live_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    watch = add("watch", "open the console on a run that goes on", epilog=_WATCH_EXAMPLES)
    watch.add_argument("run", metavar="RUN", nargs="?", help="needed only if several go on")
    watch.add_argument("--read-only", action="store_true", help="look, and touch nothing")
    watch.add_argument("--web", action="store_true", help="in a browser of this machine")
    watch.add_argument(
        "--port", type=int, default=0, metavar="N", help="port of --web (default a free one)"
    )
    inject = add("inject", "do something to a run that goes on", epilog=_INJECT_EXAMPLES)
    inject.add_argument("--run", metavar="RUN", help="needed only if several go on")
    inject.add_argument("--list", action="store_true", help="explain every command")
    inject.add_argument(
        "words", metavar="COMMAND", nargs=argparse.REMAINDER, help="as kill battery-2 --for 10min"
    )


def _add_record_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    _add_run(add("replay", "open the console on a run that was recorded"), "the run")
    verify = add("verify", "run a run again from its log, compare, and recount its books")
    _add_run(verify, "the run")
    verify.add_argument("--books", action="store_true", help="recount the books, and no more")
    verify.add_argument(
        "--processes", action="store_true", help="in processes (default in memory); same digest"
    )
    verify.add_argument("--json", action="store_true", help="print the verdict as JSON")
    resume = add("resume", "go on with a run that broke off or was stopped")
    _add_run(resume, "the run")
    resume.add_argument(
        "--speed", type=quantity(speed_factor), metavar="S",
        help="from where it broke off: max (default), realtime, or as 900x",
    )  # fmt: skip
    resume.add_argument("--no-baselines", action="store_true", help="leave out the columns")
    resume.add_argument("--json", action="store_true", help="print the outcome as JSON")
    report = add("report", "write a run as one HTML page")
    _add_run(report, "the run")
    report.add_argument("--out", metavar="FILE", help="where (default report.html beside the run)")
    compare = add("compare", "put several runs side by side")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="two or more runs")
    compare.add_argument("--out", metavar="FILE", help="the HTML page (default comparison.html)")
    export = add("export", "write a run's tables as files")
    _add_run(export, "the run")
    export.add_argument("--to", choices=("parquet", "csv"), default="csv", help="default csv")
    export.add_argument("--out", metavar="DIR", help="where (default export/ in the run)")
    completion = add(
        "completion", "print what makes a shell complete commands, scenarios, runs and agents",
        epilog='bash: eval "$(sim completion bash)"   in ~/.bashrc; zsh and fish likewise',
    )  # fmt: skip
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
