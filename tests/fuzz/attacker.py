"""A process that means ill: sends bytes of many kinds to a socket for a while.

Arguments: the socket's path, the kind of attack, a seed, seconds, an identity (hexadecimal).
"""

import random
import socket
import sys
import time

import msgspec
import zmq

from sim.wire.live import Ask
from sim.wire.messages import Done, Hello, Send, Yield

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
READY = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
CLAIMS_MAX = 100
"""Connections under another's name. libzmq keeps some 30 KiB of each until the end of the run;
who knows a host's secret has read the memory of a process, and could do worse."""
encode = msgspec.msgpack.Encoder().encode
GOOD = [
    encode(Ask(1, "speed", "as fast as light")),
    encode(Ask(2, "inject", "{kill: nobody}")),
    encode(Hello(1, 1)),
    encode(Yield(3, [Done(0, 10, sends=[Send(1, 0, "beat", "", 0, b"\x01")])])),
]


def mutated(source: random.Random) -> bytes:
    frame = bytearray(source.choice(GOOD))
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


def frames(path: str, source: random.Random, until: float, identity: bytes = b"") -> int:
    """Whole messages of random and mutated frames, through ZeroMQ."""
    count = 0
    turns = range(CLAIMS_MAX if identity else 10**9)
    with zmq.Context() as context, context.socket(zmq.DEALER) as steady:
        steady.setsockopt(zmq.LINGER, 0)
        if not identity:  # who leaves at once is not known by name: one stays
            steady.connect(f"ipc://{path}")
            for _ in range(5):
                steady.send(b"junk")
        for _ in turns:
            if time.monotonic() > until:
                break
            kind = zmq.DEALER if identity else source.choice([zmq.DEALER, zmq.ROUTER, zmq.REQ])
            with context.socket(kind) as peer:
                peer.setsockopt(zmq.LINGER, 20)
                if identity:
                    peer.setsockopt(zmq.ROUTING_ID, identity)
                peer.connect(f"ipc://{path}")
                for _ in range(source.randint(1, 40)):
                    parts = [
                        source.choice(
                            [mutated(source), source.choice(GOOD), b"", source.randbytes(20)]
                        )
                        for _ in range(1 if identity else source.choice([1, 1, 1, 2, 3, 50]))
                    ]
                    if not identity and source.random() < 0.02:
                        parts = [source.randbytes(1) * 1_000_000]
                    try:
                        peer.send_multipart(parts, zmq.NOBLOCK)
                        count += 1
                    except zmq.ZMQError:
                        time.sleep(0.001)
    return count


def raw(path: str, source: random.Random, until: float) -> int:
    """Bytes past ZeroMQ: half handshakes, lying lengths, noise, silence."""
    count, silent = 0, []
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(0.05)
            try:
                peer.connect(path)
                lie = b"\x02" + source.choice([b"\xff" * 8, (2**40).to_bytes(8, "big")])
                for piece in source.choice([
                    [source.randbytes(source.randint(1, 200))],
                    [GREETING[: source.randrange(1, 64)]],
                    [GREETING, source.randbytes(50)],
                    [GREETING, READY[: source.randrange(1, len(READY))]],
                    [GREETING, READY, lie, source.randbytes(1000)],
                    [GREETING, READY, b"\x01\x00" * 200],
                    [GREETING, READY, b"\x00\x05", b"junk"],
                ]):  # fmt: skip
                    peer.sendall(piece)
                    if source.random() < 0.2:
                        time.sleep(0.001)
                count += 1
                if len(silent) < 50 and source.random() < 0.1:
                    silent.append(peer.dup())
            except OSError:
                continue
    for peer in silent:
        peer.close()
    return count


def main(path: str, kind: str, seed: int, seconds: float, identity: str = "") -> None:
    source, until = random.Random(seed), time.monotonic() + seconds
    if kind == "raw":
        print(raw(path, source, until))
    else:
        print(frames(path, source, until, bytes.fromhex(identity)))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:])
