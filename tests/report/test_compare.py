"""Runs side by side: what differs is named, what cannot be compared is warned of."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from checkers.markup import check_page
from rich.console import Console

from sim.console.comparing import print_comparison
from sim.errors import ScenarioError
from sim.report.compare import compare_runs
from sim.report.strikes import strikes
from sim.store.difference import differences
from sim.store.runlog import VERSION, Header, Input, RunLog


def printed(found: object) -> str:
    out = io.StringIO()
    print_comparison(Console(file=out, width=140), found)  # type: ignore[arg-type]
    return out.getvalue()


def test_two_runs_of_one_scenario(runs: dict[str, Path], tmp_path: Path) -> None:
    found = differences([runs["one"], runs["other"]])
    assert found.labels == ["one-0001", "one-0002"]
    assert found.settings["network.default.loss"] == ["5%", "0.5"]
    assert found.settings["seed"] == ["0", "5"]
    assert found.versions == {}
    assert found.warnings == []
    (objective,) = [name for name, card in found.cards.items() if card.objective]
    assert next(iter(found.metrics)) == objective
    first, second = found.metrics[objective]
    assert first is not None
    assert second is not None
    assert found.change(objective, 1)[0] == pytest.approx(second - first)
    assert found.is_better(objective, 1) == (second > first)
    assert found.is_better(objective, 0) is None
    text = check_page(compare_runs(found, tmp_path / "a.html"))
    for words in ("2 runs of quickstart", "Best by the objective", "network.default.loss"):
        assert words in text
    shown = printed(found)
    assert "what differs" in shown
    assert "network.default.loss" in shown
    assert "%" in shown


def test_different_worlds_and_lengths_are_warned_of(runs: dict[str, Path], tmp_path: Path) -> None:
    found = differences([runs["one"], runs["grid"], runs["many"]])
    assert any("The worlds differ" in words for words in found.warnings)
    assert any("not equally long" in words for words in found.warnings)
    assert not found.is_comparable(1)
    assert all(found.is_better(name, 1) is None for name in found.metrics)
    text = check_page(compare_runs(found, tmp_path / "a.html"))
    assert "Best by" not in text
    assert "The worlds differ" in text
    assert "! The worlds differ" in printed(found)
    parameters = differences([runs["one"], runs["many"]]).warnings
    assert any("their parameters differ" in words for words in parameters)


def test_the_same_run_twice_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["one"], tmp_path / "one-0001")
    found = differences([runs["one"], tmp_path / "one-0001"])
    assert found.labels == ["one-0001 (1)", "one-0001 (2)"]
    assert any("the same run, to the bit" in words for words in found.warnings)
    text = check_page(compare_runs(found, tmp_path / "a.html"))
    assert "The scenarios are equal, key by key" in text
    assert "the scenarios are equal" in printed(found)


def test_runs_without_recordings_or_ends_are_compared_as_far_as_can_be(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(runs["one"], tmp_path / "bare", ignore=shutil.ignore_patterns("events.mcap"))
    manifest = json.loads((tmp_path / "bare/manifest.json").read_text())
    manifest["versions"]["numpy"] = "1.0"
    (tmp_path / "bare/manifest.json").write_text(json.dumps(manifest))
    shutil.copytree(runs["one"], tmp_path / "cut", ignore=shutil.ignore_patterns("summary.json"))
    found = differences([runs["one"], tmp_path / "bare", tmp_path / "cut"])
    assert found.versions["numpy"][1] == "1.0"
    assert any("cut has not ended; it stands at 00:00:08" in words for words in found.warnings)
    assert [found.is_comparable(i) for i in range(3)] == [True, True, False]
    text = check_page(compare_runs(found, tmp_path / "a.html"))
    assert "Without a recording: bare" in text
    bare = differences([tmp_path / "bare", tmp_path / "bare"])
    assert "there are no curves" in check_page(compare_runs(bare, tmp_path / "b.html"))


def test_commands_by_hand_are_named_and_strikes_are_counted(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(runs["one"], tmp_path / "disturbed")
    log = RunLog(tmp_path / "disturbed/run.log", Header(VERSION, "quickstart", 0, {}))
    log.add(Input(10**9, 3, [], "{kill: agent-1, for: 2s}"))
    log.close()
    found = differences([runs["one"], tmp_path / "disturbed"])
    assert found.commands == [[], ["00:00:01 {kill: agent-1, for: 2s}"]]
    assert "kill: agent-1" in printed(found)
    text = check_page(compare_runs(found, tmp_path / "a.html"))
    assert "Commands by hand" in text
    assert "00:00:01 {kill: agent-1, for: 2s}" in text
    summary = json.loads((runs["one"] / "summary.json").read_text())
    assert len(summary["faults"]) == 4
    assert len(strikes(found.runs[0])) == 2
    assert f"2 0 {summary['digest'][:12]}" in text


def test_runs_of_unequal_length_have_no_percentages(runs: dict[str, Path], tmp_path: Path) -> None:
    found = differences([runs["one"], runs["many"]])
    assert any("not equally long" in words for words in found.warnings)
    for name in found.metrics:
        assert found.change(name, 1)[1] is None
    assert any(found.change(name, 1)[0] for name in found.metrics)


def test_one_run_is_not_a_comparison(runs: dict[str, Path]) -> None:
    with pytest.raises(ScenarioError, match="expected 2 to 12 runs"):
        differences([runs["one"]])


def test_only_runs_of_one_kind_go_side_by_side(tmp_path: Path) -> None:
    for name, kind in (("plain", ""), ("trained", "training"), ("judged", "evaluation")):
        (tmp_path / name).mkdir()
        manifest = {"scenario": "x", "seed": 0, **({"kind": kind} if kind else {})}
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ScenarioError, match="of kind run, trained of kind training"):
        differences([tmp_path / "plain", tmp_path / "trained"])
    with pytest.raises(ScenarioError, match="judged is of kind evaluation: `sim report judged`"):
        differences([tmp_path / "judged", tmp_path / "judged"])
