"""What happened in a run: faults, decisions of real time, and what agents said."""

from __future__ import annotations

from typing import Final

import pandas as pd

from sim.online import LEARNED
from sim.report.curves import Mark
from sim.report.evidence import Evidence
from sim.report.page import ROWS_MAX, Cell, Raw, join, table, tag
from sim.report.words import clock
from sim.units import SECOND

_EVENTS_MAX: Final = 400
_STORY_MAX: Final = 30
_PLAIN_KINDS: Final = ("market", "info", "print", LEARNED)


def story(run: Evidence) -> list[Cell]:
    """Faults, decisions and events."""
    parts: list[Cell] = []
    if run.faults:
        rows = [
            [mark.label, clock(mark.begin), _until(run, mark), words, cause]
            for mark, words, cause in run.faults[: 3 * ROWS_MAX]
        ]
        parts += [tag("h3", "Faults"), table(["", "from", "until", "what", "by"], rows)]
    decisions = run.decisions
    if decisions:
        rows = [[clock(d.time_ns / SECOND), d.kind, d.text] for d in decisions[:ROWS_MAX]]
        parts += [tag("h3", "Decided in real time"), table(["time", "what", ""], rows)]
    events = run.data.events
    events = events[events["kind"] != "fault"]
    if len(events):
        told = events[~events["kind"].isin(_PLAIN_KINDS)]
        counts = events["kind"].value_counts()
        words = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
        parts += [tag("h3", "Events"), tag("p", f"Lines by kind: {words}.", "note")]
        if len(told):
            parts.append(_events(told.head(_STORY_MAX)))
        if len(told) < len(events) or len(told) > _STORY_MAX:
            is_all = len(events) <= _EVENTS_MAX
            head = tag(
                "summary", f"All {len(events):,}" if is_all else f"The first {_EVENTS_MAX:,}"
            )
            parts.append(tag("details", join([head, _events(events.head(_EVENTS_MAX))])))
    return parts or [tag("p", "Nothing went wrong, and nobody said anything.", "note")]


def _until(run: Evidence, mark: Mark) -> str:
    if mark.end <= mark.begin or mark.end >= run.end:
        return "the end" if mark.end >= run.end else "–"
    return clock(mark.end)


def _events(rows: pd.DataFrame) -> Raw:
    found = []
    for time, kind, agent, text in zip(
        rows["time"], rows["kind"], rows["agent"], rows["text"], strict=True
    ):
        line, _, frames = str(text).partition("\n")
        words: Cell = join([line, tag("pre", frames)], "") if frames else line
        found.append(
            [clock(time), tag("span", kind, "err") if kind == "error" else kind, agent, words]
        )
    return table(["time", "kind", "agent", ""], found)
