"""One scenario over a grid of settings, with the same seeds everywhere.

A run is one episode in memory; the seeds of a setting are one batch if everybody is a policy or a
mechanism. Rows go to the table as runs end, so that a sweep that was stopped goes on where it was.
Seeds and days are those of `sim.learn.evaluate`: held out, and the same in every setting, so that
settings are compared seed by seed.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from sim.clock import monotonic
from sim.errors import CheckpointError, ScenarioError, SimError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.evaluate import seeds_of
from sim.learn.many import COPIES_MAX, OnDone, Stadium, Task, how, task_of
from sim.learn.play import OWN
from sim.learn.statistics import within
from sim.outcome import NO_CONTROL, RULE
from sim.prepare import load, prepare
from sim.scenario.schema import Scenario
from sim.worlds.world import Metric

KIND: Final = "sweep"
FILE: Final = "sweep.csv"
PARQUET: Final = "sweep.parquet"
WHO: Final = "as"
_RUNS_MAX: Final = 1_000_000
_RANGE: Final = re.compile(r"([-+.\deE]+%?):([-+.\deE]+%?):([-+.\deE]+%?)")
_MEASURED: Final = 0.1
"""Share of what is played at a time, from which it is said how long all will take."""


@dataclass(frozen=True)
class Axis:
    """What is varied. path: of the scenario, or `as`. values: as `--set` or `--as` takes them."""

    path: str
    values: tuple[str, ...]

    @property
    def numbers(self) -> list[float] | None:
        """The values as numbers, a share for a percentage; None if they are none."""
        try:
            return [_number(value) for value in self.values]
        except ValueError:
            return None


@dataclass(frozen=True)
class Case:
    """One setting: its values per axis, and the scenario that it makes."""

    values: tuple[str, ...]
    scenario: Scenario


@dataclass(frozen=True)
class Sweep:
    """Everything that is to be run. cards: the world's metrics."""

    name: str
    axes: tuple[Axis, ...]
    cases: tuple[Case, ...]
    seeds: tuple[int, ...]
    cards: Mapping[str, Metric]

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.cases) * len(self.seeds)


def parse_axis(text: str) -> Axis:
    """`PATH=VALUES`: values with commas between them, or start:stop:step with both ends included.

    `links.` is short for `network.` at the beginning. For `as`, a value is PATTERN=BEHAVIOUR,
    several of them with + between.
    Raises: ScenarioError.
    """
    path, sign, given = (part.strip() for part in text.partition("="))
    where = f"--vary {text}"
    if not (sign and path and given):
        raise ScenarioError(f"{where}: expected PATH=VALUES, as links.default.loss=0:0.5:0.1")
    if path.startswith("links."):
        path = f"network.{path.removeprefix('links.')}"
    found = _RANGE.fullmatch(given)
    values = _ranged(found, where) if found else _split(given)
    if len(set(values)) != len(values) or not all(values):
        raise ScenarioError(f"{where}: expected values that differ, found {', '.join(values)}")
    if path == WHO and not all("=" in value for value in values):
        raise ScenarioError(f"{where}: expected as=PATTERN=BEHAVIOUR,PATTERN=BEHAVIOUR")
    return Axis(path, tuple(values))


def _ranged(found: re.Match[str], where: str) -> list[str]:
    """The values of start:stop:step, written as their author would."""
    unit = "%" if found[1].endswith("%") or found[3].endswith("%") else ""
    try:
        first, last, step = (float(part.rstrip("%")) for part in found.groups())
    except ValueError:
        raise ScenarioError(f"{where}: expected start:stop:step, found {found[0]}") from None
    if step == 0 or (last - first) / step < 0 or (last - first) / step > _RUNS_MAX:
        raise ScenarioError(f"{where}: expected steps that lead from {first:g} to {last:g}")
    count = int((last - first) / step + 1e-9) + 1
    return [f"{round(first + i * step, 12):g}{unit}" for i in range(count)]


