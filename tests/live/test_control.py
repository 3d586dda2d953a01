"""What onlookers are answered and shown, and that a run is what it would have been without them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from sim.again import read_past, resume, verify
from sim.errors import SimError
from sim.outcome import Result
from sim.store.rundir import address_of
from sim.store.runlog import Input, read_log
from sim.units import SECOND
from sim.wire.control import ControlClient

Start = Callable[..., Any]


def test_the_intro_says_who_takes_part(start: Start) -> None:
    running = start()
    intro = running.door.ask("intro").intro
    assert [card.name for card in intro.agents] == [f"agent-{i}" for i in (1, 2, 3, 4)]
    assert intro.duration_ns == 60 * SECOND
    assert intro.metrics[0].name == "reward"
    assert address_of(running.end().run_dir) is None


def test_frames_come_to_all_who_watch_until_the_end_and_count_their_own(start: Start) -> None:
    running = start()
    other = ControlClient(running.address)
    for door in (running.door, other):
        assert door.ask("watch").is_ok
    first = running.frame(lambda f: f.now_ns > 0)
    assert first.status == "running"
    assert len(first.agents.state) == 4
    second = running.frame()
    assert second.serial == first.serial + 1
    result = running.end()
    last = other.news(2.0)[-1]
    assert (last.status, last.digest, last.now_ns) == ("completed", result.digest, 60 * SECOND)
    assert last.books["sent"] == result.messages["sent"]
    assert last.metrics == {name: metric.value for name, metric in result.metrics.items()}
    other.close()


def test_a_pause_holds_virtual_time_and_steps_move_it_by_one(start: Start) -> None:
    running = start()
    running.door.ask("watch")
    running.door.ask("pause")
    held = running.frame(lambda f: f.status == "paused")
    assert running.frame().now_ns == held.now_ns
    running.door.ask("step")
    stepped = running.frame(lambda f: f.steps > held.steps)
    assert stepped.steps == held.steps + 1
    running.door.ask("window")
    moved = running.frame(lambda f: f.windows > stepped.windows)
    assert moved.windows == stepped.windows + 1
    running.door.ask("go")
    assert running.frame(lambda f: f.windows > moved.windows + 5).status == "running"


def test_a_fault_by_command_is_written_first_and_strikes_at_the_next_instant(start: Start) -> None:
    running = start()
    running.door.ask("watch")
    running.frame(lambda f: f.now_ns > SECOND)
    answer = running.door.ask("inject", "{kill: agent-2, for: 10s}")
    assert answer.is_ok
    assert "agent-2 killed for 10s" in answer.text
    down = running.frame(lambda f: f.agents.state[1] == "down")
    assert [fault.cause for fault in down.faults] == ["you, recorded"]
    line = next(line for line in running.lines if line.kind == "fault")
    assert (line.text, line.cause) == ("agent-2 killed for 10s", "you, recorded")
    result = running.end()
    (given,) = [r for r in read_log(result.run_dir / "run.log") if isinstance(r, Input)]
    assert [f.kind for f in given.faults] == ["kill", "restart"]
    assert given.faults[0].time_ns == given.time_ns
    assert [f["cause"] for f in result.faults] == ["you, recorded"] * 2
    verdict = verify(read_past(result.run_dir))
    assert verdict.is_same
    assert verdict.is_whole


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{kill: agnt-2}", "did you mean 'agent-2'"),
        ("{kil: agent-2}", "did you mean 'kill'"),
        ("{partition: [agent-1, agent-1]}", "nobody is left"),
        ("[", "command"),
        ("kill", "command"),
        ("{link: [agent-1, agent-2], loss: 3}", "from 0 to 1"),
        ("{kill: agent-1, at: 0s}", "past"),
    ],
)
def test_a_wrong_command_is_told_and_changes_nothing(start: Start, entry: str, said: str) -> None:
    running = start()
    running.door.ask("watch")
    running.frame(lambda f: f.now_ns > 0)
    answer = running.door.ask("inject", entry)
    assert not answer.is_ok
    assert said in answer.text
    result = running.end()
    assert result.faults == []
    assert not [r for r in read_log(result.run_dir / "run.log") if isinstance(r, Input)]


def test_heal_lifts_all_and_starts_again_who_was_killed(start: Start) -> None:
    running = start()
    running.door.ask("watch")
    for entry in (
        "{kill: agent-1}", "{partition: [agent-2, agent-3]}", "{noise: 0.5}", "{hang: agent-4}",
    ):  # fmt: skip
        assert running.door.ask("inject", entry).is_ok
    hurt = running.frame(lambda f: len(f.faults) == 4)
    assert hurt.agents.state[0] == "down"
    assert hurt.agents.state[3] == "hung"
    assert any(map(any, hurt.links.is_cut))
    assert running.door.ask("inject", "{heal: true}").is_ok
    whole = running.frame(lambda f: not f.faults)
    assert not any(map(any, whole.links.is_cut))
    assert running.frame(lambda f: f.agents.state == ["up"] * 4)
    assert "nothing is in force" in running.door.ask("inject", "{heal: true}").text
    assert verify(read_past(running.end().run_dir)).is_same


def test_an_agent_is_inspected_with_its_messages_and_a_link_with_what_it_is(start: Start) -> None:
    running = start()
    running.door.ask("watch")
    assert running.door.ask("inspect", "agent-2").is_ok
    detail = running.frame(lambda f: f.detail is not None and len(f.detail.messages) > 20).detail
    assert detail.agent == "agent-2"
    assert detail.observed
    assert all("agent-2" in (m.sender, m.receiver) for m in detail.messages)
    assert {m.fate for m in detail.messages} >= {"delivered"}
    assert running.door.ask("inspect", "agent-1 > agent-3").is_ok
    detail = running.frame(lambda f: f.detail is not None and f.detail.target == "agent-3").detail
    assert "20ms" in detail.link["link"]
    assert "did you mean 'agent-1'" in running.door.ask("inspect", "agent-1x").text
    assert running.door.ask("inspect", "").is_ok
    assert running.frame(lambda f: f.detail is None)


def test_a_stop_ends_the_run_as_interrupted_and_it_can_be_resumed(
    start: Start, undisturbed: Result
) -> None:
    running = start()
    running.door.ask("watch")
    running.frame(lambda f: f.now_ns > SECOND)
    assert running.door.ask("stop").is_ok
    running._thread.join(60)
    assert running.result.status == "interrupted"
    assert running.result.exit_code == 130
    again = resume(read_past(running.result.run_dir), compare=False)
    assert (again.status, again.digest) == ("completed", undisturbed.digest)


def test_onlookers_pauses_steps_and_recording_leave_no_trace(
    start: Start, undisturbed: Result
) -> None:
    plain = undisturbed
    running = start(over={"record": {"every": "100ms"}})
    running.door.ask("watch")
    for number in range(12):
        client = ControlClient(running.address)
        client.ask("watch")
        running.door.ask(("pause", "step", "window", "go")[number % 4])
        running.door.ask("speed", f"{10 + number}x")
        running.door.ask("inspect", f"agent-{number % 4 + 1}")
        running.frame()
        client.close()
    watched = running.end()
    assert (watched.digest, watched.folds) == (plain.digest, plain.folds)
    assert watched.messages == plain.messages


def test_who_sends_nonsense_is_named_and_heard_no_more_and_others_are(start: Start) -> None:
    running = start()
    running.door.ask("watch")
    # In this test everybody is one process: the offender is the client too.
    running.frame()
    stranger = ControlClient(running.address)
    for data in (b"", b"\x00\xff", b"nonsense" * 100, b"\x93\x01\xa1a"):
        stranger._socket.send(data)
    running.frame(lambda f: any("heard no more" in line.text for line in f.lines))
    (line,) = [line for line in running.lines if "heard no more" in line.text]
    assert f"process {os.getpid()}" in line.text
    with pytest.raises(SimError, match="did not answer"):
        stranger.ask("intro", timeout_s=0.5)
    stranger.close()
    running._thread.join(60)
    assert running.result.status == "completed"


def test_live_json_names_the_door_while_the_run_goes_on(start: Start) -> None:
    running = start()
    running.door.ask("watch")
    running.frame()
    path = running._options["run_dir"]
    assert address_of(path) == running.address
    live = json.loads((path / "live.json").read_text())
    (path / "live.json").write_text(json.dumps({**live, "born": "0"}))
    assert address_of(path) is None
    assert running.end().status == "completed"
