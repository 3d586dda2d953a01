"""The books counted again, from the recording alone.

Shares nothing with the kernel, the network and the ledger, nor with the code that reads recordings
for people: it reads the file with the MCAP library, follows the description of the columns that
the file carries, and counts message by message. What it finds is compared with what the run said.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from mcap.exceptions import McapError
from mcap.records import Attachment, Channel, Chunk, McapRecord, Message, Metadata
from mcap.stream_reader import StreamReader, breakup_chunk
from numpy.typing import NDArray

from sim.errors import CheckpointError

try:
    from zstandard import ZstdError
except ImportError:  # the library then says what is missing
    ZstdError = ValueError  # type: ignore[assignment,misc]

Key: TypeAlias = tuple[str, str, str]
"""Source, destination, topic."""
_DAMAGE: Final = (
    OSError, McapError, ZstdError, struct.error, ValueError, EOFError, OverflowError, MemoryError,
    KeyError, IndexError, TypeError, AttributeError,
)  # fmt: skip
"""What the libraries raise, and what is raised here, for bytes that are missing or wrong."""
_RATIO_MAX: Final = 100_000
"""More bytes of a chunk per byte of the file than any compression makes."""
_SHOWN_MAX: Final = 10
"""Single messages or accounts named for one kind of discrepancy; the rest are counted."""


@dataclass
class Account:
    """What one line of the books should be."""

    sent: int = 0
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    bytes: int = 0
    duplicated: int = 0


@dataclass
class Books:
    """The recount. faults: messages that ended twice, out of order, or out of nowhere."""

    accounts: dict[Key, Account]
    faults: list[str]

    def totals(self) -> dict[str, Any]:
        """Sums over all accounts, in the form of a summary's `messages`."""
        dropped: Counter[str] = Counter()
        for account in self.accounts.values():
            dropped += account.dropped
        names = ("sent", "delivered", "in_flight", "bytes", "duplicated")
        sums = {n: sum(getattr(a, n) for a in self.accounts.values()) for n in names}
        if not sums["duplicated"]:
            del sums["duplicated"]
        return {**sums, "dropped": dict(dropped)}


