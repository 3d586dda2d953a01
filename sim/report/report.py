"""`sim report`: one run on one page, to read, to send and to print.

Works for every run that left a directory: completed, failed, interrupted, with a recording or
without. What is not there is said where it would stand.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from sim.errors import CheckpointError
from sim.outcome import BOUNDS, GAP, NO_CONTROL, RULE, bound_of
from sim.report.page import Cell, Raw, facts, figure, join, key, page, save, section, table, tag
from sim.report.plots import (
    COLOURS,
    STATES,
    Curve,
    Mark,
    Panel,
    bars,
    histograms,
    panels,
    shade,
    strip,
    timeline,
    wide,
)
from sim.report.words import clock, many, number, percent, plain, size, span
from sim.store.rundata import UNFINISHED, RunData, load
from sim.units import SECOND

FILE: Final = "report.html"
RUN, PALE = "#2f5fd0", "#c3cad6"
REFERENCES: Final = {NO_CONTROL: "#a3adbd", RULE: "#dd7a2b", **dict.fromkeys(BOUNDS, "#22967f")}
_ENDS_MAX: Final = 12
_ROWS_MAX: Final = 40
_TOPICS_MAX: Final = 9
_CURVES_MAX: Final = 6
_EVENTS_MAX: Final = 400
_STORY_MAX: Final = 30
_PLAIN_KINDS: Final = ("market", "info", "print")
_BINS: Final = 96
_PANELS: Final = 12
"""Small pictures in one figure, which a printed page keeps together."""


def write_report(run: str | Path | RunData = "last", out: str | Path | None = None) -> Path:
    """The page of a run; default `report.html` in its directory.

    Raises: UnknownKeyError for no run; SimError if it cannot be written.
    """
    data = run if isinstance(run, RunData) else load(run)
    target = Path(out) if out is not None else data.path / FILE
    return save(target, report(data))


def report(data: RunData) -> str:
    """The page's text."""
    return _Report(data).page()


