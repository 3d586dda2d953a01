"""Coordinators over groups: sums go up, set-points come down, deputies take over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from agents.hierarchy.coordinator import in_proportion
from agents.hierarchy.tree import Tree

SOURCE = """
class A(sim.Agent):
    async def run(self):
        tree = self.params["tree"]
        if "coordinates" in self.params:
            options = {"period": "2s", "heartbeat": "200ms", "setpoint": lambda total: 2 * total}
            await sim.coordinate(self, tree, self.params["coordinates"], **options)
        if not any(self.name in group["members"] for group in tree.values()):
            return
        own = float(self.name.partition("-")[2])
        async for s in sim.follow(self, tree, lambda: own):
            self.log(repr((s.value.tolist(), s.sender, s.term, round(s.age, 3), s.recovered)))
"""
# Agents 1 to 4 are consumers, 5 and 6 the line of the root, 7 and 8 that of the one group below.
TREE = {
    "top": {"line": ["agent-5", "agent-6"], "members": ["low", "agent-4"]},
    "low": {"line": ["agent-7", "agent-8"], "members": ["agent-1", "agent-2", "agent-3"]},
}
LINES = {"agent-5": "top", "agent-6": "top", "agent-7": "low", "agent-8": "low"}


def _scenario(
    faults: Any = (), duration: str = "30s", tree: Any = TREE, lines: Any = LINES
) -> dict[str, Any]:
    params: dict[str, Any] = {"agent-*": {"params": {"tree": tree}}}
    for name, group in lines.items():
        params[name] = {"params": {"coordinates": group}}
    world = {"agents": 8}
    return {"duration": duration, "world": world, "agents": params, "faults": list(faults)}


def led(run: Any, faults: Any = (), tree: Any = TREE, lines: Any = LINES) -> Any:
    outcome = run(SOURCE, _scenario(faults, "30s", tree, lines))
    assert outcome.result.status == "completed", outcome.result
    return outcome


def told(outcome: Any, name: str) -> list[tuple[float, list[float], str, int, float, Any]]:
    """(time, value, sender, term, age, recovered) of each set-point."""
    return [(at, *eval(text)) for at, text in outcome.lines(name)]


def test_sums_go_up_and_shares_come_down_in_one_round(run: Any) -> None:
    outcome = led(run)
    for i in (1, 2, 3, 4):
        heard = told(outcome, f"agent-{i}")
        assert heard[0][0] < 0.1, "the first round reaches everybody"
        assert 14 <= len(heard) <= 17
        for _, value, sender, term, age, recovered in heard:
            assert value == pytest.approx([2 * i])
            assert (sender, term, recovered) == ("agent-5" if i == 4 else "agent-7", 0, None)
            assert age == pytest.approx(0.01 if i == 4 else 0.02, abs=1e-6)


def test_who_misses_the_call_is_called_again_half_way(run: Any) -> None:
    """The call at 2 s is cut off; the group waits until 2.5 s, and calls again at 2.25 s."""
    cut = {"at": "1.95s", "partition": ["agent-1", "*"], "for": "200ms"}
    outcome = led(run, [cut])
    heard = [each for each in told(outcome, "agent-1") if 1.9 < each[0] < 3.9]
    assert [(round(at, 2), value) for at, value, *_ in heard] == [(2.3, pytest.approx([2.0]))]


def test_a_chain_of_four_levels_is_as_quick(run: Any) -> None:
    below = {4: "g5", 5: "g6", 6: "g7", 7: "agent-1"}
    chain = {f"g{k}": {"line": f"agent-{k}", "members": [below[k]]} for k in below}
    outcome = led(run, tree=chain, lines={f"agent-{k}": f"g{k}" for k in below})
    heard = told(outcome, "agent-1")
    assert heard[0][0] < 0.2
    assert heard[-1][1] == pytest.approx([2.0])
    assert heard[-1][4] == pytest.approx(0.04, abs=1e-6)


@pytest.mark.parametrize(("victim", "deputy", "group"), [(7, 8, "low"), (5, 6, "top")])
def test_a_deputy_takes_over_and_the_time_is_measured(
    run: Any, victim: int, deputy: int, group: str
) -> None:
    outcome = led(run, [{"at": "11s", "kill": f"agent-{victim}"}])
    ((at, text),) = outcome.lines(f"agent-{deputy}")
    seconds = float(text.partition(f"agent-{victim}, ")[2].partition(" s")[0])
    assert text.startswith(f"{group}: agent-{deputy} leads after agent-{victim}")
    # The last one was sent at about 10 s; three silent heartbeats, and an election as long.
    assert 1.4 <= seconds <= 2.6
    assert at == pytest.approx(10 + seconds, abs=0.1)
    member = "agent-1" if group == "low" else "agent-4"
    heard = told(outcome, member)
    (first,) = [each for each in heard if each[5] is not None]
    assert (first[2], first[3]) == (f"agent-{deputy}", 1)
    assert first[5] == pytest.approx(seconds, abs=1e-3)
    assert {each[2] for each in heard if each[0] > first[0]} == {f"agent-{deputy}"}


def test_who_comes_back_does_not_lead_again(run: Any) -> None:
    faults = [{"at": "11s", "kill": "agent-7"}, {"at": "16s", "restart": "agent-7"}]
    heard = told(led(run, faults), "agent-1")
    assert {sender for at, _, sender, *_ in heard if at > 14} == {"agent-8"}
    assert len([at for at, *_ in heard if at > 16]) >= 6


def test_a_line_that_died_and_came_back_as_a_whole_is_followed_again(run: Any) -> None:
    faults = [{"at": "5s", "kill": "agent-7"}, {"at": "11s", "kill": "agent-8"},
              {"at": "13s", "restart": ["agent-7", "agent-8"]}]  # fmt: skip
    heard = told(led(run, faults), "agent-1")
    assert heard[-1][2:4] == ("agent-7", 0)
    assert heard[-1][0] > 26


def test_a_silent_member_counts_for_the_memory_and_is_then_absent(run: Any) -> None:
    """The root makes two of the sum of all reports; agent-4 has a share of it as its report has."""
    equal = SOURCE.replace("2 * total", "total * 0 + 10")
    outcome = run(equal, _scenario([{"at": "9s", "kill": "agent-4"}], "30s"))
    share = {round(at): value[0] for at, value, *_ in told(outcome, "agent-3")}
    assert len(share) >= 13, "nobody waits for the dead for longer than a round"
    for at, value in share.items():
        assert value == pytest.approx(3.0 if at < 16 else 5.0), at


def test_a_dead_root_leaves_the_last_set_points_which_grow_old(run: Any) -> None:
    tree = {**TREE, "top": {**TREE["top"], "line": ["agent-5"]}}
    lines = {n: g for n, g in LINES.items() if n != "agent-6"}
    heard = told(led(run, [{"at": "11s", "kill": "agent-5"}], tree, lines), "agent-1")
    late = [(at, value, age) for at, value, _, _, age, _ in heard if at > 13]
    assert len(late) >= 7
    for at, value, age in late:
        assert value == pytest.approx([2.0])
        assert at - age == pytest.approx(10.0, abs=0.1)


def test_the_digest_is_the_same_in_processes(run: Any) -> None:
    scenario = _scenario([{"at": "4s", "kill": "agent-7"}], "8s")
    alone, apart = (run(SOURCE, scenario, inline=is_inline) for is_inline in (True, False))
    assert alone.result.digest == apart.result.digest


NAMES = tuple(f"agent-{i}" for i in range(1, 9))


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ({"a": {"line": "agnet-1", "members": ["agent-2"]}}, "did you mean 'agent-1'"),
        ({"a": {"line": "agent-1"}}, "expected line and members"),
        ({"a": {"line": "agent-1", "members": []}}, "nobody"),
        ({"a": {"line": "agent-1", "members": ["agent-2", "agent-*"]}}, "somebody twice"),
        ({"a": {"line": "agent-1", "members": "agent-2"},
          "b": {"line": "agent-1", "members": "agent-2"}}, "is in 'a' and 'b'"),
        ({"a": {"line": "agent-1", "members": "agent-2"},
          "b": {"line": "agent-1", "members": "agent-3"}}, "found 'a', 'b'"),
        ({"a": {"line": "agent-1", "members": "b"},
          "b": {"line": "agent-1", "members": "a"}}, "found none"),
        ({"a": {"line": "agent-1", "members": "b"}, "b": {"line": "agent-1", "members": "a"},
          "c": {"line": "agent-1", "members": "agent-2"}}, "a circle"),
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(groups: Any, problem: str) -> None:
    with pytest.raises(sim.SimError, match=problem):
        Tree(groups, NAMES)


@settings(max_examples=tries(50), deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), st.floats(0, 1e6))
def test_shares_in_proportion_add_up(reports: list[float], whole: float) -> None:
    said = {str(i): np.array([each]) for i, each in enumerate(reports)}
    shares = in_proportion(np.array([whole]), said)
    assert sum(each[0] for each in shares.values()) == pytest.approx(whole, rel=1e-9, abs=1e-9)
