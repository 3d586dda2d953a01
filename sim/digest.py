"""The running digest of a run, folded so that two runs can be told where they part.

Five streams (payloads, sends with their fate, deliveries, world steps, faults) are hashed
separately, each in its canonical order, and folded into one chain at every grid point of virtual
time at which something happened. The windows in which the kernel works leave no trace in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

STREAMS = ("payloads", "sends", "deliveries", "world", "faults")
MARK_BYTES = 4


@dataclass
class Digest:
    """A chain of folds; `folds` lists (virtual time in ns, chain value) of each, `marks` the first
    bytes of each stream's digest, in the order of STREAMS: they say what it is that differs.
    """

    chain: bytes = bytes(16)
    folds: list[tuple[int, str]] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    _streams: dict[str, hashlib.blake2b] = field(default_factory=dict)

    def add(self, stream: str, *parts: bytes) -> None:
        """Hashes `parts` into one of STREAMS; how they are cut into calls does not matter."""
        running = self._streams.get(stream)
        if running is None:
            running = self._streams[stream] = hashlib.blake2b(digest_size=16)
        for part in parts:
            running.update(part)

    @property
    def is_dirty(self) -> bool:
        """Whether anything was hashed since the last fold."""
        return bool(self._streams)

    def fold(self, time_ns: int) -> str:
        """Closes the streams at a virtual time and returns the new chain value, in hex."""
        link = hashlib.blake2b(self.chain, digest_size=16)
        link.update(time_ns.to_bytes(8, "little", signed=True))
        parts = [self._streams[n].digest() if n in self._streams else bytes(16) for n in STREAMS]
        link.update(b"".join(parts))
        self.marks.append(b"".join(part[:MARK_BYTES] for part in parts))
        self.chain = link.digest()
        self._streams.clear()
        self.folds.append((time_ns, self.chain.hex()))
        return self.chain.hex()
