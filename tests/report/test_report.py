"""The page of a run: complete, self-contained, and honest about what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkers.markup import check_page

from sim.errors import CheckpointError, SimError, UnknownKeyError
from sim.report.report import write_report
from sim.report.strikes import match, strikes
from sim.report.words import clock, number, percent, span
from sim.scenario.schema import LIVE_ID, Fault
from sim.store.rundata import RunData
from sim.store.runlog import VERSION, Decision, Header, Input, RunLog

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


def logged(path: Path, *records: Decision | Input) -> Path:
    """A run.log of these records beside what is there."""
    log = RunLog(path / "run.log", Header(VERSION, "quickstart", 0, {}))
    for record in records:
        log.add(record)
    log.close()
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
    line = max(summary["accounts"], key=lambda account: account["bytes"])
    assert f"{line['source']} > {line['destination']} {line['topic']} {line['sent']:,}" in text
    for title in ("goodput", "half in", "99 % in"):
        assert title in text
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
    assert text.count("agent-33") <= 1  # one of the lines of its books may be among the largest


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
    logged(path)
    text = check_page(write_report(path))
    assert "unfinished" in text
    assert "its broker was killed" in text
    if share > 0.2:
        assert "The recording breaks off at" in text
        assert "household" in text


def test_a_directory_with_next_to_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "summary.json").write_text('{"status": "failed"}')
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


# --- what struck, and what lifted it ------------------------------------------------------------


def row(time: float, kind: str, names: str, text: str, is_on: bool = True) -> dict[str, Any]:
    return {"time": time, "kind": kind, "targets": names.split(), "is_on": is_on, "text": text,
            "cause": "you, recorded"}  # fmt: skip


HEALED = [
    row(10, "kill", "a", "a killed for 2s"),
    row(12, "restart", "a", "a restarted"),
    row(20, "link", "a", "links a <-> b degraded for 1min"),
    row(21, "slow", "b", "b slowed down 10 times"),
    row(22, "kill", "c d", "c, d killed"),
    row(23, "hang", "e", "e stopped for 1h"),
    row(24, "restart", "e", "e restarted"),
    row(25, "restart", "c", "c restarted"),
    row(30, "heal", "", "everything lifted"),
    row(30, "link", "a", "over: links a <-> b degraded for 1min", is_on=False),
    row(30, "slow", "b", "over: b slowed down 10 times", is_on=False),
    row(30, "restart", "d", "d restarted"),
    row(40, "link", "a", "links a <-> b degraded for 1min10s"),
    row(80, "link", "a", "links a <-> b as before", is_on=False),
    row(110, "link", "a", "links a <-> b as before", is_on=False),
    row(120, "kill", "a", "a killed for 20s"),
    row(130, "restart", "a", "a restarted"),
    row(140, "restart", "a", "a restarted"),
    row(150, "noise", "*", "noise of 10 % on *"),
]


def test_a_fault_ends_when_something_lifts_it_and_what_lifts_is_no_fault() -> None:
    found = [(s.begin, s.kind, s.end) for s in match(HEALED)]
    assert found == [
        (10, "kill", 12), (20, "link", 30), (21, "slow", 30), (22, "kill", 30), (23, "hang", 24),
        (24, "restart", 24), (25, "restart", 25), (30, "heal", 30), (40, "link", 110),
        (120, "kill", 130), (130, "restart", 130), (150, "noise", None),
    ]  # fmt: skip


def test_the_page_lists_heals_and_restarts_and_the_ends_they_make(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    path = copied(runs["one"], tmp_path / "run", "events.mcap")
    text = check_page(write_report(changed(path, faults=HEALED, virtual_seconds=200.0)))
    assert "00:00:20 00:00:30 links a <-> b degraded for 1min" in text
    assert "00:00:30 – everything lifted" in text
    assert "00:00:24 – e restarted" in text
    assert "00:02:30 the end noise" in text
    assert "as before" not in text


def test_frames_tell_the_same_faults_as_the_summary(runs: dict[str, Path], tmp_path: Path) -> None:
    path = copied(runs["one"], tmp_path / "run", "summary.json")
    by_hand = Fault(
        time_ns=3 * 10**9, id=LIVE_ID, kind="restart", targets=("agent-1",), text="agent-1 again"
    )
    short = Fault(
        time_ns=3 * 10**9 - 1000, id=LIVE_ID + 1, kind="kill", targets=("agent-1",), text="short"
    )
    logged(path, Input(0, 7, [short], "a"), Input(3 * 10**9, 7, [by_hand], "restart: agent-1"))
    told = [(s.begin, s.text, s.end) for s in strikes(RunData(path))]
    assert [s for s in told if s[1] not in ("agent-1 again", "short")] == [
        (s.begin, s.text, s.end) for s in strikes(RunData(runs["one"]))
    ]
    assert (3.0, "agent-1 again", 3.0) in told
    assert (2.999999, "short", 3.0) in told
    assert len(told) == 4


def test_a_run_disturbed_by_hand_is_only_verified(runs: dict[str, Path], tmp_path: Path) -> None:
    path = logged(
        copied(runs["one"], tmp_path / "run"), Input(10**9, 3, [], "{kill: agent-1, for: 2s}")
    )
    text = check_page(write_report(path))
    assert "to the bit" not in text
    assert "sim run" not in text
    assert f"sim verify {path}" in text
    assert "Commands by hand disturbed this run. They are in run.log" in text
    lost = logged(
        copied(runs["one"], tmp_path / "lost"), Decision(10**9, "lost", 0, "no more", window=3)
    )
    assert "Real time decided something" in check_page(write_report(lost))
    quiet = logged(copied(runs["one"], tmp_path / "quiet"))
    assert "the same run again, to the bit" in check_page(write_report(quiet))


# --- what cannot be read ------------------------------------------------------------------------


def test_a_directory_of_junk_is_refused(tmp_path: Path) -> None:
    for junk in (b"junk", b"junk " * 100, b"\4\0\0\0junkjunk", b""):
        (tmp_path / "run.log").write_bytes(junk)
        with pytest.raises(CheckpointError, match=r"run\.log"):
            write_report(tmp_path)
        assert not (tmp_path / "report.html").exists()


def test_what_is_damaged_is_said_on_the_page(runs: dict[str, Path], tmp_path: Path) -> None:
    path = copied(runs["one"], tmp_path / "run")
    (path / "run.log").write_bytes(b"\4\0\0\0junkjunk")
    assert "run.log is not the log of a run" in check_page(write_report(path))
    (path / "run.log").unlink()
    log = logged(path) / "run.log"
    log.write_bytes(log.read_bytes() + b"junk")
    assert "its last 4 bytes are damaged" in check_page(write_report(path))
    data = bytearray((path / "events.mcap").read_bytes())
    data[len(data) // 2] ^= 1
    (path / "events.mcap").write_bytes(data)
    text = check_page(write_report(path))
    assert "is damaged in chunk" in text
    assert "Every message ended in exactly one place" in text
