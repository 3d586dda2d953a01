"""The recording of a run, `events.mcap`: frames for people, columns of every message for recounts.

An MCAP file that any viewer of the format opens. Frames are JSON on a channel per part, messages
are msgpack maps of raw column bytes; `log_time` is virtual nanoseconds. The file names all that it
needs to be understood: agents in the attachment `intro.json`, topics on `/messages/topics`, reasons
and kinds in the metadata record `sim`. docs/recording.md describes every channel.

The run never fails for its recording: whatever the disk refuses ends the recording, and `failed`
says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec
import numpy as np
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from sim.installation import version
from sim.wire.live import ActiveFault, AgentColumns, Frame, Intro, Line, LinkMatrix

FORMAT: Final = 1
"""Version of the channels and columns."""
FILE: Final = "events.mcap"
FRAMES_MAX: Final = 1_500
"""Frames of a run, unless it is said how often: a picture every minute of a day."""
SENT: Final = {
    "sequence": "<i8", "sent": "<i8", "sender": "<u2", "to": "<u2", "topic": "<i4", "kind": "|u1",
    "length": "<i4", "body": "|u1",
}  # fmt: skip
"""Columns of `/messages/sent`. body: 1 if the row has the next of the map's `bodies`, which follow
each other, `length` bytes each; 0 if it has the body of the row before, or none was kept."""
DROPPED: Final = {"sequence": "<i8", "reason": "|u1"}
ARRIVED: Final = {"sequence": "<i8", "arrival": "<i8"}
COLUMNS: Final = {
    "/messages/sent": SENT, "/messages/dropped": DROPPED, "/messages/arrived": ARRIVED,
}  # fmt: skip
TOPICS: Final = "/messages/topics"
EVENTS: Final = "/events"
KINDS: Final = ("publish", "direct", "request", "reply", "refusal", "copy")
FRAME_PARTS: Final = ("/run", "/metrics", "/scene", "/agents", "/links", "/faults", "/books")
INTRO: Final = "intro.json"
METADATA: Final = "sim"
_ROWS_MAX: Final = 16_384
"""Rows that wait for their message; more are written at once."""
_CHUNK_BYTES: Final = 512 * 1024
_LEVELS: Final = {"error": 4, "warning": 3, "stall": 3, "fault": 3}
_INFO: Final = 2
_encode: Final = msgspec.json.Encoder().encode
_pack: Final = msgspec.msgpack.Encoder().encode


class Columns(Protocol):
    """What a tape hands over, as `broker.tape.Columns`."""

    @property
    def sent(self) -> dict[str, NDArray[Any]]: ...
    @property
    def bodies(self) -> NDArray[np.object_]: ...
    @property
    def dropped(self) -> dict[str, Any]: ...
    @property
    def arrived(self) -> dict[str, NDArray[Any]]: ...


class RunPart(msgspec.Struct):
    """The channel `/run`: where the run stands."""

    serial: int
    now_ns: int
    status: str
    episode: int
    steps: int
    windows: int
    speed: float | None
    possible: float | None
    wanted: float | None
    wall_seconds: float
    digest: str
    decisions: int
    text: str


class MetricsPart(msgspec.Struct):
    """The channel `/metrics`: the outcome so far, and its other columns."""

    metrics: dict[str, float | None]
    reference: dict[str, dict[str, float | None]]
    whole: list[str]


class FaultsPart(msgspec.Struct):
    """The channel `/faults`: those in force."""

    faults: list[ActiveFault]


class BooksPart(msgspec.Struct):
    """The channel `/books`: where all messages ended."""

    sent: int
    delivered: int
    dropped: dict[str, int]
    in_flight: int
    bytes: int
    duplicated: int = 0


class _Stamp(msgspec.Struct):
    sec: int
    nsec: int


class LogPart(msgspec.Struct):
    """The channel `/events`, of the well-known form `foxglove.Log`, and what it has not."""

    timestamp: _Stamp
    level: int
    message: str
    name: str
    file: str
    line: int
    kind: str
    cause: str
    serial: int


_SCHEMAS: Final[dict[str, tuple[str, type[msgspec.Struct] | None]]] = {
    "/run": ("sim.Run", RunPart),
    "/metrics": ("sim.Metrics", MetricsPart),
    "/scene": ("sim.Scene", None),
    "/agents": ("sim.Agents", AgentColumns),
    "/links": ("sim.Links", LinkMatrix),
    "/faults": ("sim.Faults", FaultsPart),
    "/books": ("sim.Books", BooksPart),
    EVENTS: ("foxglove.Log", LogPart),
}


class Capture:
    """Writes a recording. Nothing here raises for the disk; `failed` says why it ended early.

    reasons: names of the reasons for which messages are dropped, the first is number 1.
    topics: names of topics by number, the network's own list, which grows.
    every_ns: virtual time between frames; None for at most `FRAMES_MAX` in a run, a world step
    apart or more. messages: whether columns are kept at all; payloads: whether with their bodies.
    Cost: 0.1 us a message; 0.1 ms a frame of 3 agents, 0.4 ms one of 30 on a drawn feeder.
    """

    def __init__(
        self,
        path: Path,
        intro: Intro,
        *,
        reasons: Sequence[str],
        topics: Sequence[str],
        every_ns: int | None = None,
        messages: bool = True,
        payloads: bool = True,
    ) -> None:
        self.failed = ""
        self.every_ns = frame_period(intro) if every_ns is None else max(every_ns, 1)
        self._path = path
        self._topics = topics
        self._topics_told = 0
        self._has_messages = messages
        self._has_payloads = payloads
        self._next_ns = 0
        self._serial = 0
        self._waiting: list[Columns] = []
        self._rows = 0
        self._file: IO[bytes] | None = None
        self._channels: dict[str, int] = {}
        with self._guard():
            self._file = path.open("xb")
            self._writer = Writer(self._file, _CHUNK_BYTES, CompressionType.ZSTD)
            self._begin(intro, reasons)

    def _begin(self, intro: Intro, reasons: Sequence[str]) -> None:
        writer = self._writer
        writer.start(profile="", library=f"sim-agents {version()}")
        writer.add_metadata(METADATA, {
            "format": str(FORMAT), "scenario": intro.scenario, "seed": str(intro.seed),
            "reasons": " ".join(reasons), "kinds": " ".join(KINDS),
            "every_ns": str(self.every_ns),
            "messages": "all" if self._has_messages else "none",
            "payloads": "true" if self._has_messages and self._has_payloads else "false",
        })  # fmt: skip
        writer.add_attachment(0, 0, INTRO, "application/json", _encode(intro))
        for topic, (name, record) in _SCHEMAS.items():
            schema = writer.register_schema(name, "jsonschema", _encode(_schema(record)))
            self._channels[topic] = writer.register_channel(topic, "json", schema)
        schema = writer.register_schema("sim.Topics", "jsonschema", _encode(_TOPICS_SCHEMA))
        self._channels[TOPICS] = writer.register_channel(TOPICS, "json", schema)
        for topic, columns in COLUMNS.items():
            metadata = {
                "rows": "n", "columns": " ".join(f"{c}:{d}" for c, d in columns.items()),
                "numbers": f"sender and to: agents of {INTRO}, from 0; topic: {TOPICS}; "
                f"kind, from 0, and reason, from 1: metadata record {METADATA}",
            }  # fmt: skip
            self._channels[topic] = writer.register_channel(topic, "msgpack", 0, metadata)

    # --- what happened --------------------------------------------------------------------------

    def is_due(self, now_ns: int) -> bool:
        """Whether a frame is wanted now."""
        return self._file is not None and now_ns >= self._next_ns

    def columns(self, now_ns: int, columns: Columns) -> None:
        """Keeps what a tape handed over at a virtual time."""
        rows = len(columns.sent["sequence"]) + len(columns.arrived["sequence"])
        rows += len(columns.dropped["sequence"])
        if self._file is None or not self._has_messages or not rows:
            return
        self._waiting.append(columns)
        self._rows += rows
        if self._rows >= _ROWS_MAX:
            with self._guard():
                self._write_columns(now_ns)

    def frame(self, frame: Frame) -> None:
        """Keeps a frame; its lines and its detail are not of it."""
        if self._file is None:
            return
        self._next_ns = (frame.now_ns // self.every_ns + 1) * self.every_ns
        with self._guard():
            self._write_columns(frame.now_ns)
            self._serial += 1
            for topic, part in _parts(frame).items():
                self._write(topic, frame.now_ns, _encode(part), self._serial)
            self._flush()

    def line(self, line: Line) -> None:
        """Keeps a line of the story."""
        if self._file is None:
            return
        stamp = _Stamp(*divmod(line.time_ns, 1_000_000_000))
        level = _LEVELS.get(line.kind, _INFO)
        part = LogPart(
            stamp, level, line.text, line.agent, "", 0, line.kind, line.cause, line.serial
        )
        with self._guard():
            self._write(EVENTS, line.time_ns, _encode(part), line.serial)

    def close(self, now_ns: int = 0) -> None:
        """Writes what waits, and the file's index; may be called again."""
        if self._file is None:
            return
        with self._guard():
            self._write_columns(now_ns)
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._flush()
        self._let_go()

    # --- writing --------------------------------------------------------------------------------

    def _write(self, topic: str, now_ns: int, data: bytes, number: int = 0) -> None:
        self._writer.add_message(self._channels[topic], now_ns, data, now_ns, number & 0xFFFFFFFF)

    def _write_columns(self, now_ns: int) -> None:
        waiting, self._waiting, self._rows = self._waiting, [], 0
        if not waiting:
            return
        told = self._topics_told
        if len(self._topics) > told:
            names = list(self._topics[told:])
            self._write(TOPICS, now_ns, _encode({"first": told, "names": names}))
            self._topics_told += len(names)
        sent = _raw([columns.sent for columns in waiting], SENT)
        if sent["n"]:
            bodies = np.concatenate([columns.bodies for columns in waiting])
            sent |= self._bodies(bodies)
        for topic, columns in (
            ("/messages/sent", sent),
            ("/messages/dropped", _raw([c.dropped for c in waiting], DROPPED)),
            ("/messages/arrived", _raw([c.arrived for c in waiting], ARRIVED)),
        ):
            if columns["n"]:
                self._write(topic, now_ns, _pack(columns))

    def _bodies(self, bodies: NDArray[np.object_]) -> dict[str, bytes]:
        """Every body once: a publication's is the same for all its receivers, row after row."""
        if not self._has_payloads:
            return {"body": bytes(len(bodies))}
        is_new = np.ones(len(bodies), dtype=bool)
        is_new[1:] = bodies[1:] != bodies[:-1]
        return {"body": is_new.tobytes(), "bodies": b"".join(bodies[is_new].tolist())}

    def _flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        self._waiting = []
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or str(error)
            self.failed = (
                f"recording ended: cannot write {self._path}: {why}. The run goes on; what is "
                "written so far can be read"
            )
            self._let_go()


