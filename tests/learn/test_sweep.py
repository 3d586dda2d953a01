"""Sweeps: axes, paired seeds, going on, the curve."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from sim.errors import CheckpointError, ScenarioError, UnknownKeyError
from sim.learn.evaluate import seeds_of
from sim.learn.many import Task
from sim.learn.play import play
from sim.learn.statistics import within
from sim.learn.sweep import (
    FILE,
    Pace,
    Table,
    check_metrics,
    parse_axis,
    plan_sweep,
    read_table,
    run_sweep,
    series_of,
)
from sim.prepare import load
from sim.report.resilience import Axis, Panel, draw_curves
from sim.scenario.load import dump

SHORT = ["duration=1s", "faults=[]"]
WHO = "as=agent-*=rule,agent-*=none"


def nothing(left: int, seconds: float) -> None:
    """Costs are not looked at."""


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("links.default.loss=0:0.5:0.1", "network.default.loss",
         ("0", "0.1", "0.2", "0.3", "0.4", "0.5")),
        ("network.default.loss=0:20%:10%", "network.default.loss", ("0%", "10%", "20%")),
        ("world.agents=8:2:-2", "world.agents", ("8", "6", "4", "2")),
        ("learn.links=ideal,{loss: [0, 0.4]}", "learn.links", ("ideal", "{loss: [0, 0.4]}")),
        (WHO, "as", ("agent-*=rule", "agent-*=none")),
        ("as=a-*=policy:x+b-*=none,a-*=rule", "as", ("a-*=policy:x+b-*=none", "a-*=rule")),
    ],
)  # fmt: skip
def test_axes(text: str, path: str, values: tuple[str, ...]) -> None:
    axis = parse_axis(text)
    assert (axis.path, axis.values) == (path, values)


def test_axes_know_their_numbers() -> None:
    assert parse_axis("a.loss=0%:20%:10%").numbers == [0.0, 0.1, 0.2]
    assert parse_axis("a.b=1,2.5").numbers == [1.0, 2.5]
    assert parse_axis("a.b=20ms,1s").numbers is None


@pytest.mark.parametrize(
    "text",
    ["a.b", "a.b=", "a.b=1,1", "a.b=0:1:-0.1", "a.b=0:1:0", "as=rule,none", "a.b=1,,2", "a=1:e:1"],
)
def test_axes_that_are_wrong(text: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(f"--vary {text}: expected")):
        parse_axis(text)


def test_every_setting_is_looked_at_before_the_first_is_run() -> None:
    wrong = r"^--vary network\.default\.los=0: .*did you mean 'loss'"
    with pytest.raises(UnknownKeyError, match=wrong):
        plan_sweep("rendezvous", ["links.default.los=0,1"], 2)
    with pytest.raises(ScenarioError, match="no agent matches 'agnt-"):
        plan_sweep("rendezvous", ["as=agent-*=rule,agnt-*=none"], 2)
    with pytest.raises(ScenarioError, match=r"--vary world\.norm twice"):
        plan_sweep("rendezvous", ["world.norm=l2", "world.norm=quadratic"], 2)
    with pytest.raises(ScenarioError, match="at least one --vary"):
        plan_sweep("rendezvous", [], 2)
    sweep = plan_sweep("rendezvous", ["world.norm=l2,quadratic"], 2)
    with pytest.raises(UnknownKeyError, match="did you mean 'reward'"):
        check_metrics(sweep, ["rewrd"])
    assert check_metrics(sweep, []) == ["reward"]


def test_a_sweep_runs_goes_on_and_is_paired(tmp_path: Path) -> None:
    sweep = plan_sweep("rendezvous", ["links.default.loss=0,1", WHO], 2, overrides=SHORT)
    assert sweep.runs == 8
    seen: list[tuple[float, int]] = []
    told: list[str] = []
    run_sweep(sweep, tmp_path, 1, told.append, nothing, lambda *news: seen.append(news))
    assert seen == sorted(seen)
    assert seen[0] == (0.0, 8)
    assert 0.0 < seen[1][0] < 2.0
    assert told == ["in memory, batched, 2 episodes at once"]
    assert seen[-1] == (8.0, 8)
    rows = read_table(tmp_path)
    assert list(rows.columns) == ["network.default.loss", "as", "seed", "metric", "value"]
    assert len(rows) == 8 * 3
    assert set(rows["seed"]) == set(map(str, seeds_of(0, 2)))
    # Nobody speaks where nobody plays, so losses make no difference there.
    silent = rows[(rows["as"] == "agent-*=none") & (rows["metric"] == "reward")]
    table = silent.pivot_table(index="network.default.loss", columns="seed", values="value")
    assert table.loc["0"].equals(table.loc["1"])
    # One of its runs is the run of that setting and seed.
    text = dump(sweep.cases[2].scenario)
    alone = play({"scenario": text, "seed": sweep.seeds[0]})["metrics"]["reward"]
    assert sweep.cases[2].values == ("1", "agent-*=rule")
    found = rows[
        (rows["network.default.loss"] == "1") & (rows["as"] == "agent-*=rule")
        & (rows["seed"] == str(sweep.seeds[0])) & (rows["metric"] == "reward")
    ]  # fmt: skip
    assert found["value"].item() == alone
    # Torn off in the last run: that one alone is run again, and the table is as before.
    path = tmp_path / FILE
    whole = sorted(path.read_text().splitlines())
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    assert len(Table(sweep, tmp_path).done()) == 7
    seen.clear()
    run_sweep(sweep, tmp_path, 1, told.append, nothing, lambda *news: seen.append(news))
    assert seen[0] == (7.0, 8)
    assert 7.0 < seen[1][0] < 8.0
    assert seen[-1] == (8.0, 8)
    assert sorted(set(path.read_text().splitlines())) == whole


class Clock:
    """Seconds, as a test sets them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("sim.learn.sweep.monotonic", found := Clock())
    return found


