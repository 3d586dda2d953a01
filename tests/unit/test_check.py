"""`sim check`: what is said of an author's file, from its source and from running it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.lint import FAULT, HINT, NOTE, Finding, lint
from sim.check import check as check_target
from sim.check import check_file, print_findings
from sim.errors import ScenarioError

HEAD = "import asyncio, sim\n"


def said(source: str, *severities: str) -> list[tuple[int, str]]:
    """(line, text and remedy) of what the source alone says."""
    found = lint(textwrap.dedent(source), "mine.py")
    return [(f.line, f"{f.text}; {f.remedy}") for f in found if f.severity in (severities or FAULT)]


def in_run(statement: str, imports: str = "") -> str:
    body = textwrap.indent(statement, " " * 8)
    return (
        f"import asyncio, sim\n{imports}\nclass A(sim.Agent):\n    async def run(self):\n{body}\n"
    )


# --- the source ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("imports", "statement", "text", "remedy"),
    [
        ("import time", "time.sleep(1)", "time.sleep blocks", "await asyncio.sleep"),
        ("import time as t", "t.sleep(1)", "time.sleep blocks", "await asyncio.sleep"),
        ("from time import sleep as nap", "nap(1)", "time.sleep blocks", "await asyncio.sleep"),
        ("", "open('x').read()", "open blocks", "asyncio.to_thread"),
        ("", "x = input()", "input blocks", "publish, send or request"),
        ("import requests", "requests.get('x')", "requests.get blocks", "asyncio.to_thread"),
        ("import urllib.request", "urllib.request.urlopen('x')", "urlopen", "asyncio.to_thread"),
        ("import subprocess as s", "s.run(['x'])", "subprocess.run", "asyncio.to_thread"),
        ("import socket", "s = socket.socket()", "socket.socket", "publish, send or request"),
        ("", "await asyncio.open_connection('x', 1)", "is refused", "publish, send or request"),
        ("import random", "random.random()", "random.random is not", "self.rng"),
        ("from random import choice", "choice([1])", "random.choice is not", "self.rng"),
        ("import numpy as np", "np.random.normal()", "numpy.random.normal is not", "self.rng"),
        ("import numpy as np", "np.random.default_rng()", "default_rng is not", "self.rng"),
        ("from numpy import random", "random.rand(3)", "numpy.random.rand is not", "self.rng"),
        ("import os", "os.urandom(3)", "os.urandom is not", "self.rng"),
        ("import uuid", "uuid.uuid4()", "uuid.uuid4 is not", "self.rng"),
        ("import secrets", "secrets.token_hex()", "secrets.token_hex is not", "self.rng"),
        ("import torch", "torch.randn(3)", "torch.randn draws", "generator=, seeded from self.rng"),
        ("import time", "time.time()", "time.time reads the wall clock", "self.now"),
        ("from time import perf_counter", "perf_counter()", "wall clock", "self.now"),
        ("import datetime", "datetime.datetime.now()", "wall clock", "self.now"),
        ("from datetime import datetime as d", "d.utcnow()", "wall clock", "self.now"),
        ("import threading", "threading.Thread(target=print)", "leaves the", "create_task"),
        ("import multiprocessing as m", "m.Pool(3)", "leaves the agent's loop", "create_task"),
        ("", "asyncio.sleep(1)", "is never awaited", "write await"),
        ("", "self.receive('x')", "self.receive(...) is never awaited", "write await"),
        ("", "while True:\n    x = 1", "never waits and never ends", "await something"),
    ],
)
def test_what_cannot_be_repeated_is_named_by_line(
    imports: str, statement: str, text: str, remedy: str
) -> None:
    (line, found), *more = said(in_run(statement, imports))
    assert (line, more) == (5, [])
    assert text in found.partition(";")[0]
    assert remedy in found.partition(";")[2]


@pytest.mark.parametrize(
    ("imports", "statement"),
    [
        ("", "await asyncio.sleep(1)"),
        ("import numpy as np", "np.random.default_rng(self.now_ns)"),
        ("import numpy as np", "np.random.Generator(np.random.Philox(3))"),
        ("import random", "random.Random(3).random()"),
        ("import torch", "torch.randn(3, generator=self.torch)"),
        ("", "random = self.rng\nrandom.random()\nself.rng.random()"),
        ("", "time = self\ntime.time()"),
        ("from urllib.parse import quote", "quote('x')"),
        ("import time", "await asyncio.to_thread(time.sleep, 1)"),
        ("import time", "time.sleep(1)  # sim: ok"),
        ("", "while True:\n    await asyncio.sleep(1)"),
        ("", "while True:\n    return"),
        ("", "task = asyncio.create_task(self.receive('x'))"),
        ("", "for x in {1, 2}: pass"),
        ("", "for x in sorted({'a', 'b'}): pass"),
        ("import datetime", "datetime.timedelta(seconds=1)"),
    ],
)
def test_what_can_be_repeated_is_left_alone(imports: str, statement: str) -> None:
    assert said(in_run(statement, imports), FAULT, HINT) == []


def test_blocking_is_followed_into_what_the_program_calls() -> None:
    source = """
        import time, asyncio, sim
        def read():
            return open("prices").read()
        def fetch():
            return open("weather").read()
        class A(sim.Agent):
            async def run(self):
                self.rest()
                await asyncio.to_thread(fetch)
            def rest(self):
                self.pause()
                read()
            def pause(self):
                time.sleep(1)
            def unused(self):
                time.sleep(1)
    """
    assert [line for line, _ in said(source)] == [4, 15]


@pytest.mark.parametrize(
    "statement",
    [
        "for x in {'a', 'b'}: pass",
        "for x in set(self.names): pass",
        "known = {n for n in self.names}\nfor x in known: pass",
        "first = next(iter(set(self.names)))",
        "names = [n for n in frozenset(self.names)]",
        "names = list({self.name})",
    ],
)
def test_the_order_of_sets_is_hinted_at(statement: str) -> None:
    ((_, text),) = said(in_run(statement), HINT)
    assert "order of a set" in text
    assert "sorted" in text


def test_what_agents_share_is_named() -> None:
    source = """
        import sim
        CACHE = {}
        COUNT = 0
        TABLE = {"a": 1}
        class A(sim.Agent):
            seen = []
            kept = []
            def __init__(self):
                self.kept = []
            async def run(self):
                global COUNT
                self.seen.append(TABLE["a"])
                self.kept.append(1)
                CACHE[self.name] = 1
    """
    assert said(source) == [
        (7, "A.seen is shared by all agents of a host; set self.seen in __init__")
    ]
    hints = said(source, HINT)
    assert [line for line, _ in hints] == [12, 15]
    assert "CACHE is shared by all agents of a host; keep it in self" in hints[1][1]


def test_run_must_be_a_coroutine() -> None:
    source = """
        from sim import Agent
        class A(Agent):
            def run(self): pass
        class B(A):
            async def run(self):
                yield 1
        class C:
            def run(self): pass
    """
    assert [(line, text.partition(";")[0]) for line, text in said(source)] == [
        (4, "A.run is no coroutine"),
        (6, "B.run is a generator, because it yields"),
    ]


def test_catching_everything_is_hinted_at() -> None:
    bare = "try:\n    await self.receive()\nexcept:\n    pass"
    assert "cancellation" in said(in_run(bare), HINT)[0][1]
    assert said(in_run(bare.replace("pass", "raise")), HINT) == []


def test_what_is_not_python_is_said() -> None:
    assert said("class A(:\n    pass") == [(1, "not Python: invalid syntax; ")]


# --- running it ---------------------------------------------------------------------------------

Check = Callable[..., list[Finding]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    monkeypatch.setattr("sim.check._HANDLER_SECONDS", 0.3)
    monkeypatch.setattr("sim.check._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("sim.check._DECISIONS", 50)
    monkeypatch.chdir(tmp_path)

    def start(source: str, only: str = "", **options: str) -> list[Finding]:
        Path("mine.py").write_text(HEAD + textwrap.dedent(source))
        return check_file("mine.py" + only, **options)

    return start


GOOD = """
    class Good(sim.Agent):
        async def run(self):
            async for obs in self.observations():
                self.act([float(self.rng.normal()) + len(self.inbox("price", last=3))])
                self.publish("price", obs.time)
