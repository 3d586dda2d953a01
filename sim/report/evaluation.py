"""The page of an evaluation: score, columns side by side with intervals, who gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sim.learn.judged import best_known
from sim.learn.statistics import NO_SCORE
from sim.outcome import RULE
from sim.report.page import Cell, Raw, facts, join, page, section, table, tag
from sim.report.words import many, number, plain, span
from sim.store.rundata import RunData

KIND: Final = "evaluation"
OWN: Final = "own"
_SCORED: Final = (RULE, "reference")
"""Columns that a score is read against."""
_HEADS: Final = {
    OWN: "policies", RULE: "rule", "reference": "reference", "silent": "without messages",
    "selfish": "selfish",
}  # fmt: skip


def report(data: RunData) -> str:
    """The page's text."""
    found = data.summary
    versions = data.manifest.get("versions", {})
    foot = f"{data.path}  ·  sim {versions.get('sim', '')}".rstrip(" ·")
    sections = [
        section("Outcome", *figures_of(found)),
        section("Policies", *_policies(found)),
        section("Scenario", *_scenario(data), css="page"),
    ]
    return page(f"{data.name}, evaluated", _head(data), sections, foot)


def _head(data: RunData) -> Raw:
    found = data.summary
    pairs: list[tuple[str, Cell, str]] = [
        ("episodes", f"{found.get('episodes', 0):,}", ""),
        ("seed", str(data.seed), ""),
        ("held out", str(found.get("held_out", "")), "wide"),
        ("played", "in processes" if found.get("processes") else "in memory", ""),
        ("took", span(float(found.get("wall_seconds", 0.0))), ""),
    ]
    parts = [tag("p", "evaluation", "kicker"), tag("h1", data.name), facts(pairs)]
    return tag("header", join(parts))


def interval(found: Mapping[str, Any] | None) -> Cell:
    """A figure with its 95 % interval below."""
    if not found:
        return "–"
    value, low, high = (float(found[key]) for key in ("value", "low", "high"))
    if low == high:
        return number(value)
    return join([number(value), tag("small", f"{number(low)} to {number(high)}")], " ")


def evaluated(evaluations: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """All evaluations, the newest first, and the figures of the one that says most."""
    if not evaluations:
        return []
    best = best_known(evaluations)
    objective = plain(str(best["objective"]))
    rows: list[list[Cell]] = [
        [str(each.get("at", "")).replace("T", " ").replace("+00:00", " UTC"),
         f"{each['frames']:,}" if each.get("frames") is not None else "–",
         f"{each['episodes']:,}", str(each["seed"]), each.get("held_out", ""),
         interval(each.get("score")),
         interval(each["metrics"][OWN].get(each["objective"])), tag("code", each.get("run", ""))]
        for each in evaluations
    ]  # fmt: skip
    heads = ["when", "frames trained", "episodes", "seed", "held out", "score", objective, "run"]
    shown = [i for i, each in enumerate(evaluations) if each is best]
    css = ["first" if i in shown else "" for i in range(len(rows))]
    parts: list[Cell] = [
        tag("div", table(heads, rows, [1, 2, 3, 5, 6], row_css=css), "scroll"),
    ]
    if len(evaluations) > 1:
        words = "Below: the one of the most episodes, of the policies as they are now."
        parts.append(tag("p", words, "note"))
    return [*parts, *figures_of(best)]


def figures_of(found: Mapping[str, Any]) -> list[Cell]:
    """Score, metrics per column, returns, fairness, cooperation, worth of messages."""
    objective = plain(str(found.get("objective", "")))
    pairs: list[tuple[str, Cell, str]] = [
        ("score", interval(found.get("score")) if found.get("score") else "", ""),
        ("fairness of gains in returns", _plain(found.get("fairness_of_gains")), ""),
        ("cooperation", _plain(found.get("cooperation")), ""),
        (f"messages are worth, {objective}", interval(found["communication"])
         if found.get("communication") else "", ""),
        ("per byte", f"{found['communication_per_byte']:.3g}"
         if found.get("communication_per_byte") else "", ""),
    ]  # fmt: skip
    parts: list[Cell] = [facts(pairs)]
    if found.get("score"):
        words = (
            "The score is 0 for the world's rules and 1 for its reference: interquartile mean over "
            f"{many(int(found.get('episodes', 0)), 'held-out episode')}, with the 95 % interval of "
            "a stratified bootstrap. Below are means; all columns were played with the same seeds."
        )
        parts.append(tag("p", words, "note"))
    elif all(found.get("objective") in found.get("metrics", {}).get(c, {}) for c in _SCORED):
        parts.append(tag("p", f"{NO_SCORE[0].upper()}{NO_SCORE[1:]}.", "note"))
    columns = [name for name in _HEADS if name in found.get("metrics", {})]
    own = found.get("metrics", {}).get(OWN, {})
    rows: list[list[Cell]] = []
    each = [found["metrics"][column] for column in columns]
    zeros = [name for name in own if not any(c[name]["value"] for c in each if name in c)]
    shown = [name for name in own if name not in zeros]
    for name in shown:
        cells: list[Cell] = [interval(found["metrics"][c].get(name)) for c in columns]
        rows.append([plain(name), *cells, interval(found.get("gain", {}).get(name))])
    css = ["first" if name == found.get("objective") else "" for name in shown]
    heads: list[Cell] = [
        "metrics of the world", *(_HEADS[c] for c in columns), "policies − rule",
    ]  # fmt: skip
    parts.append(tag("div", table(heads, rows, range(1, len(heads)), row_css=css), "scroll"))
    if zeros:
        words = f"Zero everywhere: {', '.join(map(plain, zeros))}."
        parts.append(tag("p", words, "note"))
    return [*parts, *_returns(found)]


def _returns(found: Mapping[str, Any]) -> list[Cell]:
    """Returns of groups and agents in each column that has any."""
    parts: list[Cell] = []
    titles = (("groups", "Return per agent of each group"), ("returns", "Return of each agent"))
    for key, title in titles:
        each = found.get(key, {})
        columns = [name for name in _HEADS if name in each]
        if not columns:
            continue
        rows: list[list[Cell]] = [
            [name, *(number(each[c].get(name)) for c in columns)] for name in each[columns[0]]
        ]
        if key == "returns":
            sums = [interval(found.get("return_sum", {}).get(c)) for c in columns]
            rows.append([found.get("sum_name", "all together"), *sums])
        heads: list[Cell] = ["", *(_HEADS[c] for c in columns)]
        parts += [tag("h3", title), table(heads, rows, range(1, len(heads)))]
    losers = found.get("losers", [])
    if losers:
        parts.append(tag("p", f"Worse off than with the rule: {', '.join(losers)}.", "note"))
    return parts


def _plain(value: float | None) -> str:
    return "" if value is None else number(value)


def _policies(found: Mapping[str, Any]) -> list[Cell]:
    policies = found.get("policies", {})
    if not policies:
        return []
    return [table(["agent", "policy"], [[name, tag("code", p)] for name, p in policies.items()])]


def _scenario(data: RunData) -> list[Cell]:
    lines = [line for line in data.scenario.splitlines() if not line.startswith("#")]
    return [tag("pre", "\n".join(lines).strip())] if lines else []
