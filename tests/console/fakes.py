"""Sources that need no run: frames of real ones, stored; and asks written down."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec

from sim.errors import SimError
from sim.wire.live import Answer, Detail, Frame, Intro, Line, Passed

FRAMES = Path(__file__).parent / "frames"


def stored(name: str) -> tuple[Intro, list[Frame]]:
    """The intro and frames of a run, made by tests/console/make_frames.py."""
    packed = gzip.decompress((FRAMES / f"{name}.msgpack.gz").read_bytes())
    return msgspec.msgpack.decode(packed, type=tuple[Intro, list[Frame]])


class FakeSource:
    """A live run: frames are handed over by the test, asks are written down."""

    is_recorded = False

    def __init__(self, intro: Intro, frames: list[Frame], is_read_only: bool = False) -> None:
        self.intro = intro
        self.is_read_only = is_read_only
        self.frames = list(frames)
        self.asked: list[tuple[str, str]] = []
        self.refuses: dict[str, str] = {}
        self.lost = ""
        self.is_closed = False

    def news(self) -> list[Frame]:
        frames, self.frames = self.frames, []
        if not frames and self.lost:
            raise SimError(self.lost)
        return frames

    def ask(self, what: str, text: str = "") -> Answer:
        self.asked.append((what, text))
        if what in self.refuses:
            return Answer(number=1, is_ok=False, text=self.refuses[what])
        return Answer(number=1, is_ok=True, text="")

    def close(self) -> None:
        self.is_closed = True

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Asks but those that only look."""
        return [ask for ask in self.asked if ask[0] != "inspect"]


class FakeRecording:
    """A stored run."""

    def __init__(self, intro: Intro, frames: list[Frame]) -> None:
        self.intro = msgspec.structs.replace(intro, is_recorded=True)
        self.frames = frames
        self.times = [frame.now_ns for frame in frames]
        self.read: list[int] = []

    def frame(self, i: int) -> Frame:
        self.read.append(i)
        return self.frames[i]


def detail_of(agent: str) -> Detail:
    """What a broker tells of an inspected agent."""
    second = 1_000_000_000
    return Detail(
        agent=agent,
        observed_ns=60 * second,
        observed=[
            ("minute", [721.0], "min"), ("v_pu", [1.046], "p.u."), ("forecast", [1.0] * 8, "kW"),
        ],
        action=[("power_kw", [3.0], "kW")],
        rewards=[-0.021, 0.003],
        messages=[
            Passed(
                58 * second, 58 * second + 71_000_000, agent, "market", "offer", 212, "delivered",
                "{'quantity': 3.0, 'price': [bold]0.21}",
            ),
            Passed(40 * second, -1, "operator", agent, "limit", 98, "loss", "0.9"),
        ],
        log=[Line(3, 57 * second, "info", agent, "charged [red]3 kWh[/]")],
        accounts={"offer": {"sent": 40, "delivered": 39, "loss": 1}},
    )  # fmt: skip


def replace(frame: Frame, **fields: Any) -> Frame:
    return msgspec.structs.replace(frame, **fields)
