"""The agents of a run: what each came to, and who was up when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.report.colours import STATES
from sim.report.curves import timeline
from sim.report.evidence import FEW, Evidence
from sim.report.page import ROWS_MAX, Cell, Raw, figure, join, key, table, tag
from sim.report.words import clock, many, number
from sim.units import SECOND


def agents(run: Evidence) -> list[Cell]:
    """A row per agent, or per role and player if they are many."""
    failures = run.data.summary.get("agent_failures", [])
    if not run.has_frames:
        if not failures:
            return []
        told = [[f["agent"], clock(f["time"]), f["cause"], f["policy"]] for f in failures]
        return [table(["agent", "time", "cause", "then"], told)]
    last = run.data.agents.tail(len(run.intro.agents)).copy()
    last["failures"] = [
        sum(f["agent"] == name for f in failures) for name in last["agent"].astype(str)
    ]
    last["role"] = [str(role) or "further" for role in last["role"]]
    last["player"] = [_player(str(p)) for p in last["player"]]
    if len(last) <= ROWS_MAX:
        return [_agent_table(last)]
    notable = last[
        (last["failures"] > 0) | (last["restarts"] > 0) | ~last["state"].isin(["up", "finished"])
    ]
    parts: list[Cell] = [_role_table(last)]
    if len(notable):
        parts += [tag("h3", "Those with failures or restarts"), _agent_table(notable)]
    return parts


def _agent_table(rows: pd.DataFrame) -> Raw:
    optional = [n for n in ("failures", "restarts", "late", "missing") if rows[n].any()]
    found = []
    for row in rows.to_dict("records"):
        state = str(row["state"])
        shown = tag("span", state, "err") if state in ("down", "failed", "hung") else state
        note = tag("small", f" {row['note']}") if row["note"] else ""
        found.append(
            [row["agent"], row["role"], row["player"], join([shown, note], ""),
             f"{row['sent']:,}", f"{row['received']:,}", number(row["score"]),
             *(f"{row[name]:,}" if row[name] else "·" for name in optional)]
        )  # fmt: skip
    heads = ["agent", "role", "player", "at the end", "sent", "received", "score", *optional]
    return table(heads, found, range(4, len(heads)))


def _role_table(rows: pd.DataFrame) -> Raw:
    found = []
    for (role, player), group in rows.groupby(["role", "player"], sort=False):
        states = group["state"].value_counts()
        words = ", ".join(f"{count} {state}" for state, count in states.items())
        found.append(
            [str(role), str(player), str(len(group)), words,
             *(f"{int(group[n].sum()):,}" for n in ("sent", "received")),
             number(float(group["score"].mean())),
             *(f"{int(group[n].sum()):,}" for n in ("failures", "restarts", "late", "missing"))]
        )  # fmt: skip
    heads = [
        "role", "player", "agents", "at the end", "sent", "received", "mean score", "failures",
        "restarts", "late", "missing",
    ]  # fmt: skip
    return table(heads, found, [2, *range(4, len(heads))])


def states(run: Evidence) -> list[Cell]:
    """Who was up, down or hung when; who was always up is counted."""
    if not run.has_frames:
        return []
    size_ = len(run.intro.agents)
    state = run.data.agents["state"].to_numpy().reshape(-1, size_)
    times = np.array(run.data.recording.times) / SECOND
    steady, rows = 0, []
    for i, card in enumerate(run.intro.agents):
        column = state[:, i]
        spans = _spans(times, column, run.end)
        is_steady = {s for _, _, s in spans} <= {"up", "finished"}
        if is_steady and size_ > FEW:
            steady += 1
            continue
        if set(column) != {"absent"}:
            rows.append((card.name, spans))
    if not rows:
        return [tag("p", f"All {size_} agents were up from beginning to end.")]
    shown = rows[:ROWS_MAX]
    words = []
    if steady:
        words.append(f"The other {many(steady, 'agent')} were up from beginning to end.")
    if len(rows) > len(shown):
        words.append(f"{len(rows) - len(shown)} more that were not are left out.")
    used = {s for _, spans in shown for _, _, s in spans}
    legend = key(((STATES[s], s) for s in STATES if s in used and s != "absent"), "square")
    return [figure(timeline("states", shown, run.end, run.marks)), legend,
            tag("p", " ".join(words), "note") if words else ""]  # fmt: skip


def _player(behaviour: str) -> str:
    """`agents.behaviours.smart_grid:Battery` is `rule: Battery`; a file is its name."""
    module, _, name = behaviour.rpartition(":")
    if module.startswith("agents.behaviours."):
        return f"rule: {name}"
    return f"{Path(module).name}:{name}" if "/" in module else behaviour


def _spans(times: Any, states: Any, end: float) -> list[tuple[float, float, str]]:
    """(begin, end, state) of runs of equal states."""
    changes = [0, *(np.flatnonzero(states[1:] != states[:-1]) + 1).tolist()]
    found = []
    for at, first in enumerate(changes):
        begin = 0.0 if first == 0 else float(times[first])
        stop = float(times[changes[at + 1]]) if at + 1 < len(changes) else max(end, begin)
        found.append((begin, stop, str(states[first])))
    return [each for each in found if each[1] > each[0]] or found[-1:]
