"""What every transport promises, and what host processes alone can go through."""

import os
import stat
import threading
from pathlib import Path

import pytest
import zmq

from sim.errors import InstallationError
from sim.launch.local import process_transport
from sim.wire import transport as protocol
from sim.wire.memory import MemoryTransport
from sim.wire.messages import Activation, Yield
from sim.wire.transport import HostLost

pytestmark = pytest.mark.process
TOY = "toy_runtime:Toy"
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def hosts(tmp_path):
    transport = process_transport(runtime=TOY)
    try:
        transport.start(range(2))
        yield transport
    finally:
        transport.close()
    assert list(tmp_path.glob("sim-*")) == []


def order(host, *commands, serial=1):
    return host, Activation(serial, 0, 1, [], list(commands))


def ask(transport, host, *commands):
    """The text a host answers, or the loss of it."""
    transport.send(*order(host, *commands))
    return one(transport)


def one(transport):
    ((_, answer),) = gather(transport, 1)
    return answer.done[0].error if isinstance(answer, Yield) else answer


def gather(transport, n):
    found = []
    for _ in range(1000):
        found.extend(transport.poll(PATIENCE))
        if len(found) >= n:
            return found
    raise AssertionError("nothing came")


@pytest.mark.parametrize("kind", ["memory", "codec", "processes"])
def test_every_transport_keeps_the_promises(kind):
    seen = []
    progress = lambda up, of: seen.append((up, of))  # noqa: E731
    transport: protocol.Transport
    if kind == "processes":
        transport = process_transport(runtime=TOY, progress=progress)
    else:
        transport = MemoryTransport(TOY, through_codec=kind == "codec", progress=progress)
    try:
        transport.start([0, 1, 2])
        assert seen[-1] == (3, 3)
        assert transport.poll(0) == []
        for host in (2, 0):
            transport.send(*order(host, f"{host} + self.host", serial=5 + host))
        answers = gather(transport, 2)
        assert {(h, a.serial, a.done[0].error) for h, a in answers} == {(2, 7, "4"), (0, 5, "0")}
        ask(transport, 1, "setattr(self, 'mood', 'old')")
        transport.restart(1)
        assert "no attribute 'mood'" in ask(transport, 1, "self.mood")
        transport.kill(1)
        transport.send(*order(1, "1"))
        assert transport.poll(0.05) == []
        transport.stop(0)
        transport.send(*order(0, "'awake'"))
        assert transport.poll(0.05) == []
        transport.resume(0)
        assert one(transport) == "awake"
        assert set(transport.info()) == {0, 2}
    finally:
        transport.close()
    transport.close()
    assert transport.info() == {}


def test_arrival_can_be_shuffled():
    transport = MemoryTransport(TOY, arrival=lambda answers: answers[::-1])
    transport.start([0, 1])
    transport.send(*order(0))
    transport.send(*order(1))
    assert [host for host, _ in transport.poll(None)] == [1, 0]


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("os._exit(3)", "exit 3"),
        ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
        ("os.kill(os.getpid(), 11)", "signal 11 (SIGSEGV)"),
        ("sys.exit(4)", "exit 70: SystemExit: 4"),
    ],
)
def test_a_lost_host_is_told_with_its_cause(hosts, command, cause):
    lost = ask(hosts, 1, command)
    assert isinstance(lost, HostLost)
    assert (lost.host, lost.cause) == (1, cause)
    assert hosts.processes == 1
    hosts.restart(1)
    assert ask(hosts, 1, "1 + 1") == "2"
    assert ask(hosts, 0, "1 + 2") == "3"


def test_what_a_host_said_before_its_end_comes_before_the_loss(hosts):
    hosts.send(*order(0, "end_later(3)"))
    hosts.send(*order(1, "time.sleep(0.3)"))
    answers = [a for h, a in gather(hosts, 3) if h == 0]
    assert [type(a) for a in answers] == [Yield, HostLost]


def test_an_idle_host_that_dies_is_reported(hosts):
    os.kill(hosts.info()[0].pid, 9)
    assert one(hosts).cause == "signal 9 (SIGKILL)"


def test_a_host_may_not_fork(hosts):
    assert "agents may not fork" in ask(hosts, 0, "os.fork()")
    assert "agents may not fork" in ask(
        hosts, 0, "__import__('multiprocessing').get_context('fork').Process().start()"
    )


def test_what_an_agent_started_ends_with_its_host(hosts):
    pids = [int(ask(hosts, 0, "stray()")) for _ in range(2)]
    hosts.kill(0)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_stacks_show_the_authors_frames(hosts):
    hosts.send(*order(0, "time.sleep(0.5)"))
    hosts.poll(0.1)
    assert "toy_runtime.py" in hosts.stacks(0)
    assert "transport.py" not in hosts.stacks(0)
    assert one(hosts) == "None"
    assert hosts.stacks(7) == ""