def frame_period(intro: Intro) -> int:
    """Virtual time between frames: so many world steps that a run has at most `FRAMES_MAX`."""
    step = max(intro.dt_ns, 1)
    total = intro.duration_ns * intro.episodes
    return max(-(-total // (FRAMES_MAX * step)), 1) * step


def _parts(frame: Frame) -> dict[str, Any]:
    """What of a frame goes on which channel."""
    return {
        "/run": RunPart(
            frame.serial, frame.now_ns, frame.status, frame.episode, frame.steps, frame.windows,
            frame.speed, frame.possible, frame.wanted, frame.wall_seconds, frame.digest,
            frame.decisions, frame.text,
        ),
        "/metrics": {
            "metrics": frame.metrics, "reference": frame.reference, "whole": frame.whole,
        },
        "/scene": frame.scene,
        "/agents": frame.agents,
        "/links": frame.links,
        "/faults": FaultsPart(frame.faults),
        "/books": frame.books,
    }  # fmt: skip


def _raw(parts: Sequence[dict[str, Any]], columns: dict[str, str]) -> dict[str, Any]:
    """Columns as bytes, and their number of rows."""
    found: dict[str, Any] = {"n": sum(len(part["sequence"]) for part in parts)}
    for name, dtype in columns.items():
        if name in parts[0]:
            joined = np.concatenate([part[name] for part in parts])
            found[name] = joined.astype(dtype, copy=False).tobytes()
    return found


_TOPICS_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "first": {"type": "integer"},
        "names": {"type": "array", "items": {"type": "string"}},
    },
}


def _schema(record: type[msgspec.Struct] | None) -> dict[str, Any]:
    """A JSON Schema without references, which not every viewer follows."""
    if record is None:
        return {"type": "object", "additionalProperties": True}
    (schema,), parts = msgspec.json.schema_components([record], ref_template="{name}")
    found: dict[str, Any] = _inlined(schema, parts)
    return found


def _inlined(node: Any, parts: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inlined(parts[node["$ref"]], parts)
        return {key: _inlined(value, parts) for key, value in node.items()}
    if isinstance(node, list):
        return [_inlined(item, parts) for item in node]
    return node
