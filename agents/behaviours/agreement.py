"""How agents come to know the mean of their numbers: a pure rule, and collective operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.agent import Agent
from agents.behaviours.classics import Rule as ClassicRule
from agents.collectives.communicator import Communicator
from sim.errors import AgentError
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

    params: algorithm: star, tree, doubling or ring of `all_reduce`, or gossip, which knows means
            alone. op: of `all_reduce` (default mean). rounds: of gossip. timeout, reliability,
            retry: of the communicator.
    """

    async def run(self) -> None:
        own = {k: self.params[k] for k in ("timeout", "reliability", "retry") if k in self.params}
        team, known = Communicator(self, **own), -1
        algorithm, op = self.params.get("algorithm", "tree"), self.params.get("op", "mean")
        if algorithm == "gossip" and op != "mean":
            raise AgentError(f"op: gossip finds means, not {op!r}")
        rounds = {k: self.params[k] for k in ("rounds",) if k in self.params}
        async for obs in self.observations():
            if obs.task == known:
                continue
            known = obs.task
            if algorithm == "gossip":
                found = await team.gossip(obs.value, number=int(known), **rounds)
            else:
                found = await team.all_reduce(obs.value, op, algorithm, number=int(known))
            if found.value is not None:
                self.act(answer=found.value, known=1)


class Averager(Agent):
    """One round of consensus with its neighbours per decision.

    params: graph: of the neighbours (default ring). timeout: of a round, shorter than the step
            (default 0.9 s). reliability, retry: of the communicator.
    """

    async def run(self) -> None:
        own = {k: self.params[k] for k in ("reliability", "retry") if k in self.params}
        graph = graph_of(self.params.get("graph", "ring"), self.names)
        timeout = self.params.get("timeout", 0.9)
        team, task, estimate = Communicator(self, graph=graph, timeout=timeout, **own), -1, 0.0
        if self.name == self.names[0]:
            self.log(f"predicted: {team.convergence_rate:.4f} per round")
        async for obs in self.observations():
            if obs.task != task:
                task, estimate = obs.task, obs.value
            found = await team.consensus(estimate, 1, number=obs.time_ns // 1_000_000)
            estimate = found.value
            self.act(answer=estimate, known=1)
