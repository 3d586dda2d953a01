"""A runtime for tests of the processes: it does what the activation's topic says, in Python."""

import gc
import os
import resource
import subprocess
import sys
import threading
import time

import zmq

from sim.wire.messages import PROTOCOL, Activation, Done, Hello, Yield


class Toy:
    """Evaluates `topics[0]`; the answer, or the error, is the `error` text of the yield."""

    def __init__(self, host: int) -> None:
        self.host = host
        self.ticks = 0
        if os.environ.get("TOY_FAILS") == str(host):
            raise RuntimeError("no such toy")

    def run(self, activation: Activation) -> Yield:
        text = ""
        for command in activation.topics:
            try:
                text = str(eval(command, globals(), {"self": self, **ACTIONS}))
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
        return Yield(activation.serial, [Done(self.host, 0, error=text)])

    def check_deadline(self) -> None:
        self.ticks += 1


def end_later(code: int) -> str:
    threading.Timer(0.05, lambda: os._exit(code)).start()
    return "said before the end"


def busy(seconds: float) -> str:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return "done"


def stray() -> int:
    """A process in a session of its own, which no process group reaches."""
    return subprocess.Popen(["sleep", "600"], start_new_session=True).pid


def junk(frame: bytes) -> None:
    """What an agent could do that finds its host's socket."""
    next(o for o in gc.get_objects() if isinstance(o, zmq.Socket)).send(frame)


def wrong_hello() -> None:
    import msgspec

    junk(msgspec.msgpack.encode(Hello(PROTOCOL, 1)))


def limit() -> int:
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


ACTIONS = {
    "os": os,
    "sys": sys,
    "time": time,
    "end_later": end_later,
    "busy": busy,
    "stray": stray,
    "junk": junk,
    "wrong_hello": wrong_hello,
    "limit": limit,
}
