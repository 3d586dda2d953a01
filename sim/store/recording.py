"""A recorded run, read back: the frames that onlookers saw, and every message.

`open_recording` gives the same records as a live run, so that the console shows either.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.errors import CheckpointError, UnknownKeyError
from sim.ids import did_you_mean
from sim.store.capture import COLUMNS, EVENTS, FILE, FORMAT, FRAME_PARTS, INTRO, METADATA, TOPICS
from sim.store.columns import FILE as COLUMNS_FILE
from sim.store.columns import Columns
from sim.store.mcapfile import McapFile
from sim.wire.live import ActiveFault, AgentColumns, Detail, Frame, Intro, Line, LinkMatrix, Passed
from sim.wire.messages import COPIED
from sim.wire.payload import payload_text

IN_FLIGHT, DELIVERED = -1, 0
"""Fates beside the reasons, which count from 1."""
_DETAIL_MESSAGES: Final = 100
_DETAIL_LINES: Final = 100
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Messages:
    """Every message of a run, in the order of sending. Shapes: each [n].

    arrived: -1 unless delivered. fate: IN_FLIGHT, DELIVERED, or the number of a reason.
    ended: when that was known, to within a frame; NEVER for what is in flight.
    block, row: where it stands: message of `/messages/sent`, and row in that.
    """

    sequence: Ints
    sent: Ints
    arrived: Ints
    sender: Ints
    to: Ints
    topic: Ints
    kind: Ints
    length: Ints
    fate: Ints
    ended: Ints
    block: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.sequence)


class Recording:
    """A run's recording; `times` are the virtual times of its frames, in ns.

    Frames are read when they are asked for. Raises: CheckpointError from every method if the file
    is damaged there.
    """

    def __init__(self, path: Path) -> None:
        self._file = McapFile(path)
        self._known = Columns(path.with_name(COLUMNS_FILE))
        self.metadata: Mapping[str, str] = self._file.metadata.get(METADATA, {})
        if self.metadata.get("format") != str(FORMAT):
            raise CheckpointError(f"{path} is no recording of sim, or of another version of it")
        try:
            plain = msgspec.json.decode(self._file.attachments[INTRO])
            plain["speed"] = math.inf if plain["speed"] is None else plain["speed"]
            intro = msgspec.convert(plain, Intro)
            self.reasons = self.metadata["reasons"].split()
            self.kinds = self.metadata["kinds"].split()
        except (KeyError, TypeError, msgspec.MsgspecError) as error:
            raise CheckpointError(f"{path}: who took part cannot be read: {error}") from None
        self.intro = msgspec.structs.replace(intro, is_recorded=True)
        self.is_whole = self._file.is_whole
        self.names = [card.name for card in intro.agents]
        count = min(self._file.count(topic) for topic in FRAME_PARTS)
        self.times = [m.log_time for m in self._file.messages("/run", 0, count)]

    @property
    def has_messages(self) -> bool:
        """Whether messages were recorded at all."""
        return self.metadata.get("messages") == "all"

    # --- frames ---------------------------------------------------------------------------------

    def frame(self, number: int) -> Frame:
        """A frame by its number; negative ones count from the end. Raises: IndexError."""
        number = self._number(number)
        parts = {topic: self.part(topic, number) for topic in FRAME_PARTS}
        run, outcome = parts["/run"], parts["/metrics"]
        for name in ("speed", "possible", "wanted"):
            run[name] = math.inf if run[name] is None else run[name]
        reference, whole = self._known.at(run["now_ns"])
        if not reference:
            reference = {name: _floats(column) for name, column in outcome["reference"].items()}
            whole = outcome["whole"]
        return Frame(
            **run,
            metrics=_floats(outcome["metrics"]),
            reference=reference,
            whole=whole,
            scene=parts["/scene"],
            agents=msgspec.convert(_finite(parts["/agents"]), AgentColumns),
            links=msgspec.convert(parts["/links"], LinkMatrix),
            faults=msgspec.convert(parts["/faults"]["faults"], list[ActiveFault]),
            books=parts["/books"],
            lines=self.lines(number),
        )

    def part(self, topic: str, number: int) -> Any:
        """One part of a frame, as plain data."""
        return msgspec.json.decode(self._file.message(topic, number).data)

    def parts(self, topic: str) -> list[Any]:
        """One part of all frames, as plain data."""
        count = len(self.times)
        return [msgspec.json.decode(m.data) for m in self._file.messages(topic, 0, count)]

    def at(self, now_ns: int) -> int:
        """The number of the last frame at or before a virtual time; 0 if there is none."""
        return max(bisect.bisect_right(self.times, now_ns) - 1, 0)

    def _number(self, number: int) -> int:
        found = number + len(self.times) if number < 0 else number
        if not 0 <= found < len(self.times):
            raise IndexError(f"frame {number} of {len(self.times)}")
        return found

    # --- the story ------------------------------------------------------------------------------

    @functools.cached_property
    def story(self) -> list[Line]:
        """All lines, in order of time."""
        lines = []
        for message in self._file.messages(EVENTS):
            part = msgspec.json.decode(message.data)
            lines.append(
                Line(
                    part["serial"], message.log_time, part["kind"], part["name"],
                    part["message"], part["cause"],
                )
            )  # fmt: skip
        return sorted(lines, key=lambda line: (line.time_ns, line.serial))

    def lines(self, number: int) -> list[Line]:
        """What happened since the frame before; the last frame has all that came after it too."""
        began = self.times[number - 1] if number else -1
        first = bisect.bisect_right(self.story, began, key=lambda line: line.time_ns)
        if number == len(self.times) - 1:
            return self.story[first:]
        end = bisect.bisect_right(self.story, self.times[number], key=lambda line: line.time_ns)
        return self.story[first:end]

    # --- messages -------------------------------------------------------------------------------

    @functools.cached_property
    def topics(self) -> list[str]:
        """Topics by number."""
        names: list[str] = []
        for message in self._file.messages(TOPICS):
            names += msgspec.json.decode(message.data)["names"]
        return names

    @functools.cached_property
    def messages(self) -> Messages:
        """Every message with its fate."""
        sent, blocks, _ = self._columns("/messages/sent")
        places = np.arange(len(blocks)) - np.searchsorted(blocks, blocks)
        order = np.argsort(sent["sequence"], kind="stable")
        sent = {name: values[order] for name, values in sent.items()}
        size = len(order)
        arrived = np.full(size, -1, dtype=np.int64)
        fate = np.full(size, IN_FLIGHT, dtype=np.int64)
        ended = np.full(size, np.iinfo(np.int64).max, dtype=np.int64)
        got, _, _ = self._columns("/messages/arrived")
        rows, known = _rows(sent["sequence"], got["sequence"])
        fate[rows], arrived[rows] = DELIVERED, got["arrival"][known]
        ended[rows] = arrived[rows]
        lost, _, told = self._columns("/messages/dropped")
        rows, known = _rows(sent["sequence"], lost["sequence"])
        fate[rows], ended[rows] = lost["reason"][known], told[known]
        return Messages(
            sent["sequence"], sent["sent"], arrived, sent["sender"], sent["to"], sent["topic"],
            sent["kind"], sent["length"], fate, ended, blocks[order], places[order],
        )  # fmt: skip

    def _columns(self, topic: str) -> tuple[dict[str, Ints], Ints, Ints]:
        """All rows of a channel; of each, the number and the log time of its message."""
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS[topic]}
        counts, times = [], []
        for message in self._file.messages(topic):
            block = msgspec.msgpack.decode(message.data)
            counts.append(block["n"])
            times.append(message.log_time)
            for name, dtype in COLUMNS[topic].items():
                parts[name].append(np.frombuffer(block[name], dtype))
        columns = {
            name: np.concatenate(found).astype(np.int64) if found else np.zeros(0, dtype=np.int64)
            for name, found in parts.items()
        }
        numbers = np.repeat(np.arange(len(counts)), counts)
        return columns, numbers, np.repeat(np.array(times, dtype=np.int64), counts)

    def payload(self, row: int) -> bytes | None:
        """The body of a message by its row in `messages`; None if bodies were not recorded."""
        bodies, ends = self._bodies(int(self.messages.block[row]))
        end = int(ends[self.messages.row[row]])
        return bodies[end - int(self.messages.length[row]) : end] if ends[-1] else None

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def _bodies(self, number: int) -> tuple[bytes, Ints]:
        """The bodies of a message of `/messages/sent`, and where that of each row ends."""
        block = msgspec.msgpack.decode(self._file.message("/messages/sent", number).data)
        is_new = np.frombuffer(block["body"], "|u1").astype(np.int64)
        return block.get("bodies", b""), (is_new * np.frombuffer(block["length"], "<i4")).cumsum()

    def fate(self, code: int) -> str:
        """A fate in words."""
        if code > 0:
            return self.reasons[code - 1]
        return "delivered" if code == DELIVERED else "in flight"

    # --- one of them, closely -------------------------------------------------------------------

    def detail(self, number: int, target: str) -> Detail:
        """One agent, or one link written `from > to`, at a frame.

        Raises: UnknownKeyError for a name that is nobody's.
        """
        number = self._number(number)
        now = self.times[number]
        source, _, destination = (part.strip() for part in target.partition(">"))
        places = [self._place(name) for name in (source, destination) if name]
        m = self.messages
        if destination:
            chosen = (m.sender == places[0]) & (m.to == places[1])
        else:
            chosen = (m.sender == places[0]) | (m.to == places[0])
        rows = np.flatnonzero(chosen & (m.sent <= now))
        fates = np.where(m.ended[rows] <= now, m.fate[rows], IN_FLIGHT)
        moment = np.where(fates == DELIVERED, m.arrived[rows], m.sent[rows])
        newest = np.argsort(moment, kind="stable")[::-1][:_DETAIL_MESSAGES]
        agents = msgspec.convert(_finite(self.part("/agents", number)), AgentColumns)
        is_agent = not destination
        return Detail(
            agent=source,
            target=destination,
            action=self._action(places[0], agents) if is_agent else [],
            rewards=[agents.reward[places[0]]] if is_agent else [],
            messages=[self._passed(int(rows[i]), int(fates[i])) for i in newest],
            log=self._log({source, destination}, now),
            accounts=self._accounts(rows, fates),
        )

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise UnknownKeyError(f"no agent {name!r}; {did_you_mean(name, self.names)}")
        return self.names.index(name)

    def _action(self, place: int, agents: AgentColumns) -> list[tuple[str, list[float], str]]:
        values, at, found = agents.action[place], 0, []
        for name, unit, size in self.intro.actions.get(self.intro.agents[place].role, []):
            if values:
                found.append((name, values[at : at + size], unit))
            at += size
        return found

    def _log(self, names: set[str], now: int) -> list[Line]:
        mine = [line for line in self.story if line.agent in names - {""} and line.time_ns <= now]
        return mine[::-1][:_DETAIL_LINES]

    def _passed(self, row: int, fate: int) -> Passed:
        m = self.messages
        return Passed(
            int(m.sent[row]),
            int(m.arrived[row]) if fate == DELIVERED else -1,
            self.names[m.sender[row]],
            self.names[m.to[row]],
            self.topics[m.topic[row]],
            int(m.length[row]),
            self.fate(fate),
            payload_text(self.payload(row)),
        )

    def _accounts(self, rows: Ints, fates: Ints) -> dict[str, dict[str, int]]:
        topics, is_copy = self.messages.topic[rows], self.messages.kind[rows] == COPIED
        found: dict[str, dict[str, int]] = {}
        for topic in np.unique(topics).tolist():
            codes, counts = np.unique(fates[topics == topic], return_counts=True)
            by_fate = {
                self.fate(c): n for c, n in zip(codes.tolist(), counts.tolist(), strict=True)
            }
            copies = int(is_copy[topics == topic].sum())
            begun = {"sent": int(counts.sum()) - copies, "delivered": 0}
            found[self.topics[topic]] = begun | by_fate
            if copies:
                found[self.topics[topic]]["duplicated"] = copies
        return found


def open_recording(run_dir: str | Path) -> Recording:
    """The recording in a run's directory.

    Raises: CheckpointError if there is none, or nothing of it can be read.
    """
    path = Path(run_dir, FILE)
    if not path.is_file():
        raise CheckpointError(f"{run_dir} has no recording ({FILE}): the run kept none")
    return Recording(path)


def _rows(sequences: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Rows of `sequences`, which is sorted, that hold the wanted ones, and which of those exist."""
    rows = np.searchsorted(sequences, wanted)
    known = rows < len(sequences)
    known[known] = sequences[rows[known]] == wanted[known]
    return rows[known], known


def _floats(values: Mapping[str, float | None]) -> dict[str, float]:
    """JSON has no number for what is none."""
    return {name: math.nan if value is None else value for name, value in values.items()}


def _finite(agents: dict[str, Any]) -> dict[str, Any]:
    """The agents' columns with their missing numbers."""
    for name in ("reward", "score", "cpu_seconds"):
        agents[name] = [math.nan if value is None else value for value in agents[name]]
    agents["action"] = [
        [math.nan if value is None else value for value in row] for row in agents["action"]
    ]
    return agents
