"""The power fails: whatever is left of a log is read, and the run is resumed to the same end."""

from __future__ import annotations

import random
import secrets
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers.live import Conducted, ask, finish, step

from broker.pace import Pace
from sim.again import read_past, resume, verify
from sim.errors import CheckpointError
from sim.scenario.load import parse_scenario
from sim.store.recount import recount
from sim.store.runlog import End, Fold, Header, Input, frame, scan_log
from sim.wire.control import ControlClient

PLAYERS = Path(__file__).with_name("players.py")
SCENARIO = yaml.safe_dump({
    "duration": "1s", "seed": 3,
    "world": {"kind": "blank", "agents": 3, "step": "100ms"},
    "agents": {"agent-*": {"behaviour": f"{PLAYERS}:Busy"}},
    "network": {"default": {"latency": "5ms", "jitter": {"exponential": "2ms"}, "loss": "2%"}},
})  # fmt: skip
COMMANDS = (
    "{kill: agent-2, for: 200ms}",
    "{link: [agent-1, agent-3], loss: 0.5, for: 300ms}",
    "{byzantine: agent-1, topic: beat, field: x, mode: sign-flip}",
)


def script(client: ControlClient, commands: int) -> None:
    """The first of the commands, each at a moment that is always the same."""
    ask(client, "pause")
    for text in COMMANDS[:commands]:
        step(client, 1)
        ask(client, "inject", text)
        step(client, 1)
    finish(client)


@dataclass
class Whole:
    """A run that nothing disturbed. cuts: where its records end."""

    path: Path
    data: bytes
    cuts: list[int]
    records: list[Any]
    digest: str


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[Whole]:
    """Runs with none, one, two and three commands."""
    found = []
    for n in range(len(COMMANDS) + 1):
        path = tmp_path_factory.mktemp(f"whole{n}") / "run"
        out = Conducted(
            partial(script, commands=n), parse_scenario(SCENARIO), path, inline=True
        )  # fmt: skip
        assert out.result.status == "completed"
        data = (path / "run.log").read_bytes()
        scanned = scan_log(data)
        records = [record for record, _ in scanned]
        assert sum(isinstance(r, Input) for r in records) == n
        assert isinstance(records[-1], End)
        found.append(Whole(path, data, [at for _, at in scanned], records, out.result.digest))
    assert len({whole.digest for whole in found}) == len(found)
    return found


