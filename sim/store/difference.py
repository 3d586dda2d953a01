"""What several runs have in common, and in what they differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim.errors import CheckpointError, ScenarioError
from sim.store.rundata import UNFINISHED, RunData, load
from sim.units import SECOND, format_ns
from sim.wire.live import MetricCard

RUNS_MAX: Final = 12
"""More curves in one picture cannot be told apart."""
_ABSENT: Final = "–"
_ENDS: Final = {
    "failed": "failed", "interrupted": "was interrupted", UNFINISHED: "has not ended; it stands",
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """Runs side by side, the first being what the others are read against.

    metrics:  name -> one value per run, None where it has none; the objective first.
    cards:    what is known of each metric.
    settings: key path of the scenario -> one value per run, where they are not all equal.
    versions: the same of packages and machine.
    commands: per run what a person asked for while it went on, with its time.
    warnings: why figures may not be comparable.
    """

    runs: list[RunData]
    labels: list[str]
    metrics: dict[str, list[float | None]]
    cards: dict[str, MetricCard]
    settings: dict[str, list[str]]
    versions: dict[str, list[str]]
    commands: list[list[str]]
    warnings: list[str]

    def change(self, name: str, run: int) -> tuple[float | None, float | None]:
        """Difference of a metric to that of the first run, and the same as a share of it; no share
        if the runs are not equally long.
        """
        first, value = self.metrics[name][0], self.metrics[name][run]
        if first is None or value is None:
            return None, None
        is_share = first and self.runs[0].reached == self.runs[run].reached
        return value - first, (value - first) / abs(first) if is_share else None

    def is_comparable(self, run: int) -> bool:
        """Whether the figures of a run can be read against the first: both came to the end, of
        the same length, in the same kind of world.
        """
        first, other = self.runs[0], self.runs[run]
        return (
            first.status == other.status == "completed"
            and _world(first) == _world(other)
            and first.reached == other.reached
        )

    def is_better(self, name: str, run: int) -> bool | None:
        """Whether a run is better than the first; None if equal, not known or not comparable."""
        by, _ = self.change(name, run)
        card = self.cards.get(name)
        better = card.better if card else "lower" if name == "gap" else ""
        if not by or not better or math.isnan(by) or not self.is_comparable(run):
            return None
        return (by > 0) == (better == "higher")


def differences(runs: Sequence[str | Path | RunData]) -> Difference:
    """Reads the runs. Raises: ScenarioError for less than two, too many, or runs of other kinds."""
    if not 2 <= len(runs) <= RUNS_MAX:
        raise ScenarioError(f"expected 2 to {RUNS_MAX} runs to compare, found {len(runs)}")
    found = [run if isinstance(run, RunData) else load(run) for run in runs]
    _check_kinds(found)
    cards = _cards(found)
    settings = [_settings(run) for run in found]
    return Difference(
        found,
        _labels(found),
        _metrics(found, cards),
        cards,
        _unequal([dict(_flat(each)) for each in settings]),
        _unequal([_versions(run) for run in found]),
        [_commands(run) for run in found],
        _warnings(found, settings),
    )


def _check_kinds(runs: Sequence[RunData]) -> None:
    """Runs are put beside runs, and training runs beside training runs."""
    kinds = [run.kind or "run" for run in runs]
    for run, kind in zip(runs, kinds, strict=True):
        name = run.path.resolve().name
        if kind not in ("run", "training"):
            raise ScenarioError(f"{name} is of kind {kind}: `sim report {name}` shows it")
        if kind != kinds[0]:
            first = runs[0].path.resolve().name
            raise ScenarioError(
                f"{first} is of kind {kinds[0]}, {name} of kind {kind}: only runs of one kind go "
                "side by side"
            )


def _labels(runs: Sequence[RunData]) -> list[str]:
    names = [run.path.resolve().name for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)
    ]


def _cards(runs: Sequence[RunData]) -> dict[str, MetricCard]:
    found: dict[str, MetricCard] = {}
    for run in runs:
        try:
            for card in run.recording.intro.metrics:
                found.setdefault(card.name, card)
        except CheckpointError:
            continue
    return found


def _metrics(
    runs: Sequence[RunData], cards: Mapping[str, MetricCard]
) -> dict[str, list[float | None]]:
    each = [final_metrics(run) for run in runs]
    names = list(dict.fromkeys(name for values in each for name in values))
    names.sort(key=lambda n: (not (n in cards and cards[n].objective), n != "gap"))
    return {name: [values.get(name) for values in each] for name in names}


def final_metrics(run: RunData) -> dict[str, float | None]:
    """The outcome: of the summary, or of the last frame of a run that has none."""
    told: dict[str, float | None] = run.summary.get("metrics") or {}
    if told:
        return told
    try:
        last = run.recording.part("/metrics", len(run.recording.times) - 1)
    except (CheckpointError, IndexError):
        return {}
    metrics: dict[str, float | None] = last["metrics"]
    return metrics


def _world(run: RunData) -> str:
    return str(_settings(run).get("world", {}).get("kind", ""))


def _settings(run: RunData) -> dict[str, Any]:
    try:
        return run.settings
    except CheckpointError:
        return {}


def _versions(run: RunData) -> dict[str, str]:
    manifest = run.manifest
    return {
        **{name: str(v) for name, v in manifest.get("versions", {}).items()},
        **{name: str(v) for name, v in manifest.get("machine", {}).items()},
    }


def _commands(run: RunData) -> list[str]:
    try:
        return [f"{format_ns(each.time_ns)} {each.text}" for each in run.inputs]
    except CheckpointError:
        return []


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of a document with its key path."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for i, item in enumerate(value):
            yield from _flat(item, f"{path}[{i}]")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, default=str)


def _unequal(each: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    keys = list(dict.fromkeys(key for values in each for key in values))
    rows = {key: [values.get(key, _ABSENT) for values in each] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _warnings(runs: Sequence[RunData], settings: Sequence[dict[str, Any]]) -> list[str]:
    found = []
    labels = _labels(runs)
    kinds = [_world(run) for run in runs]
    if len(set(kinds)) > 1:
        told = ", ".join(f"{n}: {k or 'unknown'}" for n, k in zip(labels, kinds, strict=True))
        found.append(f"The worlds differ ({told}): their metrics do not mean the same.")
    elif len({json.dumps(each.get("world"), default=str) for each in settings}) > 1:
        found.append("The worlds are of one kind, but their parameters differ.")
    if len({(str(s.get("duration")), str(s.get("episodes", 1))) for s in settings}) > 1:
        found.append("The runs are not equally long: sums over time cannot be compared.")
    for label, run in zip(labels, runs, strict=True):
        if run.status != "completed":
            words = _ENDS.get(run.status, run.status)
            found.append(f"{label} {words} at {format_ns(round(run.reached * SECOND))}.")
        try:
            damage = run.log_damage
        except CheckpointError as error:
            damage = str(error)
        if damage:
            found.append(f"{damage}: commands by hand may be missing.")
    digests: dict[str, list[str]] = {}
    for label, run in zip(labels, runs, strict=True):
        if run.summary.get("digest"):
            digests.setdefault(run.summary["digest"], []).append(label)
    found += [
        f"{' and '.join(same)} are the same run, to the bit: their digests are equal."
        for same in digests.values()
        if len(same) > 1
    ]
    return found
