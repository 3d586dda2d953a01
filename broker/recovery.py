"""Bringing back a process that died, as if nothing had happened (`recover: replay`).

Every activation that a host got since its process began is kept, with a hash of its yield. A new
process is fed them again and must yield the same; then it stands where the old one stood. No
virtual time passes and the digest does not change. What an agent sent is not sent again: only the
yield that had not been counted is taken.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from typing import Final

import msgspec

from sim.scenario.supervision import Supervision
from sim.wire import codec
from sim.wire.messages import OVERDUE, Activation, Yield

_MEMORY_BYTES: Final = 1024 * 1024
"""Activations of one host kept in memory; more go to an unnamed file."""


@dataclass
class _Tape:
    """What one process was given. sizes: of each activation; marks: of each yield."""

    frames: tempfile.SpooledTemporaryFile[bytes] = field(
        default_factory=lambda: tempfile.SpooledTemporaryFile(_MEMORY_BYTES)
    )
    sizes: list[int] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    at: int = -1


class Recovery:
    """The tapes of all hosts; does nothing unless the scenario says `recover: replay`."""

    def __init__(self, rule: Supervision) -> None:
        self.is_on = rule.recover == "replay"
        self._rule = rule
        self._tapes: dict[int, _Tape] = {}
        self._times: dict[int, list[int]] = {}
        self.busy: set[int] = set()

    def sent(self, host: int, activation: Activation) -> None:
        """A host is given an activation."""
        if not self.is_on:
            return
        tape = self._tapes.get(host) or self._tapes.setdefault(host, _Tape())
        frame = codec.encode_frame(activation)
        tape.frames.write(frame)
        tape.sizes.append(len(frame))

    def counted(self, host: int, answer: Yield) -> None:
        """Its yield was taken."""
        if not self.is_on or host not in self._tapes:
            return
        overdue = {done.agent for done in answer.done if done.state == OVERDUE}
        if overdue:
            answer = Yield(answer.serial, [d for d in answer.done if d.agent not in overdue])
            self._leave_out(self._tapes[host], overdue)
        self._tapes[host].marks.append(_mark(answer))

    def _leave_out(self, tape: _Tape, overdue: set[int]) -> None:
        """Whom the clock stopped in the last activation is not run in it again: that would take as
        long, and end elsewhere.
        """
        size = tape.sizes.pop()
        at = tape.frames.seek(-size, os.SEEK_END)
        given = codec.decode_activation(tape.frames.read(size))
        tape.frames.seek(at)
        tape.frames.truncate()
        work = [each for each in given.work if each.agent not in overdue]
        frame = codec.encode_frame(msgspec.structs.replace(given, work=work))
        tape.frames.write(frame)
        tape.sizes.append(len(frame))

    def renew(self, host: int) -> None:
        """Its process is a new one that knows nothing, and should not."""
        tape = self._tapes.pop(host, None)
        if tape is not None:
            tape.frames.close()
        self.busy.discard(host)

    def close(self) -> None:
        """Forgets all."""
        for host in list(self._tapes):
            self.renew(host)

    def may(self, host: int, now_ns: int) -> bool:
        """Whether a process that died now is to be brought back; counts it."""
        if not self.is_on:
            return False
        since = now_ns - self._rule.within_ns
        recent = [t for t in self._times.get(host, []) if t > since]
        self._times[host] = [*recent, now_ns]
        return len(recent) < self._rule.restarts

    def begin(self, host: int) -> Activation | None:
        """The first activation to feed again; None if there was none."""
        tape = self._tapes.get(host)
        if tape is None or not tape.sizes:
            self.busy.discard(host)
            return None
        tape.at = 0
        tape.frames.seek(0)
        self.busy.add(host)
        return self._next(tape)

    def _next(self, tape: _Tape) -> Activation:
        size = tape.sizes[tape.at]
        tape.at += 1
        return codec.decode_activation(tape.frames.read(size))

    def check(self, host: int, answer: Yield) -> tuple[bool, Activation | None]:
        """Whether it yields as before; and the next activation to feed, None after the last.

        After the last the host is busy no more. The answer to an activation that had never been
        answered is right whatever it is, and still to be counted: `is_new` says so.
        """
        tape = self._tapes[host]
        known = tape.marks[tape.at - 1] if tape.at <= len(tape.marks) else None
        if known is not None and known != _mark(answer):
            self.busy.discard(host)
            return False, None
        if tape.at < len(tape.sizes):
            return True, self._next(tape)
        tape.frames.seek(0, 2)
        self.busy.discard(host)
        return True, None

    def is_new(self, host: int) -> bool:
        """Whether what a host was fed last had not been answered by the process that died."""
        tape = self._tapes[host]
        return tape.at > len(tape.marks)

    def count(self, host: int) -> int:
        """Activations that a host was fed since its beginning."""
        return len(self._tapes[host].sizes) if host in self._tapes else 0


def _mark(answer: Yield) -> bytes:
    return hashlib.blake2b(codec.encode_frame(answer), digest_size=8).digest()
