"""What became of every message: in a run of the kernel in memory, and in a copy of a batch.

A message is named by (topic, sender, receiver, instant of leaving in ns), a second copy of it that
arrives by the instant at which it does besides; its fate is the instant
of its arrival, or "lost" on the way, or "down" if its receiver was. What is still under way at the
end has no fate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from checkers.memory import completed, play

from broker.kernel import Kernel
from broker.ledger import DOWN, EPISODE
from broker.tape import Tape
from sim.learn.mail import Topic
from sim.wire.messages import COPIED

Fates = dict[tuple[str | int, ...], int | str]


def kernel_fates(kernel: Kernel) -> Fates:
    """Runs a kernel to its end."""
    kernel.network.tape = tape = Tape()
    completed(play(kernel))
    told, names, topics = tape.take(), kernel.agents.names, kernel.network.topics
    columns = (told.sent[name].tolist() for name in ("sequence", "topic", "sender", "to", "sent"))
    message = {q: (topics[t], names[s], names[r], at) for q, t, s, r, at in zip(*columns)}
    found: Fates = {}
    reasons = zip(told.dropped["sequence"].tolist(), told.dropped["reason"].tolist())
    numbers = zip(told.sent["sequence"].tolist(), told.sent["kind"].tolist())
    copies = {sequence for sequence, kind in numbers if kind == COPIED}
    for sequence, reason in reasons:
        if reason != EPISODE and sequence not in copies:
            found[message[sequence]] = "down" if reason == DOWN else "lost"
    for sequence, at in zip(told.arrived["sequence"].tolist(), told.arrived["arrival"].tolist()):
        found[(*message[sequence], at) if sequence in copies else message[sequence]] = at
    return found


def batch_fates(monkeypatch: Any, row: int, run: Callable[[], Any], horizon_ns: int) -> Fates:
    """Runs a batch for one episode and notes what is sent in one of its copies."""
    found: Fates = {}
    post = Topic.post

    def noted(
        self: Topic, leaving: Any, values: Any, spoken: Any, drawn: Any, is_up: Any = None
    ) -> None:
        before = len(self.parcels)
        post(self, leaving, values, spoken, drawn, is_up)
        for number, parcel in enumerate(self.parcels[before:]):
            pending = np.asarray(parcel.pending)[row]
            exists = np.broadcast_to(np.asarray(spoken)[row] & (self._way > 0), pending.shape)
            if is_up is not None:
                exists = exists & (is_up[row][:, None] | (self._way == 2))
            for r, s in zip(*np.nonzero(exists), strict=True):
                sent, at = int(parcel.sent[row, 0, s]), int(parcel.arrival[row, r, s])
                name = (self.name, self.senders[s], self.receivers[r], sent)
                if number:
                    if pending[r, s] and at < horizon_ns:
                        found[(*name, at)] = at
                elif sent < horizon_ns and (at < horizon_ns or not pending[r, s]):
                    found[name] = at if pending[r, s] else "lost"

    with monkeypatch.context() as patch:
        patch.setattr(Topic, "post", noted)
        run()
    return found
