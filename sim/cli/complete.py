"""Completion in the shell: scenarios, runs, and the agents of a run that goes on."""

from __future__ import annotations

import argparse
import os
from typing import Any


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and exits, if it is the shell that asks; otherwise does nothing."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    for name, command in _commands(parser).items():
        for action in command._actions:
            if action.dest == "scenario":
                action.completer = _scenarios  # type: ignore[attr-defined]
            elif action.dest in ("run", "runs"):
                action.completer = (  # type: ignore[attr-defined]
                    _alive if name in ("watch", "inject") else _runs
                )
            elif action.dest == "words":
                action.completer = _words  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options=False)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _scenarios(prefix: str, **rest: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    from sim.scenario.load import bundled

    names = [name for name in bundled() if name.startswith(prefix)]
    return [*names, *FilesCompleter(("yaml", "yml"))(prefix)]


def _runs(prefix: str, **rest: Any) -> list[str]:
    from pathlib import Path

    from sim.store.rundir import RUNS

    return [path.name for path in Path(RUNS).glob(f"{prefix}*") if path.is_dir()]


def _alive(prefix: str, **rest: Any) -> list[str]:
    from sim.store.rundir import alive_runs

    return [name for name in alive_runs() if name.startswith(prefix)]


def _words(prefix: str, parsed_args: argparse.Namespace, **rest: Any) -> list[str]:
    """Commands, their options, and names of the run that goes on."""
    from sim.cli.live import connect
    from sim.errors import SimError
    from sim.scenario.commands import COMMANDS
    from sim.scenario.commands import complete as complete_line

    typed = [word for word in parsed_args.words or [] if word]
    if not typed:
        return [name for name in COMMANDS if name.startswith(prefix)]
    try:
        _, client = connect(parsed_args.run)
        intro = client.ask("intro").intro
        client.close()
    except SimError:
        return []
    if intro is None:
        return []
    line = " ".join([*typed, prefix] if typed[-1:] != [prefix] else typed)
    return [found.rpartition(" ")[2] for found in complete_line(line, intro)]
