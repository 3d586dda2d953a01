"""What became of messages: lost and delayed by their ends, and the books by topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from sim.report.bars import histograms
from sim.report.cells import heat, shade
from sim.report.evidence import FEW, Evidence
from sim.report.page import ROWS_MAX, Cell, figure, join, table, tag
from sim.report.words import percent, span
from sim.units import size_text

_TOPICS_MAX: Final = 9


def links(run: Evidence) -> list[Cell]:
    """Loss and delay from end to end, as two heat maps."""
    if not run.has_frames:
        return []
    if not run.has_messages:
        return [tag("p", "Messages were not recorded.", "note")]
    links = run.data.links
    if not len(links):
        return [tag("p", "No message was sent.", "note")]
    names = [card.name for card in run.intro.agents]
    roles = {card.name: card.role or "further" for card in run.intro.agents}
    is_few = len(names) <= FEW
    end_of = {name: name if is_few else roles[name] for name in names}
    m = run.data.messages
    place = {name: i for i, name in enumerate(names)}
    ends = list(dict.fromkeys(end_of[name] for name in names))
    number_of = np.array([ends.index(end_of[name]) for name in place])
    n = len(ends)
    pair = number_of[m["sender"].cat.codes] * n + number_of[m["receiver"].cat.codes]
    fate = m["fate"].astype(str).to_numpy()
    sent = np.bincount(pair, minlength=n * n).reshape(n, n)
    is_lost = (fate != "delivered") & (fate != "in flight")
    lost = np.bincount(pair[is_lost], minlength=n * n).reshape(n, n)
    delays = m["delay"].groupby(pair).quantile(0.95)
    p95 = delays.reindex(range(n * n)).to_numpy(dtype=float).reshape(n, n)
    active = [i for i in range(n) if sent[i].any() or sent[:, i].any()]
    share = np.where(sent > 0, lost / np.maximum(sent, 1), np.nan)
    top = max(np.nanmax(share), 1e-9)
    slow = np.nanmax(p95) if np.isfinite(p95).any() else 1.0
    fast = np.nanmin(p95) if np.isfinite(p95).any() else 0.0
    between = max(slow - fast, 1e-9)
    blue = (47, 95, 208)
    heats = [
        tag("div", join([tag("h3", "Lost, of those sent"), heat(
            ends, active, share, percent, lambda v: shade(v / max(top, 0.05)))]), "keep"),
        tag("div", join([tag("h3", "Delay, 95 % are faster"), heat(
            ends, active, p95, span, lambda v: shade(0.08 + 0.8 * (v - fast) / between, blue))
        ]), "keep"),
    ]  # fmt: skip
    words = "A row sends to the columns." + ("" if is_few else " Agents are summed by role.")
    return [tag("div", join(heats), "pair scroll"), tag("p", words, "note")]


def delays(run: Evidence) -> list[Cell]:
    """How long delivered messages took, by topic or by roles."""
    if not run.has_messages:
        return []
    m = run.data.messages
    delivered = m[m["fate"] == "delivered"]
    if not len(delivered):
        return []
    counts = delivered["topic"].value_counts()
    topics = [str(topic) for topic, count in counts.items() if count][:_TOPICS_MAX]
    if len(topics) == 1:
        roles = {card.name: card.role or "further" for card in run.intro.agents}
        pairs = (
            delivered["sender"].astype(str).map(roles)
            + " to "
            + delivered["receiver"].astype(str).map(roles)
        )
        if pairs.nunique() > 1:
            groups = {
                str(name): delivered["delay"][pairs == name].to_numpy()
                for name in pairs.value_counts().index[:_TOPICS_MAX]
            }
            return [figure(histograms("delays", groups), "Delivered messages, by roles.")]
    groups = {t: delivered["delay"][delivered["topic"] == t].to_numpy() for t in topics}
    left = (counts > 0).sum() - len(topics)
    words = "Delivered messages by topic: how many took how long, on one logarithmic axis."
    words += f" {left} smaller topics are left out." if left else ""
    made = histograms("delays", groups, columns=min(3, max(len(groups), 1)))
    return [figure(made, words)] if made else []


def books(run: Evidence) -> list[Cell]:
    """Where every message ended."""
    totals = run.data.summary.get("messages") or run.last_books
    if not totals:
        return []
    dropped = totals["dropped"]
    reasons = list(dropped)
    copies = ["duplicated"] if totals.get("duplicated") else []
    heads = ["topic", "sent", *copies, "delivered", *(f"dropped: {r}" for r in reasons),
             "in flight", "loss", "bytes"]  # fmt: skip
    rows: list[list[Cell]] = []
    if run.has_messages:
        by_topic = run.data.links.groupby("topic", observed=True).sum(numeric_only=True)
        for topic, row in by_topic.sort_values("sent", ascending=False).iterrows():
            rows.append(
                [str(topic), *_counts(row, copies, reasons), percent(row["dropped"] / row["sent"]),
                 size_text(row["bytes"])]
            )  # fmt: skip
    rows = rows[:ROWS_MAX]
    lost = sum(dropped.values())
    rows.append(
        ["all", f"{totals['sent']:,}", *(f"{totals[name]:,}" for name in copies),
         f"{totals['delivered']:,}",
         *(f"{dropped[r]:,}" for r in reasons), f"{totals['in_flight']:,}",
         percent(lost / totals["sent"] if totals["sent"] else 0.0), size_text(totals["bytes"])]
    )  # fmt: skip
    css = [""] * (len(rows) - 1) + ["total"]
    begun = " + ".join(["sent", *copies])
    words = f"Every message ended in exactly one place: {begun} = delivered + dropped + in flight."
    return [table(heads, rows, range(1, len(heads)), row_css=css), tag("p", words, "note")]


def _counts(row: pd.Series[Any], copies: Sequence[str], reasons: Sequence[str]) -> list[str]:
    dropped = [row.get(f"dropped.{reason}", 0) for reason in reasons]
    begun = [row["sent"], *(row[name] for name in copies)]
    values = [*begun, row["delivered"], *dropped, row["in_flight"]]
    return [f"{int(value):,}" for value in values]
