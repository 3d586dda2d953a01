"""What became of messages: lost and delayed by their ends, and the books by topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from sim.report.bars import histograms
from sim.report.cells import heat, shade
from sim.report.evidence import FEW, Evidence
from sim.report.page import ROWS_MAX, Cell, figure, join, table, tag
from sim.report.words import percent, span
from sim.units import size_text

_TOPICS_MAX: Final = 9
_LINES_MAX: Final = 40
_TIMES: Final = ("goodput", "half in", "95 % in", "99 % in")


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
    """Where every message ended, by topic and by link."""
    totals = run.data.summary.get("messages") or run.last_books
    if not totals:
        return []
    dropped = totals["dropped"]
    reasons = list(dropped)
    copies = ["duplicated"] if totals.get("duplicated") else []
    heads = ["topic", "sent", *copies, "delivered", *(f"dropped: {r}" for r in reasons),
             "in flight", "loss", "bytes", *_TIMES]  # fmt: skip
    by_topic = sorted(_topics(run), key=lambda line: -line["sent"])
    rows: list[list[Cell]] = [
        [line["topic"], *_line(line, copies, reasons), *_times(line)]
        for line in by_topic[:ROWS_MAX]
    ]
    rows.append(["all", *_line(totals, copies, reasons), *[""] * len(_TIMES)])
    css = [""] * (len(rows) - 1) + ["total"]
    begun = " + ".join(["sent", *copies])
    words = f"Every message ended in exactly one place: {begun} = delivered + dropped + in flight."
    return [
        table(heads, rows, range(1, len(heads)), row_css=css), tag("p", words, "note"),
        *_by_link(run, copies, reasons),
    ]  # fmt: skip


def _by_link(run: Evidence, copies: Sequence[str], reasons: Sequence[str]) -> list[Cell]:
    """The lines of the books that sent most."""
    lines = sorted(run.data.summary.get("accounts", ()), key=lambda line: -line["bytes"])
    if not lines or "goodput" not in lines[0]:
        return []
    shown = lines[:_LINES_MAX]
    told = [reason for reason in reasons if any(reason in line["dropped"] for line in shown)]
    heads = ["link", "topic", "sent", *copies, "delivered", *(f"dropped: {r}" for r in told),
             "in flight", "loss", "bytes", *_TIMES]  # fmt: skip
    rows: list[list[Cell]] = [
        [f"{each['source']} > {each['destination']}", each["topic"], *_line(each, copies, told),
         *_times(each)]
        for each in shown
    ]  # fmt: skip
    words = "By link and topic, most bytes first; goodput is what was delivered per virtual second."
    if len(lines) > len(shown):
        words += f" {len(lines) - len(shown):,} more are left out."
    return [
        tag("div", table(heads, rows, range(2, len(heads))), "scroll"), tag("p", words, "note")
    ]  # fmt: skip


def _topics(run: Evidence) -> list[dict[str, Any]]:
    """The books by topic, of older runs without delays."""
    topics = run.data.summary.get("topics")
    if topics is not None:
        return [{"topic": topic, **line} for topic, line in topics.items()]
    if not run.has_messages:
        return []
    found = []
    by_topic = run.data.links.groupby("topic", observed=True).sum(numeric_only=True)
    for topic, row in by_topic.iterrows():
        counts = {str(name): int(row[name]) for name in row.index}
        dropped = {n.partition(".")[2]: c for n, c in counts.items() if n.startswith("dropped.")}
        found.append({**counts, "topic": str(topic), "dropped": dropped})
    return found


def _line(line: Mapping[str, Any], copies: Sequence[str], reasons: Sequence[str]) -> list[Cell]:
    dropped = [line["dropped"].get(reason, 0) for reason in reasons]
    begun = [line["sent"], *(line.get(name, 0) for name in copies)]
    counts = [*begun, line["delivered"], *dropped, line["in_flight"]]
    loss = sum(line["dropped"].values()) / line["sent"] if line["sent"] else 0.0
    return [*(f"{int(n):,}" for n in counts), percent(loss), size_text(int(line["bytes"]))]


def _times(line: Mapping[str, Any]) -> list[Cell]:
    """Goodput, and how long messages took."""
    if "goodput" not in line:
        return [""] * len(_TIMES)
    delays = [line[f"delay_{name}"] for name in ("p50", "p95", "p99")]
    goodput = f"{size_text(round(line['goodput']))}/s" if line["goodput"] else ""
    return [goodput, *("" if delay is None else span(delay) for delay in delays)]
