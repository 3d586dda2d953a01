"""One collective operation, as one member lives it: what it sends, what has come, how it ended.

A member is a rank, its place among the members. A part is a value together with the set of those
whose contributions are in it, one bit for each rank, so that every result can say who is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from agents.loop import AgentLoop
from agents.spent import Tally
from sim.units import SECOND

MEMBERS_MAX: Final = 64
"""A set of contributors is one integer of 64 bits."""
PARTS_MAX: Final = 2**16
"""Kept by one member, whatever others send; the largest operations have a tenth of it at a time."""
Key = tuple[int, int, int, int]
"""Which call, of which kind, which step of it, from which rank."""


class Part(NamedTuple):
    """A value, and the ranks whose contributions are in it as bits."""

    value: Any
    who: int


@dataclass
class Sent(Tally):
    """What a member has sent for one operation; goes on counting while it still sends again."""

    resent: int = 0


@dataclass(frozen=True)
class Collected:
    """How an operation ended for one member.

    value:       what came of it; None if nothing did.
    outcome:     complete: all are in it; partial: some; nothing: there is no value; estimate: all
                 are in it, with shares that nobody knows (`gossip`, `consensus`); sent: handed on
                 to the root, which alone knows how it ended (`reduce` at the others).
    contributed: whose contributions are in the value, or in what was sent on, in the order of the
                 members; missing: whose should be and are not.
    seconds:     of virtual time, from the call to its end.
    spent:       messages, those sent again for want of an acknowledgement, and bytes of payload of
                 both, by this member alone. Acknowledgements, which have no payload, are in none of
                 them.
    """

    value: Any
    outcome: str
    contributed: tuple[str, ...]
    missing: tuple[str, ...]
    seconds: float
    spent: Sent = field(default_factory=Sent)

    @property
    def is_complete(self) -> bool:
        return self.outcome == "complete"


class Mail:
    """Parts that have come, by call, kind, step and sender, and who waits for which.

    What comes before its call has begun here is kept, up to `PARTS_MAX`; what belongs to a call
    that is over is not.
    """

    def __init__(self) -> None:
        self.parts: dict[Key, Part] = {}
        self._waiting: dict[Key, asyncio.Future[None]] = {}
        self._over = -1

    def put(self, key: Key, part: Part) -> None:
        """Files a part; a second copy changes nothing."""
        if key[0] <= self._over or key in self.parts or len(self.parts) >= PARTS_MAX:
            return
        self.parts[key] = part
        waiter = self._waiting.get(key)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def take(self, *keys: Key) -> Key:
        """The first of these keys under which there is a part, as soon as there is one."""
        while not (found := [key for key in keys if key in self.parts]):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.update(dict.fromkeys(keys, waiter))
            try:
                await waiter
            finally:
                for key in keys:
                    del self._waiting[key]
        return found[0]

    def forget(self, over: int) -> None:
        """Drops what belongs to calls up to a number."""
        self._over = max(self._over, over)
        for key in [k for k in self.parts if k[0] <= self._over]:
            del self.parts[key]


@dataclass
class Call:
    """One operation of one member.

    kind:       by number, see `kinds`; what comes for another kind of call counts for nothing.
    rank, size: this member's place, and how many there are. post: sends a body to a rank.
    ends_ns:    when it gives up waiting. spent: see `Collected`.
    """

    number: int
    kind: int
    rank: int
    members: tuple[str, ...]
    mail: Mail
    loop: AgentLoop
    post: Callable[[Call, int, list[Any]], None]
    warn: Callable[[str], None]
    began_ns: int
    ends_ns: int
    spent: Sent = field(default_factory=Sent)

    @property
    def size(self) -> int:
        return len(self.members)

    @property
    def everybody(self) -> int:
        return (1 << self.size) - 1

    def mine(self, value: Any) -> Part:
        """A part with this member's own contribution."""
        return Part(value, 1 << self.rank)

    def send(self, to: int, step: int, part: Part) -> None:
        """Hands a part to another rank, under the number of a step."""
        self.post(self, to, [self.number, self.kind, step, part.who, part.value])

    def by(self, share: float) -> int:
        """The instant at which a share of the time for this operation is over, in ns."""
        return self.began_ns + round((self.ends_ns - self.began_ns) * share)

    async def receive(self, sender: int, step: int, until_ns: int | None = None) -> Part | None:
        """What a rank sent under a step; None if it is not there in time."""
        return (await self.receive_any([sender], step, until_ns))[1]

    async def receive_any(
        self, senders: Sequence[int], step: int, until_ns: int | None = None
    ) -> tuple[int, Part | None]:
        """What the first of these ranks sent under a step, and which; (-1, None) if too late."""
        left = (self.ends_ns if until_ns is None else until_ns) - self.loop.now_ns
        with suppress(TimeoutError):
            async with asyncio.timeout(left / SECOND):
                keys = ((self.number, self.kind, step, sender) for sender in senders)
                key = await self.mail.take(*keys)
                return key[-1], self.mail.parts[key]
        return -1, None

    async def receive_all(
        self, senders: Iterable[int], step: int, until_ns: int | None = None
    ) -> dict[int, Part]:
        """What several ranks sent under a step, of those that are there in time, by rank."""
        wanted = list(senders)
        parts = await asyncio.gather(*(self.receive(s, step, until_ns) for s in wanted))
        return {s: part for s, part in zip(wanted, parts, strict=True) if part is not None}

    def fitting(self, part: Part, shape: tuple[int, ...]) -> Any:
        """The numbers of a part that came, None with a warning if their shape is another."""
        value = np.asarray(part.value) if _is_numbers(part.value) else None
        if value is not None and value.shape == shape:
            return value
        found = "no numbers" if value is None else f"shape {value.shape}"
        self.warn(f"left out what has {found}: here it is shape {shape}")
        return None

    def heard(self) -> list[tuple[tuple[int, int], Part]]:
        """All that has come for this operation: ((step, sender), part), in that order."""
        parts = self.mail.parts
        return [(k[2:], parts[k]) for k in sorted(parts) if k[:2] == (self.number, self.kind)]

    def strangers(self) -> dict[int, int]:
        """The ranks from which something has come for another kind of call, and for which."""
        return {k[3]: k[1] for k in self.mail.parts if k[0] == self.number and k[1] != self.kind}

    async def sleep_until(self, instant_ns: int) -> None:
        """Nothing before an instant."""
        await asyncio.sleep(max(instant_ns - self.loop.now_ns, 0) / SECOND)

    def result(
        self, part: Part | None, wanted: int | None = None, best: str = "complete"
    ) -> Collected:
        """What the caller gets.

        wanted: the contributors without whom it is partial; default all. best: the outcome with
        all of them.
        """
        value, who = (None, 0) if part is None else part
        missing = (self.everybody if wanted is None else wanted) & ~who
        lacking = "nothing" if value is None else "partial"
        return Collected(
            value,
            lacking if missing else best,
            tuple(self.members[rank] for rank in ranks(who)),
            tuple(self.members[rank] for rank in ranks(missing)),
            (self.loop.now_ns - self.began_ns) / SECOND,
            self.spent,
        )


def _is_numbers(value: Any) -> bool:
    is_array = isinstance(value, np.ndarray) and value.dtype.kind in "iuf"
    return is_array or (isinstance(value, int | float) and not isinstance(value, bool))


def ranks(who: int) -> Iterator[int]:
    """The ranks in a set of bits, ascending."""
    return (rank for rank in range(who.bit_length()) if who >> rank & 1)
