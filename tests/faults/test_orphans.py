"""Kill anything at any moment: no process stays, no zombie, no folder."""

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.launch.launcher import subreaper

pytestmark = pytest.mark.process
HERE = Path(__file__).parent
HOSTS = 6
PATIENCE_SECONDS = 20.0


@pytest.fixture
def orphanage():
    """This process stands in for init: what loses its last parent comes here."""
    subreaper(True)
    yield
    subreaper(False)


def children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        found.setdefault(parent, []).append(int(path.parent.name))
    return found


def below(pid: int) -> set[int]:
    """All descendants of a process."""
    tree, found, ask = children(), set(), [pid]
    while ask:
        more = tree.get(ask.pop(), [])
        found.update(more)
        ask.extend(more)
    return found


class Run:
    """A driver with its launcher and hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = subprocess.Popen(
            [sys.executable, str(HERE / "driver.py"), str(HOSTS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.broker.stdout is not None
        assert self.broker.stdout.readline() == "ready\n", self.broker.stderr.read()
        self.seen = below(self.broker.pid)

    def launcher(self) -> int:
        """0 in the moments between two, when ending hosts are the broker's children."""
        found = children().get(self.broker.pid, [])
        return found[0] if len(found) == 1 else 0

    def hosts(self) -> list[int]:
        launcher = self.launcher()
        return sorted(children().get(launcher, [])) if launcher else []

    def rest(self) -> set[int]:
        """Whom of all ever seen there still is. Init's part, taking in the ended, is done here."""
        for pid in self.seen:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        return {pid for pid in self.seen if Path(f"/proc/{pid}").exists()}

    def gone(self) -> None:
        """Waits for the end of the broker and of all, and for their folder to be removed."""
        self.broker.communicate(timeout=PATIENCE_SECONDS)
        until = time.monotonic() + PATIENCE_SECONDS
        while self.rest() or any(self.folder.iterdir()):
            assert time.monotonic() < until, (self.rest(), list(self.folder.iterdir()))
            time.sleep(0.02)


def wait_until(condition) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def run(orphanage, tmp_path):
    made = Run(tmp_path)
    yield made
    made.seen |= below(made.broker.pid)
    if made.broker.poll() is None:
        made.broker.kill()
    made.gone()


def moment() -> random.Random:
    """A random moment from now, by a seed that is shown."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    source = random.Random(seed)
    time.sleep(source.uniform(0.0, 0.2))
    return source


@pytest.mark.parametrize("turn", range(3))
def test_killing_the_broker_leaves_nothing(run, turn):
    moment()
    run.seen |= below(run.broker.pid)
    run.broker.kill()
    run.gone()


@pytest.mark.parametrize("turn", range(2))
def test_killing_broker_and_launcher_at_once_leaves_no_host(run, turn):
    moment()
    pids = [run.broker.pid, run.launcher()]
    hosts = set(run.hosts())
    moment().shuffle(pids)
    assert all(pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    run.broker.communicate(timeout=PATIENCE_SECONDS)
    wait_until(lambda: not run.rest() & hosts)
    for pid in run.rest() - hosts:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not run.rest())
    for path in [*run.folder.glob("*/*"), *run.folder.glob("*")]:
        path.rmdir() if path.is_dir() else path.unlink()


def test_killing_the_launcher_leaves_nothing_of_it_and_the_run_goes_on(run):
    moment()
    old = run.launcher()
    hosts = set(run.hosts())
    assert old
    assert len(hosts) == HOSTS
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: not {old, *hosts} & run.rest())
    wait_until(lambda: run.launcher() not in (0, old) and len(run.hosts()) == HOSTS)
    run.seen |= below(run.broker.pid)


def test_killing_hosts_leaves_nothing_of_them_and_the_run_goes_on(run):
    for _ in range(5):
        victim = moment().choice(run.hosts())
        run.seen |= below(victim) | {victim}
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda victim=victim: victim not in run.rest())
    wait_until(lambda: len(run.hosts()) == HOSTS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_terminate_end_everything(run, number):
    moment()
    run.seen |= below(run.broker.pid)
    os.killpg(run.broker.pid, number)
    run.gone()
    assert run.broker.returncode == -number


def test_hosts_do_not_hear_ctrl_c(run):
    hosts = run.hosts()
    assert len(hosts) == HOSTS
    for pid in (*hosts, run.launcher()):
        os.kill(pid, signal.SIGINT)
    moment()
    assert run.hosts() == hosts