def _split(text: str) -> list[str]:
    """Parts between commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _number(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def plan_sweep(
    scenario: str | Path,
    vary: Sequence[str],
    seeds: int,
    *,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    behaviours: Sequence[str] = (),
) -> Sweep:
    """Every setting, looked at before the first is run.

    Raises: ScenarioError of the setting that is wrong; UnknownKeyError.
    """
    axes = tuple(parse_axis(text) for text in vary)
    paths = [axis.path for axis in axes]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if not axes or twice:
        raise ScenarioError(f"--vary {twice} twice" if twice else "expected at least one --vary")
    cases, cards, name, first = [], {}, "", 0
    for values in itertools.product(*(axis.values for axis in axes)):
        given = dict(zip(paths, values, strict=True))
        who = [part for part in given.pop(WHO, "").split("+") if part]
        changed = [*overrides, *(f"{path}={value}" for path, value in given.items())]
        try:
            loaded = load(scenario, seed=seed, overrides=changed, behaviours=[*behaviours, *who])
        except ScenarioError as error:
            raise type(error)(_as_varied(str(error), given)) from None
        cards = prepare(loaded).world.metrics()
        name, first = loaded.name, loaded.seed
        cases.append(Case(values, loaded))
    return Sweep(name, axes, tuple(cases), tuple(seeds_of(first, seeds)), cards)


def _as_varied(message: str, given: Mapping[str, str]) -> str:
    """An error about `--set` as one about `--vary`, if that set the key."""
    for path, value in given.items():
        message = message.replace(f"--set {path}={value}", f"--vary {path}={value}")
    return message


def check_metrics(sweep: Sweep, names: Sequence[str]) -> list[str]:
    """The metrics that are asked for; the objective if none is. Raises: UnknownKeyError."""
    for name in names:
        if name not in sweep.cards:
            raise UnknownKeyError(
                f"--metric: no metric {name!r}; {did_you_mean(name, sweep.cards)}"
            )
    objective = [name for name, card in sweep.cards.items() if card.objective]
    return list(names) or objective[:1] or list(sweep.cards)[:1]


class Table:
    """The tidy table of a sweep: a column per axis, seed, metric, value; a row per run and metric.

    Rows are appended as runs end.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        self._path, self._sweep = folder / FILE, sweep
        self._heads = [*(axis.path for axis in sweep.axes), "seed", "metric", "value"]
        if not self._path.is_file():
            self._append([self._heads])

    def done(self) -> set[tuple[tuple[str, ...], int]]:
        """Values and seed of the runs that are there. Raises: CheckpointError."""
        rows = read_table(self._path.parent)
        if list(rows.columns) != self._heads:
            raise CheckpointError(f"{self._path} is the table of another sweep")
        counts = Counter(map(tuple, rows[self._heads[:-2]].to_numpy().tolist()))
        # A row that was torn off with the process leaves a run with fewer metrics.
        return {
            (tuple(key[:-1]), int(key[-1]))
            for key, count in counts.items()
            if count == len(self._sweep.cards)
        }

    def add(self, values: tuple[str, ...], seed: int, metrics: Mapping[str, float]) -> None:
        """The figures of one run."""
        self._append([[*values, seed, name, repr(value)] for name, value in metrics.items()])

    def _append(self, rows: Sequence[Sequence[Any]]) -> None:
        try:
            with self._path.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        except OSError as error:
            raise SimError(f"cannot write {self._path}: {error.strerror or error}") from None


def read_table(folder: Path) -> pd.DataFrame:
    """The table of a sweep's directory, axes as text. Raises: CheckpointError."""
    path = folder / FILE
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, on_bad_lines="skip")
        rows["value"] = pd.to_numeric(rows["value"], errors="coerce")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    return rows.drop_duplicates([c for c in rows.columns if c != "value"], keep="last")


def run_sweep(
    sweep: Sweep,
    folder: Path,
    workers: int,
    on_begin: Callable[[str], None],
    on_cost: Callable[[int, float], None],
    on_done: OnDone,
) -> None:
    """Runs what is not in the folder's table yet, the seeds of a setting in a batch if possible.

    on_begin: told how runs are played, for people. on_cost: told once, as soon as a part of the
              first batches is played, or as many runs as there are workers, how many are left and
              how many seconds they will take. on_done: told how many are done, of how many, at the
              beginning, too; a part of a run counts as that.
    Raises: SimError of a run that does not come to its end.
    """
    table = Table(sweep, folder)
    done = table.done()
    todo = [
        (case, [seed for seed in sweep.seeds if (case.values, seed) not in done])
        for case in sweep.cases
    ]
    todo = [(case, seeds) for case, seeds in todo if seeds]
    tasks = [task_of(case.scenario, OWN, seeds) for case, seeds in todo]
    on_begin(how(tasks))
    on_done(len(done), sweep.runs)
    pace, is_told = Pace(tasks, workers), False

    def take(task: int, seed: int, result: dict[str, Any]) -> None:
        pace.ended(task)
        table.add(todo[task][0].values, seed, result["metrics"])

    def news(played: float, total: int) -> None:
        nonlocal is_told
        seconds = None if is_told or played >= total else pace.left(played)
        if seconds is not None:
            is_told = True
            on_cost(math.ceil(total - played), seconds)
        on_done(len(done) + played, sweep.runs)

    with Stadium(workers) as stadium:
        stadium.play(tasks, take, news)


