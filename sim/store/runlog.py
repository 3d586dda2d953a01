"""The log of a run: what came from outside, before it took effect, and the digest at every fold.

Small and append-only; with the scenario beside it, it is all that a run needs to be run again and
checked. Each record stands for itself: a torn tail, after a crash or a full disk, costs the records
that are torn and no others.

    record = length (u32) | CRC-32 of the body (u32) | body (msgpack)        little-endian
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import msgspec

from sim.errors import CheckpointError, SimError
from sim.scenario.schema import Fault

VERSION: Final = 2
_HEAD: Final = struct.Struct("<II")
_BODY_BYTES_MAX: Final = 1024 * 1024


class Header(msgspec.Struct, frozen=True, tag="header", array_like=True):
    """The first record: what was run. `manifest` is that of the run's directory."""

    version: int
    scenario: str
    seed: int
    manifest: dict[str, Any]


class Fold(msgspec.Struct, frozen=True, tag="fold", array_like=True):
    """The digest's chain at a grid point of virtual time, in hexadecimal. mark: see `Digest`."""

    time_ns: int
    chain: str
    mark: bytes = b""


class Decision(msgspec.Struct, frozen=True, tag="decision", array_like=True):
    """What real time decided, as an event at a virtual time.

    kind:    lost, deadline, blocked, malformed, nondeterministic, overfull: a host's process is no
             more;
             overdue: an agent used up its processor time, or its memory; recovered: a process was
             replaced and nothing changed; died: the broker is about to be killed, as asked.
    host:    its number; agent: its name, if it is about one agent.
    window:  windows begun until then. counted: what the host yielded in the last one counts.
    """

    time_ns: int
    kind: str
    host: int
    text: str
    window: int = 0
    counted: bool = False
    agent: str = ""


class Input(msgspec.Struct, frozen=True, tag="input", array_like=True):
    """What a person asked for: faults, with the times at which they strike. text: the words."""

    time_ns: int
    window: int
    faults: list[Fault]
    text: str


class End(msgspec.Struct, frozen=True, tag="end", array_like=True):
    """The last record of a run that came to an end, of whatever kind."""

    status: str
    digest: str


Record: TypeAlias = Header | Fold | Decision | Input | End
_decode: Final = msgspec.msgpack.Decoder(Record).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def frame(record: Record) -> bytes:
    """A record as it stands in the file."""
    body = _encode(record)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


class RunLog:
    """Writes a log. Folds are buffered; inputs and decisions are on the disk when it returns.

    at: bytes of an existing log to keep; what follows them is cut off. None makes a new one.
    Raises: SimError from every method if the disk does not take it.
    """

    def __init__(self, path: Path, header: Header, at: int | None = None) -> None:
        self._path = path
        try:
            is_new = at is None or not path.exists()
            self._file: IO[bytes] = path.open("xb" if is_new else "r+b")
            if at is not None:
                self._file.truncate(at)
                self._file.seek(at)
        except OSError as error:
            raise self._failed(error) from None
        if not at:
            self._write(header, flush=True)
            self._sync()

    def fold(self, time_ns: int, chain: str, mark: bytes = b"") -> None:
        """The digest's value at a grid point."""
        self._write(Fold(time_ns, chain, mark))

    def add(self, record: Decision | Input) -> None:
        """What came from outside, before it takes effect."""
        if isinstance(record, Decision):
            record = msgspec.structs.replace(record, text=record.text[:10_000])
        self._write(record, flush=True)
        self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from None

    def end(self, status: str, digest: str) -> None:
        """The end of the run."""
        self._write(End(status, digest), flush=True)

    def flush(self) -> None:
        """Hands over what is buffered."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Closes the file; may be called again."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None

    def _write(self, record: Record, flush: bool = False) -> None:
        try:
            self._file.write(frame(record))
            if flush:
                self._file.flush()
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> SimError:
        return SimError(f"cannot write {self._path}: {error.strerror or error}")


def read_log(path: str | Path) -> list[Record]:
    """The records of a log file. Raises: CheckpointError, as `parse_log`."""
    return parse_log(Path(path).read_bytes(), str(path))


def parse_log(data: bytes, name: str = "run.log") -> list[Record]:
    """The records of a log, up to the first that is torn or damaged.

    Raises: CheckpointError if it is no log at all, or of another version.
    """
    return [record for record, _ in scan_log(data, name)]


def scan_log(data: bytes, name: str = "run.log") -> list[tuple[Record, int]]:
    """The same, each with the position after it. Raises: CheckpointError, as `parse_log`."""
    records: list[tuple[Record, int]] = []
    at, length = 0, 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if length > _BODY_BYTES_MAX or len(body) < length or zlib.crc32(body) != checksum:
            break
        try:
            found = _decode(body)
        except msgspec.MsgspecError:
            break
        at += _HEAD.size + length
        records.append((found, at))
    header = records[0][0] if records else None
    if header is None and len(data) >= _HEAD.size + length > _HEAD.size:
        raise CheckpointError(f"{name} is not the log of a run")
    if header is not None and not isinstance(header, Header):
        raise CheckpointError(f"{name} is not the log of a run: it has no header")
    if header is not None and header.version != VERSION:
        raise CheckpointError(
            f"{name} is a log of version {header.version}; this is version {VERSION}"
        )
    return records


def damage(data: bytes, at: int) -> int:
    """Where a log is damaged and not just cut off, given where its last good record ends; else -1.

    A write that broke off leaves the beginning of a record; anything else is damage.
    """
    rest = len(data) - at
    if rest < _HEAD.size:
        return -1
    length, _ = _HEAD.unpack_from(data, at)
    is_torn = length <= _BODY_BYTES_MAX and rest < _HEAD.size + length
    return -1 if is_torn else at
