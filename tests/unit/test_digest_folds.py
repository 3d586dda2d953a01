"""The digest is folded on a grid of virtual time, and tells where two runs part."""

from __future__ import annotations

import pytest
from checkers.effort import tries
from checkers.memory import completed, kernel_of, play
from checkers.sameness import assert_same_run
from checkers.script import Script, Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.kernel import Kernel
from sim.digest import STREAMS, Digest

MS = 1_000_000
SCENARIO = """
seed: {seed}
duration: {duration}
world: {{kind: blank, agents: 2, step: {step}}}
network: {{default: {{latency: 10ms, jitter: {{uniform: 5ms}}, loss: {loss}}}}}
faults: [{faults}]
"""


def simulate(
    *sends: int, acts: tuple[int, ...] = (), step: str = "100ms", duration: str = "3s",
    body: bytes = b"x", loss: float = 0.0, seed: int = 1, faults: str = "", awaits: bool = False,
) -> Kernel:  # fmt: skip
    """agent-1 sends to agent-2 at stated milliseconds."""
    scripts = {
        "agent-1": Script(
            sends=tuple((t * MS, "t", "agent-2", body) for t in sends),
            acts=tuple((t * MS, (1.0,)) for t in acts),
        ),
        "agent-2": Script(awaits=awaits),
    }
    text = SCENARIO.format(seed=seed, duration=duration, step=step, loss=loss, faults=faults)
    return completed(play(kernel_of(text), Stage(scripts).transport()))


def parting(a: Kernel, b: Kernel) -> int:
    """The time in ms of the first fold that differs."""
    pairs = zip(a.digest.folds, b.digest.folds, strict=False)
    return next(left[0] for left, right in pairs if left != right) // MS


def fold_times(kernel: Kernel) -> list[float]:
    return [time / MS for time, _ in kernel.digest.folds]


# --- the chain ----------------------------------------------------------------------------------


@given(parts=st.lists(st.binary(max_size=8), max_size=6), cut=st.integers(0, 6))
@settings(max_examples=tries(50), deadline=None, print_blob=True)
def test_how_bytes_are_cut_into_calls_does_not_matter(parts: list[bytes], cut: int) -> None:
    one, other = Digest(), Digest()
    one.add("sends", b"".join(parts))
    other.add("sends", *parts[:cut])
    other.add("sends", *parts[cut:])
    assert one.fold(5) == other.fold(5)


def test_every_stream_and_the_time_and_the_past_count() -> None:
    def chain(time: int = 5, past: bytes = b"p", **streams: bytes) -> str:
        digest = Digest()
        digest.add("world", past)
        digest.fold(1)
        for name, data in streams.items():
            digest.add(name, data)
        return digest.fold(time)

    base = {name: b"a" for name in STREAMS}
    found = [chain(**base), chain(time=6, **base), chain(past=b"q", **base)]
    found += [chain(**(base | {name: b"b"})) for name in STREAMS]
    found += [chain(sends=b"a"), chain(deliveries=b"a"), chain(sends=b"ab"), chain()]
    assert len(set(found)) == len(found)


def test_streams_are_apart_whatever_their_order_in_time() -> None:
    one, other = Digest(), Digest()
    for digest, names in ((one, STREAMS), (other, STREAMS[::-1])):
        for name in names:
            digest.add(name, name.encode())
    assert one.fold(1) == other.fold(1)


# --- the grid -----------------------------------------------------------------------------------


def test_each_world_step_is_folded() -> None:
    """The step to 100 ms is folded with what follows it, at 200 ms; the last one at the end."""
    kernel = simulate(duration="1s")
    assert fold_times(kernel) == [*range(200, 1001, 100), 1000]


def test_a_slow_world_is_folded_every_second_in_which_something_happens() -> None:
    kernel = simulate(2_500, 7_100, step="20s", duration="40s")
    assert fold_times(kernel) == [3_000, 8_000, 21_000, 40_000]


def test_an_end_off_the_grid_is_folded_too() -> None:
    kernel = simulate(1_020, duration="1050ms")
    assert fold_times(kernel)[-2:] == [1000, 1050]
    books = kernel.network.totals()
    assert books["delivered"] == 1, "it arrives before the end, awaited or not"
    assert_same_run(kernel, simulate(1_020, duration="1050ms", awaits=True))


# --- where runs part ----------------------------------------------------------------------------


def test_runs_part_at_the_step_after_the_first_difference() -> None:
    base = simulate(100, 1_234)
    assert parting(base, simulate(100, 1_235)) == 1300
    assert parting(base, simulate(100, 1_234, 2_000)) == 2100
    assert parting(base, simulate(100)) == 1300
    assert parting(base, simulate(100, 1_234, acts=(1_720,))) == 2000
    assert parting(base, simulate(100, 1_234, body=b"y")) == 200
    assert parting(base, simulate(100, 1_234, faults="{at: 2s, hang: agent-2}")) == 2100


def test_a_lost_message_shows_when_it_is_lost() -> None:
    base, lossy = simulate(100, 1_234), simulate(100, 1_234, loss=1.0)
    assert parting(base, lossy) == 200
    assert lossy.network.totals()["dropped"] == {"loss": 2}


def test_a_drop_at_the_receiver_shows_when_it_would_have_arrived() -> None:
    """Sent at 1295 ms, it comes after 1305 ms to an agent killed at 1301 ms."""
    faults = "{at: 1301ms, kill: agent-2}"
    quiet = "{at: 1301ms, kill: agent-2, for: 2ms}"
    killed = simulate(1_295, faults=faults)
    assert killed.network.totals()["dropped"] == {"down": 1}
    assert parting(killed, simulate(1_295, faults=quiet)) == 1400


def test_the_checker_names_the_first_fold_that_differs() -> None:
    with pytest.raises(AssertionError, match=r"part at fold 11: .* at 1300000000 ns"):
        assert_same_run(simulate(1_234), simulate(1_235))
    assert_same_run(simulate(1_234), simulate(1_234, awaits=True))
