"""Invariant: every message ends in exactly one place, at every instant.

    sent + duplicated = delivered + dropped + in flight        per account, and in total

`Recount` counts for itself what hosts send and get, from the records on their way, and compares
that with the kernel's books after every window.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from broker.kernel import Kernel
from broker.population import DOWN
from sim.wire.memory import Answers, MemoryTransport
from sim.wire.messages import DELIVERY, PUBLISH, Activation, Yield

Key = tuple[str, str, str]


def check_books(kernel: Kernel) -> None:
    """Every account balances with the messages that the network really holds."""
    network = kernel.network
    network.totals()
    held = Counter(network.rows["account"].tolist())
    for row, account in enumerate(network.ledger.accounts()):
        found = account.delivered + sum(account.dropped.values()) + held[row]
        counts = (account.delivered, held[row], account.duplicated, *account.dropped.values())
        if account.sent + account.duplicated != found or min(counts) < 0:
            raise AssertionError(f"{account}, and {held[row]} in flight, at {kernel.now} ns")
    if len(held) > len(network.ledger.names):
        raise AssertionError("messages in flight without an account")


class Recount:
    """A transport's ear, and `check` for `on_window`."""

    def __init__(self, kernel: Kernel) -> None:
        self.windows = 0
        self.sent: Counter[Key] = Counter()
        self.bytes: Counter[Key] = Counter()
        self.handed: Counter[Key] = Counter()
        self._kernel = kernel
        self._hears: dict[str, dict[str, int]] = defaultdict(dict)
        self._window: list[tuple[int, int, int, int, object]] = []

    def listen(self, transport: MemoryTransport) -> MemoryTransport:
        """The transport, with all that passes it noted."""
        send, poll = transport.send, transport.poll

        def heard_send(host: int, activation: Activation) -> None:
            self._note_activation(activation)
            send(host, activation)

        def heard_poll(timeout_s: float | None) -> Answers:
            answers = poll(timeout_s)
            for _, answer in answers:
                self._note_yield(answer)
            return answers

        transport.send, transport.poll = heard_send, heard_poll  # type: ignore[method-assign]
        return transport

    def _note_activation(self, activation: Activation) -> None:
        names, topics = self._kernel.agents.names, self._kernel.network.topics
        for work in activation.work:
            for _, _, _, sender, topic, _, _ in DELIVERY.iter_unpack(work.rows):
                self.handed[names[sender], names[work.agent], topics[topic]] += 1

    def _note_yield(self, answer: object) -> None:
        assert isinstance(answer, Yield)
        for done in answer.done:
            for number, (time, topic, is_on) in enumerate(done.subscribes):
                self._window.append((time, 0, done.agent, number, (topic, is_on)))
            for number, send in enumerate(done.sends):
                self._window.append((send.time, 1, done.agent, number, send))

    def check(self, kernel: Kernel) -> None:
        """The kernel's books against what was heard, after a window."""
        self._forget(kernel)
        names = kernel.agents.names
        for _, _, agent, _, what in sorted(self._window, key=lambda w: w[:4]):
            name = names[agent]
            if isinstance(what, tuple):
                topic, is_on = what
                incarnation = kernel.agents.incarnation[agent]
                self._hears[topic].pop(name, None)
                if is_on:
                    self._hears[topic][name] = incarnation
                continue
            to = [what.to] if what.kind != PUBLISH else self._hears[what.topic]
            for receiver in to:
                if receiver != name:
                    self.sent[name, receiver, what.topic] += 1
                    self.bytes[name, receiver, what.topic] += len(what.body)
        self._window.clear()
        self.windows += 1
        self._compare(kernel)

    def _forget(self, kernel: Kernel) -> None:
        """An agent that was ended or began anew hears nothing until it subscribes again."""
        agents = kernel.agents
        for hears in self._hears.values():
            for name, incarnation in list(hears.items()):
                agent = agents.index[name]
                is_other = agents.incarnation[agent] != incarnation
                if agents.state[agent] == DOWN or is_other:
                    del hears[name]

    def _compare(self, kernel: Kernel) -> None:
        check_books(kernel)
        accounts = kernel.network.ledger.accounts()
        sent = {(a.source, a.destination, a.topic): (a.sent, a.bytes) for a in accounts if a.sent}
        found = {key: (n, self.bytes[key]) for key, n in self.sent.items()}
        if sent != found:
            different = {k for k in {*sent, *found} if sent.get(k) != found.get(k)}
            key = min(different)
            raise AssertionError(f"{key}: booked {sent.get(key)}, heard {found.get(key)}")
        delivered = {(a.source, a.destination, a.topic): a.delivered for a in accounts}
        for key, handed in self.handed.items():
            if handed > delivered[key]:
                raise AssertionError(f"{key}: {handed} handed over, {delivered[key]} delivered")
