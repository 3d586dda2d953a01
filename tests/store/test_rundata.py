"""A run's tables: they are what its frames, its messages and its summary say."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from checkers.recorded import Recorded, record_run

import sim
from sim.errors import CheckpointError, UnknownKeyError
from sim.outcome import Result
from sim.store.columns import Column, write_columns
from sim.store.rundata import RunData
from sim.store.rundir import find_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record_run("quickstart", tmp_path_factory.mktemp("run"), duration=40)


def test_metrics_are_a_column_each_over_seconds(run: Recorded) -> None:
    metrics = sim.load(run.folder).metrics
    assert metrics.index.name == "time"
    assert metrics.index[:3].tolist() == [0.0, 0.1, 0.2]
    assert list(metrics.columns) == list(run.frames[0].metrics)
    assert metrics.iloc[-1].to_dict() == run.frames[-1].metrics


def test_agents_are_a_row_per_frame_and_agent(run: Recorded) -> None:
    agents = sim.load(run.folder).agents
    assert len(agents) == len(run.frames) * 3
    killed = agents[(agents["agent"] == "agent-2") & (agents["time"] == 30.0)]
    assert killed["state"].tolist() == ["down"]
    assert killed["action.a.0"].isna().all()
    one = agents[agents["agent"] == "agent-1"].iloc[100]
    frame = run.frames[100]
    assert one["action.a.0"] == frame.agents.action[0][0]
    assert one["age"] == frame.agents.age_ns[0] / 1e9
    assert one["reward"] == frame.agents.reward[0]


def test_messages_and_links_agree_with_the_books(run: Recorded) -> None:
    data = sim.load(run.folder)
    messages, links = data.messages, data.links
    delivered = messages["fate"] == "delivered"
    assert (messages["delay"].notna() == delivered).all()
    assert np.allclose(
        (messages["arrived"] - messages["sent"])[delivered], messages["delay"][delivered]
    )
    accounts = run.kernel.network.ledger.accounts()
    by_name = links.set_index(["source", "destination", "topic"])
    assert len(by_name) == len(accounts)
    result = Result("s", 1, "completed", virtual_seconds=2.0, accounts=accounts)
    live = result.links.set_index(["source", "destination", "topic"])
    for account in accounts:
        row = by_name.loc[(account.source, account.destination, account.topic)]
        assert row["sent"] == account.sent
        assert row["delivered"] == account.delivered
        assert row["dropped"] == sum(account.dropped.values())
        assert row["bytes"] == account.bytes
        for reason, count in account.dropped.items():
            assert row[f"dropped.{reason}"] == count
        mine = messages[(messages["sender"] == account.source)
                        & (messages["receiver"] == account.destination)]  # fmt: skip
        assert row["delay_p95"] == pytest.approx(mine["delay"].quantile(0.95))
        assert row["delay_max"] == mine["delay"].max()
        assert row["delivered_bytes"] == mine["bytes"][mine["fate"] == "delivered"].sum()
        line = live.loc[(account.source, account.destination, account.topic)]
        assert line["goodput"] == row["delivered_bytes"] / 2.0
        for name in ("sent", "delivered", "dropped", "bytes", "delivered_bytes"):
            assert line[name] == row[name]
        ranked = mine["delay"].dropna().sort_values().to_numpy()
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            true = ranked[int(np.ceil(share * len(ranked))) - 1]
            assert line[f"delay_{name}"] == pytest.approx(true, rel=0.037)  # 3 digits are told


def test_a_whole_run_of_processes_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs no recording is there without one; what needs it says so."""
    monkeypatch.chdir(tmp_path)
    result = sim.run("quickstart", duration=30, inline=True, compare=False)
    data = sim.load("last")
    assert data.path == result.run_dir.resolve()  # type: ignore[union-attr]
    assert data.summary == sim.load("quickstart-0001").summary
    assert (data.name, data.seed, data.status) == ("quickstart", 0, "completed")
    assert data.folds == result.folds
    assert data.settings["duration"] == 30
    assert data.faults["text"].tolist() == [fault["text"] for fault in result.faults]
    assert len(data.events) == len(result.events)
    assert data.manifest["seed"] == 0
    data = sim.load("last")
    if not data.has_recording:
        with pytest.raises(CheckpointError, match="has no recording"):
            _ = data.metrics


def test_other_columns_have_their_course(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert sim.load(tmp_path).courses == {}
    rule = Column({"cost": 3.0}, [0, 500_000_000], {"cost": [0.0, 3.0], "torn": [1.0]})
    write_columns(tmp_path / "columns.json", {"rule": rule, "bound": Column({"cost": 1.0})})
    courses = sim.load(tmp_path).courses
    assert list(courses) == ["rule"]
    assert courses["rule"]["cost"].to_dict() == {0.0: 0.0, 0.5: 3.0}
    assert list(courses["rule"].columns) == ["cost"]


def test_a_run_whose_broker_was_killed_is_unfinished(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"scenario": "x", "seed": 4}')
    (tmp_path / "events.jsonl").write_text(
        '{"time": 1.0, "kind": "fault", "text": "a", "agent": ""}\n{"ti'
    )
    data = sim.load(tmp_path)
    assert (data.name, data.seed, data.status) == ("x", 4, "unfinished")
    assert data.summary == {}
    assert data.events["text"].tolist() == ["a"]
    assert data.faults["text"].tolist() == ["a"]


def test_runs_are_found_by_name_and_the_nearest_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownKeyError, match="no run yet"):
        find_run("last")
    for name in ("grid-0001", "grid-0002"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "manifest.json").write_text("{}")
    os.symlink("grid-0002", "runs/last")
    assert find_run("last").name == "grid-0002"
    assert find_run("grid-0001") == find_run("runs/grid-0001") == Path("runs/grid-0001")
    assert find_run("runs/grid-0001/manifest.json") == Path("runs/grid-0001")
    with pytest.raises(UnknownKeyError, match="did you mean 'grid-0002'"):
        find_run("gird-0002")
    with pytest.raises(UnknownKeyError, match="no run's"):
        find_run(".")


def test_a_flipped_byte_of_a_recording_is_said_or_nothing_is_lost(
    run: Recorded, tmp_path: Path
) -> None:
    whole = (run.folder / "events.mcap").read_bytes()
    chance = random.Random(7)
    rows, said = len(RunData(run.folder).messages), 0
    for _ in range(80):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (tmp_path / "events.mcap").write_bytes(data)
        try:
            found = RunData(tmp_path)
            is_cut = not found.recording.is_whole
            assert is_cut or len(found.messages) == rows
        except CheckpointError:
            said += 1
    assert said > 20
