"""`sim watch` and `sim inject`: what is done to a run that goes on, from another terminal."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sim.errors import ScenarioError, SimError

if TYPE_CHECKING:
    from sim.wire.control import ControlClient


def find_address(run: str | None) -> tuple[str, str]:
    """Name and address of a run that goes on; the only one, if none is named.

    Raises: ScenarioError that says which there are.
    """
    from sim.store.rundir import address_of, alive_runs, find_run

    if run is not None:
        path = find_run(run)
        address = address_of(path)
        if address is None:
            raise ScenarioError(
                f"{path.name} does not go on any more; `sim replay {path.name}` shows it"
            )
        return path.name, address
    alive = alive_runs()
    if len(alive) == 1:
        return next(iter(alive.items()))
    if not alive:
        raise ScenarioError(
            "no run goes on here; `sim run` starts one, `sim replay` shows the last"
        )
    raise ScenarioError(f"{len(alive)} runs go on: {', '.join(alive)}; name one of them")


def connect(run: str | None) -> tuple[str, ControlClient]:
    """The run's name, and its door."""
    from sim.wire.control import ControlClient

    name, address = find_address(run)
    return name, ControlClient(address)


def watch(options: argparse.Namespace) -> int:
    """The console on a run that goes on; or a server of it for browsers."""
    name, address = find_address(options.run)
    if options.web:
        from sim.console.web import serve

        return serve(name, address, port=options.port, is_read_only=options.read_only)
    from sim.console.run import run_live

    return run_live(address, is_read_only=options.read_only)


def inject(options: argparse.Namespace) -> int:
    """One command to a run that goes on; prints what will happen, and when."""
    from sim.scenario.commands import parse_command

    words = list(options.words)
    if options.list or words[:1] == ["--list"]:
        from rich.console import Console

        from sim.console.show import print_commands

        print_commands(Console(highlight=False))
        return 0
    if not words:
        raise ScenarioError("expected a command, as `kill battery-2`; `sim inject --list`")
    name, client = connect(options.run)
    try:
        intro = client.ask("intro").intro
        if intro is None:
            raise SimError(f"{name} does not say who takes part in it")
        answer = client.ask("inject", parse_command(words, intro))
    finally:
        client.close()
    if not answer.is_ok:
        raise ScenarioError(answer.text)
    print(f"{name}  {answer.text}")
    return 0
