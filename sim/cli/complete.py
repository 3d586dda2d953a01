"""Completion in the shell: scenarios, runs, and the agents of a run that goes on."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and exits, if it is the shell that asks; otherwise does nothing."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete
    from argcomplete.completers import SuppressCompleter

    for name, command in _commands(parser).items():
        for action in command._actions:
            if action.dest == "scenario":
                action.completer = _scenarios  # type: ignore[attr-defined]
            elif action.dest in ("run", "runs", "resume"):
                action.completer = (  # type: ignore[attr-defined]
                    _alive if name in ("watch", "inject") else _runs
                )
            elif action.dest == "algorithm":
                action.completer = _algorithms  # type: ignore[attr-defined]
            elif action.dest == "words":
                action.completer = _words  # type: ignore[attr-defined]
    argcomplete.autocomplete(
        parser, always_complete_options=False, default_completer=SuppressCompleter()
    )


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _scenarios(prefix: str, **rest: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    from sim.scenario.load import bundled

    names = [name for name in bundled() if name.startswith(prefix)]
    files = FilesCompleter(("yaml", "yml"))(prefix)
    return [*names, *(file for file in files if prefix.startswith(".") or file[0] != ".")]


def _runs(prefix: str, **rest: Any) -> list[str]:
    from pathlib import Path

    from sim.scenario.policies import RUNS

    return sorted(path.name for path in Path(RUNS).glob(f"{prefix}*") if path.is_dir())


def _algorithms(prefix: str, **rest: Any) -> list[str]:
    from sim.learn.presets import PRESETS

    return [name for name in PRESETS if name.startswith(prefix)]


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
    if typed[-1:] == [prefix]:
        typed.pop()
    head = shlex.join(typed)
    found = complete_line(f"{head} {prefix.split(' ')[0]}", intro)
    names = [" ".join(shlex.split(line[len(head) + 1 :])) for line in found]
    return [name for name in names if name.startswith(prefix)]
