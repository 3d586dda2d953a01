"""What is done with a run that was: replay, verify, resume, report, compare, export."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sim.cli.run import fix_hash_seed, print_json
from sim.errors import CheckpointError
from sim.units import format_ns, speed_factor

if TYPE_CHECKING:
    from rich.console import Console

    from sim.again import Verdict

DIFFERS = 1
"""Exit code of a verification that found a difference."""


def replay(options: argparse.Namespace) -> int:
    """The console on a recording."""
    from sim.console.run import run_recorded
    from sim.store.recording import open_recording
    from sim.store.rundir import find_run, refuse_other_kinds

    path = find_run(options.run)
    refuse_other_kinds(path)
    return run_recorded(open_recording(path))


def verify_run(options: argparse.Namespace) -> int:
    """Runs it again, compares, recounts."""
    from rich.console import Console

    from sim.again import read_past, verify
    from sim.console.progress import Display
    from sim.store.recount import recount
    from sim.store.rundir import find_run

    path = find_run(options.run)
    verdict: Verdict | None = None
    differences: list[str] = []
    errors = Console(stderr=True, highlight=False)
    if not options.books:
        if not options.processes and options.is_command:
            fix_hash_seed()
        past = read_past(path)
        differences = past.differences()
        for text in differences:
            errors.print(f"! {text}", style="yellow", highlight=False, markup=False)
        with Display(f"verify {path.name}", errors, errors.is_terminal) as display:
            verdict = verify(past, inline=not options.processes, on_progress=display)
    try:
        books = recount(path)
        is_counted = True
    except CheckpointError as error:
        books, is_counted = [], False
        errors.print(f"books not recounted: {error}", style="yellow", markup=False)
        if options.books:
            raise
    is_same = (verdict is None or verdict.is_proven) and not books
    if options.json:
        print_json(_document(path.name, verdict, differences, books if is_counted else None))
    else:
        _print_verdict(Console(highlight=False), verdict, books if is_counted else None)
    return 0 if is_same else DIFFERS


def _document(
    name: str, verdict: Verdict | None, differences: list[str], books: list[str] | None
) -> dict[str, Any]:
    document: dict[str, Any] = {"run": name, "differences": differences, "books": books}
    if verdict is not None:
        document |= {
            "is_same": verdict.is_same, "folds": verdict.folds, "is_whole": verdict.is_whole,
            "reached_seconds": verdict.reached_ns / 1e9, "parting": verdict.parting,
            "details": verdict.details, "doubts": verdict.doubts,
        }  # fmt: skip
    return document


def _print_verdict(console: Console, verdict: Verdict | None, books: list[str] | None) -> None:
    if verdict is not None and verdict.is_same:
        whole = "to its end" if verdict.is_whole else "as far as its log goes"
        console.print(
            f"[bold green]the same run[/]  {verdict.folds:,} folds agree, to "
            f"{format_ns(verdict.reached_ns)}, {whole}"
        )
        for text in verdict.doubts:
            console.print(f"! {text}", style="red", markup=False, soft_wrap=True)
    elif verdict is not None:
        console.print(f"[bold red]another run[/]  {verdict.folds:,} folds agree, then")
        for text in (verdict.parting, *verdict.details):
            console.print(f"  {text}", markup=False)
    if books is not None and not books:
        console.print("[bold green]books agree[/]  every message counted again, from the record")
    for text in books or ():
        console.print(f"books: {text}", style="red", markup=False)


def resume_run(options: argparse.Namespace) -> int:
    """Goes on to the end; says first what it will cost."""
    from rich.console import Console

    from sim.again import price, read_past, resume
    from sim.console.progress import Display
    from sim.console.summary import print_result
    from sim.store.rundir import find_run, run_name

    path = find_run(options.run)
    past = read_past(path)
    errors = Console(stderr=True, highlight=False)
    if past.inline and options.is_command:
        fix_hash_seed()
    for text in past.differences():
        errors.print(f"! {text}", style="yellow", highlight=False, markup=False)
    errors.print(price(past), markup=False, soft_wrap=True)
    speed = speed_factor(options.speed) if options.speed else float("inf")
    with Display(past.scenario.name, errors, errors.is_terminal) as display:
        result = resume(
            past, speed=speed, compare=not options.no_baselines, on_progress=display
        )  # fmt: skip
    if options.json:
        print_json(result.summary())
        print_result(errors, result)
    else:
        print_result(Console(highlight=False), result, ["sim", "verify", str(run_name(path))])
    return result.exit_code


def report(options: argparse.Namespace) -> int:
    """One page."""
    from sim.report.report import write_report

    print(write_report(options.run, options.out))
    return 0


def compare(options: argparse.Namespace) -> int:
    """Several runs side by side."""
    from rich.console import Console

    from sim.console.comparing import print_comparison
    from sim.report.compare import FILE, compare_runs
    from sim.store.difference import differences

    found = differences(options.runs)
    print_comparison(Console(highlight=False), found)
    print(compare_runs(found, options.out or FILE))
    return 0


def export_run(options: argparse.Namespace) -> int:
    """The tables as files."""
    from sim.store.export import export

    export(options.run, options.to, options.out)
    return 0