def test_processor_time_is_seen_from_both_sides(hosts):
    ask(hosts, 0, "busy(1.2)")
    assert int(ask(hosts, 0, "self.ticks")) >= 1
    info = hosts.info()
    assert info[0].cpu_seconds > 1.0 > info[1].cpu_seconds
    assert info[0].rss_bytes > 1_000_000


def test_hosts_have_a_fixed_environment(hosts):
    assert ask(hosts, 0, "os.environ['PYTHONHASHSEED'], os.environ['OMP_NUM_THREADS']") == str(
        ("0", "1")
    )
    assert ask(hosts, 0, "hash('a')") == ask(hosts, 1, "hash('a')")
    assert ask(hosts, 0, "'torch' in sys.modules") == "False"


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("junk(b'junk')", "host 0: "),
        ("wrong_hello()", "host 0: a hello of process 1"),
        ("junk(b'\\x93\\xa1Y\\x07\\x90')", "host 0: yield 7 unasked"),
    ],
)
def test_a_host_that_breaks_the_protocol_is_cut_off(hosts, command, cause):
    lost = ask(hosts, 0, command)
    while isinstance(lost, str):
        lost = one(hosts)
    assert cause in lost.cause
    assert hosts.counters["malformed"] >= 1
    assert ask(hosts, 1, "'alive'") == "alive"


def test_strangers_are_counted_and_dropped(hosts, tmp_path):
    (folder,) = tmp_path.glob("sim-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.setsockopt(zmq.LINGER, 0)
        stranger.connect(f"ipc://{folder}/hosts")
        for frames in ([b"junk"], [b"a", b"b", b"c"], [b""]):
            stranger.send_multipart(frames)
        while hosts.counters["unknown"] < 3:
            assert hosts.poll(0.05) == []
        assert ask(hosts, 0, "'alive'") == "alive"


def test_a_host_that_does_not_come_up_is_explained():
    transport = process_transport(runtime=TOY, environment={"TOY_FAILS": "1"})
    try:
        with pytest.raises(InstallationError, match=r"host 1 did not come up[^$]*no such toy"):
            transport.start([0, 1])
    finally:
        transport.close()


def test_a_launcher_that_does_not_come_up_is_explained():
    transport = process_transport(runtime="no_such_module:Thing")
    try:
        with pytest.raises(InstallationError, match="no_such_module"):
            transport.start([0])
    finally:
        transport.close()


def test_log_and_memory_bound(tmp_path):
    log = tmp_path / "hosts.log"
    transport = process_transport(runtime=TOY, log=log, data_bytes_max=1 << 29)
    try:
        transport.start([0])
        assert ask(transport, 0, "limit()") == str(1 << 29)
        assert "MemoryError" in ask(transport, 0, "len(bytearray(1 << 30))")
        ask(transport, 0, "os.write(2, b'past the capture')")
    finally:
        transport.close()
    assert "past the capture" in log.read_text()


def test_a_thread_that_ends_takes_no_host_with_it():
    made = []

    def make():
        made.append(process_transport(runtime=TOY))
        made[0].start([0])

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    try:
        assert ask(made[0], 0, "'alive'") == "alive"
    finally:
        made[0].close()


def test_hosts_that_are_killed_before_their_hello_are_forked_again(monkeypatch):
    transport = process_transport(runtime=TOY)
    fork, killed = transport._launcher.fork, []

    def fork_and_kill(hosts):
        pids = fork(hosts)
        if len(killed) < 2:
            killed.append(pids[-1])
            os.kill(pids[-1], 9)
        return pids

    monkeypatch.setattr(transport._launcher, "fork", fork_and_kill)
    try:
        transport.start([0, 1])
        assert ask(transport, 1, "'alive'") == "alive"
        assert transport.processes == 2
    finally:
        transport.close()


def test_a_launcher_that_is_killed_while_it_is_asked_for_hosts_is_replaced(hosts):
    launcher = hosts._launcher
    os.kill(launcher.pid, 9)
    hosts.restart(0)
    told = [ask(hosts, 0, "'alive'"), one(hosts)]  # in either order
    assert "alive" in told
    assert [t.cause for t in told if t != "alive"] == ["its launcher ended"]


def test_a_host_that_dies_while_it_is_restarted_is_reported_and_no_error(hosts, monkeypatch):
    fork = hosts._launcher.fork

    def fork_and_kill(wanted):
        pids = fork(wanted)
        os.kill(pids[0], 9)
        return pids

    monkeypatch.setattr(hosts._launcher, "fork", fork_and_kill)
    hosts.restart(0)
    lost = one(hosts)
    if isinstance(lost, HostLost):  # else it had said hello before
        assert (lost.host, lost.cause) == (0, "signal 9 (SIGKILL)")
    assert ask(hosts, 1, "'alive'") == "alive"