def recount(run_dir: str | Path) -> list[str]:
    """What does not agree between a run's recording and its summary, one sentence each.

    Empty if every message ended exactly once and all sums are equal.
    Raises: CheckpointError if the recording or the summary is missing or cannot be read.
    """
    folder = Path(run_dir)
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: no summary to compare with: {error}") from None
    books = count(folder / "events.mcap")
    try:
        found = [*books.faults, *_compare_totals(books, summary.get("messages", {}))]
        if "accounts" in summary:
            found += _compare_accounts(books, summary["accounts"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / 'summary.json'} is damaged: {error!r}") from None
    return found


# --- counting -----------------------------------------------------------------------------------


def count(path: Path) -> Books:
    """The books of a recording. Raises: CheckpointError if it cannot be read to its end."""
    found = _Found()
    place = "before chunk 0"
    chunks = 0
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            reader = StreamReader(
                file, emit_chunks=True, validate_crcs=True, record_size_limit=size
            )
            for record in reader.records:
                if isinstance(record, Chunk):
                    place = f"in chunk {chunks}"
                    for each in _inside(record, size):
                        found.take(each)
                    chunks += 1
                    place = f"after chunk {chunks - 1}"
                else:
                    found.take(record)
        if found.facts.get("messages") == "all":
            place = "in what it tells of itself"
            reasons, kinds = (found.facts[name].split() for name in ("reasons", "kinds"))
            return _Count(found.agents, found.topics, reasons, kinds).of(found.columns)
    except FileNotFoundError:
        raise CheckpointError(f"{path} cannot be counted: there is no such file") from None
    except _DAMAGE as error:
        words = str(error) if isinstance(error, ZstdError) else repr(error)
        raise CheckpointError(f"{path} cannot be counted: it is damaged {place}: {words}") from None
    raise CheckpointError(f"{path} has no messages: there is nothing to count")


def _inside(chunk: Chunk, size: int) -> Iterator[McapRecord]:
    """A chunk's records. Raises: ValueError if they cannot be what was written."""
    if chunk.compression not in ("", "zstd", "lz4"):
        raise ValueError(f"compressed by {chunk.compression!r}")
    if chunk.uncompressed_size > _RATIO_MAX * size:
        raise ValueError(f"{chunk.uncompressed_size} bytes in a file of {size}")
    yield from breakup_chunk(chunk, validate_crc=True)


class _Found:
    """What the file holds that matters here."""

    def __init__(self) -> None:
        self.columns: dict[str, list[dict[str, NDArray[Any]]]] = {}
        self.topics: dict[int, str] = {}
        self.agents: list[str] = []
        self.facts: dict[str, str] = {}
        self._channels: dict[int, Channel] = {}

    def take(self, record: McapRecord) -> None:
        """The next record."""
        if isinstance(record, Channel):
            self._channels[record.id] = record
        elif isinstance(record, Attachment) and record.name == "intro.json":
            self.agents = [card["name"] for card in json.loads(record.data)["agents"]]
        elif isinstance(record, Metadata) and record.name == "sim":
            self.facts = record.metadata
        elif isinstance(record, Message):
            channel = self._channels[record.channel_id]
            if channel.topic == "/messages/topics":
                told = json.loads(record.data)
                self.topics.update(enumerate(told["names"], start=told["first"]))
            elif channel.message_encoding == "msgpack":
                self.columns.setdefault(channel.topic, []).append(_columns(channel, record))


def _columns(channel: Channel, message: Message) -> dict[str, NDArray[Any]]:
    block = msgspec.msgpack.decode(message.data)
    found = {}
    for each in channel.metadata["columns"].split():
        name, _, dtype = each.partition(":")
        found[name] = np.frombuffer(block[name], dtype)
        if len(found[name]) != block["n"]:
            raise ValueError(f"column {name} of {channel.topic} has not {block['n']} rows")
    return found


class _Count:
    """Every message's row, by its sequence number."""

    def __init__(
        self, agents: list[str], topics: dict[int, str], reasons: list[str], kinds: list[str]
    ) -> None:
        self._kinds = kinds
        self._agents = agents
        self._topics = topics
        self._reasons = reasons
        self._faults: list[str] = []

    def of(self, columns: dict[str, list[dict[str, NDArray[Any]]]]) -> Books:
        sent = _joined(columns.get("/messages/sent", []))
        arrived = _joined(columns.get("/messages/arrived", []))
        dropped = _joined(columns.get("/messages/dropped", []))
        rows = sent["sequence"].tolist() if sent else []
        self._say("sent twice", [n for n, k in Counter(rows).items() if k > 1])
        kinds = sent["kind"].tolist() if sent else []
        first = [n for n, kind in zip(rows, kinds, strict=True) if self._kinds[kind] != "copy"]
        self._say("never sent, though later ones were", self._gaps(first))
        place = {sequence: row for row, sequence in enumerate(rows)}
        ends: Counter[int] = Counter()
        fate: dict[int, str] = {}
        for name, block in (("delivered", arrived), ("dropped", dropped)):
            told = block["sequence"].tolist() if block else []
            ends.update(told)
            self._say(f"{name} without having been sent", sorted(set(told) - place.keys()))
        for sequence in arrived["sequence"].tolist() if arrived else []:
            fate[sequence] = "delivered"
        if dropped:
            pairs = zip(dropped["sequence"].tolist(), dropped["reason"].tolist(), strict=True)
            for sequence, reason in pairs:
                fate[sequence] = self._reason(sequence, reason)
        self._say("ended more than once", sorted(n for n, k in ends.items() if k > 1))
        if arrived:
            self._check_times(sent, arrived, place)
        return Books(self._accounts(sent, fate), self._faults)

    def _accounts(self, sent: dict[str, NDArray[Any]], fate: dict[int, str]) -> dict[Key, Account]:
        accounts: dict[Key, Account] = {}
        if not sent:
            return accounts
        names = ("sequence", "sender", "to", "topic", "length", "kind")
        unknown = set()
        for sequence, sender, to, topic, length, kind in zip(
            *(sent[name].tolist() for name in names), strict=True
        ):
            if topic not in self._topics or not max(sender, to) < len(self._agents):
                unknown.add(sequence)
                continue
            key = self._agents[sender], self._agents[to], self._topics[topic]
            account = accounts.setdefault(key, Account())
            if self._kinds[kind] == "copy":
                account.duplicated += 1
            else:
                account.sent += 1
                account.bytes += length
            end = fate.get(sequence)
            if end is None:
                account.in_flight += 1
            elif end == "delivered":
                account.delivered += 1
            else:
                account.dropped[end] += 1
        self._say("between ends or on topics that the file does not name", sorted(unknown))
        return accounts

    def _check_times(
        self,
        sent: dict[str, NDArray[Any]],
        arrived: dict[str, NDArray[Any]],
        place: dict[int, int],
    ) -> None:
        pairs = zip(arrived["sequence"].tolist(), arrived["arrival"].tolist(), strict=True)
        times = sent["sent"] if sent else np.zeros(0)
        early = [n for n, time in pairs if n in place and time < times[place[n]]]
        self._say("delivered before it was sent", early)

    def _reason(self, sequence: int, number: int) -> str:
        if 1 <= number <= len(self._reasons):
            return self._reasons[number - 1]
        self._say(f"dropped for reason {number}, which has no name", [sequence])
        return f"reason {number}"

    @staticmethod
    def _gaps(rows: list[int]) -> list[int]:
        if not rows or max(rows) + 1 == len(set(rows)):
            return []
        known = set(rows)
        return [n for n in range(max(rows)) if n not in known]

    def _say(self, what: str, sequences: list[int]) -> None:
        if sequences:
            shown = ", ".join(map(str, sequences[:_SHOWN_MAX]))
            more = f" and {len(sequences) - _SHOWN_MAX} more" * (len(sequences) > _SHOWN_MAX)
            many = "s" * (len(sequences) != 1)
            self._faults.append(f"message{many} {shown}{more}: {what}")


def _joined(blocks: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]} if blocks else {}


