"""An agent's mailbox and outbox, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agents.channels import Channels, Message
from agents.loop import AgentLoop
from sim.errors import AgentError
from sim.units import SECOND
from sim.wire.codec import decode_payload, encode_payload
from sim.wire.messages import DELIVERY, DIRECT, PUBLISH, REPLY, REQUEST

ROSTER = ["me", "you", "them"]


@pytest.fixture
def loop() -> Iterator[AgentLoop]:
    loop = AgentLoop(10_000)
    loop.enter()
    yield loop
    loop.leave()
    loop.discard()


@pytest.fixture
def channels(loop: AgentLoop) -> Channels:
    return Channels(loop, "me", ROSTER, inbox_max=4, rate_max=10)


def message(
    payload: Any, topic: str = "price", at_ns: int = 0, kind: int = PUBLISH, reference: int = 0
) -> Message:
    return Message(at_ns, at_ns, reference, "you", topic, kind, encode_payload(payload))


def payloads(found: Any) -> list[Any]:
    return [each.payload for each in found]


# --- arriving and reading -----------------------------------------------------------------------


def test_rows_and_bodies_become_messages(channels: Channels) -> None:
    bodies = [encode_payload("a"), encode_payload([1, 2])]
    rows = b"".join(
        DELIVERY.pack(10 + i, i, 7, 1 + i, i, len(body), DIRECT) for i, body in enumerate(bodies)
    )
    first, second = channels.unpack(rows, b"".join(bodies), ["price", "offer"])
    assert (first.sender, first.topic, first.payload, first.arrived_ns) == ("you", "price", "a", 10)
    assert (second.sender, second.topic, second.payload, second.sent_ns) == (
        "them", "offer", [1, 2], 1,
    )  # fmt: skip


def test_a_mailbox_keeps_the_last(channels: Channels) -> None:
    for number in range(7):
        channels.deliver(message(number))
    assert payloads(channels.recent("price")) == [6, 5, 4, 3]
    assert [m.payload for m in iter(lambda: channels.take("price"), None)] == [3, 4, 5, 6]
    assert payloads(channels.recent("price")) == [6, 5, 4, 3]


def test_what_is_read_of_any_topic_is_read(channels: Channels) -> None:
    channels.deliver(message(1, at_ns=1))
    channels.deliver(message(2, topic="offer", at_ns=2))
    assert channels.take(None).payload == 1
    channels.deliver(message(3, at_ns=3))
    assert channels.take("price").payload == 3
    assert channels.take(None).payload == 2
    assert channels.take(None) is None
    assert channels.take("offer") is None


def test_absorbing_stops_at_the_instant(channels: Channels) -> None:
    kept = [message(i, at_ns=i) for i in range(4)]
    at = channels.absorb(kept, 0, 1)
    assert (at, payloads(channels.recent("price"))) == (2, [1, 0])
    assert channels.absorb(kept, at, 9) == 4


def test_who_waits_first_gets_the_first(loop: AgentLoop, channels: Channels) -> None:
    got: list[tuple[int, Any]] = []

    async def reader(number: int) -> None:
        got.append((number, (await channels.receive("price")).payload))

    for number in range(3):
        loop.create_task(reader(number))
    loop.settle()
    assert channels.waits == ["price"]
    for number in range(2):
        channels.deliver(message(number))
    loop.settle()
    assert got == [(0, 0), (1, 1)]
    assert channels.waits == ["price"]


def test_a_reader_that_is_cancelled_when_woken_wakes_the_next(
    loop: AgentLoop, channels: Channels
) -> None:
    got: list[Any] = []

    async def reader() -> None:
        got.append((await channels.receive("price")).payload)

    first = loop.create_task(reader())
    loop.create_task(reader())
    loop.settle()
    channels.deliver(message("only"))
    first.cancel()
    loop.settle()
    assert (first.cancelled(), got) == (True, ["only"])


def test_one_waits_for_any_topic(loop: AgentLoop, channels: Channels) -> None:
    task = loop.create_task(channels.receive(None))
    loop.settle()
    assert channels.waits == ["*"]
    channels.deliver(message(1, topic="unheard-of"))
    loop.settle()
    assert task.result().payload == 1


def test_a_reply_that_nobody_waits_for_is_dropped(channels: Channels) -> None:
    channels.deliver(message(1, kind=REPLY, reference=99))
    assert list(channels.recent("price")) == []


def test_replies_find_their_request_in_any_order(loop: AgentLoop, channels: Channels) -> None:
    first = loop.create_task(channels.request("you", "price", 1))
    second = loop.create_task(channels.request("you", "price", 2))
    loop.settle()
    asked = [(s.kind, s.topic, s.to, decode_payload(s.body)) for s in channels.sends]
    assert asked == [(REQUEST, "price", "you", 1), (REQUEST, "price", "you", 2)]
    for send in reversed(channels.sends):
        answer = f"to {decode_payload(send.body)}"
        channels.deliver(message(answer, kind=REPLY, reference=send.reference))
    loop.settle()
    assert [first.result().payload, second.result().payload] == ["to 1", "to 2"]
    assert channels.waits == []


def test_a_request_given_up_waits_no_more(loop: AgentLoop, channels: Channels) -> None:
    async def ask() -> None:
        async with asyncio.timeout(1):
            await channels.request("you", "price", 1)

    task = loop.create_task(ask())
    loop.settle()
    assert channels.waits == ["price"]
    loop.advance(SECOND)
    loop.settle()
    assert isinstance(task.exception(), TimeoutError)
    assert channels.waits == []


# --- subscriptions ------------------------------------------------------------------------------


def test_reading_subscribes_once_and_at_its_time(loop: AgentLoop, channels: Channels) -> None:
    loop.move(5)
    list(channels.recent("price"))
    channels.take("price")
    loop.move(7)
    channels.subscribe("price", is_on=False)
    channels.subscribe("offer", is_on=False)
    assert channels.subscribes == [(5, "price", True), (7, "price", False)]


@pytest.mark.parametrize("topic", ["", "two words", "1st", "x" * 65, 3, None, "*"])
def test_a_topic_is_a_name(channels: Channels, topic: Any) -> None:
    with pytest.raises(AgentError, match="a topic is a name"):
        channels.publish(topic, 1)
    if topic is not None:
        with pytest.raises(AgentError, match="a topic is a name"):
            list(channels.recent(topic))


# --- leaving ------------------------------------------------------------------------------------


def test_sends_carry_their_instant(loop: AgentLoop, channels: Channels) -> None:
    channels.publish("price", 1)
    loop.move(3)
    channels.direct("you", "price", 2)
    assert [(s.time, s.kind, s.to) for s in channels.sends] == [
        (0, PUBLISH, ""),
        (3, DIRECT, "you"),
    ]


def test_what_one_says_to_oneself_touches_no_link(loop: AgentLoop, channels: Channels) -> None:
    task = loop.create_task(channels.receive("note"))
    loop.settle()
    loop.move(4)
    channels.direct("me", "note", {"a": 1})
    loop.settle()
    got = task.result()
    assert (got.payload, got.sender, got.sent_ns, got.arrived_ns) == ({"a": 1}, "me", 4, 4)
    assert channels.sends == []


def test_an_unknown_receiver_is_named(channels: Channels) -> None:
    with pytest.raises(AgentError, match=r"there is no agent 'thm'; did you mean 'them'\?"):
        channels.direct("thm", "price", 1)


@pytest.mark.parametrize(
    ("payload", "cause"),
    [({1, 2}, "set"), (object(), "object"), ([{"a": {3}}], r"payload\[0\]\['a'\]"), (2**64, "64")],
)
def test_what_may_not_travel_is_refused_where_it_is_sent(
    channels: Channels, payload: Any, cause: str
) -> None:
    with pytest.raises(AgentError, match=rf"topic 'price'.*{cause}"):
        channels.publish("price", payload)
    assert channels.sends == []


def test_a_flood_is_refused_in_virtual_time(loop: AgentLoop, channels: Channels) -> None:
    for _ in range(20_000):
        channels.publish("price", 1)
    with pytest.raises(AgentError, match="more than 20,000 messages at once, or 10 per second"):
        channels.publish("price", 1)
    loop.move(SECOND)
    for _ in range(9):
        channels.publish("price", 1)
    with pytest.raises(AgentError, match="a flood"):
        channels.publish("price", 1)


def test_a_topic_is_claimed_once(channels: Channels) -> None:
    heard: list[Message] = []
    channels.claim("team", heard.append)
    with pytest.raises(AgentError, match="'team' is in use by this agent already"):
        channels.claim("team", heard.append)
    channels.deliver(message("a", "team"))
    assert payloads(heard) == ["a"]
    assert channels.take("team") is None
