"""Where frames come from: a broker's door through one thread; a recording that is moved through."""

from __future__ import annotations

import math
import subprocess
import threading
import time
from typing import Any

import pytest
from console.fakes import FakeRecording, replace, stored

from sim.console.source import BACK, SEEK, LiveSource, RecordedSource, time_ns
from sim.errors import SimError
from sim.wire.live import Answer, Frame, Intro

SECOND = 1_000_000_000


class FakeClient:
    """A broker's door as `sim.wire.control.ControlClient` is one."""

    def __init__(self, intro: Intro | None) -> None:
        self.intro = intro
        self.frames: list[Frame] = []
        self.asked: list[tuple[str, str]] = []
        self.threads: set[int] = set()
        self.is_open = True
        self.is_closed = False
        self.silence = ""
        self.broken = ""

    def ask(self, what: str, text: str = "", timeout_s: float = 5.0) -> Answer:
        self.threads.add(threading.get_ident())
        self.asked.append((what, text))
        if self.silence and what not in ("intro", "watch"):
            raise SimError(self.silence)
        intro = self.intro if what == "intro" else None
        return Answer(number=len(self.asked), is_ok=what != "speed", text=what, intro=intro)

    def news(self, timeout_s: float = 0.0) -> list[Frame]:
        if self.broken:
            raise SimError(self.broken)
        frames, self.frames = self.frames, []
        if not frames:
            time.sleep(min(timeout_s, 0.01))
        return frames

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(name="client")
def make_client() -> FakeClient:
    intro, _ = stored("quickstart")
    return FakeClient(replace(intro, pid=0))


def until(is_so: Any) -> bool:
    for _ in range(300):
        if is_so():
            return True
        time.sleep(0.01)
    return False


def test_frames_come_through_in_order(client: FakeClient) -> None:
    _, frames = stored("quickstart")
    source = LiveSource("somewhere", connect=lambda address: client)
    assert source.news() == []
    client.frames = frames[:3]
    got: list[Frame] = []
    assert until(lambda: got.extend(source.news()) or len(got) == 3)
    assert [frame.serial for frame in got] == [1, 2, 3]
    assert source.ask("pause").is_ok
    assert not source.ask("speed", "9x").is_ok
    source.close()
    assert client.is_closed
    asked = [what for what, _ in client.asked]
    assert asked == ["intro", "watch", "pause", "speed", "leave"]
    assert len(client.threads - {threading.get_ident()}) == 1


def test_read_only_never_asks_for_a_change(client: FakeClient) -> None:
    source = LiveSource("somewhere", True, connect=lambda address: client)
    answer = source.ask("inject", "{kill: agent-1}")
    assert not answer.is_ok
    assert "read-only" in answer.text
    assert source.ask("inspect", "agent-1").is_ok
    source.close()
    assert ("inject", "{kill: agent-1}") not in client.asked


def test_a_broker_that_breaks_off_ends_the_news(client: FakeClient) -> None:
    _, frames = stored("quickstart")
    source = LiveSource("somewhere", connect=lambda address: client)
    client.frames = frames[:1]
    client.broken = ""
    assert until(lambda: not client.frames)
    client.broken = "the run has ended"
    assert until(lambda: source._lost)
    assert len(source.news()) == 1
    with pytest.raises(SimError, match="has ended"):
        source.news()
    with pytest.raises(SimError, match="has ended"):
        source.ask("pause")
    source.close()