# --- comparing ----------------------------------------------------------------------------------


def _compare_totals(books: Books, told: dict[str, Any]) -> list[str]:
    found = []
    totals = books.totals()
    for name in ("sent", "delivered", "in_flight", "bytes", "duplicated"):
        if totals.get(name) != told.get(name):
            found.append(
                f"{name.replace('_', ' ')}: the summary says {told.get(name)}, "
                f"the recording {totals.get(name)}"
            )
    dropped = told.get("dropped", {})
    for reason in sorted({*dropped, *totals["dropped"]}):
        if dropped.get(reason, 0) != totals["dropped"].get(reason, 0):
            found.append(
                f"dropped for {reason}: the summary says {dropped.get(reason, 0)}, "
                f"the recording {totals['dropped'].get(reason, 0)}"
            )
    return found


def _compare_accounts(books: Books, told: list[dict[str, Any]]) -> list[str]:
    found = []
    named = {(a["source"], a["destination"], a["topic"]): a for a in told}
    for key in sorted({*named, *books.accounts}):
        mine = books.accounts.get(key, Account())
        theirs = named.get(key, {})
        for name in ("sent", "delivered", "in_flight", "bytes", "dropped", "duplicated"):
            is_map = name == "dropped"
            counted = dict(mine.dropped) if is_map else getattr(mine, name)
            said = theirs.get(name, {} if is_map else 0)
            if counted != said:
                found.append(
                    f"{key[0]} > {key[1]} on {key[2]}, {name.replace('_', ' ')}: the books say "
                    f"{said}, the recording {counted}"
                )
    more = len(found) - _SHOWN_MAX
    return [*found[:_SHOWN_MAX], f"and {more} more differences of this kind"][: len(found)]
