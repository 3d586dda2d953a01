"""What the processes of a run used."""

from __future__ import annotations

from sim.report.bars import bars
from sim.report.evidence import Evidence
from sim.report.page import Cell, figure, tag
from sim.report.words import span
from sim.units import size_text


def processes(run: Evidence) -> list[Cell]:
    """The largest processes by memory and by processor time."""
    if not run.has_frames:
        return []
    agents = run.data.agents
    seen = agents[agents["pid"] > 0]
    if not len(seen):
        return [tag("p", "All agents ran in the broker's process.", "note")]
    most = seen.groupby("agent", observed=True)[["rss", "cpu"]].max()
    shown = 15
    memory = most["rss"].sort_values(ascending=False).head(shown)
    cpu = most["cpu"].sort_values(ascending=False).head(shown)
    made = bars("processes", [
        ("Memory, at most", [(str(k), float(v)) for k, v in memory.items()], size_text),
        ("Processor time", [(str(k), float(v)) for k, v in cpu.items()], span),
    ])  # fmt: skip
    left = len(most) - shown
    hosts = {c.host for c in run.intro.agents if c.host >= 0}
    words = (
        f"Together at most {size_text(float(most['rss'].sum()))} and "
        f"{span(float(most['cpu'].sum()))} of processor time"
    )
    if len(hosts) < len(most):
        words = "Agents that share a process show the whole of it"
    words += f". The largest {shown} of {len(most)}." if left > 0 else "."
    return [figure(made, words)]
