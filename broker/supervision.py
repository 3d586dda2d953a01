"""Agents that ended: when they count as down, what they leave behind, and whether they come back.

One that fails or finishes counts as down from the next grid point of the digest on, which does not
depend on how windows were cut.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from broker.handover import Handover
from broker.network import Network
from broker.population import DOWN, ENDED, Agents, Event, Failure
from sim.errors import AgentError, RestartLimitError
from sim.scenario.supervision import Supervision
from sim.units import NEVER, format_ns

SUPERVISOR: Final = "supervisor"
"""The cause of what the scenario's supervision does."""


class Supervisor:
    """Carries out each agent's policy on failure. story: takes the lines of failures."""

    def __init__(
        self,
        rule: Supervision,
        agents: Agents,
        network: Network,
        handover: Handover,
        story: deque[Event],
    ) -> None:
        self._rule = rule
        self._agents = agents
        self._network = network
        self._handover = handover
        self._story = story

    def kill(self, agent: int) -> None:
        """Ends an agent at once, and what waits for it."""
        is_there = self._agents.state[agent] != DOWN
        self._agents.kill(agent)
        if is_there:
            self._network.forget(agent)
            self._handover.forget(agent)

    def fail(self, agent: int, time: int, error: str) -> None:
        """An agent failed at `time`."""
        plan = self._agents.plans[agent]
        self._agents.timer[agent] = NEVER
        self._agents.failures.append(Failure(plan.name, time, error, plan.on_failure))
        self._story.append(Event(time, "error", plan.name, error))
        self._agents.state[agent] = ENDED
        self._agents.ending.append((time, agent, error))

    def finish(self, agent: int, time: int) -> None:
        """An agent's program came to its end at `time`."""
        self._agents.ending.append((time, agent, None))
        self._agents.state[agent] = ENDED

    def take_down(self, grid: int, episode: int) -> AgentError | None:
        """At a grid point: agents that ended leave, and the scenario's policy decides.

        Order: by the time at which they ended, then by agent. One that a fault has killed or
        started anew since is left alone. Returns why the run must stop; None if it goes on.
        """
        agents = self._agents
        ending, agents.ending = agents.ending, []
        reason: AgentError | None = None
        for _, agent, error in sorted(ending, key=lambda e: e[:2]):
            has_left = agents.state[agent] == ENDED
            if has_left:
                self.kill(agent)
                if error is None:
                    agents.finished.add(agent)
            if error is None:
                continue
            plan, cause = agents.plans[agent], error.partition("\n")[0]
            if plan.on_failure == "stop":
                reason = reason or AgentError(f"{plan.name} failed: {cause}")
            elif plan.on_failure == "restart" and has_left:
                stop = self._restart(agent, grid, episode, cause)
                reason = reason or stop
        return reason

    def _restart(self, agent: int, grid: int, episode: int, cause: str) -> AgentError | None:
        """Starts an agent anew after a while that doubles; or says why the run must stop."""
        rule = self._rule
        recent = self._agents.count_restart(agent, grid, rule.within_ns)
        name = self._agents.names[agent]
        if recent < rule.restarts:
            wait = rule.backoff_ns << recent
            self._agents.start(agent, grid + wait, episode)
            text = f"starts anew in {format_ns(wait)}, {recent + 1} of {rule.restarts} times"
            self._story.append(Event(grid, "warning", name, text, SUPERVISOR))
            return None
        text = f"failed {recent + 1} times within {format_ns(rule.within_ns)}: " + (
            "the run stops" if rule.then == "stop" else "the device is left to its own"
        )
        self._story.append(Event(grid, "warning", name, text, SUPERVISOR))
        if rule.then == "stop":
            return RestartLimitError(
                f"{name} failed more than {rule.restarts} times within "
                f"{format_ns(rule.within_ns)}; the last time: {cause}"
            )
        return None
