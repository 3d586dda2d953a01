"""Links as the Linux kernel's netem makes them, inside User-Mode Linux: a kernel that is a process.

Needs no rights and touches no interface of the host. See `guest.py` for what runs inside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

LOST = -1
TIMEOUT_S = 300
"""For a boot and all its crossings, which take some ten seconds on a free core."""
_MODULES = Path("/usr/lib/uml/modules")
_WANTED = ("kernel/net/sched/sch_netem.ko", "kernel/drivers/net/veth.ko")


@dataclass(frozen=True)
class Traffic:
    """`groups` times `size` datagrams without a pause, a group every `gap_ns`; frames in bytes."""

    groups: int
    size: int = 1
    gap_ns: int = 1_000_000
    frame_bytes: int = 142


@dataclass(frozen=True)
class Crossing:
    """What became of datagrams. Shapes: sent, arrived [n] in ns, the latter `LOST` where lost.

    late: how late timers were meanwhile, in ns, at instants of their own.
    """

    sent: Ints
    arrived: Ints
    late: Ints

    @property
    def lost(self) -> NDArray[np.bool_]:
        return self.arrived == LOST

    @property
    def delays(self) -> Ints:
        """Of those that arrived, in ns."""
        return (self.arrived - self.sent)[~self.lost]


def missing() -> str:
    """What is to be installed before the kernel can be asked; empty if nothing is."""
    if not shutil.which("linux.uml"):
        return "no linux.uml: install user-mode-linux (Debian: apt install user-mode-linux kmod)"
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for tool, package in (("ip", "iproute2"), ("tc", "iproute2"), ("insmod", "kmod")):
        if not shutil.which(tool, path=search):
            return f"no {tool}: install {package}"
    absent = [path for path in _modules() if not path.exists()]
    return f"no {absent[0]}: install the modules of linux.uml" if absent else ""


def _modules() -> list[Path]:
    told = subprocess.run(["linux.uml", "--version"], capture_output=True, text=True, check=True)
    return [_MODULES / told.stdout.strip() / path for path in _WANTED]


def cross(netem: str, traffic: Traffic, folder: Path) -> tuple[Crossing, Crossing]:
    """The traffic over a link without netem, for the method's own floor, and over one with it.

    netem: as for `tc qdisc add dev DEVICE root netem ...`. folder: an empty one, for the results.
    Raises: AssertionError with what the kernel said if it did not get to the end, or if a datagram
            was lost that netem does not count as dropped.
    """
    bare = Traffic(groups=1_000, frame_bytes=traffic.frame_bytes)
    crossings = {
        "bare": {"netem": "", "traffic": asdict(bare)},
        "netem": {"netem": netem, "traffic": asdict(traffic)},
    }
    modules = [str(path) for path in _modules()]
    (folder / "job.json").write_text(json.dumps({"modules": modules, "crossings": crossings}))
    console = _boot(folder)
    found = []
    for name in crossings:
        path = folder / f"{name}.json"
        assert path.exists(), f"no results from User-Mode Linux; its console:\n{console}"
        told = json.loads(path.read_text())
        arrived = np.full(len(told["sent"]), LOST)
        arrived[told["number"]] = told["arrived"]
        found.append(Crossing(np.array(told["sent"]), arrived, np.array(told["late"])))
        assert found[-1].lost.sum() == told["dropped"], f"{name}: lost elsewhere than in netem"
    return found[0], found[1]


def _boot(folder: Path) -> str:
    """Runs the guest to its end; its console. Nothing of it is left, whatever happens."""
    command = [
        "linux.uml", "mem=512M", "rootfstype=hostfs", "rootflags=/", "rw", "quiet",
        "con=null", "con0=null,fd:1", f"init={os.path.realpath(sys.executable)}",
        "--", "-I", "-S", str(Path(__file__).with_name("guest.py")), str(folder),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
        env={**os.environ, "HOME": str(folder)},  # where it keeps its sockets
    )  # fmt: skip
    try:
        return process.communicate(timeout=TIMEOUT_S)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
