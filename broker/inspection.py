"""One agent or one link looked at closely: what it saw, did and said, and its last messages.

Messages are collected from the moment somebody looks, and for as long as somebody does.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from broker.kernel import Kernel
from broker.ledger import REASONS
from broker.tape import Columns
from sim.errors import UnknownKeyError
from sim.ids import did_you_mean
from sim.scenario.sentences import link_text
from sim.spaces import Space
from sim.wire.live import Detail, Line, Passed
from sim.wire.payload import payload_text

MESSAGES_MAX: Final = 60
_LOG_LINES_MAX: Final = 60


class Inspection:
    """What is kept for one target, `agent` or `from > to`.

    Raises: UnknownKeyError naming the nearest agent.
    """

    def __init__(self, kernel: Kernel, text: str) -> None:
        self._kernel = kernel
        names = [part.strip() for part in text.split(">")]
        for name in names:
            if name not in kernel.agents.index:
                known = kernel.agents.names
                raise UnknownKeyError(f"there is no agent {name!r}; {did_you_mean(name, known)}")
        self.agent, self.target = names[0], names[1] if len(names) > 1 else ""
        self._ends = [kernel.agents.index[name] for name in names[:2]]
        self._passed: deque[int] = deque(maxlen=MESSAGES_MAX)
        self._known: dict[int, Passed] = {}

    def hear(self, columns: Columns) -> None:
        """Takes what the tape told."""
        self._add(columns)
        for sequence, time in (
            zip(
                columns.arrived["sequence"].tolist(),
                columns.arrived["arrival"].tolist(),
                strict=True,
            )
            if self._known
            else ()
        ):
            self._end(sequence, time, "delivered")
        for sequence, reason in (
            zip(
                columns.dropped["sequence"].tolist(),
                columns.dropped["reason"].tolist(),
                strict=True,
            )
            if self._known
            else ()
        ):
            self._end(sequence, -1, REASONS[reason - 1])

    def _add(self, columns: Columns) -> None:
        sent, network = columns.sent, self._kernel.network
        if not len(sent["sequence"]):
            return
        first = self._ends[0]
        if self.target:
            chosen = (sent["sender"] == first) & (sent["to"] == self._ends[1])
        else:
            chosen = (sent["sender"] == first) | (sent["to"] == first)
        names = network.table.names
        for i in np.flatnonzero(chosen)[-MESSAGES_MAX:].tolist():
            sequence = int(sent["sequence"][i])
            if len(self._passed) == MESSAGES_MAX:
                self._known.pop(self._passed[0], None)
            self._passed.append(sequence)
            self._known[sequence] = Passed(
                int(sent["sent"][i]), -1, names[sent["sender"][i]], names[sent["to"][i]],
                network.topics[sent["topic"][i]], int(sent["length"][i]), "in flight",
                payload_text(columns.bodies[i]),
            )  # fmt: skip

    def _end(self, sequence: int, time_ns: int, fate: str) -> None:
        known = self._known.get(sequence)
        if known is not None:
            self._known[sequence] = msgspec.structs.replace(known, arrived_ns=time_ns, fate=fate)

    def detail(self, story: Iterable[Line]) -> Detail:
        """What is known now. story: lines of the run, oldest first."""
        about = {self.agent, self.target} - {""}
        log = [line for line in story if line.agent in about][: -_LOG_LINES_MAX - 1 : -1]
        detail = Detail(
            agent=self.agent,
            target=self.target,
            messages=[self._known[s] for s in reversed(self._passed) if s in self._known],
            log=log,
        )
        self._add_books(detail)
        if self.target:
            detail.link = self._link()
        else:
            self._look(detail)
        return detail

    def _look(self, detail: Detail) -> None:
        """What the agent observed and does."""
        kernel = self._kernel
        plan = kernel.agents.plans[self._ends[0]]
        if plan.group is None or plan.slot is None:
            return
        group = next(g for g in kernel.world.groups if g.name == plan.group)
        seen = kernel.handover.seen(plan.group)
        if seen is not None:
            detail.observed_ns = seen[0]
            detail.observed = _named(group.observation, seen[1][plan.slot].tolist())
            detail.rewards = seen[2][plan.slot].tolist()
        values, present = kernel.actions[plan.group].in_force(kernel.now)
        if present[plan.slot]:
            detail.action = _named(group.action, values[plan.slot].tolist())

    def _add_books(self, detail: Detail) -> None:
        """The lines of the books that are about the agent or the link."""
        about = (self.agent, self.target)
        for account in self._kernel.network.ledger.accounts(
            lambda a, b: (a, b) == about or (not self.target and self.agent in (a, b))
        ):
            way = account.topic
            if self.target:
                delays = (account.delay_p50, account.delay_p95, account.delay_p99)
                detail.delays[way] = [delay for delay in delays if delay is not None]
            else:
                is_out = account.source == self.agent
                other = account.destination if is_out else account.source
                way += f" {'to' if is_out else 'from'} {other}"
            detail.accounts[way] = {
                "sent": account.sent, "delivered": account.delivered, **account.dropped,
                **({"duplicated": account.duplicated} if account.duplicated else {}),
            }  # fmt: skip

    def _link(self) -> dict[str, str]:
        network = self._kernel.network
        at, to = self._ends
        names, way = network.table.names, [at]
        while way[-1] != to and len(way) <= len(names):
            hop = network.routes.next_hop(way[-1], to)
            if hop < 0:
                return {"way": "none"}
            way.append(hop)
        found = {"way": " > ".join(names[node] for node in way)}
        for a, b in itertools.pairwise(way):
            label = "link" if len(way) == 2 else f"{names[a]} > {names[b]}"
            spec, is_cut = network.link(a, b)
            found[label] = "cut" if is_cut else link_text(spec)
        return found


def _named(space: Space, values: Sequence[float]) -> list[tuple[str, list[float], str]]:
    found, at = [], 0
    for f in space.fields:
        found.append((f.name, list(values[at : at + f.size]), f.unit))
        at += f.size
    return found
