"""An MCAP file read chunk by chunk, and as far as it is whole.

The index is made in one pass of the library's streaming reader, which needs none in the file: a
recording whose writer was killed, or whose disk was full, is read up to where it breaks off.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mcap.exceptions import McapError
from mcap.records import (
    Attachment,
    Channel,
    Chunk,
    DataEnd,
    McapRecord,
    Message,
    MessageIndex,
    Metadata,
)
from mcap.stream_reader import StreamReader, breakup_chunk

from sim.errors import CheckpointError

try:
    from zstandard import ZstdError
except ImportError:  # the library then says what is missing
    ZstdError = ValueError  # type: ignore[assignment,misc]

_CHUNKS_KEPT: Final = 6
_TORN: Final = (
    McapError, ZstdError, struct.error, ValueError, EOFError, OverflowError, MemoryError,
)  # fmt: skip
"""What the library raises for bytes that are missing or wrong."""


class McapFile:
    """Messages by topic and number, in the order in which they were written.

    attachments, metadata: by name. is_whole: whether the file came to its proper end.
    Raises: CheckpointError if the file is none, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attachments: dict[str, bytes] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.is_whole = False
        self._topics: dict[int, str] = {}
        self._chunks: list[int] = []
        self._starts: dict[str, list[tuple[int, int]]] = {}
        self._counts: Counter[str] = Counter()
        self._kept: OrderedDict[int, dict[str, list[Message]]] = OrderedDict()
        try:
            self._scan()
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None

    # --- what there is --------------------------------------------------------------------------

    def count(self, topic: str) -> int:
        """How many messages there are."""
        return self._counts[topic]

    def messages(self, topic: str, first: int = 0, end: int | None = None) -> Iterator[Message]:
        """Messages by their numbers, [first, end)."""
        end = self._counts[topic] if end is None else min(end, self._counts[topic])
        starts = self._starts.get(topic, [])
        for at, (start, chunk) in enumerate(starts):
            stop = starts[at + 1][0] if at + 1 < len(starts) else self._counts[topic]
            if start < end and stop > first:
                found = self._chunk(chunk).get(topic, [])
                if len(found) != stop - start:
                    raise CheckpointError(
                        f"{self.path} is damaged in chunk {chunk}: it has {len(found)} messages on "
                        f"{topic}, and an index of {stop - start}"
                    )
                yield from found[max(first - start, 0) : end - start]

    def message(self, topic: str, number: int) -> Message:
        """One message. Raises: IndexError."""
        for message in self.messages(topic, number, number + 1):
            return message
        raise IndexError(f"{self.path} has {self._counts[topic]} messages on {topic}")

    # --- chunks ---------------------------------------------------------------------------------

    def _scan(self) -> None:
        """Reads every record but the chunks' insides, as far as the file is whole."""
        begun, told = -1, True
        with self.path.open("rb") as file:
            where = 0
            size = self.path.stat().st_size
            records = StreamReader(file, emit_chunks=True, record_size_limit=size).records
            while (record := self._next(records)) is not None:
                if isinstance(record, Chunk):
                    if not told:
                        self._look_into(begun)
                    begun, told = len(self._chunks), False
                    self._chunks.append(where)
                    if not self._topics:
                        self._chunk(begun)  # which names the topics: without it there is nothing
                elif isinstance(record, MessageIndex):
                    told = self._take_index(record, begun) or told
                elif isinstance(record, Attachment):
                    self.attachments[record.name] = record.data
                elif isinstance(record, Metadata):
                    self.metadata[record.name] = record.metadata
                elif isinstance(record, DataEnd):
                    self.is_whole = True
                where = file.tell()
        if not self._chunks and not self.attachments:
            raise CheckpointError(f"{self.path} holds nothing that is complete")
        if begun >= 0 and not self.is_whole:
            self._look_into(begun)

    def _next(self, records: Iterator[McapRecord]) -> McapRecord | None:
        try:
            return next(records, None)
        except _TORN:
            return None

    def _take_index(self, index: MessageIndex, chunk: int) -> bool:
        topic = self._topics.get(index.channel_id)
        if topic is None or not index.records:
            return False
        self._add(topic, chunk, len(index.records))
        return True

    def _add(self, topic: str, chunk: int, count: int) -> None:
        starts = self._starts.setdefault(topic, [])
        if starts and starts[-1][1] == chunk:
            self._counts[topic] = starts[-1][0] + count
            return
        starts.append((self._counts[topic], chunk))
        self._counts[topic] += count

    def _look_into(self, number: int) -> None:
        """A chunk's insides, where the file's own index does not tell."""
        try:
            found = self._chunk(number)
        except CheckpointError:
            return
        for topic, messages in found.items():
            self._add(topic, number, len(messages))

    def _chunk(self, number: int) -> dict[str, list[Message]]:
        kept = self._kept.get(number)
        if kept is not None:
            self._kept.move_to_end(number)
            return kept
        found: dict[str, list[Message]] = {}
        try:
            with self.path.open("rb") as file:
                file.seek(self._chunks[number])
                is_first = self._chunks[number] == 0
                records = StreamReader(file, skip_magic=not is_first, emit_chunks=True).records
                chunk = next(r for r in records if isinstance(r, Chunk))
            for record in breakup_chunk(chunk, validate_crc=True):
                if isinstance(record, Channel):
                    self._topics[record.id] = record.topic
                elif isinstance(record, Message):
                    found.setdefault(self._topics[record.channel_id], []).append(record)
        except (*_TORN, KeyError, StopIteration, OSError) as error:
            raise CheckpointError(f"{self.path} is damaged in chunk {number}: {error}") from None
        self._kept[number] = found
        while len(self._kept) > _CHUNKS_KEPT:
            self._kept.popitem(last=False)
        return found