def task(seeds: int, obstacle: str = "") -> Task:
    return Task(load("rendezvous"), "own", range(seeds), obstacle)


def test_the_start_of_the_workers_does_not_count_in_what_batches_take(clock: Clock) -> None:
    """Two batches of ten at once, a share of 2 % each 0.2 s, after 30 s of start: 6 x 10 s / 2."""
    pace, told = Pace([task(10)] * 6, workers=2), []
    for step in range(1, 51):
        clock.now = 30.0 + 0.2 * step
        for parts in (2 * step - 1, 2 * step):
            left = pace.left(played := 0.2 * parts)
            told += [(played, left + clock.now)] if left is not None else []
    assert 2.0 <= told[0][0] < 3.0, "told early, but not from next to nothing"
    assert all(end == pytest.approx(60.0, rel=0.15) for _, end in told)


def test_runs_that_are_played_one_by_one_are_measured_by_their_ends(clock: Clock) -> None:
    """Two at a time, 60 s each; the batches beside them cost next to nothing."""
    pace = Pace([task(10), task(10, "a program")] * 3, workers=2)
    clock.now = 1.0
    for _ in range(10):
        pace.ended(0)
    assert pace.left(10.0) is None
    clock.now = 60.0
    pace.ended(1)
    assert pace.left(11.0) is None, "the other worker is about to end as well"
    pace.ended(1)
    assert pace.left(12.0) == pytest.approx(28 / 2 * 60.0)


def test_series_are_of_the_first_axis() -> None:
    sweep = plan_sweep("rendezvous", ["links.default.loss=0:1:0.5", WHO], 2, overrides=SHORT)
    rows = pd.DataFrame(
        [
            (loss, who, seed, "reward", float(i) + 10 * (who == "agent-*=none") + seed_level)
            for i, loss in enumerate(("0", "0.5", "1"))
            for who in ("agent-*=rule", "agent-*=none")
            for seed, seed_level in (("1", 0.0), ("2", 100.0))
        ],
        columns=["network.default.loss", "as", "seed", "metric", "value"],
    )
    rule, none = series_of(sweep, rows, "reward")
    assert (rule.label, none.label) == ("agent-*=rule", "agent-*=none")
    assert rule.x == [0.0, 0.5, 1.0]
    assert rule.mean == [50.0, 51.0, 52.0]
    assert none.mean == [60.0, 61.0, 62.0]
    # What seeds differ in is the same everywhere: nothing of it is left within seeds.
    assert rule.half == pytest.approx([0.0, 0.0, 0.0])
    with pytest.raises(CheckpointError, match="runs are missing"):
        series_of(sweep, rows.iloc[:-1], "reward")


def test_intervals_within_seeds() -> None:
    values = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    mean, half = within(values)
    assert mean.tolist() == [2.0, 2.0]
    # Without seeds' levels the rows stay as they are: std 1, factor sqrt(2), t(2) = 4.3027.
    assert half == pytest.approx([4.3027 * np.sqrt(2) / np.sqrt(3)] * 2, rel=1e-4)
    assert within(values[:, :1])[1].tolist() == [0.0, 0.0]


def test_another_sweeps_table_is_refused(tmp_path: Path) -> None:
    sweep = plan_sweep("rendezvous", ["world.norm=l2,quadratic"], 1)
    (tmp_path / FILE).write_text("a,b,value\n1,2,3\n")
    with pytest.raises(CheckpointError, match="another sweep"):
        Table(sweep, tmp_path).done()


class Line:
    label, x, mean, half = "rule", [0.0, 0.5, 1.0], [3.0, 2.0, 1.0], [0.1, 0.2, 0.1]


class Few(Line):
    x: ClassVar = [0.0, 1.0, 2.0]


def test_the_figure_is_as_wide_as_asked_and_holds_its_fonts(tmp_path: Path) -> None:
    panel = Panel("cost, EUR", [Line(), Line()])
    path = draw_curves(tmp_path / "loss.pdf", [panel], Axis("loss, %", is_share=True), 3.4)
    data = path.read_bytes()
    box = re.search(rb"/MediaBox \[([\d. ]+)\]", data)
    assert box is not None
    assert float(box[1].split()[2]) == pytest.approx(3.4 * 72, abs=0.01)
    assert b"/FontFile2" in data
    assert b"/Type3" not in data + b"".join(_streams(data))
    again = draw_curves(tmp_path / "again.pdf", [panel], Axis("loss, %", is_share=True), 3.4)
    assert again.read_bytes() == data
    with pytest.raises(ScenarioError, match=r"--figure loss.docx: expected a name that ends"):
        draw_curves(Path("loss.docx"), [panel], Axis("x"), 3.4)


def _streams(data: bytes) -> list[bytes]:
    """What is packed inside a PDF."""
    found = []
    for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
        try:
            found.append(zlib.decompress(part))
        except zlib.error:
            continue
    return found


def test_settings_that_are_no_numbers_stand_side_by_side(tmp_path: Path) -> None:
    axis = Axis("who", ("rule", "none", "other"))
    path = draw_curves(tmp_path / "who.svg", [Panel("a", [Few()])] * 2, axis, 2.0)
    text = path.read_text()
    assert all(f">{name}<" in text for name in axis.ticks)
    assert 'width="288' in text
