"""A shared medium against slotted ALOHA, and message by message against a plain count of slots."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from checkers.books import check_books
from checkers.memory import completed, kernel_of, play
from checkers.sameness import assert_same_run
from checkers.script import Script, Stage
from scipy import stats

from broker.kernel import Kernel
from broker.medium import Medium
from broker.network import ROW
from sim.errors import UnknownKeyError
from sim.learn.links import coupled
from sim.prepare import prepare
from sim.scenario.load import parse_scenario

MS = 1_000_000
SURE = 1e-6
"""Significance of a single test: seeds are fixed, so that one which passes always does."""


def text(
    more: str = "", agents: int = 9, medium: str = "{slot: 10ms, group: 'agent-[1-8]'}"
) -> str:
    return f"""
duration: 60s
world: {{kind: blank, agents: {agents}, step: 1s}}
network: {{medium: {medium}, default: {{latency: 3ms}}{more}}}
"""


@pytest.mark.parametrize(
    "load",
    [
        0.25,
        0.5,
        1.0,
        pytest.param(1.5, marks=pytest.mark.slow),
        pytest.param(3.0, marks=pytest.mark.slow),
    ],
)
def test_throughput_is_that_of_slotted_aloha(load: float) -> None:
    """Poisson arrivals of very many senders: G exp(-G) of the slots bring a message through."""
    draw = np.random.default_rng(8)
    slots, nodes = 1_000_000, 1_000_000
    n = draw.poisson(load * slots)
    rows = np.zeros(n, dtype=ROW)
    rows["arrival"] = np.sort(draw.integers(0, slots * MS, n))
    rows["sequence"], rows["at"] = np.arange(n), draw.integers(0, nodes, n)
    medium = Medium(MS, np.ones(nodes, dtype=bool))
    waiting, _ = medium.wait(rows, np.zeros(n, dtype=object))
    assert (waiting["arrival"] % MS == 0).all()
    delay = waiting["arrival"][np.argsort(waiting["sequence"])] - rows["arrival"]
    assert delay.min() > 0
    assert delay.max() <= MS
    through = int((~medium.collide(waiting)).sum())
    assert stats.binomtest(through, slots, load * math.exp(-load)).pvalue > SURE


def test_the_best_load_is_one_and_brings_1_over_e() -> None:
    loads = np.linspace(0.1, 3, 30)
    best = loads * np.exp(-loads)
    assert loads[best.argmax()] == pytest.approx(1.0)
    assert best.max() == pytest.approx(1 / math.e)


def scripts(seed: int, load: float) -> dict[str, Script]:
    """Eight senders that speak at random instants, directly and to all."""
    draw, found = np.random.default_rng(seed), {}
    for i in range(1, 9):
        n = draw.poisson(load / 8 * 5_900)
        times = np.sort(draw.integers(0, 59_000 * MS, n)).tolist()
        to = ["agent-9", ""]
        found[f"agent-{i}"] = Script(tuple((t, "t", to[t % 2], b"x") for t in times))
    found["agent-9"] = Script(hears=("t",), awaits=True)
    return found


@pytest.mark.parametrize("load", [0.3, 1.0, pytest.param(2.0, marks=pytest.mark.slow)])
def test_a_run_loses_what_shares_a_slot_and_nothing_else(load: float) -> None:
    kernel, stage = kernel_of(text()), Stage(scripts(3, load))
    completed(play(kernel, stage.transport(), check_books))
    slots = defaultdict(set)
    for name, script in stage.scripts.items():
        for time, *_ in script.sends:
            slots[time // (10 * MS)].add(name)
    expected = sorted(
        (time // (10 * MS) + 1) * 10 * MS + 3 * MS
        for script in stage.scripts.values()
        for time, *_ in script.sends
        if len(slots[time // (10 * MS)]) == 1
    )
    assert sorted(h.arrival for h in stage.heard["agent-9"]) == expected
    books = kernel.network.totals()
    assert books["dropped"] == {"collision": books["sent"] - books["delivered"]}
    # Of n senders, each in a slot with probability p: n p (1 - p)^(n - 1) of them alone.
    p = 1 - math.exp(-load / 8)
    alone = sum(len(names) == 1 for names in slots.values())
    assert stats.binomtest(alone, 5_900, 8 * p * (1 - p) ** 7).pvalue > SURE


@pytest.mark.slow
def test_windows_and_packing_leave_no_trace() -> None:
    def run(agents_per_host: int, is_eager: bool, more: str = "") -> Kernel:
        kernel = kernel_of(text(more), agents_per_host, is_eager)
        return completed(play(kernel, Stage(scripts(5, 1.0)).transport()))

    one = run(1, False)
    assert_same_run(one, run(4, False))
    assert_same_run(one, run(1, True))
    # A link that nothing crosses, and that is faster, cuts windows otherwise.
    faster = ", links: [{from: agent-9, to: agent-1, latency: 1ms}]"
    assert_same_run(one, run(1, False, faster))


@pytest.mark.parametrize(
    ("group", "arrivals"),
    [
        # What agents 1 and 2 say in the first slot meets; agent-3 is no member.
        ("[agent-1, agent-2]", [7, 66]),
        # All come to the hub in one slot, from which it speaks alone.
        ("h", [13, 13, 13, 63]),
    ],
)
def test_members_may_be_relays_and_others_are_not_disturbed(
    group: str, arrivals: list[int]
) -> None:
    stage = Stage(
        {
            "agent-1": Script(((0, "t", "agent-4", b"a"), (50 * MS, "t", "agent-4", b"b"))),
            "agent-2": Script(((5 * MS, "t", "agent-4", b"c"),)),
            "agent-3": Script(((1 * MS, "t", "agent-4", b"d"),)),
            "agent-4": Script(awaits=True),
        }
    )
    body = text(", topology: star, hub: h", 4, f"{{slot: 10ms, group: {group}}}")
    completed(play(kernel_of(body), stage.transport(), check_books))
    assert [h.arrival // MS for h in stage.heard["agent-4"]] == arrivals


def test_an_unknown_member_is_named() -> None:
    with pytest.raises(UnknownKeyError, match=r"medium.group: no agent or relay matches 'agnet-1'"):
        prepare(parse_scenario(text(medium="{slot: 1ms, group: agnet-1}")))
    assert coupled(prepare(parse_scenario(text()))) == "senders share a medium"
