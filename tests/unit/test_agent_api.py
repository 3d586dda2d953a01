"""What an agent can do, seen from its own program, in a small world without physics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from agents.behaviour import load_module

PAIR = {"world": {"agents": 2}}


# --- the world ----------------------------------------------------------------------------------


def test_observations_come_with_their_time(run: Any) -> None:
    out = run(
        """
        class A(sim.Agent):
            async def run(self):
                async for obs in self.observations():
                    print(self.now, obs.time, obs["time"], obs.missed, obs.values.tolist())
        """,
        {"duration": "300ms"},
    )
    assert out.said() == ["0.0 0.0 0.0 0 [0.0]", "0.1 0.1 0.1 0 [0.1]", "0.2 0.2 0.2 0 [0.2]"]


@pytest.mark.parametrize("is_eager", [False, True])
def test_a_busy_agent_gets_the_latest_and_a_count(run: Any, is_eager: bool) -> None:
    out = run(
        """
        class A(sim.Agent):
            async def run(self):
                async for obs in self.observations():
                    print(obs.time, obs.missed)
                    await asyncio.sleep(0.35)
        """,
        {"duration": "1100ms"},
        is_eager=is_eager,
    )
    assert out.said() == ["0.0 0", "0.3 2", "0.7 3", "1.0 2"]


def test_every_reader_gets_every_observation(run: Any) -> None:
    out = run(
        """
        class A(sim.Agent):
            async def run(self):
                async def reader(number):
                    async for obs in self.observations():
                        print(number, obs.time, obs.missed)
                async with asyncio.TaskGroup() as group:
                    group.create_task(reader(1))
                    group.create_task(reader(2))
        """,
        {"duration": "300ms"},
    )
    assert out.said() == [f"{i} {t} 0" for t in (0.0, 0.1, 0.2) for i in (1, 2)]


def test_an_observation_given_up_for_is_not_lost(run: Any) -> None:
    out = run(
        """
        class A(sim.Agent):
            async def run(self):
                for _ in range(6):
                    try:
                        async with asyncio.timeout(0.1):
                            async for obs in self.observations():
                                print(obs.time, obs.missed)
                                await asyncio.sleep(0.01)
                    except TimeoutError:
                        print("late")
        """,
        {"duration": "350ms"},
    )
    assert [s for s in out.said() if s != "late"] == [f"{t} 0" for t in (0.0, 0.1, 0.2, 0.3)]


def test_a_field_that_is_not_seen_is_named(run: Any) -> None:
    out = run(
        """
        class A(sim.Agent):
            async def run(self):
                async for obs in self.observations():
                    obs.tiem
        """
    )
    assert "no field 'tiem'; did you mean 'time'?" in out.failure["cause"]


ACTS = {"world": {"acts": 2}}


@pytest.mark.parametrize(
    ("act", "cause"),
    [
        ("self.act([1.0])", r"act: expected 2 numbers \(value\), got 1"),
        ("self.act(1.0)", "act: expected 2 numbers"),
        ("self.act(valeu=1.0)", "no field 'valeu'; did you mean 'value'"),
        ("self.act(value=[1, 2, 3])", "takes 2 numbers, got 3"),
        ("self.act([1.0, float('nan')])", "every number must be finite"),
        ("self.act([float('inf'), float('-inf')])", "every number must be finite"),
        ("self.act('on')", "could not convert string to float"),
        ("self.act([[1, 2], [3]])", "act: "),
        ("self.act({1, 2})", "act: "),
    ],
)
def test_an_action_of_the_wrong_shape_is_refused(run: Any, act: str, cause: str) -> None:
    import re

    out = run(f"class A(sim.Agent):\n    async def run(self):\n        {act}", ACTS)
    assert out.result.exit_code == 4
    assert re.search(cause, out.failure["cause"])
    assert f"{act}" in out.failure["frames"]


@pytest.mark.parametrize("act", ["[3.0, 4.0]", "(3, 4)", "np.array([3, 4])", "value=[3, 4]"])
def test_an_action_by_vector_or_by_field(run: Any, act: str) -> None:
    source = f"""
    import numpy as np
    class A(sim.Agent):
        async def run(self):
            self.act({act})
            await asyncio.sleep(1)
    """
    out = run(source, ACTS)
    assert out.result.status == "completed"
    assert out.result.metrics["actions present"].value == 1


def test_an_agent_without_a_slot_cannot_act(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            await asyncio.Event().wait()
    class B(sim.Agent):
        async def run(self):
            print(repr(self.group), self.names)
            self.act([1.0])
    """
    out = run(source, {"agents": {"helper": {"count": 1}}}, cast={"helper": "B"})
    assert out.said("helper") == ["'' ('agent-1', 'helper')"]
    assert "no slot in the world" in out.failure["cause"]


