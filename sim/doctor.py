"""What this machine offers a run, found out by trying it."""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sim.errors import InstallationError, SimError
from sim.installation import check_names, missing_extras, version
from sim.store.rundir import processor, versions

_ZMQ_LEAST: Final = (4, 3, 5)
_SELF_TEST: Final = "quickstart"
_SELF_TEST_SECONDS: Final = 10


@dataclass(frozen=True)
class Check:
    """One thing looked at. state: ok, note (works without) or fault, with what to do about it."""

    name: str
    state: str
    text: str
    remedy: str = ""


def examine() -> Iterator[Check]:
    """All checks, each as soon as it is made. The last runs agents, and takes seconds."""
    yield _python()
    yield from _packages()
    yield _names()
    yield _torch()
    yield _zmq()
    yield _pidfd()
    yield _machine()
    yield from _extras()
    yield _self_test()


def _python() -> Check:
    text = f"{platform.python_version()} ({sys.executable})"
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("python", "ok", text)
    return Check("python", "fault", text, "use Python 3.11, 3.12 or 3.13")


def _packages() -> Iterator[Check]:
    found = versions()
    wanted = ("numpy", "torch", "msgspec", "pyzmq", "scipy", "networkx")
    missing = [name for name in wanted if name not in found]
    text = ", ".join(f"{name} {found[name]}" for name in wanted if name in found)
    yield Check("sim", "ok", version())
    if missing:
        remedy = f"pip install {' '.join(missing)}"
        yield Check("packages", "fault", f"missing: {', '.join(missing)}", remedy)
    else:
        yield Check("packages", "ok", text)


def _names() -> Check:
    try:
        check_names()
    except InstallationError as error:
        return Check("import names", "fault", str(error))
    return Check("import names", "ok", "sim, agents and broker are ours")


def _attempt(name: str, look: Callable[[Any], str], module: str, remedy: str) -> Check:
    try:
        return Check(name, "ok", look(importlib.import_module(module)))
    except (ImportError, OSError) as error:
        return Check(name, "fault", str(error), remedy)


def _torch() -> Check:
    def look(torch: Any) -> str:
        if torch.cuda.is_available():
            return f"cuda: {torch.cuda.get_device_name(0)}"
        return "cpu"

    return _attempt("torch device", look, "torch", "pip install torch")


def _zmq() -> Check:
    check = _attempt("libzmq", lambda zmq: str(zmq.zmq_version()), "zmq", "pip install pyzmq")
    if check.state == "ok" and tuple(map(int, check.text.split("."))) < _ZMQ_LEAST:
        return Check(
            "libzmq", "fault", f"{check.text} has known holes", "pip install 'pyzmq>=26.2'"
        )
    return check


def _pidfd() -> Check:
    try:
        os.close(os.pidfd_open(os.getpid()))
        ctypes.CDLL(None).prctl  # noqa: B018 (is it there?)
    except (AttributeError, OSError) as error:
        return Check(
            "processes", "fault", f"no pidfd or prctl here: {error}",
            "agent processes need Linux 5.3 or newer; --inline runs anywhere",
        )  # fmt: skip
    return Check("processes", "ok", "pidfd and parent-death signals are there")


def _machine() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check("machine", "ok", f"{cores} cores, {processor()}, {platform.release()}")


def _extras() -> Iterator[Check]:
    missing = missing_extras()
    for extra, command in missing.items():
        yield Check(f"extra {extra}", "note", "not installed", command)
    if not missing:
        yield Check("extras", "ok", "all installed")


def _self_test() -> Check:
    """The same few seconds inline and in processes: the digests must be equal."""
    from sim.runner import run

    name = "self-test"
    try:
        digests = []
        for is_inline in (True, False):
            result = run(
                _SELF_TEST, duration=_SELF_TEST_SECONDS, inline=is_inline, record=False,
                compare=False,
            )  # fmt: skip
            if result.status != "completed":
                return Check(name, "fault", f"{_SELF_TEST} {result.status}: {result.error}")
            digests.append(result.digest)
    except SimError as error:
        return Check(name, "fault", str(error))
    if digests[0] != digests[1]:
        text = f"inline {digests[0]}, processes {digests[1]}"
        return Check(name, "fault", f"digests differ: {text}", "report this, with `sim doctor`")
    return Check(name, "ok", f"{_SELF_TEST}, inline and in processes: {digests[0]}")
