"""Payloads and frames: what goes in comes out, and what may not travel is named."""

import math

import hypothesis.extra.numpy as hnp
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import limits
from sim.errors import FrameTooLargeError, MalformedFrameError
from sim.wire import codec
from sim.wire.messages import Activation, Done, Hello, Observed, Send, Work, Yield

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
KEYS = st.text() | st.integers(-(2**63), 2**63 - 1)
PAYLOADS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.complex_number_dtypes(),
).filter(lambda dtype: dtype.itemsize <= 8 or (dtype.kind == "c" and dtype.itemsize <= 16))
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=5))


@given(PAYLOADS)
def test_plain_payload_round_trip(value):
    body = codec.encode_payload(value)
    assert codec.decode_payload(body) == value
    assert codec.encode_payload(codec.decode_payload(body)) == body
    assert codec.decode_payload(memoryview(b"xx" + body)[2:]) == value


@given(ARRAYS, st.integers(0, 7))
def test_array_round_trip_whatever_stands_before_it(array, offset):
    body = codec.encode_payload({"a": array})
    back = codec.decode_payload(memoryview(b"x" * offset + body)[offset:])["a"]
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    assert back.flags.writeable
    assert back.flags.aligned


def test_array_bytes_do_not_depend_on_memory_layout():
    array = np.arange(12.0).reshape(3, 4)
    body = codec.encode_payload(array)
    assert codec.encode_payload(np.asfortranarray(array)) == body
    assert codec.encode_payload(np.repeat(array, 2, axis=1)[:, ::2]) == body
    assert codec.encode_payload(array.astype(">f8")) == body


def test_numpy_scalars_and_tuples_become_plain():
    value = {"x": np.float64(1.5), "n": np.int32(-3), "f": np.bool_(True), "t": (1, (2, 3))}
    back = codec.decode_payload(codec.encode_payload(value))
    assert back == {"x": 1.5, "n": -3, "f": True, "t": [1, [2, 3]]}
    assert type(back["x"]) is float
    assert type(back["n"]) is int


def test_non_finite_numbers_travel():
    back = codec.decode_payload(codec.encode_payload([math.inf, -math.inf, math.nan]))
    assert back[:2] == [math.inf, -math.inf]
    assert math.isnan(back[2])


class Thing:
    pass


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({1, 2}, TypeError, "builtins.set; allowed are None"),
        (Thing(), TypeError, "Thing; allowed are None"),
        ({"a": [1, {"b": Thing()}]}, TypeError, r"payload\['a'\]\[1\]\['b'\] is"),
        ({1.5: 2}, TypeError, "key 1.5; allowed as keys are str and int"),
        (1j, TypeError, "builtins.complex"),
        (np.array([Thing()]), TypeError, "array of object"),
        (np.array(["a"]), TypeError, "array of <U1"),
        (np.datetime64("2020-01-01"), TypeError, "datetime64"),
        (np.longdouble(1), TypeError, "NumPy scalar"),
        (1 << 70, ValueError, "64 bits"),
        ("\ud800", ValueError, "Unicode"),
        ([0] * (limits.ARRAY_ITEMS_MAX + 1), ValueError, "list of 4097 items"),
        (dict.fromkeys(range(limits.MAP_ITEMS_MAX + 1)), ValueError, "dict of 1025 items"),
        (bytes(limits.PAYLOAD_BYTES_MAX), ValueError, "send it in parts"),
        (np.zeros(limits.PAYLOAD_BYTES_MAX // 4), ValueError, "array of 2097152 bytes"),
    ],
)
def test_sender_is_told_what_may_not_travel(value, error, text):
    with pytest.raises(error, match=text):
        codec.encode_payload(value)


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_is_bounded_on_both_sides():
    deepest = nested(limits.NESTING_MAX)
    assert codec.decode_payload(codec.encode_payload(deepest)) == deepest
    with pytest.raises(ValueError, match="nested deeper than 32"):
        codec.encode_payload([deepest])
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested deeper"):
        codec.encode_payload(loop)
    with pytest.raises(MalformedFrameError, match="nested deeper"):
        codec.decode_payload(b"\x91" * 40 + b"\x01")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 900_000,
        b"\xdc\xff\xff" + b"\x80" * 65_535,
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xd4\x02\x00",
        b"\x81\x90\x01",
        b"\x81\xc2\x01",
        b"\xa1\xff",
        b"\xd6\x01f\x08\x01\x00",
        b"\xd8\x01b\x01\x01\x09\x00\x00\x00" + b"\x07" * 9,
        bytes(limits.PAYLOAD_BYTES_MAX + 1),
    ],
    ids=lambda body: body[:6].hex(),
)
def test_malformed_payload(body):
    with pytest.raises(MalformedFrameError):
        codec.decode_payload(body)


def test_frames_round_trip():
    activation = Activation(
        serial=7,
        now=1,
        until=2**62,
        work=[Work(0, 5, b"rows", b"bodies", Observed(1, 0, b"12345678", b""))],
        topics=["price"],
    )
    assert codec.decode_activation(codec.encode_frame(activation)) == activation
    answer = Yield(7, [Done(0, 9, sends=[Send(1, 0, "price", "", -1, b"\x01")], waits=["*"])])
    assert codec.decode_reply(codec.encode_frame(answer), "host 0") == answer
    assert codec.decode_reply(codec.encode_frame(Hello(1, 2)), "host 0") == Hello(1, 2)


@pytest.mark.parametrize("frame", [b"", b"\x91\xa1Y", b"\x93\xa1Y\xa1x\x90", b"\x93\xa1Z\x01\x90"])
def test_a_malformed_frame_names_its_sender(frame):
    with pytest.raises(MalformedFrameError, match="host 3: "):
        codec.decode_reply(frame, "host 3")
    with pytest.raises(MalformedFrameError, match="broker: "):
        codec.decode_activation(frame)


def test_frames_are_bounded(monkeypatch):
    body = bytes(limits.PAYLOAD_BYTES_MAX + 1)
    frame = codec.encode_frame(Yield(1, [Done(0, 0, sends=[Send(0, 0, "t", "", 0, body)])]))
    with pytest.raises(MalformedFrameError, match="host 3: message body"):
        codec.decode_reply(frame, "host 3")
    monkeypatch.setattr(limits, "FRAME_BYTES_MAX", 64)
    with pytest.raises(FrameTooLargeError, match="host 3: frame"):
        codec.decode_reply(frame, "host 3")
    with pytest.raises(FrameTooLargeError, match="broker: frame"):
        codec.decode_activation(frame)
    with pytest.raises(FrameTooLargeError, match="Yield of"):
        codec.encode_frame(Yield(1, [Done(0, 0, error="x" * 100)]))


def test_the_wire_is_msgpack_as_others_read_it() -> None:
    """Frames and payloads, read by the reference implementation of the format."""
    work = [Work(3, 7, b"rows", b"bodies", Observed(5, 1, bytes(8), b""), clock=[(1, -2, 0.5)])]
    frame = codec.encode_frame(Activation(2, 5, 9, work, topics=["price"]))
    plain = msgpack.unpackb(frame)
    assert plain[:4] == ["A", 2, 5, 9]
    assert plain[4] == [[3, 7, b"rows", b"bodies", [5, 1, bytes(8), b""], None, [[1, -2, 0.5]]]]
    assert codec.decode_activation(msgpack.packb(plain)).work == work
    value = {"x": [1, -2.5, "z", None, True], "b": b"raw"}
    assert msgpack.unpackb(codec.encode_payload(value)) == value
    assert codec.decode_payload(msgpack.packb(value)) == value
