"""The log of a run: what was written is read back, and a torn tail costs only what is torn."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import CheckpointError, ScenarioError, SimError
from sim.scenario.schema import Fault
from sim.store.rundir import create_run, last_run, to_json
from sim.store.runlog import (
    VERSION,
    Decision,
    End,
    Fold,
    Header,
    Input,
    RunLog,
    frame,
    parse_log,
    read_log,
)

HEADER = Header(VERSION, "quickstart", 7, {"versions": {"python": "3.11"}, "inline": True})
KILL = Fault(time_ns=2, id=2**40, kind="kill", targets=("agent-1",), text="agent-1 killed")
TIMES = st.integers(0, 2**63 - 1)
RECORDS = st.lists(
    st.builds(Fold, TIMES, st.binary(min_size=16, max_size=16).map(bytes.hex))
    | st.builds(Decision, TIMES, st.just("lost"), st.integers(-1, 9), st.text())
    | st.builds(Input, TIMES, st.integers(0, 9), st.just([KILL]), st.text())
    | st.builds(End, st.sampled_from(("completed", "failed")), st.text(max_size=32)),
    max_size=12,
)  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log", HEADER)
    log.fold(1_000_000_000, "ab" * 16)
    log.add(Decision(1_500_000_000, "lost", 3, "signal 9 (SIGKILL)", 7, True))
    log.add(Input(2, 8, [KILL], "kill agent-1"))
    log.end("completed", "cd" * 16)
    log.close()
    assert read_log(tmp_path / "run.log") == [
        HEADER,
        Fold(1_000_000_000, "ab" * 16),
        Decision(1_500_000_000, "lost", 3, "signal 9 (SIGKILL)", 7, True),
        Input(2, 8, [KILL], "kill agent-1"),
        End("completed", "cd" * 16),
    ]


def test_a_decision_is_in_the_file_before_it_returns(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log", HEADER)
    log.fold(1, "00")
    log.add(Decision(2, "lost", 0, "exit 3"))
    assert [type(r) for r in read_log(tmp_path / "run.log")] == [Header, Fold, Decision]
    log.close()


@settings(deadline=None)
@given(records=RECORDS)
def test_every_prefix_of_the_bytes_is_a_prefix_of_the_records(
    records: list[Fold | Decision | End],
) -> None:
    whole = [HEADER, *records]
    frames = [frame(record) for record in whole]
    data = b"".join(frames)
    ends = [sum(map(len, frames[: i + 1])) for i in range(len(frames))]
    for cut in range(len(data) + 1):
        assert parse_log(data[:cut]) == whole[: sum(end <= cut for end in ends)]


@settings(deadline=None)
@given(records=RECORDS, where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_byte_ends_the_reading_at_its_record(
    records: list[Fold | Decision | End], where: float, flip: int
) -> None:
    head = frame(HEADER)
    data = bytearray(head + b"".join(map(frame, records)))
    at = len(head) + int(where * (len(data) - len(head)))
    if at == len(data):
        return
    data[at] ^= flip
    found = parse_log(bytes(data))
    assert found == [HEADER, *records][: len(found)]
    assert len(found) <= len(records)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(frame(End("completed", "")))
    with pytest.raises(CheckpointError, match="no header"):
        read_log(path)
    path.write_bytes(frame(Header(99, "a", 0, {})))
    with pytest.raises(CheckpointError, match="version 99"):
        read_log(path)


def test_a_log_is_never_written_over(tmp_path: Path) -> None:
    RunLog(tmp_path / "run.log", HEADER).close()
    with pytest.raises(SimError, match="cannot write"):
        RunLog(tmp_path / "run.log", HEADER)


# --- the directory ------------------------------------------------------------------------------


def test_directories_are_numbered_and_the_last_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert last_run() is None
    (tmp_path / "runs" / "grid-0041").mkdir(parents=True)
    (tmp_path / "runs" / "grid-notes").mkdir()
    paths = [create_run("grid").path for _ in range(2)]
    assert [p.name for p in paths] == ["grid-0042", "grid-0043"]
    assert last_run() == paths[-1].resolve()
    assert create_run("other").path.name == "other-0001"


def test_runs_that_begin_together_get_directories_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(create_run("grid").path.name))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [f"grid-{n:04d}" for n in range(1, 17)]


def test_a_directory_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    create_run("grid", tmp_path / "mine").write_text("summary.json", "{}")
    with pytest.raises(ScenarioError, match="not empty"):
        create_run("grid", tmp_path / "mine")


def test_json_has_no_numbers_that_json_does_not_know() -> None:
    assert to_json({"a": [float("nan"), float("inf"), 1.5]}, indent=0) == '{"a":[null,null,1.5]}'
