"""What it takes to run it again: the scenario, the commands, the versions."""

from __future__ import annotations

import shlex
from typing import Final

from sim.report.evidence import Evidence
from sim.report.page import ROWS_MAX, Cell, facts, tag
from sim.report.words import plain
from sim.scenario.schema import YOU
from sim.store.rundata import UNFINISHED

_HARMLESS: Final = ("recovered", "died")
"""Kinds of decisions that change nothing in a run."""


def scenario(run: Evidence) -> list[Cell]:
    """The scenario as it was run, without its comments."""
    if not run.data.scenario:
        return [tag("p", "There is no scenario.yaml in the directory.", "note")]
    lines = run.data.scenario.splitlines()
    body = "\n".join(line for line in lines if not line.startswith("#")).strip()
    return [tag("pre", body, "two" if body.count("\n") > ROWS_MAX else "")]


def reproduce(run: Evidence) -> list[Cell]:
    """Commands to type, and what equal digests need."""
    path = run.data.path
    words = [["sim", "verify", str(path)], ["sim", "replay", str(path)]]
    comments = [
        "runs it again and compares the digests at every step",
        "shows it again from its recording",
    ]
    outside = _outside(run)
    if not outside:
        words.insert(0, ["sim", "run", str(path / "scenario.yaml")])
        comments.insert(0, "the same run again, to the bit")
    if run.data.status in ("interrupted", UNFINISHED):
        words.append(["sim", "resume", str(path)])
        comments.append("goes on where it broke off")
    commands = [shlex.join(command) for command in words]
    width = max(map(len, commands))
    block = "\n".join(
        f"{c:{width}}   # {words_}" for c, words_ in zip(commands, comments, strict=True)
    )
    manifest = run.data.manifest
    packing = manifest.get("packing", {})
    versions = manifest.get("versions", {})
    parts: list[Cell] = [tag("pre", block, "commands")]
    if outside:
        parts.append(tag("p", outside))
    note = "Equal digests are promised for these versions and this kind of processor."
    if packing:
        options = ", ".join(f"{plain(k)} {v}" for k, v in packing.items())
        note += f" Packing, which does not matter to them: {options}."
    parts.append(tag("p", note, "note"))
    parts.append(facts((name, str(found), "") for name, found in versions.items()))
    return parts if versions else parts[:-1]


def _outside(run: Evidence) -> str:
    """What the scenario alone does not make again, as sentences."""
    if run.inputs or any(cause == YOU for _, _, cause in run.faults):
        return (
            "Commands by hand disturbed this run. They are in run.log, and sim verify gives them "
            "again at their times; the scenario alone makes another run."
        )
    if any(each.kind not in _HARMLESS for each in run.decisions):
        return (
            "Real time decided something in this run. It is in run.log, and sim verify decides it "
            "again; the scenario alone may make another run."
        )
    return ""
