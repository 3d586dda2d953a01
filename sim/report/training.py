"""The page of a training run: how returns and losses went, and how good the policies became."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from sim.learn.judged import best_known, evaluations_of
from sim.learn.logs import read_logs
from sim.outcome import RULE
from sim.report.colours import COLOURS, PALE, REFERENCES
from sim.report.curves import Curve, Panel, figures, is_still, wide
from sim.report.evaluation import evaluated
from sim.report.page import Cell, Raw, facts, figure, join, key, page, section, tag
from sim.report.words import many, number, plain, span
from sim.scenario.policies import POLICIES, groups_in
from sim.store.rundata import UNFINISHED, RunData

KIND: Final = "training"
COUNTS: Final = "frames"
_ENDS: Final = {"frames": "all frames played", "plateau": "a plateau of the return"}
_SMOOTH: Final = 0.05
"""Share of the updates over which a course is smoothed."""


def report(data: RunData) -> str:
    """The page's text. Raises: CheckpointError if the course cannot be read."""
    table = read_logs(data.path)
    evaluations = evaluations_of(data.path)
    found = best_known(evaluations)
    versions = data.manifest.get("versions", {})
    foot = f"{data.path}  ·  sim {versions.get('sim', '')}".rstrip(" ·")
    sections = [
        section("Learning curve", *returns(table, found)),
        section("Evaluation", *(evaluated(evaluations) or _unknown(data))),
        section("Returns in training", *individuals(table)),
        section("Learner", *losses(table)),
        section("Outcome while training", *metrics(table, found)),
        section("Speed", *speed(table)),
        section("Scenario", *_scenario(data), css="page"),
        section("Go on", *_commands(data)),
    ]
    return page(f"{data.name}, trained with seed {data.seed}", _head(data), sections, foot)


def _head(data: RunData) -> Raw:
    summary, manifest = data.summary, data.manifest
    machine = manifest.get("machine", {})
    groups = summary.get("groups") or manifest.get("groups", {})
    rate = summary.get("frames_per_second")
    started = str(manifest.get("started", "")).replace("T", " ").replace("+00:00", " UTC")
    training, reason = manifest.get("training", {}), str(summary.get("reason", ""))
    rollout = f"{training.get('rollout', '')}, {many(int(training.get('copies', 1)), 'copy')}"
    words = ", ".join(f"{group} by {who}" for group, who in groups.items())
    pairs: list[tuple[str, Cell, str]] = [
        ("seed", str(data.seed), ""),
        ("frames", f"{summary['frames']:,}" if "frames" in summary else "", ""),
        ("updates", f"{summary['updates']:,}" if "updates" in summary else "", ""),
        ("episodes", f"{summary['episodes']:,}" if "episodes" in summary else "", ""),
        ("took", span(float(summary["wall_seconds"])) if "wall_seconds" in summary else "", ""),
        ("frames per second", number(rate) if rate else "", ""),
        ("device", str(training.get("device", "")), ""),
        ("ended by", _ENDS.get(reason, reason), ""),
        (
            "team return",
            number(summary["team_return"]) if summary.get("team_return") is not None else "",
            "",
        ),
        ("trains", words, "wide"),
        ("rollout", rollout.replace("copys", "copies"), "wide"),
        ("started", started, "wide"),
        ("machine", str(machine.get("processor", "")), "wide"),
    ]
    status = data.status
    parts: list[Cell] = [
        tag("p", "training report", "kicker"),
        tag("h1", join([data.name, tag("span", status, f"pill {status}")], " ")),
        facts(pairs),
    ]
    boxes = []
    if summary.get("error"):
        kept = "No checkpoint was written before that."
        if summary.get("checkpoint", -1) >= 0:
            kept = f"The checkpoint at frame {summary['checkpoint']:,} is the last good one."
        words_ = join([tag("p", tag("b", summary["error"])), tag("p", kept)])
        boxes.append(tag("div", words_, "box failed"))
    if status == UNFINISHED:
        told = "Training has not ended: it still goes on, or its process was killed."
        boxes.append(tag("div", tag("p", told), "box"))
    return join([tag("header", join(parts)), *boxes])


def smoothed(values: pd.Series) -> pd.Series:
    """A running mean over a twentieth of the course. Shapes: [n] -> [n]."""
    window = max(int(len(values) * _SMOOTH), 1)
    return values.rolling(window, min_periods=1).mean()


def course(
    table: pd.DataFrame, name: str, label: str, colour: str, raw: bool = True
) -> list[Curve]:
    """A figure by frames: as it was, pale, and smoothed over it. Empty if it is not there."""
    if name not in table:
        return []
    values = table[name].dropna()
    if not len(values):
        return []
    x = values.index.to_numpy(dtype=float)
    smooth = Curve(label, x, smoothed(values).to_numpy(dtype=float), colour)
    return [Curve("", x, values.to_numpy(dtype=float), PALE), smooth] if raw else [smooth]


def names_of(table: pd.DataFrame) -> list[str]:
    """What was logged."""
    return [str(name) for name in table.columns]


def end_of(table: pd.DataFrame) -> float:
    """The last frame."""
    return float(table.index[-1]) if len(table) else 1.0