class _Report:
    """What several sections need of a run."""

    def __init__(self, data: RunData) -> None:
        self.data = data
        self.missing = ""
        self.intro: Any = None
        self.damage = ""
        if not data.has_recording:
            self.missing = "the run kept no recording (events.mcap)"
        else:
            try:
                self.intro = data.recording.intro
                if not data.recording.times:
                    self.missing = "the recording breaks off before its first frame"
                elif not data.recording.is_whole:
                    self.damage = (
                        "The recording breaks off at "
                        f"{clock(data.recording.times[-1] / SECOND)}; what is below ends there."
                    )
            except CheckpointError as error:
                self.missing = str(error)
        self.has_frames = not self.missing
        self.has_messages = self.has_frames and data.recording.has_messages
        self.end = data.reached
        self.faults = self._fault_marks()
        self.units, self.better, self.objective, self.help = self._cards()

    def _cards(self) -> tuple[dict[str, str], dict[str, str], str, dict[str, str]]:
        cards = self.intro.metrics if self.intro else ()
        objective = next((c.name for c in cards if c.objective), "")
        return (
            {c.name: c.unit for c in cards},
            {c.name: c.better for c in cards},
            objective,
            {c.name: c.help for c in cards},
        )

    def _fault_marks(self) -> list[tuple[Mark, str, str]]:
        """Faults that struck, with their numbers, their words, and until when they held."""
        found: list[tuple[Mark, str, str]] = []
        if self.has_frames:
            seen: dict[int, tuple[dict[str, Any], float]] = {}
            times = [*self.data.recording.times[1:], round(self.end * SECOND)]
            for later, part in zip(times, self.data.recording.parts("/faults"), strict=True):
                for fault in part["faults"]:
                    seen[fault["id"]] = (fault, later / SECOND)
            told = sorted(seen.values(), key=lambda f: (f[0]["since_ns"], f[0]["id"]))
            for fault, last in told:
                begin, until = fault["since_ns"] / SECOND, fault["until_ns"] / SECOND
                stop = min(until, self.end) if until > begin else last
                found.append(
                    (Mark(begin, stop, str(len(found) + 1)), fault["text"], fault["cause"])
                )
        else:
            faults = self.data.faults
            for time, is_on, text in zip(
                faults["time"], faults["is_on"], faults["text"], strict=True
            ):
                if is_on:
                    found.append((Mark(time, time, str(len(found) + 1)), text, ""))
        return found

    @property
    def marks(self) -> list[Mark]:
        return [mark for mark, _, _ in self.faults]

    # --- the page -------------------------------------------------------------------------------

    def page(self) -> str:
        data = self.data
        title = f"{data.name}, seed {data.seed}"
        versions = data.manifest.get("versions", {})
        foot = f"{data.path}  ·  sim {versions.get('sim', '')}".rstrip(" ·")
        return page(title, self.head(), self.sections(), foot)

    def sections(self) -> list[Raw]:
        lack = self._lack
        return [
            section("Outcome", *self.outcome()),
            section("Metrics over time", *(self.metrics() or lack("metrics over time"))),
            section("Rewards", *self.rewards()),
            section("Agents", *self.agents(), css="page"),
            section("Who was up when", *self.states()),
            section("Links", *self.links()),
            section("Delays", *self.delays()),
            section("Books", *self.books()),
            section("Processes", *self.processes()),
            section("Faults and events", *self.story()),
            section("Scenario", *self.scenario(), css="page"),
            section("Reproduce", *self.reproduce()),
        ]

    def _lack(self, what: str) -> list[Cell]:
        return [tag("p", f"No {what}: {self.missing}.", "note")]

    # --- head -----------------------------------------------------------------------------------

    def head(self) -> Raw:
        data, summary, manifest = self.data, self.data.summary, self.data.manifest
        status = data.status
        wall = summary.get("wall_seconds")
        if wall is None and self.has_frames:
            wall = float(data.frames["wall_seconds"].iloc[-1])
        speed = f"{self.end / wall:,.0f}x real time" if wall else ""
        agents = summary.get("agents", len(self.intro.agents) if self.intro else None)
        processes = summary.get("processes")
        messages = summary.get("messages") or self._last_books()
        machine = manifest.get("machine", {})
        words = " ".join(
            line.removeprefix("#").strip()
            for line in data.scenario.splitlines()
            if line.startswith("#")
        )
        digest = summary.get("digest") or (data.folds[-1][1] if data.folds else "")
        started = str(manifest.get("started", "")).replace("T", " ").replace("+00:00", " UTC")
        pairs: list[tuple[str, Cell, str]] = [
            ("seed", str(data.seed), ""),
            ("virtual time", span(self.end), ""),
            ("took", join([span(wall), " ", tag("small", speed)], "") if wall else "", ""),
            ("agents", self._agents_words(agents, processes), ""),
            ("world steps", f"{summary['steps']:,}" if "steps" in summary else "", ""),
            ("messages", f"{messages['sent']:,}" if messages else "", ""),
            ("started", started, "wide"),
            ("digest", digest, "wide mono"),
            ("machine", self._machine(machine), "wide"),
        ]
        parts: list[Cell] = [
            tag("p", "run report", "kicker"),
            tag("h1", join([data.name, tag("span", status, f"pill {status}")], " ")),
            tag("p", words, "about") if words else "",
            facts(pairs),
        ]
        return join([tag("header", join(parts)), *self._trouble()])

    def _machine(self, machine: Mapping[str, Any]) -> str:
        words = [machine.get("processor"), machine.get("cores") and f"{machine['cores']} cores"]
        return ", ".join(str(w) for w in [*words, machine.get("system")] if w)

    def _agents_words(self, agents: int | None, processes: int | None) -> Cell:
        if agents is None:
            return ""
        where = many(processes, "process").replace("processs", "processes") if processes else ""
        return join([f"{agents:,} ", tag("small", f"in {where or 'one process'}")], "")

    def _last_books(self) -> dict[str, Any]:
        if not self.has_frames:
            return {}
        books: dict[str, Any] = self.data.recording.part(
            "/books", len(self.data.recording.times) - 1
        )
        return books

    def _trouble(self) -> list[Raw]:
        data, boxes = self.data, []
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
            words = f"Interrupted at {clock(self.end)}; everything below is up to there."
            boxes.append(tag("div", tag("p", words), "box"))
        if data.status == UNFINISHED:
            words = (
                "The run has not ended: it is still going on, or its broker was killed. "
                f"Everything below is up to {clock(self.end)}."
            )
            boxes.append(tag("div", tag("p", words), "box"))
        if self.missing:
            words = (
                f"{self.missing[0].upper()}{self.missing[1:]}: there are no curves, no links and "
                "no messages below."
            )
            boxes.append(tag("div", tag("p", words), "box"))
        if self.damage:
            boxes.append(tag("div", tag("p", self.damage), "box"))
        return boxes

    # --- outcome --------------------------------------------------------------------------------

    def outcome(self) -> list[Cell]:
        summary = self.data.summary
        metrics: dict[str, Any] = summary.get("metrics") or {}
        if not metrics and self.has_frames:
            last = self.data.metrics.iloc[-1]
            metrics = {str(name): float(value) for name, value in last.items()}
        if not metrics:
            return [tag("p", "The world has no metrics, or none was written.", "note")]
        reference = summary.get("reference", {})
        order = [name for name in (NO_CONTROL, RULE, *BOUNDS) if name in reference]
        order += [name for name in reference if name not in order]
        colours = {**{name: PALE for name in order}, **REFERENCES, "run": RUN}
        names = sorted(metrics, key=lambda n: (n != self.objective, n != GAP))
        rows, css, zeros = [], [], []
        for name in names:
            values = [reference[column].get(name) for column in order]
            known = [metrics[name], *values]
            if name not in (self.objective, GAP) and not any(known):
                zeros.append(plain(name))
                continue
            dots = [(_float(metrics[name]), RUN)]
            dots += [(_float(v), colours[c]) for c, v in zip(order, values, strict=True)]
            show = percent if name == GAP else number
            rows.append(
                [self._metric_words(name), show(metrics[name]), *(show(v) for v in values),
                 *([strip(dots)] if order else [])]
            )  # fmt: skip
            css.append("first" if name == self.objective else "")
        width = len(order) + 2
        body = table(
            ["", "this run", *order, *([""] if order else [])],
            rows,
            range(1, width),
            css="full" if order else "",
            row_css=css,
            cell_css={
                **{(row, 1): "own" for row in range(len(rows))},
                **{(row, width): "strip" for row in range(len(rows))},
            },
        )
        legend = key([(RUN, "this run"), *((colours[name], name) for name in order)])
        parts: list[Cell] = [self._verdict(metrics, reference), legend if order else "", body]
        if zeros:
            parts.append(tag("p", f"Zero everywhere: {', '.join(zeros)}.", "note"))
        if not order and self.data.status == "completed":
            parts.append(tag("p", "It was run without columns to compare with.", "note"))
        return parts

    def _metric_words(self, name: str) -> Raw:
        arrow = {"lower": " ↓", "higher": " ↑"}.get(self.better.get(name, ""), "")
        unit = self.units.get(name, "")
        return join([plain(name), tag("small", f" {unit}{arrow}")], "")

    def _verdict(self, metrics: Mapping[str, Any], reference: Mapping[str, Any]) -> Cell:
        name = self.objective
        if not name or metrics.get(name) is None:
            return ""
        unit = self.units.get(name, "")
        words = f"The objective, {plain(name)}, came to {number(metrics[name])} {unit}".rstrip()
        others = []
        for column, verb in ((NO_CONTROL, "with nobody acting"), (RULE, "by the world's rules")):
            value = reference.get(column, {}).get(name)
            if value is not None:
                others.append(f"{number(value)} {verb}")
        bound = bound_of(reference)
        if bound and reference[bound].get(name) is not None:
            others.append(f"{number(reference[bound][name])} at the {bound}")
        words += f", against {', '.join(others)}." if others else "."
        gap = metrics.get(GAP)
        if gap is not None and bound:
            words += f" The gap is {percent(gap)}: 0 % is the {bound}, 100 % is doing nothing."
        return tag("p", words)

    # --- over time ------------------------------------------------------------------------------

    def metrics(self) -> list[Cell]:
        if not self.has_frames:
            return []
        table_ = self.data.metrics
        x = table_.index.to_numpy(dtype=float)
        reference = self.data.summary.get("reference", {})
        curves, still = [], []
        for name in table_.columns:
            y = table_[name].to_numpy(dtype=float)
            known = y[np.isfinite(y)]
            if not len(known) or np.ptp(known) <= 1e-9 * max(abs(known).max(), 1e-9):
                still.append(plain(name))
                continue
            curves.append((name, y))
        parts: list[Cell] = []
        for name, y in curves:
            if name == self.objective:
                courses = [
                    Curve(
                        column, course.index.to_numpy(dtype=float), course[name].to_numpy(),
                        REFERENCES.get(column, PALE),
                    )
                    for column, course in self.data.courses.items() if name in course
                ]  # fmt: skip
                drawn = {curve.label for curve in courses}
                levels = [
                    (reference[c][name], f"{c}, at the end", REFERENCES.get(c, PALE))
                    for c in reference
                    if reference[c].get(name) is not None and c not in drawn
                ]
                all_curves = [*courses, Curve("this run", x, y, RUN)]
                panel = Panel(plain(name), all_curves, self.units.get(name, ""), levels)
                parts.append(figure(wide("objective", panel, self.end, self.marks)))
        small = [
            Panel(plain(name), [Curve("", x, y, RUN)], self.units.get(name, ""))
            for name, y in curves
            if name != self.objective
        ]
        for at in range(0, len(small), _PANELS):
            part = small[at : at + _PANELS]
            parts.append(figure(panels(f"metrics{at}", part, self.end, self.marks)))
        words = []
        if self.marks:
            words.append("Orange: faults, as numbered in the list of faults.")
        if still:
            words.append(f"Constant: {', '.join(still)}.")
        parts.append(tag("p", " ".join(words), "note") if words else "")
        return parts

    def rewards(self) -> list[Cell]:
        if not self.has_frames:
            return []
        cards = [(i, c) for i, c in enumerate(self.intro.agents) if c.role in self.intro.actions]
        size_ = len(self.intro.agents)
        reward = self.data.agents["reward"].to_numpy(dtype=float).reshape(-1, size_)
        x = np.array(self.data.recording.times) / SECOND
        acting = [i for i, _ in cards if np.ptp(reward[:, i]) > 0]
        if not acting:
            return [tag("p", "Nobody was given a reward.", "note")]
        x, binned = _binned(x, reward)
        roles: dict[str, list[int]] = {}
        for i, card in cards:
            if i in acting:
                roles.setdefault(card.role, []).append(i)
        if len(acting) <= _CURVES_MAX:
            alike: dict[bytes, list[int]] = {}
            for i in acting:
                alike.setdefault(binned[:, i].tobytes(), []).append(i)
            curves = [
                Curve(
                    ", ".join(self.intro.agents[i].name for i in same),
                    x, binned[:, same[0]], COLOURS[k],
                )
                for k, same in enumerate(alike.values())
            ]  # fmt: skip
            made = wide("rewards", Panel("reward of a decision", curves), self.end, self.marks)
            return [figure(made)]
        small = []
        for role, members in roles.items():
            group = binned[:, members]
            low, high = np.quantile(group, [0.1, 0.9], axis=1)
            is_one = len(members) == 1
            small.append(
                Panel(
                    f"{role}" if is_one else f"{role}, mean of {len(members)}",
                    [Curve("", x, group.mean(axis=1), RUN, None if is_one else low,
                           None if is_one else high)],
                )
            )  # fmt: skip
        words = "Reward of a decision. The band holds the middle 80 % of the agents of a role."
        figures: list[Cell] = [
            figure(panels(f"rewards{at}", small[at : at + _PANELS], self.end, self.marks))
            for at in range(0, len(small), _PANELS)
        ]
        return [*figures, tag("p", words, "note")]

    # --- agents ---------------------------------------------------------------------------------

    def agents(self) -> list[Cell]:
        failures = self.data.summary.get("agent_failures", [])
        if not self.has_frames:
            if not failures:
                return []
            told = [[f["agent"], clock(f["time"]), f["cause"], f["policy"]] for f in failures]
            return [table(["agent", "time", "cause", "then"], told)]
        last = self.data.agents.tail(len(self.intro.agents)).copy()
        last["failures"] = [
            sum(f["agent"] == name for f in failures) for name in last["agent"].astype(str)
        ]
        last["role"] = [str(role) or "further" for role in last["role"]]
        last["player"] = [_player(str(p)) for p in last["player"]]
        if len(last) <= _ROWS_MAX:
            return [self._agent_table(last)]
        notable = last[
            (last["failures"] > 0)
            | (last["restarts"] > 0)
            | ~last["state"].isin(["up", "finished"])
        ]
        parts: list[Cell] = [self._role_table(last)]
        if len(notable):
            parts += [tag("h3", "Those with failures or restarts"), self._agent_table(notable)]
        return parts

    def _agent_table(self, rows: pd.DataFrame) -> Raw:
        optional = [n for n in ("failures", "restarts", "late", "missing") if rows[n].any()]
        found = []
        for row in rows.to_dict("records"):
            state = str(row["state"])
            shown = tag("span", state, "err") if state in ("down", "failed", "hung") else state
            note = tag("small", f" {row['note']}") if row["note"] else ""
            found.append(
                [row["agent"], row["role"], row["player"], join([shown, note], ""),
                 f"{row['sent']:,}", f"{row['received']:,}", number(_float(row["score"])),
                 *(f"{row[name]:,}" if row[name] else "·" for name in optional)]
            )  # fmt: skip
        heads = ["agent", "role", "player", "at the end", "sent", "received", "score", *optional]
        return table(heads, found, range(4, len(heads)))

    def _role_table(self, rows: pd.DataFrame) -> Raw:
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

    def states(self) -> list[Cell]:
        if not self.has_frames:
            return []
        size_ = len(self.intro.agents)
        state = self.data.agents["state"].to_numpy().reshape(-1, size_)
        times = np.array(self.data.recording.times) / SECOND
        steady, rows = 0, []
        for i, card in enumerate(self.intro.agents):
            column = state[:, i]
            spans = _spans(times, column, self.end)
            is_steady = {s for _, _, s in spans} <= {"up", "finished"}
            if is_steady and size_ > _ENDS_MAX:
                steady += 1
                continue
            if set(column) != {"absent"}:
                rows.append((card.name, spans))
        if not rows:
            return [tag("p", f"All {size_} agents were up from beginning to end.")]
        shown = rows[:_ROWS_MAX]
        words = []
        if steady:
            words.append(f"The other {many(steady, 'agent')} were up from beginning to end.")
        if len(rows) > len(shown):
            words.append(f"{len(rows) - len(shown)} more that were not are left out.")
        used = {s for _, spans in shown for _, _, s in spans}
        legend = key(((STATES[s], s) for s in STATES if s in used and s != "absent"), "square")
        return [figure(timeline("states", shown, self.end, self.marks)), legend,
                tag("p", " ".join(words), "note") if words else ""]  # fmt: skip

    # --- messages -------------------------------------------------------------------------------

    def links(self) -> list[Cell]:
        if not self.has_frames:
            return []
        if not self.has_messages:
            return [tag("p", "Messages were not recorded.", "note")]
        links = self.data.links
        if not len(links):
            return [tag("p", "No message was sent.", "note")]
        names = [card.name for card in self.intro.agents]
        roles = {card.name: card.role or "further" for card in self.intro.agents}
        is_few = len(names) <= _ENDS_MAX
        end_of = {name: name if is_few else roles[name] for name in names}
        m = self.data.messages
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
            tag("div", join([tag("h3", "Lost, of those sent"), _heat(
                ends, active, share, percent, lambda v: shade(v / max(top, 0.05)))]), "keep"),
            tag("div", join([tag("h3", "Delay, 95 % are faster"), _heat(
                ends, active, p95, span, lambda v: shade(0.08 + 0.8 * (v - fast) / between, blue))
            ]), "keep"),
        ]  # fmt: skip
        words = "A row sends to the columns." + ("" if is_few else " Agents are summed by role.")
        return [tag("div", join(heats), "pair scroll"), tag("p", words, "note")]

    def delays(self) -> list[Cell]:
        if not self.has_messages:
            return []
        m = self.data.messages
        delivered = m[m["fate"] == "delivered"]
        if not len(delivered):
            return []
        counts = delivered["topic"].value_counts()
        topics = [str(topic) for topic, count in counts.items() if count][:_TOPICS_MAX]
        if len(topics) == 1:
            roles = {card.name: card.role or "further" for card in self.intro.agents}
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

    def books(self) -> list[Cell]:
        totals = self.data.summary.get("messages") or self._last_books()
        if not totals:
            return []
        dropped = totals["dropped"]
        reasons = list(dropped)
        heads = ["topic", "sent", "delivered", *(f"dropped: {r}" for r in reasons), "in flight",
                 "loss", "bytes"]  # fmt: skip
        rows: list[list[Cell]] = []
        if self.has_messages:
            by_topic = self.data.links.groupby("topic", observed=True).sum(numeric_only=True)
            for topic, row in by_topic.sort_values("sent", ascending=False).iterrows():
                rows.append(
                    [str(topic), *_counts(row, reasons), percent(row["dropped"] / row["sent"]),
                     size(row["bytes"])]
                )  # fmt: skip
        rows = rows[:_ROWS_MAX]
        lost = sum(dropped.values())
        rows.append(
            ["all", f"{totals['sent']:,}", f"{totals['delivered']:,}",
             *(f"{dropped[r]:,}" for r in reasons), f"{totals['in_flight']:,}",
             percent(lost / totals["sent"] if totals["sent"] else 0.0), size(totals["bytes"])]
        )  # fmt: skip
        css = [""] * (len(rows) - 1) + ["total"]
        words = "Every message ended in exactly one place: sent = delivered + dropped + in flight."
        return [table(heads, rows, range(1, len(heads)), row_css=css), tag("p", words, "note")]

    # --- processes ------------------------------------------------------------------------------

    def processes(self) -> list[Cell]:
        if not self.has_frames:
            return []
        agents = self.data.agents
        seen = agents[agents["pid"] > 0]
        if not len(seen):
            return [tag("p", "All agents ran in the broker's process.", "note")]
        most = seen.groupby("agent", observed=True)[["rss", "cpu"]].max()
        shown = 15
        memory = most["rss"].sort_values(ascending=False).head(shown)
        cpu = most["cpu"].sort_values(ascending=False).head(shown)
        made = bars("processes", [
            ("Memory, at most", [(str(k), float(v)) for k, v in memory.items()], size),
            ("Processor time", [(str(k), float(v)) for k, v in cpu.items()], span),
        ])  # fmt: skip
        left = len(most) - shown
        hosts = {c.host for c in self.intro.agents if c.host >= 0}
        words = (
            f"Together at most {size(float(most['rss'].sum()))} and "
            f"{span(float(most['cpu'].sum()))} of processor time"
        )
        if len(hosts) < len(most):
            words = "Agents that share a process show the whole of it"
        words += f". The largest {shown} of {len(most)}." if left > 0 else "."
        return [figure(made, words)]

    # --- the story ------------------------------------------------------------------------------

    def story(self) -> list[Cell]:
        parts: list[Cell] = []
        if self.faults:
            rows = [
                [mark.label, clock(mark.begin), self._until(mark), words, cause]
                for mark, words, cause in self.faults[: 3 * _ROWS_MAX]
            ]
            parts += [tag("h3", "Faults"), table(["", "from", "until", "what", "by"], rows)]
        decisions = self.data.decisions
        if decisions:
            rows = [[clock(d.time_ns / SECOND), d.kind, d.text] for d in decisions[:_ROWS_MAX]]
            parts += [tag("h3", "Decided in real time"), table(["time", "what", ""], rows)]
        events = self.data.events
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

    def _until(self, mark: Mark) -> str:
        if mark.end <= mark.begin or mark.end >= self.end:
            return "the end" if mark.end >= self.end else "–"
        return clock(mark.end)

    def scenario(self) -> list[Cell]:
        if not self.data.scenario:
            return [tag("p", "There is no scenario.yaml in the directory.", "note")]
        lines = self.data.scenario.splitlines()
        body = "\n".join(line for line in lines if not line.startswith("#")).strip()
        return [tag("pre", body, "two" if body.count("\n") > _ROWS_MAX else "")]

    def reproduce(self) -> list[Cell]:
        path = self.data.path
        words = [
            ["sim", "run", str(path / "scenario.yaml")],
            ["sim", "verify", str(path)],
            ["sim", "replay", str(path)],
        ]
        comments = [
            "the same run again, to the bit",
            "runs it again and compares the digests at every step",
            "shows it again from its recording",
        ]
        if self.data.status in ("interrupted", UNFINISHED):
            words.append(["sim", "resume", str(path)])
            comments.append("goes on where it broke off")
        commands = [shlex.join(command) for command in words]
        width = max(map(len, commands))
        block = "\n".join(
            f"{c:{width}}   # {words_}" for c, words_ in zip(commands, comments, strict=True)
        )
        manifest = self.data.manifest
        packing = manifest.get("packing", {})
        versions = manifest.get("versions", {})
        parts: list[Cell] = [tag("pre", block, "commands")]
        note = "Equal digests are promised for these versions and this kind of processor."
        if packing:
            options = ", ".join(f"{plain(k)} {v}" for k, v in packing.items())
            note += f" Packing, which does not matter to them: {options}."
        parts.append(tag("p", note, "note"))
        parts.append(facts((name, str(found), "") for name, found in versions.items()))
        return parts if versions else parts[:-1]


