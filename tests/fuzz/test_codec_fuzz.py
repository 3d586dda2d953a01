"""Bytes at the door: whatever comes, a record or a WireError, and no great memory."""

import random
import secrets
import tracemalloc

import numpy as np
import pytest

from sim.errors import WireError
from sim.wire import codec
from sim.wire.messages import Activation, Done, Observed, Send, Work, Yield

PAYLOAD = codec.encode_payload({"p": [1.5, {"q": np.arange(6).reshape(2, 3)}], "s": "text", 3: b""})
FRAMES = [
    codec.encode_frame(Activation(1, 0, 9, [Work(0, 0, b"r", b"b", Observed(0, 0, b"", b""))])),
    codec.encode_frame(
        Yield(1, [Done(0, 9, waits=["a"], sends=[Send(1, 0, "t", "b", 0, PAYLOAD)])])
    ),
]
DECODERS = [
    codec.decode_payload,
    codec.decode_activation,
    lambda frame: codec.decode_reply(frame, "host 0"),
]


def mutated(source: random.Random, good: bytes) -> bytes:
    """A good frame with some bytes changed, cut, doubled or replaced by noise."""
    frame = bytearray(good)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(frame) + 1)
        match source.randrange(4):
            case 0:
                frame[at : at + 1] = source.randbytes(1)
            case 1:
                del frame[at : at + source.randint(1, 8)]
            case 2:
                frame[at:at] = frame[at : at + source.randint(1, 8)]
            case 3:
                frame[at : at + 5] = bytes([source.randint(0xC4, 0xDF)]) + b"\xff" * 4
    return bytes(frame)


@pytest.mark.parametrize("decode", DECODERS, ids=["payload", "activation", "reply"])
def test_any_bytes_give_a_record_or_a_wire_error(decode):
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    source = random.Random(seed)
    good = [PAYLOAD, *FRAMES]
    for turn in range(20_000):
        noise = source.randbytes(source.randint(0, 40)) if turn % 4 == 0 else None
        try:
            decode(noise if noise is not None else mutated(source, source.choice(good)))
        except WireError:
            pass


def test_lying_lengths_take_no_memory():
    tracemalloc.start()
    for head in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"):
        for decode in DECODERS:
            with pytest.raises(WireError):
                decode(head + b"\xff\xff\xff\xff\x01")
            with pytest.raises(WireError):
                decode(b"\x94\xa1Y\x01" + head + b"\xff\xff\xff\xff\x01")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_mebibyte_of_empty_maps_is_refused_within_bounds():
    tracemalloc.start()
    with pytest.raises(WireError):
        codec.decode_payload(b"\xdd\x00\x0f\xff\x00" + b"\x80" * 0xFFF00)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 128_000_000