"""


def test_a_good_agent_is_the_same_to_the_bit(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = check(GOOD)
    (note,) = findings
    assert note.severity == NOTE
    assert "Good: 20s in a blank world, 1,602 messages and actions" in note.text
    assert "alone, again and packed with a twin the same to the bit" in note.text
    assert print_findings(findings, "mine.py") == 0
    assert capsys.readouterr().out.endswith("mine.py: nothing to mend\n")


@pytest.mark.parametrize(
    ("source", "when", "what"),
    [
        ("import random\nvalue = lambda: random.random()", "300 ms", "the same run again"),
        ("import time\nvalue = lambda: time.perf_counter()", "300 ms", "the same run again"),
        ("import itertools\nn = itertools.count()\nvalue = lambda: next(n)", "300 ms",
         "packed with a twin"),
    ],
)  # fmt: skip
def test_runs_that_part_are_told_where(check: Check, source: str, when: str, what: str) -> None:
    agent = (
        "class A(sim.Agent):\n    async def run(self):\n        await asyncio.sleep(0.3)\n"
        "        for _ in range(9):\n            self.publish('price', value())\n"
        "            await asyncio.sleep(0.1)\n"
    )
    faults = [f for f in check(f"{source}\n{agent}") if f.severity == FAULT and not f.line]
    (fault,) = faults
    assert f"A parts at {when} as agent-" in fault.text
    assert "sent " in fault.text
    assert f"and {what} it" in fault.text
    assert print_findings(faults, "mine.py") == 4


def test_what_is_only_logged_is_a_hint(check: Check) -> None:
    (hint,) = check("""
        import time
        class A(sim.Agent):
            async def run(self):
                print(time.perf_counter())  # sim: ok
    """)
    assert (hint.severity, "logged" in hint.text) == (HINT, True)


@pytest.mark.parametrize("hang", ["while True: x = 1  # sim: ok", "time.sleep(99)  # sim: ok"])
def test_what_holds_the_clock_is_ended_and_named(check: Check, hang: str) -> None:
    findings = check(f"""
        import time
        class A(sim.Agent):
            async def run(self):
                await asyncio.sleep(1)
                self.hold()
            def hold(self):
                {hang}
    """)
    (fault,) = findings
    assert (fault.line, fault.severity) == (9, FAULT)
    assert "A failed at 00:00:01 as agent-1: held the clock" in fault.text


def test_failures_are_named_by_line(check: Check) -> None:
    findings = check("""
        class A(sim.Agent):
            async def run(self):
                1 / 0
        class B(sim.Agent):
            async def run(self):
                async for obs in self.observations():
                    print(obs.voltage)
        class C(sim.Agent):
            def __init__(self, limit): pass
    """)
    by_zero, unseen, needy = findings
    assert (by_zero.line, by_zero.severity) == (5, FAULT)
    assert "A failed at 00:00:00 as agent-1: ZeroDivisionError" in by_zero.text
    assert (unseen.line, unseen.severity) == (9, HINT)
    assert "name yours with --scenario" in unseen.remedy
    assert "C is not tried: it needs limit" in needy.text


def test_one_class_of_many(check: Check) -> None:
    both = GOOD + "    class Bad(sim.Agent):\n        def run(self): pass\n"
    assert [f.severity for f in check(both, ":Good")] == [NOTE]
    assert [f.severity for f in check(both, ":Bad")] == [FAULT, FAULT]
    with pytest.raises(ScenarioError, match=r"no agent 'Goof' in mine\.py; did you mean 'Good'"):
        check(both, ":Goof")
    with pytest.raises(ScenarioError, match=r"no file 'other\.py'"):
        check_file("other.py")


def test_a_file_that_does_not_load(check: Check) -> None:
    (fault,) = check("\nimport nothing_of_the_kind")
    assert (fault.line, fault.severity) == (3, FAULT)
    assert "loading it: ModuleNotFoundError" in fault.text
    (fault,) = check("class A(:")
    assert fault.text.startswith("not Python")
    (hint,) = check("x = 1")
    assert hint.text == "there is no sim.Agent in it"


def test_loading_may_take_longer_than_a_handler_but_not_for_ever(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hint,) = check("\nimport time\ntime.sleep(0.6)")
    assert hint.text == "there is no sim.Agent in it"
    monkeypatch.setattr("sim.check._LOADING_SECONDS", 0.3)
    (fault,) = check("\nwhile True: pass")
    assert (fault.line, fault.severity) == (3, FAULT)
    assert "loading it: held the clock" in fault.text


def test_a_name_without_its_ending_points_to_the_file(check: Check) -> None:
    check(GOOD)
    with pytest.raises(ScenarioError, match=r"or world 'mine'; did you mean mine\.py\?"):
        check_target("mine")
    Path("mine.yaml").touch()
    with pytest.raises(ScenarioError, match=r"did you mean mine\.py or mine\.yaml\?"):
        check_target("mine")


def test_a_scenario_and_a_role(check: Check) -> None:
    agent = """
        class Still(sim.Agent):
            async def run(self):
                async for obs in self.observations():
                    self.act([0.0] * self.action_space.size)
    """
    (note,) = check(agent, scenario="rendezvous", role="agent-2")
    assert note.severity == NOTE
    assert "in rendezvous" in note.text
    (fault,) = check(agent.replace("[0.0]", "[0.0, 0.0]"), scenario="rendezvous")
    assert "Still failed at 00:00:00 as agent-1: act: expected" in fault.text
    with pytest.raises(ScenarioError, match="nobody"):
        check(agent, scenario="rendezvous", role="nobody-*")


DOCUMENT = Path(__file__).parents[2] / "docs" / "agents.md"


def test_what_the_documentation_shows_can_be_repeated(check: Check) -> None:
    blocks = DOCUMENT.read_text().split("```python\n")[1:]
    programs = [block.partition("```")[0] for block in blocks]
    agents = [each for each in programs if "(sim.Agent)" in each]
    assert len(agents) == 2
    for agent in agents:
        assert [f.severity for f in check(agent)] == [NOTE]
    assert all(lint(each, "agents.md") == [] for each in programs if "async for obs" not in each)