def test_a_silent_broker_is_looked_after(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.console.source._SILENT_SECONDS", 0.05)
    source = LiveSource("somewhere", connect=lambda address: client)
    time.sleep(0.2)
    assert source.news() == []
    client.is_open = False
    assert until(lambda: source._lost)
    with pytest.raises(SimError, match="ended"):
        source.news()
    source.close()


def test_a_dead_broker_is_noticed_at_once(client: FakeClient) -> None:
    broker = subprocess.Popen(["sleep", "60"])
    client.intro = replace(client.intro, pid=broker.pid)
    source = LiveSource("somewhere", connect=lambda address: client)
    broker.kill()
    began = time.monotonic()
    assert until(lambda: source._lost)
    assert time.monotonic() - began < 1.0
    assert "is gone" in source._lost
    broker.wait()
    source.close()


def test_a_broker_without_an_answer_is_an_error(client: FakeClient) -> None:
    source = LiveSource("somewhere", connect=lambda address: client)
    client.silence = "the broker did not answer 'pause'"
    with pytest.raises(SimError, match="did not answer"):
        source.ask("pause")
    source.close()


def test_nobody_there() -> None:
    with pytest.raises(SimError):
        LiveSource("ipc:///nowhere/at/all")
    nameless = FakeClient(None)
    with pytest.raises(SimError, match="which run"):
        LiveSource("somewhere", connect=lambda address: nameless)
    assert nameless.is_closed


# --- recorded -----------------------------------------------------------------------------------


class Player:
    def __init__(self, name: str = "quickstart", speed: float = 1.0) -> None:
        intro, frames = stored(name)
        self.now = 0.0
        self.recording = FakeRecording(replace(intro, speed=speed), frames)
        self.source = RecordedSource(self.recording, lambda: self.now)

    def seconds(self) -> list[int]:
        return [frame.now_ns // SECOND for frame in self.source.news()]


def test_it_plays_at_its_speed_and_catches_up() -> None:
    player = Player(speed=2.0)
    assert player.seconds() == [0]
    assert player.seconds() == []
    player.now = 0.5
    assert player.seconds() == [1]
    player.now = 3.1
    assert player.seconds() == [2, 3, 4, 5, 6]
    assert player.source.ask("speed", "10x").is_ok
    assert player.seconds() == [6]
    player.now += 1.001
    assert player.seconds()[-1] == 16


def test_as_fast_as_it_goes_is_as_it_was_stored() -> None:
    player = Player(speed=math.inf)
    assert [player.seconds() for _ in range(3)] == [[0], [1], [2]]


def test_it_stands_while_it_is_paused() -> None:
    player = Player()
    player.seconds()
    player.source.ask("pause")
    [frame] = player.source.news()
    assert frame.status == "paused"
    player.now = 30.0
    assert player.seconds() == []
    player.source.ask("go")
    assert [frame.status for frame in player.source.news()] == ["running"]
    player.now = 31.0
    assert player.seconds() == [1]


def test_steps_and_leaps_keep_the_story_whole() -> None:
    player = Player()
    first = player.source.news()
    player.source.ask(SEEK, "50")
    frames = player.source.news()
    told = [line.serial for frame in [*first, *frames] for line in frame.lines]
    everything = [line.serial for frame in player.recording.frames[:51] for line in frame.lines]
    assert told == everything
    player.source.ask(BACK)
    [back] = player.source.news()
    assert back.now_ns == 49 * SECOND
    assert back.lines == []
    player.source.ask("step")
    [again] = player.source.news()
    assert again.now_ns == 50 * SECOND


def test_a_long_leap_hands_over_only_some_pictures() -> None:
    player = Player()
    player.recording.frames = [
        replace(player.recording.frames[1], now_ns=i * SECOND) for i in range(3000)
    ]
    player.recording.times = [frame.now_ns for frame in player.recording.frames]
    source = RecordedSource(player.recording, lambda: 0.0)
    source.news()
    source.ask(SEEK, "end")
    frames = source.news()
    assert len(frames) < 2 * RecordedSource.WALK
    assert frames[-1].now_ns == 2999 * SECOND


def test_its_end_is_how_it_ended() -> None:
    player = Player()
    player.source.ask(SEEK, "end")
    assert player.source.news()[-1].status == "completed"
    player.source.ask("go")
    assert player.source.news()[-1].now_ns == 0


@pytest.mark.parametrize("what", ["inject", "stop"])
def test_it_is_not_changed(what: str) -> None:
    player = Player()
    answer = player.source.ask(what, "{heal: true}")
    assert not answer.is_ok
    assert "recorded" in answer.text


def test_mistyped() -> None:
    player = Player()
    assert "expected a time" in player.source.ask(SEEK, "soon").text
    assert "expected max" in player.source.ask("speed", "fast").text
    assert player.source.ask("inspect", "agent-1").is_ok


def test_nothing_recorded() -> None:
    intro, _ = stored("quickstart")
    with pytest.raises(SimError, match="no frames"):
        RecordedSource(FakeRecording(intro, []))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("13:45", 13 * 3600 + 45 * 60),
        ("13:45:06", 13 * 3600 + 45 * 60 + 6),
        ("d2 06:00", 30 * 3600),
        ("6h10min", 6 * 3600 + 600),
        ("90", 90),
        ("50%", 500),
        ("start", 0),
        ("end", 1000),
    ],
)
def test_times_as_typed(text: str, seconds: int) -> None:
    assert time_ns(text, 1000 * SECOND) == seconds * SECOND
