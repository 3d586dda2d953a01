"""How agents come to know the mean of their numbers: a pure rule, and collective operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.agent import Agent
from agents.behaviours.classics import Rule as ClassicRule
from agents.collectives.communicator import Communicator
from agents.collectives.reduce import ALL_REDUCE
from sim.errors import AgentError
from sim.ids import did_you_mean
from sim.worlds.graphs import graph_of


class Rule(ClassicRule):
    """Says its number in every step, and states the mean of those it has heard in this task."""

    speaks: Mapping[str, int] = {"number": 2}
    hears: Mapping[str, int] = {"number": 2}

    def decide(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        value, task = self.field(obs, "value"), self.field(obs, "task")
        heard = inbox["number"]
        counts = heard.present & (heard.values[..., 1] == task)
        others = xp.sum(xp.where(counts, heard.values[..., 0], 0.0), axis=1, keepdims=True)
        known = xp.sum(xp.astype(counts, obs.dtype), axis=1, keepdims=True)
        mean = (value + others) / (1.0 + known)
        said = xp.concat((value, task), axis=-1)
        return xp.concat((mean, xp.ones_like(mean)), axis=-1), {"number": said}


class Member(Agent):
    """One call of a communicator per task, whose value it then states.

    algorithm: star, tree, doubling or ring of `all_reduce`, or gossip, which knows means alone.
    op: of `all_reduce`. rounds: of gossip. timeout, reliability, retry: of the communicator.
    """

    def __init__(
        self, algorithm: str = "tree", op: str = "mean", rounds: int = 20,
        timeout: float | str = 5.0, reliability: str = "none", retry: float | str | None = None,
    ) -> None:  # fmt: skip
        known = (*ALL_REDUCE, "gossip")
        if algorithm not in known:
            close = did_you_mean(str(algorithm), known)
            raise AgentError(f"algorithm: there is no {algorithm!r}; {close}")
        if algorithm == "gossip" and op != "mean":
            raise AgentError(f"op: gossip finds means, not {op!r}")
        self.algorithm, self.op, self.rounds = algorithm, op, rounds
        self.team = Communicator(self, timeout=timeout, reliability=reliability, retry=retry)

    async def run(self) -> None:
        known = -1
        async for obs in self.observations():
            if obs.task == known:
                continue
            known = int(obs.task)
            if self.algorithm == "gossip":
                found = await self.team.gossip(obs.value, self.rounds, number=known)
            else:
                found = await self.team.all_reduce(obs.value, self.op, self.algorithm, number=known)
            if found.value is not None:
                self.act(answer=found.value, known=1)


class Averager(Agent):
    """One round of consensus with its neighbours per decision.

    graph: of the neighbours. timeout: of a round, shorter than the step. reliability, retry: of
    the communicator.
    """

    def __init__(
        self, graph: str = "ring", timeout: float | str = 0.9, reliability: str = "none",
        retry: float | str | None = None,
    ) -> None:  # fmt: skip
        self.team = Communicator(
            self, graph=graph_of(graph, self.names), timeout=timeout, reliability=reliability,
            retry=retry,
        )  # fmt: skip

    async def run(self) -> None:
        team, task, estimate = self.team, -1, 0.0
        if self.name == self.names[0]:
            self.log(f"predicted: {team.convergence_rate:.4f} per round")
        async for obs in self.observations():
            if obs.task != task:
                task, estimate = obs.task, obs.value
            found = await team.consensus(estimate, 1, number=obs.time_ns // 1_000_000)
            estimate = found.value
            self.act(answer=estimate, known=1)
