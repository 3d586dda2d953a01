"""The head of a run's page: what ran, how far it came, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.report.evidence import Evidence
from sim.report.page import Cell, Raw, facts, join, tag
from sim.report.words import clock, many, span
from sim.store.rundata import UNFINISHED


def head(run: Evidence) -> Raw:
    """Name, status, figures and, if there was some, trouble."""
    data, summary, manifest = run.data, run.data.summary, run.data.manifest
    status = data.status
    wall = summary.get("wall_seconds")
    if wall is None and run.has_frames:
        wall = float(data.frames["wall_seconds"].iloc[-1])
    speed = f"{run.end / wall:,.0f}x real time" if wall else ""
    agents = summary.get("agents", len(run.intro.agents) if run.intro else None)
    processes = summary.get("processes")
    messages = summary.get("messages") or run.last_books
    machine = manifest.get("machine", {})
    words = " ".join(
        line.removeprefix("#").strip()
        for line in data.scenario.splitlines()
        if line.startswith("#")
    )
    digest = summary.get("digest") or (run.folds[-1].chain if run.folds else "")
    started = str(manifest.get("started", "")).replace("T", " ").replace("+00:00", " UTC")
    pairs: list[tuple[str, Cell, str]] = [
        ("seed", str(data.seed), ""),
        ("virtual time", span(run.end), ""),
        ("took", join([span(wall), " ", tag("small", speed)], "") if wall else "", ""),
        ("agents", _agents_words(agents, processes), ""),
        ("world steps", f"{summary['steps']:,}" if "steps" in summary else "", ""),
        ("messages", f"{messages['sent']:,}" if messages else "", ""),
        ("started", started, "wide"),
        ("digest", digest, "wide mono"),
        ("machine", _machine(machine), "wide"),
    ]
    parts: list[Cell] = [
        tag("p", "run report", "kicker"),
        tag("h1", join([data.name, tag("span", status, f"pill {status}")], " ")),
        tag("p", words, "about") if words else "",
        facts(pairs),
    ]
    return join([tag("header", join(parts)), *_trouble(run)])


def _machine(machine: Mapping[str, Any]) -> str:
    words = [machine.get("processor"), machine.get("cores") and f"{machine['cores']} cores"]
    return ", ".join(str(w) for w in [*words, machine.get("system")] if w)


def _agents_words(agents: int | None, processes: int | None) -> Cell:
    if agents is None:
        return ""
    where = many(processes, "process").replace("processs", "processes") if processes else ""
    return join([f"{agents:,} ", tag("small", f"in {where or 'one process'}")], "")


def _trouble(run: Evidence) -> list[Raw]:
    data, boxes = run.data, []
    error = data.summary.get("error", "")
    failures = data.summary.get("agent_failures", [])
    if error or (data.status == "failed"):
        parts: list[Cell] = [tag("p", tag("b", error or "The run failed."))]
        for failure in failures[:3]:
            cause = "" if failure["cause"] in error else f": {failure['cause']}"
            parts.append(tag("p", f"{failure['agent']} at {clock(failure['time'])}{cause}"))
            if failure.get("frames"):
                parts.append(tag("pre", failure["frames"]))
        boxes.append(tag("div", join(parts), "box failed"))
    elif failures:
        who = ", ".join(dict.fromkeys(f["agent"] for f in failures[:12]))
        words = f"{many(len(failures), 'failure')} of agents: {who}. The run went on."
        boxes.append(tag("div", tag("p", words), "box"))
    if data.status == "interrupted":
        words = f"Interrupted at {clock(run.end)}; everything below is up to there."
        boxes.append(tag("div", tag("p", words), "box"))
    if data.status == UNFINISHED:
        words = (
            "The run has not ended: it is still going on, or its broker was killed. "
            f"Everything below is up to {clock(run.end)}."
        )
        boxes.append(tag("div", tag("p", words), "box"))
    if run.missing:
        words = (
            f"{run.missing[0].upper()}{run.missing[1:]}: there are no curves, no links and "
            "no messages below."
        )
        boxes.append(tag("div", tag("p", words), "box"))
    if run.damage:
        boxes.append(tag("div", join(tag("p", words) for words in run.damage), "box"))
    return boxes
