"""What is recorded is what was, and what can be read again is all that is whole."""

from __future__ import annotations

import contextlib
import json
import math
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from checkers.cases import Case, cases
from checkers.effort import tries
from checkers.memory import play
from checkers.recorded import Recorded, record_case, record_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

from sim.errors import CheckpointError, UnknownKeyError
from sim.prepare import load, prepare
from sim.store import capture
from sim.store.recording import Recording, open_recording


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The quickstart with its kill and its partition."""
    return record_run("quickstart", tmp_path_factory.mktemp("run"), duration=40)


def same(one: Any, other: Any) -> bool:
    return msgspec.msgpack.encode(one) == msgspec.msgpack.encode(other)


def test_frames_come_back_as_they_were(run: Recorded) -> None:
    recording = open_recording(run.folder)
    assert recording.is_whole
    assert recording.intro.is_recorded
    assert math.isinf(recording.intro.speed)
    assert recording.times == [frame.now_ns for frame in run.frames]
    assert len(recording.times) == 402
    for number, frame in enumerate(run.frames):
        found = recording.frame(number)
        assert same(msgspec.structs.replace(found, lines=[]), frame)
    assert same(recording.frame(-1), recording.frame(401))
    with pytest.raises(IndexError):
        recording.frame(402)


def test_each_line_of_the_story_stands_in_one_frame(run: Recorded) -> None:
    recording = open_recording(run.folder)
    told = [line for i in range(len(recording.times)) for line in recording.frame(i).lines]
    assert [line.serial for line in told] == list(range(run.lines))
    assert told == recording.story
    assert {"fault"} <= {line.kind for line in told}
    assert {line.cause for line in told if line.kind == "fault"} == {"scenario"}


def test_every_message_is_there_once_with_its_fate(run: Recorded) -> None:
    recording = open_recording(run.folder)
    messages, books = recording.messages, run.kernel.network.totals()
    assert len(messages) == books["sent"]
    assert messages.sequence.tolist() == list(range(books["sent"]))
    fates = Counter(recording.fate(code) for code in messages.fate.tolist())
    expected = {
        "delivered": books["delivered"],
        "in flight": books["in_flight"],
        **books["dropped"],
    }
    assert fates == Counter({name: n for name, n in expected.items() if n})
    assert int(messages.length.sum()) == books["bytes"]
    arrived = messages.arrived[messages.fate == 0]
    assert (arrived > messages.sent[messages.fate == 0]).all()
    bodies = [recording.payload(row) for row in range(0, len(messages), 97)]
    assert [len(body or b"") for body in bodies] == messages.length[::97].tolist()


def test_detail_is_of_the_moment(run: Recorded) -> None:
    recording = open_recording(run.folder)
    number = recording.at(10_050_000_000)
    frame = recording.frame(number)
    detail = recording.detail(number, "agent-2")
    assert detail.messages
    assert all({"agent-2"} & {m.sender, m.receiver} for m in detail.messages)
    assert all(m.sent_ns <= frame.now_ns for m in detail.messages)
    assert all(m.payload.startswith("[") for m in detail.messages)
    assert detail.rewards == [frame.agents.reward[1]]
    assert [name for name, _, _ in detail.action] == ["a"]
    link = recording.detail(-1, "agent-1 > agent-2")
    assert {(m.sender, m.receiver) for m in link.messages} == {("agent-1", "agent-2")}
    (account,) = [a for a in run.kernel.network.ledger.accounts()
                  if (a.source, a.destination) == ("agent-1", "agent-2")]  # fmt: skip
    assert link.accounts == {
        "state": {"sent": account.sent, "delivered": account.delivered, **account.dropped}
    }
    with pytest.raises(UnknownKeyError, match="did you mean 'agent-2'"):
        recording.detail(0, "agent-22")


def test_a_viewer_of_the_format_finds_json_with_schemas(run: Recorded) -> None:
    with (run.folder / capture.FILE).open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        topics = {channel.topic: channel for channel in summary.channels.values()}
        assert set(topics) == {
            *capture.FRAME_PARTS, *capture.COLUMNS, capture.EVENTS, capture.TOPICS
        }  # fmt: skip
        for topic, channel in topics.items():
            if topic not in capture.COLUMNS:
                schema = summary.schemas[channel.schema_id]
                assert schema.encoding == "jsonschema"
                assert json.loads(schema.data)["type"] == "object"
                assert b"$ref" not in schema.data
        for schema_, channel, message in reader.iter_messages():
            if schema_ is not None:
                document = json.loads(message.data)
                required = json.loads(schema_.data).get("required", [])
                assert set(required) <= set(document), channel.topic
        (metadata,) = reader.iter_metadata()
        assert metadata.metadata["reasons"].split()[0] == "loss"


def test_the_columns_are_what_their_channel_says(run: Recorded) -> None:
    """Read with the description in the file alone."""
    with (run.folder / capture.FILE).open("rb") as file:
        sent = 0
        for _, channel, message in make_reader(file).iter_messages("/messages/sent"):
            block = msgspec.msgpack.decode(message.data)
            described = dict(each.rsplit(":", 1) for each in channel.metadata["columns"].split())
            lengths = {
                name: len(np.frombuffer(block[name], dtype)) for name, dtype in described.items()
            }
            assert set(lengths.values()) == {block["n"]}
            is_new = np.frombuffer(block["body"], "|u1").astype(bool)
            assert is_new[0]
            assert len(block["bodies"]) == np.frombuffer(block["length"], "<i4")[is_new].sum()
            sent += block["n"]
    assert sent == run.kernel.network.totals()["sent"]


def test_frames_are_a_step_apart_and_not_too_many() -> None:
    base = {"dt_ns": 100, "duration_ns": 1_000, "episodes": 1}

    def period(**given: int) -> int:
        return capture.frame_period(type("Intro", (), {**base, **given}))  # type: ignore[arg-type]

    assert period() == 100
    assert period(duration_ns=150_000) == 100
    assert period(duration_ns=150_001) == 200
    assert period(duration_ns=150_000, episodes=10) == 1_000


def test_messages_and_payloads_can_be_left_out(tmp_path: Path) -> None:
    for name, options in {"a": {"payloads": False}, "b": {"messages": False}}.items():
        (tmp_path / name).mkdir()
        record_run(
            "quickstart", tmp_path / name, duration=3, capture={"every_ns": 10**9, **options}
        )
    bare = open_recording(tmp_path / "a")
    assert len(bare.messages)
    assert bare.payload(0) is None
    assert bare.detail(-1, "agent-1").messages[0].payload == ""
    none = open_recording(tmp_path / "b")
    assert not none.has_messages
    assert len(none.messages) == 0
    assert none.times == [0, 10**9, 2 * 10**9, 3 * 10**9, 3 * 10**9]


# --- the disk -----------------------------------------------------------------------------------


@contextlib.contextmanager
def room(bytes_max: int) -> Iterator[None]:
    """No file grows larger than this: what the system says then, it also says of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "bytes_max",
    [
        pytest.param(0, marks=pytest.mark.slow),
        10,
        pytest.param(5_000, marks=pytest.mark.slow),
        30_000,
    ],
)
def test_a_full_disk_ends_the_recording_and_not_the_run(bytes_max: int, tmp_path: Path) -> None:
    kernel = prepare(load("quickstart", duration=60)).kernel()
    recorded = Recorded(kernel, tmp_path)
    with room(bytes_max):
        play(kernel, on_window=recorded.tick)
        recorded.end()
    assert kernel.status == "completed"
    assert "File too large" in recorded.capture.failed
    assert str(tmp_path) in recorded.capture.failed
    assert not recorded.capture.is_due(10**18)
    if bytes_max == 30_000:
        assert open_recording(tmp_path).intro.scenario == "quickstart"