# --- small things -------------------------------------------------------------------------------


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _player(behaviour: str) -> str:
    """`agents.behaviours.smart_grid:Battery` is `rule: Battery`; a file is its name."""
    module, _, name = behaviour.rpartition(":")
    if module.startswith("agents.behaviours."):
        return f"rule: {name}"
    return f"{Path(module).name}:{name}" if "/" in module else behaviour


def _counts(row: pd.Series[Any], reasons: Sequence[str]) -> list[str]:
    dropped = [row.get(f"dropped.{reason}", 0) for reason in reasons]
    values = [row["sent"], row["delivered"], *dropped, row["in_flight"]]
    return [f"{int(value):,}" for value in values]


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


def _heat(ends: Sequence[str], active: Sequence[int], values: Any, words: Any, colour: Any) -> Raw:
    """A table whose cells are coloured by their values."""
    head = tag("tr", join([tag("th", ""), *(tag("th", ends[j], "n") for j in active)], ""))
    rows = []
    for i in active:
        cells: list[Cell] = [tag("th", ends[i])]
        for j in active:
            value = float(values[i, j])
            if np.isfinite(value):
                cells.append(tag("td", words(value), style=colour(value)))
            else:
                cells.append(tag("td", "", "none"))
        rows.append(tag("tr", join(cells, "")))
    return tag("table", join([tag("thead", head), tag("tbody", join(rows))], ""), "heat")


def _spans(times: Any, states: Any, end: float) -> list[tuple[float, float, str]]:
    """(begin, end, state) of runs of equal states."""
    changes = [0, *(np.flatnonzero(states[1:] != states[:-1]) + 1).tolist()]
    found = []
    for at, first in enumerate(changes):
        begin = 0.0 if first == 0 else float(times[first])
        stop = float(times[changes[at + 1]]) if at + 1 < len(changes) else max(end, begin)
        found.append((begin, stop, str(states[first])))
    return [each for each in found if each[1] > each[0]] or found[-1:]


def _binned(x: Any, values: Any) -> tuple[Any, Any]:
    """Means over at most so many spans of time. Shapes: x [n], values [n, m]."""
    width = max(-(-len(x) // _BINS), 1)
    starts = np.arange(0, max(len(x) - width, 0) + 1, width)
    counts = np.diff([*starts, len(x)])
    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    return np.add.reduceat(x, starts) / counts, means
