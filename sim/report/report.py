"""`sim report`: one run on one page, to read, to send and to print.

Works for every run that left a directory: completed, failed, interrupted, with a recording or
without. What is not there is said where it would stand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sim.errors import CheckpointError
from sim.report import evaluation, sweep, training
from sim.report.agents import agents, states
from sim.report.courses import metrics, rewards
from sim.report.evidence import Evidence
from sim.report.head import head
from sim.report.learning import learning
from sim.report.outcome import outcome
from sim.report.page import Raw, page, save, section, tag
from sim.report.reproduce import reproduce, scenario
from sim.report.resources import processes
from sim.report.story import story
from sim.report.traffic import books, delays, links
from sim.store.rundata import RunData, load

FILE: Final = "report.html"
_OTHERS: Final = {
    training.KIND: training.report, evaluation.KIND: evaluation.report, sweep.KIND: sweep.report,
}  # fmt: skip
"""Pages of runs that are no run of one episode."""


def write_report(run: str | Path | RunData = "last", out: str | Path | None = None) -> Path:
    """The page of a run; default `report.html` in its directory.

    Raises: UnknownKeyError for no run; SimError if it cannot be written.
    """
    data = run if isinstance(run, RunData) else load(run)
    target = Path(out) if out is not None else data.path / FILE
    return save(target, (_OTHERS.get(data.kind) or report)(data))


def report(data: RunData) -> str:
    """The page's text. Raises: CheckpointError if there is nothing to report."""
    run = Evidence(data)
    try:
        return _page(run)
    except CheckpointError as error:
        if run.missing:
            raise
        return _page(Evidence(data, unreadable=str(error)))


def _page(run: Evidence) -> str:
    data = run.data
    versions = data.manifest.get("versions", {})
    foot = f"{data.path}  ·  sim {versions.get('sim', '')}".rstrip(" ·")
    return page(f"{data.name}, seed {data.seed}", head(run), _sections(run), foot)


def _sections(run: Evidence) -> list[Raw]:
    lack = [tag("p", f"No metrics over time: {run.missing}.", "note")]
    return [
        section("Outcome", *outcome(run)),
        section("Metrics over time", *(metrics(run) or lack)),
        section("Rewards", *rewards(run)),
        section("Learning", *learning(run)),
        section("Agents", *agents(run), css="page"),
        section("Who was up when", *states(run)),
        section("Links", *links(run)),
        section("Delays", *delays(run)),
        section("Books", *books(run)),
        section("Processes", *processes(run)),
        section("Faults and events", *story(run)),
        section("Scenario", *scenario(run), css="page"),
        section("Reproduce", *reproduce(run)),
    ]
