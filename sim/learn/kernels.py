"""The kernel rollout: whole kernels in memory, the learning agents of all answered at once.

For worlds of one copy, programs in other roles, queues and shared media: everything that the
batched rollout cannot do. Each copy goes on to its next pause; then one forward pass per side
decides for all of them, and each goes on. Copies need not be at the same virtual time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import inf, lcm
from typing import Any

import msgspec
import numpy as np
import torch

from sim.learn.cast import cast_rollout, heard_by
from sim.learn.copies import Copy
from sim.learn.links import LinkMode, link_mode
from sim.learn.record import Actor, Episode, Record
from sim.learn.seats import Crowd, Seats
from sim.learn.trail import Step, Trail, record_of
from sim.prepare import Prepared, make_world, with_plans
from sim.process import no_collector, one_thread
from sim.scenario.jitters import Jitter
from sim.scenario.link import LinkValues
from sim.scenario.schema import NetworkSpec
from sim.worlds.world import Group

_BUNDLED = "agents.behaviours."
_LEARNS = "learning"
"""The behaviour of who learns: not one that a host could start."""
_OF_LINKS = ("partition", "link", "noise")
_DRAWN = ("loss_probability", "latency_ns")
_IDEAL_NS = 1
"""A positive floor, however small, keeps messages of an instant out of that instant."""

Decide = Callable[[int, Seats, list[int]], tuple[Any, Any]]


class KernelRollout:
    """Implements `Rollout`. Copy b's k-th episode is (seed, first + b + k * stride).

    links:       `scenario`, `ideal` (no loss, no queue, 1 ns), or {loss: [lo, hi], latency: [lo,
                 hi]}, drawn anew for every link's default in each episode.
    role_params: group -> params of its role.
    first, stride: which of the episodes are this rollout's, if others run beside it.

    If sides decide at different periods, `collect` gives the slowest at least so many decisions as
    it was asked for, and the others those of the same time.
    Raises: ScenarioError for groups that cannot learn.
    """

    kind = "kernel"

    def __init__(
        self,
        prepared: Prepared,
        learning: Sequence[str],
        copies: int,
        *,
        links: str | Mapping[str, Any] | LinkMode = "scenario",
        device: str = "cpu",
        seed: int | None = None,
        role_params: Mapping[str, Mapping[str, Any]] | None = None,
        first: int = 0,
        stride: int | None = None,
        reason: str = "asked for",
    ) -> None:
        self.reason, self.copies, self.device = reason, copies, device
        self._first, self._stride = first, copies if stride is None else stride
        seed = prepared.scenario.seed if seed is None else seed
        mode = link_mode(links)
        replace = msgspec.structs.replace
        scenario = replace(prepared.scenario, seed=seed, episodes=1)
        self.sides = cast_rollout(prepared, learning, role_params).sides
        learners = {agent for side in self.sides for agent in side.agents}
        single = with_plans(scenario, prepared.world, prepared.plans)
        plans = tuple(
            replace(plan, behaviour=_LEARNS) if plan.name in learners else plan
            for plan in single.plans
        )
        faults = tuple(f for f in single.faults if not mode.is_ideal or f.kind not in _OF_LINKS)
        groups = {group.name: group for group in prepared.world.groups}
        self._seats = [
            Seats(side, groups[side.group], _senders(prepared, side.agents[0], side.role), copies)
            for side in self.sides
        ]
        self._crowds = _crowds(prepared, learning, groups, copies)
        self._copies = [
            Copy(
                Prepared(scenario, make_world(scenario), plans, single.table, faults),
                lambda episode: network_of(scenario.network, mode, seed, episode),
                self._seats,
                self._crowds,
                number,
            )
            for number in range(copies)
        ]
        self.state_size = len(self._copies[0].state)
        self._memory = [torch.zeros(copies, len(s.agents), 0) for s in self.sides]
        self._finished: list[Episode] = []
        self._begin([first + b for b in range(copies)])

    def _begin(self, episodes: Sequence[int]) -> None:
        copies = range(self.copies)
        self._trails = [[Trail() for _ in self.sides] for _ in copies]
        self._logs: list[list[list[Any]]] = [[] for _ in copies]
        self._is_first = [[True] * len(self.sides) for _ in copies]
        self._is_settled = False
        for copy, episode in zip(self._copies, episodes, strict=True):
            copy.begin(episode)

    # --- what a rollout offers ------------------------------------------------------------------

    def collect(self, actors: Mapping[str, Actor], decisions: int) -> dict[str, Record]:
        """The next so many decisions of each side, in every copy; steps of the world if nobody
        learns.

        Raises: AgentError if an agent fails, with the author's frames, as an ordinary run does.
        """
        periods = [side.every_ns for side in self.sides] or [self._copies[0].world.dt_ns]
        whole = lcm(*periods)
        span = -(-decisions * max(periods) // whole) * whole
        wanted = [span // every for every in periods]
        for i, side in enumerate(self.sides):
            size = actors[side.group].memory_size
            if self._memory[i].shape[-1] != size:
                self._memory[i] = torch.zeros(self.copies, len(side.agents), size)

        def ask(i: int, seats: Seats, numbers: list[int]) -> tuple[Any, Any]:
            return self._ask(actors[seats.side.group], i, seats, numbers)

        with no_collector(True), one_thread():
            everybody = list(range(self.copies))
            if not self._is_settled:
                self._settle(everybody)
            until = [copy.steps + decisions for copy in self._copies]
            while numbers := [b for b in everybody if self._is_short(b, wanted, until[b])]:
                self._answer(ask, numbers)
                self._settle(numbers)
        return {
            side.group: record_of(
                [self._trails[b][i].take(wanted[i]) for b in everybody], self.device
            )
            for i, side in enumerate(self.sides)
        }

    def finished(self) -> list[Episode]:
        """Episodes that ended since this was last asked."""
        found, self._finished = self._finished, []
        return found

    def snapshot(self) -> dict[str, Any]:
        """What was decided in each copy since its episode began, from which it is run again."""
        copies = {}
        for b, copy in enumerate(self._copies):
            log = self._logs[b]
            copies[str(b)] = {
                "episode": copy.episode,
                "answers": len(log),
                **{
                    side.group: {
                        "raw": _decided(log, i),
                        "trail": self._trails[b][i].state(),
                        "is_first": int(self._is_first[b][i]),
                    }
                    for i, side in enumerate(self.sides)
                },
            }
        memory = {s.group: m.cpu().clone() for s, m in zip(self.sides, self._memory, strict=True)}
        finished = json.dumps([asdict(episode) for episode in self._finished])
        return {
            "copies": copies, "memory": memory, "finished": finished,
            "is_settled": int(self._is_settled),
        }  # fmt: skip

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Runs the present episode of each copy again, with the decisions that were made."""
        kept = [snapshot["copies"][str(b)] for b in range(self.copies)]
        self._begin([int(each["episode"]) for each in kept])
        if snapshot["is_settled"]:
            with no_collector(True), one_thread():
                self._run_again(kept)
        for b, each in enumerate(kept):
            for i, side in enumerate(self.sides):
                self._trails[b][i].load(each[side.group]["trail"])
                self._is_first[b][i] = bool(each[side.group]["is_first"])
        self._memory = [snapshot["memory"][side.group].clone() for side in self.sides]
        self._finished = [Episode(**each) for each in json.loads(snapshot["finished"])]

    def close(self) -> None:
        """Ends the agents of all copies."""
        for copy in self._copies:
            copy.close()

    # --- rounds ---------------------------------------------------------------------------------

    def _is_short(self, number: int, wanted: Sequence[int], until: int) -> bool:
        trails = self._trails[number]
        if not trails:
            return self._copies[number].steps < until
        return any(len(t.steps) < count for t, count in zip(trails, wanted, strict=True))

    def _settle(self, numbers: list[int]) -> None:
        """Takes these copies to their next pause, over the end of an episode if need be."""
        self._is_settled = True
        for b in numbers:
            while not self._copies[b].advance():
                self._end_episode(b)
        for seats in self._seats:
            seats.see(numbers)
        for b in numbers:
            copy = self._copies[b]
            if any(copy.turns):
                self._end_steps(b, copy.turns)

    def _end_steps(
        self, b: int, over: Sequence[bool], terminated: bool = False, truncated: bool = False
    ) -> None:
        """Ends the steps of the sides whose time is over."""
        copy = self._copies[b]
        for i, seats in enumerate(self._seats):
            if over[i]:
                up = copy.is_up(i)
                seen = np.where(up[:, None], seats.seen[b], np.float32(0))
                gain = copy.take_gain(i)
                self._trails[b][i].end(seen, up, copy.state, *gain, terminated, truncated)

    def _end_episode(self, b: int) -> None:
        """An episode of copy b has ended; the next begins."""
        copy = self._copies[b]
        copy.look_back()
        for seats in self._seats:
            seats.see([b], is_last=True)
        over, world = [True] * len(self.sides), copy.world
        # An environment of others' making may be over by a time limit of its own.
        terminated = bool(world.is_terminated) and not getattr(world, "is_truncated", False)
        self._end_steps(b, over, terminated, not terminated)
        self._finished.append(copy.result())
        copy.begin(copy.episode + self._stride)
        self._logs[b] = []
        self._is_first[b] = [True] * len(self.sides)

    def _answer(self, decide: Decide, numbers: list[int]) -> None:
        """Decides and acts for the agents of these copies, and ends their windows."""
        befores = list(self._memory)
        for i, seats in enumerate(self._seats):
            if seats.due[numbers].any():
                seats.decide(numbers, *decide(i, seats, numbers))
        for b in numbers:
            for i in range(len(self.sides)):
                if self._copies[b].turns[i]:
                    self._begin_step(b, i, befores[i])
            self._logs[b].append(
                [seats.raw[b].copy() if seats.due[b].any() else None for seats in self._seats]
            )
        for i, places in enumerate([*self._seats, *self._crowds]):
            places.act(numbers, {b: self._copies[b].players[i] for b in numbers})
        for b in numbers:
            self._copies[b].finish()

    def _begin_step(self, b: int, i: int, memory: Any) -> None:
        copy, seats, is_first = self._copies[b], self._seats[i], self._is_first[b]
        copy.take_gain(i)
        up = copy.is_up(i)
        alive = seats.due[b] & up
        self._trails[b][i].open = Step(
            seen=np.where(up[:, None], seats.seen[b], np.float32(0)),
            alive=alive,
            decision=np.where(alive[:, None], seats.raw[b], np.float32(0)),
            log_prob=np.where(alive, seats.log_prob[b], np.float32(0)),
            is_first=is_first[i],
            state=copy.state,
            memory=memory[b].cpu().numpy(),
        )
        is_first[i] = False

    def _ask(self, actor: Actor, i: int, seats: Seats, numbers: list[int]) -> tuple[Any, Any]:
        """One forward pass for all agents of a side that are due, in all copies."""
        due = np.zeros_like(seats.due)
        due[numbers] = seats.due[numbers]
        asked = due.any(axis=1)
        memory = self._memory[i]
        if memory.shape[-1] and seats.fresh.any():
            memory = memory.clone()
            memory[torch.from_numpy(seats.fresh & due)] = 0.0
        seats.fresh &= ~due
        alive = due.copy()
        for b in numbers:
            alive[b] &= self._copies[b].is_up(i)
        device = self.device
        raw, log_prob, after = actor.act(
            torch.from_numpy(seats.seen).to(device, copy=True),
            torch.from_numpy(alive).to(device),
            memory.to(device),
            torch.from_numpy(seats.first & asked).to(device),
        )
        seats.first &= ~asked
        if memory.shape[-1]:
            keep = torch.from_numpy(due)[..., None]
            self._memory[i] = torch.where(keep, after.cpu(), memory)
        return raw.cpu().numpy(), log_prob.cpu().numpy()

    def _run_again(self, kept: Sequence[Mapping[str, Any]]) -> None:
        """The decisions of an episode once more, up to where they end."""
        taken = [[0] * len(self.sides) for _ in kept]

        def repeat(i: int, seats: Seats, numbers: list[int]) -> tuple[Any, Any]:
            raw = np.zeros_like(seats.raw)
            for b in numbers:
                if seats.due[b].any():
                    raw[b] = kept[b][seats.side.group]["raw"][taken[b][i]].numpy()
                    taken[b][i] += 1
            seats.fresh &= ~seats.due
            seats.first &= ~seats.due.any(axis=1)
            return raw, np.zeros_like(seats.log_prob)

        self._settle(list(range(self.copies)))
        while numbers := [b for b, k in enumerate(kept) if len(self._logs[b]) < k["answers"]]:
            self._answer(repeat, numbers)
            self._settle(numbers)


