"""The recount agrees with the books of real runs, and finds every planted lie."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from checkers.cases import Case, cases
from checkers.effort import tries
from checkers.recorded import Recorded, record_case, record_run
from hypothesis import given, settings
from mcap.reader import make_reader
from mcap.writer import Writer

from sim.errors import CheckpointError
from sim.store.recount import count, recount
from sim.store.rundir import to_json


def with_summary(run: Recorded) -> Path:
    (run.folder / "summary.json").write_text(to_json(run.summary()))
    return run.folder


@pytest.mark.parametrize(
    ("scenario", "options"),
    [
        ("quickstart", {}),
        ("quickstart", {"overrides": {"episodes": 3, "duration": "4s"}}),
        (
            "rendezvous",
            {"duration": 20, "overrides": {"faults": [
                {"at": "3s", "noise": 0.2, "for": "5s"},
                {"at": "4s", "kill": "agent-[12]", "for": "3s", "every": "8s"},
                {"at": "9s", "hang": "agent-3", "for": "4s"},
            ]}},
        ),
        ("smart_grid", {"duration": "1h"}),
    ],
)  # fmt: skip
def test_it_agrees_with_real_runs(scenario: str, options: dict[str, Any], tmp_path: Path) -> None:
    run = record_run(scenario, tmp_path, **options)
    assert run.kernel.status == "completed"
    assert recount(tmp_path) == []
    totals = count(tmp_path / "events.mcap").totals()
    assert totals == run.kernel.network.totals()
    assert totals["sent"] > 100


@settings(max_examples=tries(60), deadline=None, print_blob=True)
@given(case=cases())
def test_it_agrees_with_random_scenarios(
    case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("case")
    run = record_case(case.text, case.scripts, folder, case.agents_per_host, payloads=False)
    assert recount(with_summary(run)) == []


Change = Callable[[str, dict[str, Any]], dict[str, Any]]


def rewritten(source: Path, target: Path, change: Change) -> None:
    """A recording with its blocks of columns changed; everything else as it was."""
    with source.open("rb") as file, target.open("wb") as out:
        reader, writer = make_reader(file), Writer(out)
        writer.start()
        for metadata in reader.iter_metadata():
            writer.add_metadata(metadata.name, metadata.metadata)
        for each in reader.iter_attachments():
            writer.add_attachment(0, 0, each.name, each.media_type, each.data)
        ids: dict[int, int] = {}
        for _, channel, message in reader.iter_messages():
            if channel.id not in ids:
                ids[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, 0, channel.metadata
                )
            data = message.data
            if channel.message_encoding == "msgpack":
                data = msgspec.msgpack.encode(change(channel.topic, msgspec.msgpack.decode(data)))
            writer.add_message(ids[channel.id], message.log_time, data, message.publish_time)
        writer.finish()


class Lie:
    """Changes the first block of a channel that has three rows or more."""

    def __init__(self, topic: str, change: Callable[[dict[str, Any]], None]) -> None:
        self.topic, self.change, self.is_told = topic, change, False

    def __call__(self, topic: str, block: dict[str, Any]) -> dict[str, Any]:
        if topic == self.topic and block["n"] >= 3 and not self.is_told:
            self.is_told = True
            self.change(block)
        return block


def set_column(name: str, dtype: str, edit: Callable[[list[int]], None]) -> Any:
    def change(block: dict[str, Any]) -> None:
        values = np.frombuffer(block[name], dtype).tolist()
        edit(values)
        block[name] = np.array(values, dtype).tobytes()

    return change


def without_a_row(widths: dict[str, int]) -> Any:
    def change(block: dict[str, Any]) -> None:
        block["n"] -= 1
        for name, width in widths.items():
            block[name] = block[name][width:]

    return change


def twice(widths: dict[str, int]) -> Any:
    def change(block: dict[str, Any]) -> None:
        block["n"] += 1
        for name, width in widths.items():
            block[name] += block[name][:width]

    return change


DROPPED, ARRIVED = {"sequence": 8, "reason": 1}, {"sequence": 8, "arrival": 8}
LIES = {
    "a dropped row removed": (
        Lie("/messages/dropped", without_a_row(DROPPED)),
        ["in flight: the summary says 0", "dropped for"],
    ),
    "a delivery removed": (
        Lie("/messages/arrived", without_a_row(ARRIVED)),
        ["in flight: the summary says 0", "delivered: the"],
    ),
    "one delivered twice": (Lie("/messages/arrived", twice(ARRIVED)), ["ended more than once"]),
    "one dropped twice": (Lie("/messages/dropped", twice(DROPPED)), ["ended more than once"]),
    "another reason": (
        Lie("/messages/dropped", set_column("reason", "|u1", lambda v: v.__setitem__(1, 5))),
        ["dropped for down: the summary says 0, the recording 1"],
    ),
    "another receiver": (
        Lie("/messages/sent", set_column("to", "<u2", lambda v: v.__setitem__(0, 1 + (v[0] == 1)))),
        ["agent-", "the books say"],
    ),
    "a byte more": (
        Lie("/messages/sent", set_column("length", "<i4", lambda v: v.__setitem__(0, v[0] + 1))),
        ["bytes: the summary says"],
    ),
    "out of nowhere": (
        Lie("/messages/arrived", set_column("sequence", "<i8", lambda v: v.__setitem__(0, 10**6))),
        ["without having been sent", "1000000"],
    ),
    "too early": (
        Lie("/messages/arrived", set_column("arrival", "<i8", lambda v: v.__setitem__(0, -1))),
        ["delivered before it was sent"],
    ),
    "a number skipped": (
        Lie("/messages/sent", set_column("sequence", "<i8", lambda v: v.__setitem__(0, 10**5))),
        ["never sent, though later ones were"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record_run("quickstart", tmp_path_factory.mktemp("run"), capture={"every_ns": 10**10})


@pytest.mark.parametrize("name", LIES)
def test_a_planted_lie_is_found(name: str, run: Recorded, tmp_path: Path) -> None:
    lie, expected = LIES[name]
    (tmp_path / "summary.json").write_text((run.folder / "summary.json").read_text())
    rewritten(run.folder / "events.mcap", tmp_path / "events.mcap", lambda topic, block: block)
    assert recount(tmp_path) == []
    rewritten(run.folder / "events.mcap", tmp_path / "events.mcap", lie)
    assert lie.is_told
    found = "\n".join(recount(tmp_path))
    for words in expected:
        assert words in found


def test_a_lie_of_the_summary_is_found(run: Recorded, tmp_path: Path) -> None:
    summary = json.loads((run.folder / "summary.json").read_text())
    summary["messages"]["dropped"]["loss"] += 1
    summary["accounts"][2]["delivered"] -= 1
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "events.mcap").write_bytes((run.folder / "events.mcap").read_bytes())
    first, second = recount(tmp_path)
    assert "dropped for loss" in first
    assert "delivered" in second


def test_what_cannot_be_counted_is_said(run: Recorded, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no summary"):
        recount(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be counted"):
        recount(tmp_path)
    data = (run.folder / "events.mcap").read_bytes()
    (tmp_path / "events.mcap").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot be counted"):
        recount(tmp_path)


def test_a_flipped_byte_is_said_with_its_place(run: Recorded, tmp_path: Path) -> None:
    """Wherever it is: nothing but a CheckpointError, a difference, or what was there before."""
    summary = json.loads((run.folder / "summary.json").read_text())
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    whole = (run.folder / "events.mcap").read_bytes()
    chance = random.Random(41)
    places, said = [], []
    for _ in range(400):
        data = bytearray(whole)
        places.append(chance.randrange(len(data)))
        data[places[-1]] ^= 1 << chance.randrange(8)
        (tmp_path / "events.mcap").write_bytes(data)
        try:
            recount(tmp_path)
        except CheckpointError as error:
            said.append(str(error))
    assert all(words.startswith(str(tmp_path / "events.mcap")) for words in said)
    assert sum("is damaged in chunk" in words for words in said) > 200
    assert len({words.partition("is damaged in chunk")[2][:2] for words in said}) > 1


def test_a_damaged_summary_is_said(run: Recorded, tmp_path: Path) -> None:
    (tmp_path / "events.mcap").write_bytes((run.folder / "events.mcap").read_bytes())
    for junk in ("[]", '{"messages": 3}', '{"messages": {}, "accounts": [{}]}'):
        (tmp_path / "summary.json").write_text(junk)
        with pytest.raises(CheckpointError, match=r"summary\.json is damaged"):
            recount(tmp_path)