def copy(whole: Whole, to: Path, log: bytes | None) -> Path:
    """The directory as it may be found after a power cut."""
    shutil.copytree(whole.path, to)
    (to / "run.log").unlink()
    if log is not None:
        (to / "run.log").write_bytes(log)
    return to


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_every_prefix_is_read(
    wholes: list[Whole], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = wholes[-1]
    path = copy(whole, tmp_path / "cut", b"")
    loaded = read_past(path).scenario
    monkeypatch.setattr("sim.again.load_scenario", lambda name: loaded)
    near = {at for end in whole.cuts for at in (end - 1, end, end + 1)}
    places = near | {*range(0, len(whole.data), step), len(whole.data)}
    for at in sorted(at for at in places if at <= len(whole.data)):
        (path / "run.log").write_bytes(whole.data[:at])
        past = read_past(path)
        kept = [r for r, end in zip(whole.records, whole.cuts, strict=True) if end <= at]
        assert past.end == (kept[-1] if kept and isinstance(kept[-1], End) else None)
        assert past.records == [r for r in kept if not isinstance(r, End)]
        assert past.keep == max([0, *(end for end in whole.cuts[:-1] if end <= at)])
        assert past.manifest == whole.records[0].manifest


def test_every_prefix_is_resumed_to_the_same_end_and_the_same_log(
    wholes: list[Whole], tmp_path: Path
) -> None:
    whole = wholes[-1]
    for number, at in enumerate([None, 0, *whole.cuts[:-1]]):
        path = copy(whole, tmp_path / str(number), None if at is None else whole.data[:at])
        past = read_past(path)
        inputs = sum(isinstance(r, Input) for r in past.records)
        result = resume(past, compare=False)
        expected = wholes[inputs]
        assert result.status == "completed", result.error
        assert result.digest == expected.digest
        data = (path / "run.log").read_bytes()
        assert data[whole.cuts[0] :] == expected.data[expected.cuts[0] :]
        assert data[: at or 0] == whole.data[: at or 0]
        if inputs == len(COMMANDS):
            assert data == whole.data
        assert recount(path) == []
    whole_past = read_past(whole.path)
    with pytest.raises(CheckpointError, match="has come to its end"):
        resume(whole_past)


def test_garbage_behind_a_prefix_costs_nothing(wholes: list[Whole], tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    source = random.Random(seed)
    whole = wholes[-1]
    fold = frame(Fold(10**18, "ab" * 16))
    torn = [
        lambda: source.randbytes(source.randint(1, 400)),
        lambda: bytes(source.randint(1, 5000)),
        lambda: b"\xff" * source.randint(1, 5000),
        lambda: fold[: source.randrange(1, len(fold))],
        lambda: fold[:-1] + bytes([fold[-1] ^ 1]) + fold,
        lambda: whole.data[source.randrange(1, len(whole.data)) :],
    ]
    for number, at in enumerate(whole.cuts[:-1]):
        garbage = source.choice(torn)()
        path = copy(whole, tmp_path / str(number), whole.data[:at] + garbage)
        past = read_past(path)
        assert past.keep >= at
        if past.keep != at:  # the garbage began at a record by chance
            continue
        result = resume(past, compare=False)
        inputs = sum(isinstance(r, Input) for r in past.records)
        assert result.digest == wholes[inputs].digest
        assert verify(read_past(path)).is_same


def test_a_header_that_is_damaged_is_no_log(wholes: list[Whole], tmp_path: Path) -> None:
    whole = wholes[-1]
    damaged = bytearray(whole.data)
    damaged[20] ^= 1
    with pytest.raises(CheckpointError, match="is not the log of a run"):
        read_past(copy(whole, tmp_path / "damaged", bytes(damaged)))


def test_what_was_lost_may_be_commanded_again(
    wholes: list[Whole], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed from after the first command, with the others given anew: the whole run's digest."""
    monkeypatch.setattr("sim.again.Pace", lambda speed, rush: Pace(speed))  # it would be too quick
    whole = wholes[-1]
    second = [i for i, r in enumerate(whole.records) if isinstance(r, Input)][1]
    path = copy(whole, tmp_path / "cut", whole.data[: whole.cuts[second - 1]])
    refusals = []

    def rest(client: ControlClient) -> None:
        answer = client.ask("inject", COMMANDS[1], 30)
        refusals.append(answer.text)
        assert not answer.is_ok
        ask(client, "pause")
        step(client, 3)
        ask(client, "inject", COMMANDS[1])
        step(client, 2)
        ask(client, "inject", COMMANDS[2])
        finish(client)

    out = Conducted(rest, None, path, partial(resume, read_past(path)), speed=0.001)
    assert refusals == ["the run still catches up with its log: ask again later"]
    assert out.result.digest == whole.digest
    assert (path / "run.log").read_bytes() == whole.data


def test_a_run_that_broke_off_before_its_scenario_was_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="broke off before it began"):
        read_past(tmp_path)


def test_the_header_names_what_was_run(wholes: list[Whole]) -> None:
    header = wholes[0].records[0]
    assert isinstance(header, Header)
    assert header.manifest["packing"] == {"agents_per_host": 1, "inline": True}


def test_a_run_that_was_cut_off_between_its_end_and_its_summary_is_finished(
    wholes: list[Whole], tmp_path: Path
) -> None:
    whole = wholes[1]
    path = copy(whole, tmp_path / "cut", whole.data)
    (path / "summary.json").unlink()
    recording = path / "events.mcap"
    recording.write_bytes(recording.read_bytes()[:5000])
    result = resume(read_past(path), compare=False)
    assert result.digest == whole.digest
    assert (path / "run.log").read_bytes() == whole.data
    assert recount(path) == []