class Pace:
    """How long the rest takes. Batches tell of their parts, so they are measured from their first
    news on: the start of the workers does not count. Runs that are played one by one tell of their
    ends alone, and cost so much more that in a mixture they are what is counted.
    """

    def __init__(self, tasks: Sequence[Task], workers: int) -> None:
        self._is_single = [bool(task.obstacle) for task in tasks]
        self._singles = sum(len(task.seeds) for task in tasks if task.obstacle)
        self._runs = sum(len(task.seeds) for task in tasks)
        batch = max((min(len(task.seeds), COPIES_MAX) for task in tasks), default=0)
        self._least = min(workers * batch, self._runs) * _MEASURED
        if self._singles:
            self._least = min(workers, self._singles)
        self._ended = 0
        self._first: tuple[float, float] | None = (monotonic(), 0.0) if self._singles else None

    def ended(self, task: int) -> None:
        """A run of a task has come to its end."""
        self._ended += self._is_single[task]

    def left(self, played: float) -> float | None:
        """Seconds; None while too little is played to tell. played: runs, parts included."""
        now, done = monotonic(), float(self._ended) if self._singles else played
        if self._first is None:
            self._first = now, done
        began, before = self._first
        if done - before < self._least:
            return None
        return (now - began) / (done - before) * ((self._singles or self._runs) - done)


def write_parquet(folder: Path) -> bool:
    """The table as Parquet too, numbers as numbers, if pyarrow is installed; whether it is."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    rows = read_table(folder)
    for name in rows.columns.drop(["metric", "value"]):
        with contextlib.suppress(ValueError):
            rows[name] = pd.to_numeric(rows[name])
    rows.to_parquet(folder / PARQUET, index=False)
    return True


@dataclass(frozen=True)
class Series:
    """One line: values of the first axis, the mean over seeds, half of its 95 % interval."""

    label: str
    x: list[float]
    mean: list[float]
    half: list[float]


def labels_of(sweep: Sweep, given: str = "") -> list[str]:
    """What tells each line from the others, a line per setting of all axes but the first.

    given: names with commas between, instead of the settings. Raises: ScenarioError.
    """
    others = sweep.axes[1:]
    settings = list(itertools.product(*(axis.values for axis in others)))
    if given:
        names = [name.strip() for name in given.split(",")]
        if len(names) != len(settings):
            raise ScenarioError(f"--labels: expected {len(settings)} names, found {len(names)}")
        return names
    return [
        ", ".join(_label(axis.path, v) for axis, v in zip(others, values, strict=True))
        for values in settings
    ]


def series_of(
    sweep: Sweep, rows: pd.DataFrame, metric: str, labels: Sequence[str] = ()
) -> list[Series]:
    """A line per setting of the other axes, over the first axis: its numbers, or 0, 1, 2, ...

    labels: of the lines, as `labels_of` gives them.
    The intervals are of the mean within seeds: the seeds' own levels, which all settings of a line
    have in common, are taken out. Raises: CheckpointError if runs are missing.
    """
    first, *others = sweep.axes
    x = first.numbers or [float(i) for i in range(len(first.values))]
    rows = rows[rows["metric"] == metric]
    lines = []
    settings = itertools.product(*(axis.values for axis in others))
    for rest, label in zip(settings, labels or labels_of(sweep), strict=True):
        line = rows
        for axis, value in zip(others, rest, strict=True):
            line = line[line[axis.path] == value]
        grid = line.pivot_table(index=first.path, columns="seed", values="value")
        if set(grid.index) != set(first.values) or bool(grid.isna().to_numpy().any()):
            raise CheckpointError(f"{metric}: runs are missing; the sweep did not come to its end")
        values = grid.loc[list(first.values)].to_numpy(dtype=np.float64)
        mean, half = within(values)
        lines.append(Series(label, x, mean.tolist(), half.tolist()))
    return lines


def _label(path: str, value: str) -> str:
    """A setting in words."""
    if path != WHO:
        return f"{path.rpartition('.')[2]} {value}"
    return {"*=rule": RULE, "*=none": NO_CONTROL}.get(value, value)
