"""Random numbers are keyed by names: what is added shifts nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.kernel import Kernel
from broker.server import drive
from sim.runner import prepare
from sim.scenario.load import parse_scenario
from sim.store.runlog import Decision
from sim.wire.memory import MemoryTransport

AUTHORS = Path(__file__).with_name("authors.py")
SCENARIO = """
seed: 5
duration: 5s
world: {{kind: blank, agents: {agents}, step: 100ms}}
agents:
  "agent-*": {{behaviour: "{authors}:Walker"}}
{more}
network:
  default: {{latency: 10ms, jitter: {{lognormal: [20ms, 0.5]}}, {lost}}}
"""
LOST = (
    "loss: 0.3", "burst: 30%:5", "burst: 30%:300ms", "duplicate: 0.4", "corrupt: 0.3",
    "expiry: 40ms, duplicate: 0.1",
)  # fmt: skip


class Silent:
    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        pass

    def add(self, record: Decision) -> None:
        pass


def run(agents: int = 3, more: str = "", lost: str = LOST[0]) -> Kernel:
    text = SCENARIO.format(agents=agents, authors=AUTHORS, more=more, lost=lost)
    kernel = prepare(parse_scenario(text)).kernel()
    transport = MemoryTransport()
    transport.start(range(len(kernel.agents.hosts)))
    drive(kernel, transport, Silent())
    assert kernel.status == "completed", kernel.error
    return kernel


def walks(kernel: Kernel) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in kernel.events:
        found.setdefault(event.agent, []).append(event.text)
    return found


def fates(kernel: Kernel) -> dict[tuple[str, str, str], tuple[int, int]]:
    return {
        (a.source, a.destination, a.topic): (a.sent, a.delivered)
        for a in kernel.network.ledger.accounts()
    }


@pytest.mark.parametrize("lost", LOST)
def test_another_agent_shifts_nobody(lost: str) -> None:
    before, after = run(3, lost=lost), run(4, lost=lost)
    for name in ("agent-1", "agent-2", "agent-3"):
        assert walks(before)[name] == walks(after)[name]
    assert len({tuple(walk) for walk in walks(after).values()}) == 4
    assert fates(before).items() <= fates(after).items()
    assert len({delivered for _, delivered in fates(after).values()}) > 2


@pytest.mark.parametrize("lost", LOST)
def test_another_topic_shifts_nobody(lost: str) -> None:
    more = f'  aside-*: {{count: 2, behaviour: "{AUTHORS}:Bystander"}}'
    before, after = run(3, lost=lost), run(3, more, lost)
    assert walks(before).items() <= walks(after).items()
    assert fates(before).items() <= fates(after).items()


def test_control_another_seed_shifts_everybody() -> None:
    before = run(3)
    text = SCENARIO.replace("seed: 5", "seed: 6").format(
        agents=3, authors=AUTHORS, more="", lost=LOST[0]
    )
    kernel = prepare(parse_scenario(text)).kernel()
    transport = MemoryTransport()
    transport.start(range(3))
    drive(kernel, transport, Silent())
    for name, walk in walks(kernel).items():
        assert walk != walks(before)[name]