def returns(table: pd.DataFrame, found: Mapping[str, Any]) -> list[Cell]:
    """The team return of the episodes that ended; before any has, the reward of a decision."""
    end, parts = end_of(table), []
    for name, title in (("team_return", "team return"), ("reward", "reward of a decision")):
        curves = course(table, name, "", COLOURS[0])
        if curves:
            parts.append(figure(wide(name, Panel(title, curves), end, counts=COUNTS)))
            break
    if not parts:
        return [tag("p", "Nothing was logged yet.", "note")]
    parts.append(tag("p", "Pale: per update, with exploration; dark: smoothed.", "note"))
    return list(parts)


def individuals(table: pd.DataFrame) -> list[Cell]:
    """A picture per group: its return per agent, and its agents' where there are few."""
    names = [name.removeprefix("return/") for name in names_of(table) if name.startswith("return/")]
    groups = {
        name: [other for other in names if other != name and other.rpartition("-")[0] == name]
        for name in names
    }
    inner = {agent for agents in groups.values() for agent in agents}
    panels = []
    for group, agents in groups.items():
        if group in inner:
            continue
        curves = [
            curve
            for i, agent in enumerate(agents[: len(COLOURS) - 1])
            for curve in course(table, f"return/{agent}", agent, COLOURS[i + 1], raw=False)
        ]
        curves += course(table, f"return/{group}", group, COLOURS[0], raw=False)
        panels.append(Panel(f"{plain(group)}, return per agent", curves))
    return [*figures("groups", panels, end_of(table), counts=COUNTS)]


def losses(table: pd.DataFrame) -> list[Cell]:
    """Everything that the learners log: losses, KL, clip fraction, entropy, ..."""
    learners = dict.fromkeys(
        name.partition("/")[0]
        for name in names_of(table)
        if "/" in name and not name.startswith(("return/", "reward/", "metric/"))
    )
    parts: list[Cell] = []
    for i, learner in enumerate(learners):
        panels, still = [], []
        for name in [n for n in names_of(table) if n.startswith(f"{learner}/")]:
            words = plain(name.partition("/")[2])
            values = table[name].dropna().to_numpy(dtype=float)
            if is_still(values):
                still.append(f"{words} {number(float(values[-1])) if len(values) else '–'}")
                continue
            panels.append(Panel(words, course(table, name, "", COLOURS[i % len(COLOURS)])))
        if len(learners) > 1:
            parts.append(tag("h3", learner))
        parts += figures(f"learner{i}-", panels, end_of(table), counts=COUNTS)
        if still:
            parts.append(tag("p", f"Constant: {', '.join(still)}.", "note"))
    return parts


def metrics(table: pd.DataFrame, found: Mapping[str, Any]) -> list[Cell]:
    """The world's own figures at the ends of episodes, beside rule and reference if evaluated."""
    panels = []
    for name in [n for n in names_of(table) if n.startswith("metric/")]:
        metric = name.removeprefix("metric/")
        if is_still(table[name].dropna().to_numpy(dtype=float)):
            continue
        levels = []
        for column in (RULE, "reference"):
            value = found.get("metrics", {}).get(column, {}).get(metric)
            if value is not None:
                colour = REFERENCES[RULE] if column == RULE else COLOURS[2]
                levels.append((float(value["value"]), "", colour))
        panels.append(Panel(plain(metric), course(table, name, "", COLOURS[0]), levels=levels))
    drawn: list[Cell] = [*figures("metrics", panels, end_of(table), counts=COUNTS)]
    if drawn and found:
        colours = [(REFERENCES[RULE], RULE), (COLOURS[2], "reference")]
        drawn.append(key((colour, f"{words}, as evaluated") for colour, words in colours))
    return drawn


def speed(table: pd.DataFrame) -> list[Cell]:
    """Frames per second over the course."""
    curves = course(table, "frames_per_second", "", COLOURS[6], raw=False)
    if not curves or is_still(np.asarray(curves[0].y)):
        return []
    return [*figures("speed", [Panel("frames per second", curves)], end_of(table), counts=COUNTS)]


def _unknown(data: RunData) -> list[Cell]:
    if not groups_in(data.path / POLICIES):
        return [tag("p", "There are no policies yet: they come with the first update.", "note")]
    words = f"Not evaluated yet: {_evaluate(data)}"
    return [tag("p", words, "note")]


def _evaluate(data: RunData) -> str:
    groups = data.manifest.get("groups", {})
    words = ["sim", "evaluate", str(data.path / "scenario.yaml")]
    for group in groups:
        words += ["--as", f"{group}-*=policy:{data.path}"]
    return shlex.join(words)


def _scenario(data: RunData) -> list[Cell]:
    lines = [line for line in data.scenario.splitlines() if not line.startswith("#")]
    return [tag("pre", "\n".join(lines).strip())] if lines else []


def _commands(data: RunData) -> list[Cell]:
    further = []
    if data.summary.get("status") == "completed":
        further = ["--frames", str(2 * int(data.summary["frames"]))]
    commands = [
        shlex.join(["sim", "train", str(data.path / "scenario.yaml")]),
        shlex.join(["sim", "train", "--resume", str(data.path), *further]),
        _evaluate(data),
    ]
    return [tag("pre", "\n".join(commands), "commands")]