def test_a_file_is_loaded_once_and_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("x = 1")
    first = load_module("mine.py", str(tmp_path))
    assert load_module("mine.py", str(tmp_path)) is first
    path.write_text("x = 2")
    assert (first.x, load_module("mine.py", str(tmp_path)).x) == (1, 2)


# --- messages -----------------------------------------------------------------------------------


def test_publications_reach_subscribers_and_not_oneself(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            self.subscribe("price")
            await asyncio.sleep(0.1)
            self.publish("price", self.name)
            await asyncio.sleep(0.1)
            print([(m.sender, m.payload, m.sent, m.arrived) for m in self.inbox("price")])
            self.unsubscribe("price")
            await asyncio.sleep(0.1)
            self.publish("price", "unheard")
            await asyncio.sleep(0.1)
            print(len(self.inbox()))
    """
    out = run(source, {"world": {"agents": 3}})
    assert out.said("agent-1") == [
        "[('agent-2', 'agent-2', 0.1, 0.11), ('agent-3', 'agent-3', 0.1, 0.11)]",
        "2",
    ]


def test_reading_a_topic_subscribes_to_it(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            async for now in self.every(0.1):
                self.publish("price", now)
    class B(sim.Agent):
        async def run(self):
            async for now in self.every(0.1):
                found = self.latest("price")
                print(found and found.payload)
    """
    out = run(source, {**PAIR, "duration": "400ms"}, cast={"agent-2": "B"})
    assert out.said("agent-2") == ["None", "0.0", "0.1", "0.2"]


def test_the_latest_by_age_and_the_last_few(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            for number in range(5):
                await asyncio.sleep(0.1)
                self.publish("price", number)
    class B(sim.Agent):
        async def run(self):
            self.subscribe("price")
            await asyncio.sleep(0.62)
            newest = self.latest("price")
            print(newest.payload, round(self.age(newest), 6))
            print(self.latest("price", max_age=0.11), self.latest("price", max_age=0.13).payload)
            print([m.payload for m in self.inbox("price", last=2)], self.inbox("price", last=0))
            print(len(self.inbox("price")), len(self.inbox("price", last=99)), len(self.inbox()))
            print(self.latest("none"), self.inbox("none"))
    """
    out = run(source, PAIR, cast={"agent-2": "B"})
    assert out.said("agent-2") == ["4 0.12", "None 4", "[3, 4] []", "5 5 5", "None []"]


def test_receive_waits_until_its_timeout(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            await asyncio.sleep(0.2)
            self.send("agent-2", "note", "a")
            await asyncio.sleep(0.2)
            self.send("agent-2", "note", "b")
    class B(sim.Agent):
        async def run(self):
            print(await self.receive("note", timeout=0.1), self.now)
            print((await self.receive("note", timeout=0.11)).payload, self.now)
            print((await self.receive()).payload, self.now)
            print(await self.receive("note", timeout=0), self.now)
    """
    out = run(source, PAIR, cast={"agent-2": "B"})
    assert out.said("agent-2") == ["None 0.1", "a 0.21", "b 0.41", "None 0.41"]


SERVER = """
class A(sim.Agent):
    count = 0

    @property
    def broken(self):
        raise RuntimeError("properties are not looked at")

    @sim.serves("square")
    async def square(self, message):
        await asyncio.sleep(0.1)
        return message.payload ** 2

    @sim.serves("count")
    def add(self, message):
        self.count += 1
        return {"count": self.count, "from": message.sender}

    @sim.serves("bad")
    async def bad(self, message):
        raise ValueError(f"no {message.payload}")

    @sim.serves("odd")
    def odd(self, message):
        return {1, 2}
"""


def test_requests_replies_refusals_and_timeouts(run: Any) -> None:
    source = """
    class B(sim.Agent):
        async def run(self):
            reply = await self.request("agent-1", "square", 7)
            print(reply.payload, round(self.now, 6), reply.sender)
            print((await self.request("agent-1", "count")).payload)
            print(await self.request("agent-1", "square", 3, timeout=0.119), round(self.now, 6))
            print((await self.request("agent-1", "square", 3, timeout=0.121)).payload)
            for topic in ("bad", "odd"):
                try:
                    await self.request("agent-1", topic, 5)
                except sim.SimError as error:
                    print(type(error).__name__, error)
            print(await self.request("agent-1", "unserved", timeout=0.1))
    """
    out = run(SERVER + source.replace("\n    ", "\n"), PAIR, cast={"agent-2": "B"})
    assert out.said("agent-2") == [
        "49 0.12 agent-1",
        "{'count': 1, 'from': 'agent-2'}",
        "None 0.259",
        "9",
        "Refused agent-1 refused 'bad': ValueError: no 5",
        out.said("agent-2")[5],
        "None",
    ]
    assert "Refused agent-1 refused 'odd': AgentError: payload on topic 'odd'" in str(
        out.said("agent-2")
    )
    (bad, odd) = [text for _, text in out.lines("agent-1", "error")]
    assert bad.startswith("serving 'bad': ValueError: no 5\n")
    assert "in bad\n    raise ValueError" in bad
    assert odd.startswith("serving 'odd': payload on topic 'odd'")


def test_what_one_sends_to_oneself_is_on_no_link(run: Any) -> None:
    source = """
        @sim.serves("own")
        def own(self, message):
            return message.payload + 1

        async def run(self):
            self.send(self.name, "note", [1])
            message = await self.receive("note")
            print(message.payload, message.sender, self.now)
            print((await self.request(self.name, "own", 1)).payload, self.now)
    """
    out = run("class A(sim.Agent):" + source, {"network": {"default": {"loss": 1.0}}})
    assert out.said() == ["[1] agent-1 0.0", "2 0.0"]
    assert out.result.messages["sent"] == 0


def test_payloads_arrive_as_they_were(run: Any) -> None:
    source = """
    import numpy as np
    SENT = [
        None, True, -3, 2**63 - 1, 0.1, float("inf"), "text \\u20ac", b"\\x00\\xff",
        [1, [2.5, None]], {"a": {1: "x"}, "b": []}, np.arange(6, dtype="f4").reshape(2, 3),
        np.array([True, False]), np.float64(2.5), np.zeros((0, 2), dtype="i2"),
    ]
    class A(sim.Agent):
        async def run(self):
            await asyncio.sleep(0.1)
            for payload in SENT:
                self.publish("all", payload)
    class B(sim.Agent):
        async def run(self):
            self.subscribe("all")
            for sent in SENT:
                got = (await self.receive("all")).payload
                if isinstance(sent, np.ndarray):
                    assert got.dtype == sent.dtype and got.shape == sent.shape
                    assert (got == sent).all() and got.flags.writeable
                else:
                    assert got == sent, (got, sent)
            print("all")
    """
    out = run(source, PAIR, cast={"agent-2": "B"})
    assert out.said("agent-2") == ["all"]


def test_a_flood_is_stopped_by_name(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            await asyncio.sleep(0.25)
            while True:
                self.publish("flood", 1)
    """
    out = run(source, {"limits": {"messages_per_second": 100}})
    assert (out.failure["agent"], out.failure["time"]) == ("agent-1", 0.25)
    assert "a flood" in out.failure["cause"]
    assert 'self.publish("flood", 1)' in out.failure["frames"]


# --- time, randomness, state, words -------------------------------------------------------------


def test_every_keeps_to_the_multiples(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            await asyncio.sleep(0.25)
            async for now in self.every("200ms"):
                print(now)
                await asyncio.sleep(0.5 if now == 0.6 else 0.01)
    """
    out = run(source, {"duration": "1700ms"})
    assert out.said() == ["0.4", "0.6", "1.2", "1.4", "1.6"]
    stuck = run("class A(sim.Agent):\n async def run(self):\n  async for _ in self.every(0): pass")
    assert "a period must be positive" in stuck.failure["cause"]


def test_random_numbers_are_the_agents_own(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            print(self.rng.integers(1 << 40))
    """
    two, five = run(source, PAIR), run(source, {"world": {"agents": 5}})
    other = run(source, {**PAIR, "seed": 2})
    assert two.said("agent-1") == five.said("agent-1") != two.said("agent-2")
    assert two.said("agent-2") == five.said("agent-2") != other.said("agent-2")


def test_state_survives_a_restart(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            count = self.load() or {"count": 0}
            print(self.now, count, self.rng.integers(1 << 40))
            while True:
                await asyncio.sleep(0.1)
                count = {"count": count["count"] + 1}
                self.save(count)
    """
    out = run(
        source, {"duration": "2s", "faults": [{"at": "550ms", "kill": "agent-1", "for": "1s"}]}
    )
    first, second = (line.rsplit(" ", 1) for line in out.said())
    assert (first[0], second[0]) == ("0.0 {'count': 0}", "1.55 {'count': 5}")
    assert first[1] != second[1]


def test_context_is_an_agents_own(run: Any) -> None:
    source = """
    import contextvars, decimal
    import numpy as np
    mood = contextvars.ContextVar("mood", default="even")
    class A(sim.Agent):
        def __init__(self):
            self.before = mood.get(), np.geterr()["divide"], decimal.getcontext().prec
            mood.set(self.name)
            np.seterr(divide="ignore")
            decimal.getcontext().prec = 5
        async def run(self):
            print(*self.before, mood.get(), np.geterr()["divide"], decimal.getcontext().prec)
        @sim.serves("mood")
        def tell(self, message):
            return mood.get()
    class B(A):
        async def run(self):
            await A.run(self)
            print((await self.request(self.name, "mood")).payload)
    """
    out = run(source, PAIR, cast={"agent-2": "B"}, agents_per_host=2)
    assert out.said("agent-1") == ["even warn 28 agent-1 ignore 5"]
    assert out.said("agent-2") == ["even warn 28 agent-2 ignore 5", "agent-2"]


def test_params_reach_the_agent(run: Any) -> None:
    source = """
    class A(sim.Agent):
        def __init__(self, limit, names=()):
            self.limit, self.seen = limit, (self.name, names)
        async def run(self):
            print(self.limit, self.seen)
    class B(sim.Agent):
        async def run(self):
            print(self.params)
    """
    params = {"limit": 3.5, "names": ["x", "y"]}
    given = {"agents": {"agent-*": {"params": params}}}
    assert run(source, given).said() == ["3.5 ('agent-1', ['x', 'y'])"]
    assert run(source, given, cast={"agent-*": "B"}).said() == [str(params)]
    failure = run(source).failure
    assert "A(**params): missing a required argument: 'limit'" in failure["cause"]


def test_words_become_events_with_name_and_time(run: Any, capsys: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    source = """
    import logging, sys
    log = logging.getLogger("mine")
    class A(sim.Agent):
        async def run(self):
            print("one\\ntwo", end=" ")
            await asyncio.sleep(0.1)
            print("three")
            self.log("four", level="market")
            log.info("five %d", 5)
            log.error("six")
            print("seven", file=sys.stderr)
            sys.stdout.write("eight")
    """
    out = run(source, PAIR, agents_per_host=2)
    for name in ("agent-1", "agent-2"):
        assert out.lines(name, "print") == [(0.0, "one"), (0.1, "two three"), (0.1, "eight")]
        assert out.lines(name, "market") == [(0.1, "four")]
        assert out.lines(name, "info") == [(0.1, "five 5")]
        assert out.lines(name, "error") == [(0.1, "six"), (0.1, "seven")]
    assert capsys.readouterr() == ("", "")


def test_what_nobody_in_a_run_logs_is_logged_as_before(run: Any, caplog: Any) -> None:
    run("class A(sim.Agent): pass")
    logging.getLogger("elsewhere").warning("heard")
    assert "heard" in caplog.text


def test_too_many_lines_end_in_a_warning(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            for i in range(5000):
                print(i)
            await asyncio.sleep(0.5)
            print("later")
    """
    out = run(source)
    assert len(out.said()) == 1000
    assert out.said()[-1] == "later"
    assert "the next are not kept" in str(out.lines("agent-1", "warning"))


# --- the end ------------------------------------------------------------------------------------


def test_an_agent_that_returns_has_ended(run: Any) -> None:
    source = """
    class A(sim.Agent):
        async def run(self):
            async def talk():
                async for now in self.every(0.001):
                    self.publish("talk", now)
            task = asyncio.create_task(talk())
            await asyncio.sleep(0.25)
    class B(sim.Agent):
        async def run(self):
            self.subscribe("talk")
            await asyncio.sleep(0.9)
            print(self.inbox("talk", last=1)[0].payload)
            print(await self.request("agent-1", "anything", timeout=0.05))
    """
    runs = [
        run(source, {**PAIR, "network": {"default": {"latency": latency}}}, cast={"agent-2": "B"})
        for latency in ("10ms", "1ms", "100ms")
    ]
    for out in runs:
        assert (out.result.status, out.result.agent_failures) == ("completed", [])
        assert out.said("agent-2") == ["0.25", "None"]


def test_a_default_agent_serves_for_ever(run: Any) -> None:
    out = run(
        """
        class A(sim.Agent):
            pass
        """
    )
    assert out.result.status == "completed"
