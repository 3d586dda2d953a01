"""What an agent sends is counted, and what is over its budget is dropped before any link."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import rich.console
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.spent import Spent
from sim.console.show import print_scenario
from sim.console.summary import print_result
from sim.errors import ScenarioError, UnknownKeyError
from sim.outcome import Result
from sim.prepare import prepare
from sim.scenario.load import parse_scenario
from sim.worlds.world import Metric

SOURCE = """
class A(sim.Agent):
    async def run(self):
        self.subscribe("word")
        if self.name == "agent-1":
            async for _ in self.every("1s"):
                self.publish("word", b"x" * 98)
                self.send("agent-2", "own", 1)
                self.send("agent-1", "own", "on no link")
            return
        await asyncio.sleep(9.5)
        self.log(str(len(self.inbox("word"))))


class Teller(A):
    async def run(self):
        for _ in range(4):
            self.publish("word", b"x" * 98)
        s = self.spent
        self.log(f"{s.messages} {s.bytes} {s.dropped} {s.messages_left} {s.bytes_left}")
        await asyncio.sleep(2)
        self.log(f"{s.messages_left} {s.bytes_left} {sorted(s.topics)} {s.topics['word']}")
"""


def counted(run: Any, budget: dict[str, Any] | None, **options: Any) -> Any:
    agents = {} if budget is None else {"agent-1": {"budget": budget}}
    scenario = {"duration": "10s", "world": {"agents": 3}, "agents": agents}
    outcome = run(SOURCE, scenario, **options)
    assert outcome.result.status == "completed", outcome.result
    return outcome


def test_without_a_budget_all_is_sent(run: Any) -> None:
    outcome = counted(run, None)
    assert outcome.result.messages["sent"] == 30
    assert outcome.result.messages["dropped"] == {}
    assert outcome.said("agent-2") == ["10"]


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"messages": 0}, 0),  # per second
        ({"messages": 1}, 10),
        ({"messages": 8, "per": "1min"}, 5),  # four, and one more for what has flowed in since
        ({"messages": 60, "per": "1min"}, 10),
        ({"bytes": 250, "per": "1h"}, 2),
        ({"bytes": 99}, 0),
        ({"bytes": 100}, 10),
    ],
)
def test_what_is_over_the_budget_is_dropped_and_booked(
    run: Any, budget: dict[str, Any], words: int
) -> None:
    outcome = counted(run, budget)
    books = outcome.result.messages
    assert outcome.said("agent-2") == ([str(words)] if words else ["0"])
    assert books["sent"] == 30, "each receiver of a publication has its line in the books"
    over = books["dropped"].get("budget", 0)
    assert books["delivered"] + over + books["in_flight"] == 30
    assert over >= 2 * (10 - words)


def test_the_agent_sees_what_it_has_spent_and_what_is_left(run: Any) -> None:
    budget = {"messages": 3, "bytes": "1kB", "per": "10s"}
    scenario = {"duration": "5s", "world": {"agents": 2}, "agents": {"agent-1": {"budget": budget}}}
    outcome = run(SOURCE, scenario, {"agent-1": "Teller"})
    # A payload of 98 bytes travels as 100.
    assert outcome.said("agent-1") == [
        "3 300 1 0.0 700.0",
        "0.6 900.0 ['word'] Tally(messages=3, bytes=300)",
    ]


def test_a_result_says_how_many_were_over(run: Any) -> None:
    outcome = counted(run, {"messages": 8, "per": "1min"})
    assert json.loads(json.dumps(outcome.result.messages))["dropped"]["budget"] > 0


def test_the_digest_is_the_same_in_processes_and_knows_of_budgets(run: Any) -> None:
    budget = {"messages": 8, "per": "1min"}
    digests = {counted(run, budget, inline=is_inline).result.digest for is_inline in (True, False)}
    assert len(digests) == 1
    assert counted(run, None).result.digest not in digests


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ("{per: 1min}", "expected messages, bytes or both"),
        ("{mesages: 3}", "did you mean 'messages'"),
        ("{messages: 3, per: 0s}", "above 0"),
        ("{messages: 1.5}", "a whole number"),
        ("3", "a mapping"),
    ],
)
def test_a_budget_that_is_none_is_refused_with_its_place(budget: str, problem: str) -> None:
    text = (
        "duration: 1s\nworld: {kind: blank, agents: 1}\nnetwork: {default: {latency: 1ms}}\n"
        f"agents:\n  agent-1: {{behaviour: 'a.b:C', budget: {budget}}}\n"
    )
    with pytest.raises(ScenarioError, match=f":5: agents.agent-1.budget.*{problem}"):
        parse_scenario(text)


def test_the_cost_of_coordination_is_bytes_per_gain() -> None:
    books = {"sent": 3, "delivered": 3, "dropped": {}, "in_flight": 0, "bytes": 300}
    reference = {"no control": {"welfare": 2.0}, "rule": {"welfare": 5.0}}
    for better, value, over_nothing, over_rule in (("higher", 4.0, 150.0, None),
                                                   ("lower", 1.0, 300.0, 75.0)):  # fmt: skip
        metrics = {"welfare": Metric(value, "", better, True)}
        result = Result("s", 0, "completed", messages=books, metrics=metrics, reference=reference)
        assert result.bytes_per_gain() == over_nothing
        assert result.bytes_per_gain("rule") == over_rule
        assert result.bytes_per_gain("optimum") is None
        beaten = {"no control": over_nothing} | ({"rule": over_rule} if over_rule else {})
        assert result.summary()["bytes_per_gain"] == beaten
        told = io.StringIO()
        print_result(rich.console.Console(file=told, width=120), result)
        assert f"per unit of welfare better: {over_nothing:.0f} than no control" in told.getvalue()
        with pytest.raises(UnknownKeyError, match="no column 'ruel'; did you mean 'rule'"):
            result.bytes_per_gain("ruel")


def test_show_tells_budgets_and_what_a_link_fault_does() -> None:
    text = (
        "duration: 1s\nworld: {kind: blank, agents: 3}\nnetwork: {default: {latency: 50ms}}\n"
        "agents:\n  agent-1: {behaviour: none, budget: {messages: 10, bytes: 1kB, per: 2s}}\n"
        "faults:\n  - {at: 0, link: [agent-1, agent-2], loss: 0, jitter: {exponential: 5ms}}\n"
        "  - {at: 0.1s, link: [agent-1, agent-3], loss: 50%, latency: 200ms, for: 0.2s}\n"
    )
    told = io.StringIO()
    print_scenario(rich.console.Console(file=told, width=160), prepare(parse_scenario(text)))
    lines = told.getvalue().splitlines()
    assert any("none" in s and "10 messages, 1,000 B per 2s" in s for s in lines)
    assert [s.partition(" links ")[2].rstrip() for s in lines if "<->" in s] == [
        "agent-1 <-> agent-2 degraded (jitter exponential 5ms, loss 0)",
        "agent-1 <-> agent-3 degraded for 200ms (latency 200ms, loss 50 %)",
        "agent-1 <-> agent-3 as before",
    ]


class Clock:
    now_ns = 0


@settings(deadline=None)
@given(
    st.integers(1, 20), st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 50)), max_size=60)
)
def test_in_no_span_more_leaves_than_the_bucket_and_what_flows_in(
    most: int, sends: list[tuple[int, int]]
) -> None:
    clock, left = Clock(), []
    spent = Spent(clock, (most, 10 * most, 10**9))
    for wait, size in sends:
        clock.now_ns += wait
        if spent.take("t", size):
            left.append((clock.now_ns, size))
    assert spent.messages == len(left)
    assert spent.messages + spent.dropped == len(sends)
    for i, (begin, _) in enumerate(left):
        for j in range(i, len(left)):
            filled = 1 + (left[j][0] - begin) / 1e9
            assert j - i + 1 <= most * filled + 1e-6
            assert sum(size for _, size in left[i : j + 1]) <= 10 * most * filled + 1e-6
