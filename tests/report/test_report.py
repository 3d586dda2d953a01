"""The page of a run: complete, self-contained, and honest about what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkers.markup import check_page

from sim.errors import SimError, UnknownKeyError
from sim.report.report import write_report
from sim.report.words import clock, number, percent, span

SECTIONS = (
    "Outcome", "Metrics over time", "Rewards", "Agents", "Who was up when", "Links", "Delays",
    "Books", "Processes", "Faults and events", "Scenario", "Reproduce",
)  # fmt: skip


def copied(source: Path, target: Path, *without: str) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*without, "report.html"))
    return target


def changed(path: Path, **values: Any) -> Path:
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps({**summary, **values}))
    return path


@pytest.mark.parametrize("name", ["one", "grid", "many"])
def test_a_page_has_everything_and_stands_alone(name: str, runs: dict[str, Path]) -> None:
    path = write_report(runs[name])
    assert path == runs[name] / "report.html"
    text = check_page(path)
    for title in SECTIONS:
        assert title in text
    summary = json.loads((runs[name] / "summary.json").read_text())
    assert summary["digest"] in text
    assert f"{summary['messages']['sent']:,}" in text
    assert f"sim verify {runs[name]}" in text
    assert "no control" in text
    assert path.stat().st_size < 2_000_000


def test_the_page_is_the_same_each_time(runs: dict[str, Path], tmp_path: Path) -> None:
    one, other = (write_report(runs["one"], tmp_path / name) for name in ("a.html", "b.html"))
    assert one.read_text() == other.read_text()


def test_faults_and_states_are_told(runs: dict[str, Path], tmp_path: Path) -> None:
    text = check_page(write_report(runs["one"], tmp_path / "a.html"))
    assert "agent-2 killed for 2s" in text
    assert "00:00:02 00:00:04" in text
    assert "down" in text
    assert "hung" in text


def test_many_agents_are_summed_by_role(runs: dict[str, Path], tmp_path: Path) -> None:
    text = check_page(write_report(runs["many"], tmp_path / "a.html"))
    assert "mean of 50" in text
    assert "50 up" in text
    assert "Agents are summed by role" in text
    assert "The other 49 agents were up from beginning to end." in text
    assert text.count("agent-33") == 0


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_that_did_not_complete(status: str, runs: dict[str, Path], tmp_path: Path) -> None:
    path = copied(runs["one"], tmp_path / "run")
    failure = {"agent": "agent-1", "time": 3.5, "cause": "ValueError: <b>1 & 2</b>",
               "frames": 'File "a.py", line 3', "policy": "stop"}  # fmt: skip
    told = {"error": "agent-1 failed", "agent_failures": [failure]} if status == "failed" else {}
    text = check_page(write_report(changed(path, status=status, reference={}, **told)))
    assert status in text
    if told:
        assert "ValueError: <b>1 & 2</b>" in text
        assert 'File "a.py", line 3' in text
    else:
        assert "Interrupted at 00:00:08" in text
        assert f"sim resume {path}" in text


def test_without_a_recording_what_is_missing_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    text = check_page(write_report(copied(runs["one"], tmp_path / "run", "events.mcap")))
    assert "The run kept no recording (events.mcap)" in text
    assert "No metrics over time" in text
    assert "Every message ended in exactly one place" in text


@pytest.mark.parametrize("share", [0.001, 0.3, 0.8])
def test_a_killed_run_is_shown_up_to_there(
    share: float, runs: dict[str, Path], tmp_path: Path
) -> None:
    path = copied(runs["grid"], tmp_path / "run", "summary.json")
    data = (path / "events.mcap").read_bytes()
    (path / "events.mcap").write_bytes(data[: int(share * len(data))])
    text = check_page(write_report(path))
    assert "unfinished" in text
    assert "its broker was killed" in text
    if share > 0.2:
        assert "The recording breaks off at" in text
        assert "household" in text


def test_a_directory_with_next_to_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    text = check_page(write_report(tmp_path))
    assert "The world has no metrics" in text
    assert "There is no scenario.yaml" in text


def test_messages_that_were_not_recorded_are_not_missed(tmp_path: Path) -> None:
    from checkers.recorded import record_run

    record_run("quickstart", tmp_path, duration=2, capture={"messages": False})
    text = check_page(write_report(tmp_path))
    assert "Messages were not recorded" in text
    assert "Every message ended" in text


def test_what_cannot_be_written_or_found_is_an_error(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownKeyError):
        write_report("none")
    (tmp_path / "file").write_text("")
    with pytest.raises(SimError, match="cannot write"):
        write_report(runs["one"], tmp_path / "file" / "a.html")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (number(41.2), "41.2"), (number(-18_204.4), "−18,204"), (number(0.00312), "0.00312"),
        (number(1.24e-7), "1.2e−7"), (number(None), "–"), (number(float("inf")), "–"),
        (number(0.0), "0"), (number(1234.6), "1,235"),
        (percent(0.039), "3.9 %"), (percent(1.0), "100 %"), (percent(0.0), "0 %"),
        (percent(-0.5), "−50 %"),
        (clock(49_506), "13:45:06"), (clock(0), "00:00:00"), (clock(0.25), "00:00:00.250"),
        (span(86_400), "24 h"), (span(100), "1 min 40 s"), (span(2.345), "2.35 s"),
        (span(0.041), "41 ms"), (span(2e-5), "20 µs"),
    ],
)  # fmt: skip
def test_numbers_read_well(made: str, expected: str) -> None:
    assert made == expected
