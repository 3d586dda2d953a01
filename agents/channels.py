"""An agent's mailbox and outbox: messages by topic, who waits for them, what leaves.

Nothing here knows about links: what arrives has been through the network already, what leaves has
not been through it yet. Payloads are decoded when they are read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from agents.loop import AgentLoop
from agents.spent import Budget, Spent
from sim.errors import AgentError
from sim.ids import did_you_mean, is_name
from sim.limits import MESSAGES_BURST_MAX, SENT_BYTES_BURST_MAX, SENT_BYTES_PER_SECOND_MAX
from sim.units import SECOND
from sim.wire.codec import decode_payload, encode_payload
from sim.wire.messages import DELIVERY, DIRECT, PUBLISH, REFUSAL, REPLY, REQUEST, Send

ANY = "*"


class Message(msgspec.Struct, gc=False):
    """A message that arrived.

    Units: `sent` and `arrived` are seconds of virtual time, the _ns fields nanoseconds.
    """

    arrived_ns: int
    sent_ns: int
    reference: int
    sender: str
    topic: str
    kind: int
    body: bytes
    is_read: bool = False

    @property
    def payload(self) -> Any:
        """What was sent. Raises: MalformedFrameError naming the sender."""
        return decode_payload(self.body)

    @property
    def sent(self) -> float:
        return self.sent_ns / SECOND

    @property
    def arrived(self) -> float:
        return self.arrived_ns / SECOND


class Box:
    """The last messages of one topic, and which of them are unread."""

    __slots__ = ("items", "unread")

    def __init__(self, size: int) -> None:
        self.items: deque[Message] = deque(maxlen=size)
        self.unread = 0

    def put(self, message: Message) -> None:
        self.items.append(message)
        self.unread += 1

    def take(self) -> Message | None:
        """The oldest unread message, now read."""
        self.unread = min(self.unread, len(self.items))
        while self.unread:
            message = self.items[len(self.items) - self.unread]
            self.unread -= 1
            if not message.is_read:
                message.is_read = True
                return message
        return None


class Channels:
    """Mailbox and outbox of one agent."""

    def __init__(
        self,
        loop: AgentLoop,
        name: str,
        roster: list[str],
        inbox_max: int,
        rate_max: int,
        budget: Budget | None = None,
    ) -> None:
        self.loop = loop
        self.name = name
        self.roster = roster
        self._known = frozenset(roster)
        self.sends: list[Send] = []
        self.spent = Spent(loop, budget)
        self.subscribes: list[tuple[int, str, bool]] = []
        self.subscribed: set[str] = set()
        self.served: dict[str, Any] = {}
        self.protocols: dict[str, Callable[[Message], None]] = {}
        self._inbox_max = inbox_max
        self._boxes: dict[str, Box] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._reply_topics: dict[int, str] = {}
        self._reference = 0
        self._rate_max = rate_max
        self._tokens, self._tokens_ns = float(MESSAGES_BURST_MAX), 0
        self._room = float(SENT_BYTES_BURST_MAX)

    # --- arriving -------------------------------------------------------------------------------

    def unpack(self, rows: bytes, bodies: bytes, topics: list[str]) -> list[Message]:
        """The messages of an activation, in order of arrival."""
        roster, at, messages = self.roster, 0, []
        for arrival, sent, reference, sender, topic, length, kind in DELIVERY.iter_unpack(rows):
            body = bodies[at : at + length]
            at += length
            messages.append(
                Message(arrival, sent, reference, roster[sender], topics[topic], kind, body)
            )
        return messages

    @property
    def may_wake(self) -> bool:
        """Whether any arrival at all could wake this agent."""
        return bool(self._waiters or self.served or self._replies or self.protocols)

    def absorb(self, messages: list[Message], at: int, instant_ns: int) -> int:
        """Delivers `messages[at:]` up to an instant; returns the position after the last."""
        boxes, n = self._boxes, len(messages)
        is_quiet = not self.may_wake and ANY not in boxes
        while at < n:
            message = messages[at]
            if message.arrived_ns > instant_ns:
                break
            at += 1
            box = boxes.get(message.topic) if is_quiet and message.kind < REPLY else None
            if box is None:
                self.deliver(message)
            else:
                box.items.append(message)
                box.unread += 1
        return at

    def deliver(self, message: Message) -> None:
        """Puts a message where it belongs, and wakes who waits for it."""
        kind, topic = message.kind, message.topic
        if kind >= REPLY:
            future = self._replies.get(message.reference)
            if future is not None and not future.done():
                future.set_result(message)
            return
        if topic in self.protocols:
            self.protocols[topic](message)
            return
        if kind == REQUEST and topic in self.served:
            self.served[topic](message)
            return
        box = self._boxes.get(topic)
        if box is None:
            box = self._boxes[topic] = Box(self._inbox_max)
        box.put(message)
        everything = self._boxes.get(ANY)
        if everything is not None:
            everything.put(message)
        if self._waiters:
            self._wake(topic)
            self._wake(ANY)

    def _wake(self, key: str) -> None:
        for waiter in self._waiters.get(key, ()):
            if not waiter.done():
                waiter.set_result(None)
                return

    def next_awaited(self, messages: list[Message], at: int, instant_ns: int) -> int:
        """The arrival of the first of `messages[at:]` that wakes something, if by `instant_ns`."""
        for i in range(at, len(messages)):
            message = messages[i]
            if message.arrived_ns > instant_ns:
                break
            if self._is_awaited(message):
                return message.arrived_ns
        return instant_ns

    def _is_awaited(self, message: Message) -> bool:
        if message.kind >= REPLY:
            return message.reference in self._replies
        return (
            message.topic in self._waiters
            or ANY in self._waiters
            or message.topic in self.protocols
            or (message.kind == REQUEST and message.topic in self.served)
        )

    @property
    def waits(self) -> list[str]:
        """The topics on which an arrival would wake this agent."""
        known = (self._waiters, self.served, self.protocols, self._reply_topics.values())
        return sorted(set().union(*known))

    def claim(self, topic: str, handler: Callable[[Message], None]) -> None:
        """Hands all messages of a topic to a handler as they come, instead of keeping them; what
        came before and is unread, at once.

        Raises: AgentError if the topic has one already.
        """
        if topic in self.protocols:
            raise AgentError(
                f"the topic {topic!r} is in use by this agent already; another Communicator has "
                "another `tag`, another Auction another `topic`, the same for all who take part"
            )
        self.protocols[topic] = handler
        box = self._boxes.pop(topic, None)
        while box is not None and (message := box.take()) is not None:
            self.loop.call_soon(handler, message)  # once whoever claims is ready for it

    # --- reading --------------------------------------------------------------------------------

    def _box(self, topic: str | None) -> Box | None:
        if topic is not None:
            self.subscribe(topic)
            return self._boxes.get(topic)
        if ANY not in self._boxes:
            box = Box(self._inbox_max)
            known = [m for b in self._boxes.values() for m in b.items]
            for message in sorted(known, key=lambda m: m.arrived_ns):
                box.put(message)
            self._boxes[ANY] = box
        return self._boxes[ANY]

    def subscribe(self, topic: str, is_on: bool = True) -> None:
        if (topic in self.subscribed) != is_on:
            _check_topic(topic)
            (self.subscribed.add if is_on else self.subscribed.discard)(topic)
            self.subscribes.append((self.loop.now_ns, topic, is_on))

    def take(self, topic: str | None) -> Message | None:
        box = self._box(topic)
        return None if box is None else box.take()

    async def receive(self, topic: str | None) -> Message:
        """The next unread message, as soon as there is one."""
        key = topic or ANY
        while (message := self.take(topic)) is None:
            future: asyncio.Future[None] = asyncio.Future(loop=self.loop)
            waiters = self._waiters.setdefault(key, [])
            waiters.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if not future.cancelled():
                    self._wake(key)
                raise
            finally:
                waiters.remove(future)
                if not waiters:
                    del self._waiters[key]
        return message

    def recent(self, topic: str | None) -> Iterator[Message]:
        """The kept messages, newest first, read or not."""
        box = self._box(topic)
        return iter(()) if box is None else reversed(box.items)

    # --- leaving --------------------------------------------------------------------------------

    def send(self, kind: int, topic: str, to: str, payload: Any, reference: int = 0) -> int:
        """Hands a message to the network at this instant; returns the bytes of its body.

        Raises: AgentError for an unknown receiver, a bad topic or payload, or too many messages.
        """
        _check_topic(topic)
        if to and to not in self._known:
            raise AgentError(f"there is no agent {to!r}; {did_you_mean(to, self.roster)}")
        self._spend_token()
        try:
            body = encode_payload(payload)
        except (TypeError, ValueError) as error:
            raise AgentError(f"payload on topic {topic!r}: {error}") from None
        self._room -= len(body)
        if self._room < 0:
            raise AgentError(
                f"more than {SENT_BYTES_BURST_MAX >> 20} MiB in messages at once, or "
                f"{SENT_BYTES_PER_SECOND_MAX >> 20} MiB per second of virtual time: a flood"
            )
        if to == self.name:
            now = self.loop.now_ns
            message = Message(now, now, reference, self.name, topic, kind, body)
            self.loop.call_soon(self.deliver, message)
        else:
            is_over = not self.spent.take(topic, len(body))
            self.sends.append(Send(self.loop.now_ns, kind, topic, to, reference, body, is_over))
        return len(body)

    def publish(self, topic: str, payload: Any) -> None:
        self.send(PUBLISH, topic, "", payload)

    def direct(self, to: str, topic: str, payload: Any) -> int:
        return self.send(DIRECT, topic, to, payload)

    async def request(self, to: str, topic: str, payload: Any) -> Message:
        """The reply or refusal to a request."""
        self._reference += 1
        reference = self._reference
        future = self._replies[reference] = asyncio.Future(loop=self.loop)
        self._reply_topics[reference] = topic
        try:
            self.send(REQUEST, topic, to, payload, reference)
            return await future
        finally:
            del self._replies[reference], self._reply_topics[reference]

    def reply(self, request: Message, payload: Any, is_refusal: bool = False) -> None:
        kind = REFUSAL if is_refusal else REPLY
        self.send(kind, request.topic, request.sender, payload, request.reference)

    def _spend_token(self) -> None:
        """Token bucket in virtual time: a burst, then a steady rate."""
        now = self.loop.now_ns
        if now != self._tokens_ns:
            passed = (now - self._tokens_ns) / SECOND
            self._tokens = min(float(MESSAGES_BURST_MAX), self._tokens + passed * self._rate_max)
            room = self._room + passed * SENT_BYTES_PER_SECOND_MAX
            self._room = min(float(SENT_BYTES_BURST_MAX), room)
            self._tokens_ns = now
        self._tokens -= 1.0
        if self._tokens < 0:
            raise AgentError(
                f"more than {MESSAGES_BURST_MAX:,} messages at once, or {self._rate_max:,} "
                "per second of virtual time: a flood"
            )


def _check_topic(topic: str) -> None:
    if not isinstance(topic, str) or not is_name(topic):
        raise AgentError(
            f"a topic is a name of up to 64 letters, digits and '_.-', starting with a letter; "
            f"found {topic!r}"
        )