def test_a_directory_that_is_gone_is_said_too(run: Recorded, tmp_path: Path) -> None:
    about = open_recording(run.folder).intro
    found = capture.Capture(tmp_path / "none" / "a", about, reasons=(), topics=[])
    assert "No such file" in found.failed
    found.frame(run.frames[0])
    found.close()


@settings(max_examples=tries(60), deadline=None)
@given(share=st.floats(0, 1))
def test_a_file_cut_off_anywhere_is_read_up_to_there(
    share: float, run: Recorded, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = (run.folder / capture.FILE).read_bytes()
    path = tmp_path_factory.mktemp("cut") / capture.FILE
    path.write_bytes(data[: int(share * len(data))])
    try:
        recording = Recording(path)
    except CheckpointError:
        assert share < 0.2
        return
    assert recording.is_whole >= (share == 1)
    times = [frame.now_ns for frame in run.frames]
    assert recording.times == times[: len(recording.times)]
    for number in (
        {0, len(recording.times) // 2, len(recording.times) - 1} if recording.times else ()
    ):
        found = recording.frame(number)
        assert same(msgspec.structs.replace(found, lines=[]), run.frames[number])
    messages = recording.messages
    assert messages.sequence.tolist() == list(range(len(messages)))
    if recording.is_whole:
        assert recording.times == times
        assert len(messages) == run.kernel.network.totals()["sent"]


def test_what_is_not_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no recording"):
        open_recording(tmp_path)
    for text in (b"", b"hello, this is no recording at all", bytes(100)):
        (tmp_path / capture.FILE).write_bytes(text)
        with pytest.raises(CheckpointError, match="holds nothing"):
            open_recording(tmp_path)


@settings(
    max_examples=tries(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(case=cases())
def test_random_scenarios_are_read_back(
    case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("case")
    run = record_case(case.text, case.scripts, folder, case.agents_per_host)
    recording = open_recording(folder)
    for number, frame in enumerate(run.frames):
        found = recording.frame(number)
        assert same(msgspec.structs.replace(found, lines=[]), frame)
    books = run.kernel.network.totals()
    assert len(recording.messages) == books["sent"] + books.get("duplicated", 0)