def _decided(log: Sequence[Sequence[Any]], side: int) -> torch.Tensor:
    """The decisions of one side in a log. Shapes: float32 [answers with any, n, A]."""
    found = [answer[side] for answer in log if answer[side] is not None]
    return torch.from_numpy(np.array(found, dtype=np.float32))


# --- who learns, over which links ---------------------------------------------------------------


def _crowds(
    prepared: Prepared, learning: Sequence[str], groups: Mapping[str, Group], copies: int
) -> list[Crowd]:
    """Agents that do not learn and whose policies are known to be functions of their inputs alone:
    those that say that they may play a group, and the bundled ones."""
    found = []
    for party in cast_rollout(prepared, learning).parties:
        is_bundled = type(party.policy).__module__.startswith(_BUNDLED)
        if is_bundled or getattr(party.policy, "plays_group", False):
            senders = _senders(prepared, party.agents[0], party.policy)
            found.append(Crowd(groups[party.group], party, senders, copies))
    return found


def _senders(prepared: Prepared, agent: str, player: Any) -> dict[str, int]:
    """How many an agent tells apart on each topic that a policy or a role hears."""
    names = [plan.name for plan in prepared.plans]
    return {topic: len(heard_by(prepared.world, names, agent, topic)) for topic in player.hears}


def network_of(network: NetworkSpec, mode: LinkMode, seed: int, episode: int) -> NetworkSpec:
    """The network of an episode: the scenario's, or with what is drawn in place of every link's."""
    replace = msgspec.structs.replace
    if mode.is_ideal:
        none = LinkValues(
            latency_ns=_IDEAL_NS, jitter=Jitter(), loss_probability=0.0, rate_bytes_per_s=inf
        )
        return replace(network, default=none, links=(), topics=(), medium=None)
    drawn = mode.drawn(seed, episode)
    values = {n: v for n in _DRAWN if (v := getattr(drawn, n)) is not None}
    if not values:
        return network
    rules = tuple(replace(rule, **dict.fromkeys(values)) for rule in network.links)
    return replace(network, default=replace(network.default, **values), links=rules)
