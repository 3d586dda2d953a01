"""Small scenarios with scripted agents, for tests of the kernel.

Times are milliseconds here; agents are agent-1, agent-2, ... of the blank world.
"""

from __future__ import annotations

from collections.abc import Callable

from checkers.books import check_books
from checkers.clock import ClockChecker
from checkers.memory import kernel_of, play
from checkers.script import Script, Stage

from broker.kernel import Kernel

MS = 1_000_000


def text(
    latency: str = "10ms", agents: int = 2, duration: str = "1s", step: str = "100ms",
    link: str = "", network: str = "", faults: str = "", more: str = "", behaviour: str = "",
) -> str:  # fmt: skip
    played = f'agents: {{"agent-*": {{behaviour: "{behaviour}"}}}}' if behaviour else ""
    return f"""
duration: {duration}
world: {{kind: blank, agents: {agents}, step: {step}}}
{played}
network: {{default: {{latency: {latency}{link}}}{network}}}
faults: [{faults}]
{more}
"""


def sends(*when: tuple[float, str], topic: str = "t") -> tuple[tuple[int, str, str, bytes], ...]:
    """(ms, to) of messages that carry their number."""
    return tuple((round(t * MS), topic, to, b"%d" % i) for i, (t, to) in enumerate(when))


def simulate(
    scenario: str, on_window: Callable[[Kernel], None] = check_books, **scripts: Script
) -> tuple[Kernel, Stage]:
    """Runs scripts, given as agent_1=..., under the checks of books and clock."""
    stage = Stage({name.replace("_", "-"): script for name, script in scripts.items()})
    clock = ClockChecker()

    def check(kernel: Kernel) -> None:
        clock.check(kernel)
        on_window(kernel)

    return play(kernel_of(scenario), stage.transport(), check), stage


def heard(stage: Stage, name: str) -> list[tuple[float, float, str, str]]:
    """(arrival, handled) in ms, sender and text of what an agent got."""
    return [
        (h.arrival / MS, h.handled / MS, h.sender, h.body.decode())
        for h in stage.heard.get(name, [])
    ]


TICKS = sends(*((t, "agent-2") for t in range(0, 1000, 50)))
"""agent-1 to agent-2 every 50 ms; each arrives 10 ms later."""
