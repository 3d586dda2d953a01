"""A host that answers what no honest one would is lost, named, and takes nobody with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from agents.runtime import HostRuntime
from broker.server import drive
from sim.runner import prepare
from sim.scenario.load import parse_scenario
from sim.store.runlog import Decision
from sim.wire.memory import MemoryTransport
from sim.wire.messages import Act, Activation, Done, Send, Yield

SCENARIO = """
duration: 1s
world: {kind: blank, agents: 2, step: 100ms}
network: {default: {latency: 10ms}}
supervision: {on_failure: fallback}
"""


class Kept:
    def __init__(self) -> None:
        self.decisions: list[tuple[str, int, str]] = []

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        pass

    def add(self, record: Decision) -> None:
        self.decisions.append((record.kind, record.host, record.text))


def forged(**fields: Any) -> Callable[[Activation, Done], Done]:
    return lambda activation, done: msgspec.structs.replace(done, **fields)


CASES = {
    "a message from outside its window": forged(sends=[Send(5 * 10**9, 0, "t", "", 0, b"")]),
    "a message to 'nobody'": forged(sends=[Send(0, 1, "t", "nobody", 0, b"")]),
    "a message to 'agent-1'": forged(sends=[Send(0, 9, "t", "agent-1", 0, b"")]),
    "on 'bad topic'": forged(sends=[Send(0, 0, "bad topic", "", 0, b"")]),
    "an action from outside its window": forged(acts=[Act(-1, "", bytes(8))]),
    "or not finite": forged(acts=[Act(0, "", np.array([np.nan]).tobytes())]),
    "that is not its group's": forged(acts=[Act(0, "", bytes(80))]),
    "for other agents than were asked": forged(agent=0),
}


def test_a_verb_the_world_does_not_know_fails_its_agent_alone() -> None:
    class Buyer:
        def __init__(self, host: int) -> None:
            self.host, self.honest = host, HostRuntime(host)

        def run(self, activation: Activation) -> Yield:
            answer = self.honest.run(activation)
            if self.host == 0:
                return answer
            buy = forged(acts=[Act(activation.now, "buy", b"")])
            return Yield(answer.serial, [buy(activation, d) for d in answer.done])

        def check_deadline(self) -> None:
            pass

    text = SCENARIO + "agents: {agent-2: {processing: 150ms}}\n"
    kernel = prepare(parse_scenario(text)).kernel()
    transport, log = MemoryTransport(Buyer), Kept()
    transport.start(range(2))
    drive(kernel, transport, log)
    assert (kernel.status, log.decisions) == ("completed", [])
    (failure,) = kernel.agents.failures
    assert (failure.agent, failure.time_ns) == ("agent-2", 150_000_000)
    assert "knows no verb 'buy'" in failure.error


@pytest.mark.parametrize("words", CASES)
def test_what_no_honest_host_would_say(words: str) -> None:
    class Liar:
        def __init__(self, host: int) -> None:
            self.host, self.honest = host, HostRuntime(host)

        def run(self, activation: Activation) -> Yield:
            answer = self.honest.run(activation)
            if self.host == 0:
                return answer
            return Yield(answer.serial, [CASES[words](activation, d) for d in answer.done])

        def check_deadline(self) -> None:
            pass

    kernel = prepare(parse_scenario(SCENARIO)).kernel()
    transport, log = MemoryTransport(Liar), Kept()
    transport.start(range(2))
    drive(kernel, transport, log)
    assert kernel.status == "completed"
    ((kind, host, text),) = log.decisions
    assert (kind, host) == ("malformed", 1)
    assert words in text
    (failure,) = kernel.agents.failures
    assert failure.agent == "agent-2"
    assert words in failure.error
    assert kernel.real_time_decisions == 1
    assert kernel.steps == 10
