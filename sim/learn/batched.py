"""The batched rollout: thousands of copies of a scenario as tensors, with the meaning of a run.

Everything happens at the instants of the world's steps, but for the clearing of rounds, which
falls between. At one instant, as in `broker.kernel`: faults, world step, observations, decisions on
what has arrived by then; what is said leaves after them. Copy b plays the episodes b, b + B,
b + 2 B, ... of the scenario's seed, so that no two ever play the same.

A copy that ends waits for the next instant at which every side decides, and begins anew there. So
all copies decide at the same instants, whatever their own clocks say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agents.networks import physical
from sim.errors import BoundError, ScenarioError
from sim.learn.acts import GroupActions
from sim.learn.arrays import Array, Arrays, arrays_on
from sim.learn.cast import Cast, Party, cast_rollout
from sim.learn.central import central_state
from sim.learn.course import course_of, missing
from sim.learn.links import LinkMode, link_mode, queued
from sim.learn.players import Clerk, Outgoing, Player, make_topics
from sim.learn.record import Actor, Episode, Record, Side
from sim.learn.taking import Take, brought, to_cpu
from sim.prepare import Prepared
from sim.rng import philox
from sim.units import NEVER
from sim.worlds import catalogue

Tensor = torch.Tensor


class BatchedRollout:
    """See `sim.learn.record.Rollout`. device: where world, policies and records are.

    links:     see `sim.learn.links.link_mode`.
    decisions: of the side that decides least often; others decide more often meanwhile. Without a
               side they are steps of the world.
    Raises:    ScenarioError saying what a batch cannot have, see `why_not`.
    """

    kind = "batched"

    def __init__(
        self,
        prepared: Prepared,
        learning: tuple[str, ...] | list[str],
        copies: int,
        *,
        links: str | Mapping[str, Any] | LinkMode = "scenario",
        device: str = "cpu",
        seed: int | None = None,
        role_params: Mapping[str, Mapping[str, Any]] | None = None,
        is_numpy: bool | None = None,
    ) -> None:
        cast = cast_rollout(prepared, learning, role_params)
        self._mode = link_mode(links)
        reason = why_not(prepared, cast, self._mode)
        if reason:
            raise ScenarioError(f"a batched rollout is impossible: {reason}")
        self.reason = "all participants are policies and mechanisms"
        self.sides, self.copies = cast.sides, copies
        self._seed = prepared.scenario.seed if seed is None else seed
        self._device, self._arrays = device, arrays_on(device, is_numpy)
        kind = prepared.scenario.world
        self._world = world = catalogue.make_batch(kind.kind, kind.params)
        self._dt = world.dt_ns
        self._horizon = prepared.scenario.duration_ns // self._dt
        self._groups = {group.name: group for group in world.groups}
        self._ticks = {side.group: side.every_ns // self._dt for side in cast.sides}
        self._grid = math.lcm(*self._ticks.values()) if self._ticks else 1
        self.tells_metrics = 4 * self._horizon >= copies
        self._make_people(prepared, cast)
        self._make_links(prepared)
        self._finished: list[Episode] = []
        self._tick = 0
        self._steps = np.zeros(copies, dtype=np.int64)
        self._episode = np.arange(copies) - copies
        self._is_live = np.zeros(copies, dtype=bool)
        self._network_memory: dict[str, Tensor] = {}
        self._decided: dict[str, Array] = {}
        self._returns: dict[str, Tensor] = {}
        self._team = torch.zeros(copies, dtype=torch.float64, device=device)
        self._state: dict[str, Any] = {}
        self._begin(np.ones(copies, dtype=bool))
        self._look()
        self._see()

    @property
    def state_size(self) -> int:
        """S of the central state."""
        return int(self._central.shape[1])

    # --- making ---------------------------------------------------------------------------------

    def _make_people(self, prepared: Prepared, cast: Cast) -> None:
        arrays, copies, names = self._arrays, self.copies, [p.name for p in prepared.plans]
        self._learners = {
            side.group: Player(
                Party(side.group, tuple(range(len(side.agents))), side.agents, side.role),
                arrays, copies,
            )
            for side in cast.sides
        }  # fmt: skip
        self._others = [Player(party, arrays, copies) for party in cast.parties]
        self._players = [*self._learners.values(), *self._others]
        sizes = {player.n for player in self._players}
        self._everybody = {n: arrays.full((copies, n), True, "bool") for n in sizes}
        self._topics = make_topics(cast, self._players, self._world, names, arrays, copies)
        for player in self._players:
            player.connect(self._topics, self._world, names)
        self._clerks = [Clerk(c, self._topics, arrays) for c in cast.clearings]
        self._actions = {
            g.name: GroupActions(g, arrays, copies, self._dt) for g in self._world.groups
        }
        slow = {plan.name: plan.processing_ns for plan in prepared.plans}
        self._slow = {c.clearing.agent: slow[c.clearing.agent] for c in self._clerks}
        self._delays = {
            key: arrays.put(np.array([slow[s] for s in topic.senders], dtype=np.int64))
            for key, topic in self._topics.items()
        }
        self._late = [
            arrays.put(np.array([slow[a] for a in player.agents], dtype=np.int64))
            if any(slow[a] for a in player.agents)
            else None
            for player in self._players
        ]
        mechanisms = {c.agent for c in cast.clearings}
        self._hears = {
            key: arrays.put(np.array([r not in mechanisms for r in topic.receivers]))
            for key, topic in self._topics.items()
        }

    def _make_links(self, prepared: Prepared) -> None:
        self._course = course_of(prepared, self._mode.is_ideal)
        for topic in self._topics.values():
            topic.connect(self._course, self._mode)
        self._drawn: dict[str, Array] = {}
        if self._mode.loss is not None:
            self._drawn["loss"] = self._arrays.full((self.copies, 1, 1), 0.0, "float64")
        if self._mode.latency_ns is not None:
            self._drawn["floor"] = self._arrays.full((self.copies, 1, 1), 0, "int64")
        self._present = self._course.presence
        self._was_started = {n: np.zeros(self.copies, dtype=np.int64) for n in self._present}

    # --- episodes -------------------------------------------------------------------------------

    def _begin(self, is_begun: np.ndarray[Any, Any]) -> None:
        """Begins the next episode in some copies. Shapes: bool [B]."""
        rows = np.flatnonzero(is_begun)
        self._episode[rows] += self.copies
        episodes = self._episode[rows].tolist()
        fresh = self._world.reset([(self._seed, e) for e in episodes], self._device)
        if len(rows) == self.copies:
            self._state = fresh
        else:
            at = torch.from_numpy(rows).to(self._device)
            self._state = {k: _replaced(v, at, fresh[k]) for k, v in self._state.items()}
        self._steps[rows] = 0
        self._is_live[rows] = True
        index, begun = self._arrays.put(rows), self._arrays.put(is_begun.copy())
        for topic in self._topics.values():
            topic.begin(index, begun, self._seed, episodes)
        for player in self._players:
            player.begin(index, begun, self._seed, episodes)
        for clerk in self._clerks:
            clerk.begin(rows.tolist(), self.copies, self._seed, episodes)
        for actions in self._actions.values():
            actions.begin(begun)
        for started in self._was_started.values():
            started[rows] = 0
        if self._drawn:
            values = [self._mode.drawn(self._seed, episode) for episode in episodes]
            for name, key in (("loss", "loss_probability"), ("floor", "latency_ns")):
                if name in self._drawn:
                    told = np.array([getattr(v, key) for v in values])
                    self._drawn[name][index] = self._arrays.put(told)[:, None, None]
        self._clear_returns(is_begun)
        self._keep_time()
        self._happen(self._steps * self._dt, is_begun)

    def _clear_returns(self, is_begun: np.ndarray[Any, Any]) -> None:
        here = torch.from_numpy(is_begun.copy()).to(self._device)
        self._team = torch.where(here, 0.0, self._team)
        for name, total in self._returns.items():
            self._returns[name] = torch.where(here[:, None], 0.0, total)

    def _keep_time(self) -> None:
        """What the clock says in every copy, here and there."""
        self._is_level = bool((self._steps == self._steps[0]).all())
        self._host_now = self._steps * self._dt
        self._now = self._arrays.put(self._host_now.copy())
        self._presence()

    def _presence(self) -> None:
        """Who is up, and who starts anew. Shapes: bool [B], int64 [B] per agent ever killed."""
        self._up, self._since = {}, {}
        for name, presence in self._present.items():
            is_up, started = presence.at(self._host_now)
            self._up[name], self._since[name] = is_up, np.where(is_up, started, NEVER)
            is_new = is_up & (started > self._was_started[name])
            self._was_started[name] = np.where(is_new, started, self._was_started[name])
            if is_new.any():
                self._restart(name, is_new)

    def _restart(self, name: str, is_new: np.ndarray[Any, Any]) -> None:
        here = self._arrays.put(is_new)
        for player in self._players:
            if name in player.agents:
                rows = np.zeros((self.copies, player.n), dtype=bool)
                rows[:, player.agents.index(name)] = is_new
                player.forget(self._arrays.put(rows))
        for topic in self._topics.values():
            if name in topic.receivers:
                topic.forget(name, here)

    # --- one step -------------------------------------------------------------------------------

    def collect(self, actors: Mapping[str, Actor], decisions: int) -> dict[str, Record]:
        """The next so many decisions of each side, in every copy."""
        longest = max(self._ticks.values(), default=1)
        ticks = -(-decisions * longest // self._grid) * self._grid
        takes = {side.group: self._take(side, actors[side.group], ticks) for side in self.sides}
        for _ in range(ticks):
            self._decide(actors, takes)
            self._act()
            self._step(takes)
        return {group: take.record for group, take in takes.items()}

    def _take(self, side: Side, actor: Actor, ticks: int) -> Take:
        shape = (self.copies, len(side.agents), actor.memory_size)
        memory = self._network_memory.get(side.group)
        if memory is None or memory.shape != shape:
            memory = self._network_memory[side.group] = torch.zeros(shape, device=self._device)
        steps, sizes = self._ticks[side.group], (self.state_size, side.decides.size)
        return Take(side, ticks // steps, steps, self.copies, sizes, memory)

    def _decide(self, actors: Mapping[str, Actor], takes: Mapping[str, Take]) -> None:
        """The sides whose networks are due decide."""
        for side in self.sides:
            group = side.group
            if self._tick % self._ticks[group]:
                continue
            seen, alive = self._seen[group], self._alive[group]
            is_first = torch.from_numpy(self._steps == 0).to(self._device)
            raw, log_prob, memory = actors[group].act(
                seen, alive, self._network_memory[group], is_first
            )
            self._network_memory[group] = memory
            takes[group].begin(
                torch.from_numpy(self._is_live.copy()).to(self._device),
                seen=seen, alive=alive, decision=raw, log_prob=log_prob, is_first=is_first,
                state=self._central,
            )  # fmt: skip
            rows = raw.detach().reshape(-1, raw.shape[-1]).to(torch.float64)
            self._decided[group] = physical(side.decides, self._arrays.of(rows), self._arrays.xp)

    def _due(self, every_ns: int) -> np.ndarray[Any, Any] | bool:
        """Which copies' groups of this period decide now: all, none, or bool [B]."""
        steps = every_ns // self._dt
        if self._is_level:
            return bool(self._steps[0] % steps == 0)
        due = self._steps % steps == 0
        return bool(due[0]) if due.all() or not due.any() else due

    def _act(self) -> None:
        """Everybody whose group is due decides; then what they said leaves."""
        self._clear(is_now=True)
        outgoing = Outgoing(self._topics, self._arrays, self.copies)
        for player, delays in zip(self._players, self._late, strict=True):
            due = self._due(self._groups[player.party.group].every_ns)
            if due is False:
                continue
            is_due = None if due is True else self._arrays.put(np.asarray(due))
            self._play(player, delays, is_due, outgoing)
        outgoing.post(self._now, self._delays, self._drawn)
        self._clear(is_now=False)

    def _play(
        self, player: Player, delays: Array | None, is_due: Array | None, outgoing: Outgoing
    ) -> None:
        group, may = player.party.group, self._may(player, is_due)
        obs, inbox, keys = self._rows_of(player), self._inbox(player), player.keys()
        if group in self._learners:
            decided = self._decided[group]
            action, outbox, memory = player.policy.act(decided, obs, inbox, player.memory, keys)
        else:
            action, outbox, memory = player.policy(obs, inbox, player.memory, keys)
        action = self._arrays.here(action).reshape(self.copies, player.n, -1)
        player.took(self._arrays.here(memory), is_due)
        if action.shape[2]:
            is_given = self._everybody[player.n] if may is None else may
            self._actions[group].submit(self._now, action, is_given, player.slots, delays)
        if outbox:
            outgoing.add(player, outbox, may)

    def _rows_of(self, player: Player) -> Array:
        obs = self._arrays.of(self._obs[player.party.group])[:, player.slots]
        return obs.reshape(self.copies * player.n, -1)

    def _inbox(self, player: Player) -> dict[str, Any]:
        return player.inbox(self._now) if player.hears else {}

    def _may(self, player: Player, is_due: Array | None) -> Array | None:
        """Which agents of a player decide in which copies; None if all. Shapes: bool [B, n]."""
        struck = [name for name in player.agents if name in self._up]
        if not struck:
            return None if is_due is None else is_due[:, None] & self._everybody[player.n]
        may = np.ones((self.copies, player.n), dtype=bool)
        for name in struck:
            may[:, player.agents.index(name)] = self._up[name]
        put = self._arrays.put(may)
        return put if is_due is None else put & is_due[:, None]

    def _clear(self, is_now: bool) -> None:
        """Mechanisms clear whose deadline is now, or falls before the next step."""
        for clerk in self._clerks:
            begin, when = clerk.due(self._host_now, self._dt)
            clears = (when == self._host_now) if is_now else (when > self._host_now)
            name, first, since = clerk.clearing.agent, 0, None
            if name in self._present:
                is_up, started = self._present[name].at(when)
                every = clerk.clearing.round.every_ns
                first = -(-started // every) * every
                clears &= is_up & (begin >= first)
                since = self._arrays.put(started)
            if not clears.any():
                continue
            count = np.maximum((begin - first) // clerk.clearing.round.every_ns, 0)
            arrays, limit = self._arrays, np.where(clears, when, -1)
            awards, present = clerk.clear(
                arrays.put(begin), arrays.put(limit), arrays.put(_keys(clerk.bases, count)), since
            )
            here, delay = arrays.put(clears), self._slow[name]
            leaving = arrays.put(when + delay)
            clerk.answer(leaving, awards, present & here[:, None], self._drawn)
            group = clerk.clearing.group
            if group and self._groups[group].action.size == math.prod(awards.shape[1:]):
                slots = slice(clerk.clearing.slot, clerk.clearing.slot + 1)
                values = awards.reshape(self.copies, 1, -1)
                late = self._arrays.put(np.array([delay]))
                self._actions[group].submit(arrays.put(when), values, here[:, None], slots, late)

    def _happen(self, before: np.ndarray[Any, Any], is_begun: Any = None) -> None:
        """Events of the world that fall before the end of a step, or on the start of an episode.

        Shapes: before int64 [B], ns: the clock at the end of the step.
        """
        for fault in self._course.events:
            if is_begun is not None:
                here = is_begun & (fault.time_ns <= 0)
            else:
                here = (fault.time_ns <= before) & (fault.time_ns > before - self._dt)
                here &= before < self._horizon * self._dt
            if not here.any():
                continue
            after = self._state
            for target in fault.targets:
                after = self._world.inject(after, fault.event, target, fault.is_on)
            rows = torch.from_numpy(np.flatnonzero(here)).to(self._device)
            self._state = {
                k: v if v is after[k] else _replaced(v, rows, after[k][rows])
                for k, v in self._state.items()
            }

    def _step(self, takes: Mapping[str, Take]) -> None:
        """The world goes on, and everybody sees it."""
        arrays, actions, present = self._arrays, {}, {}
        for name, group in self._actions.items():
            values, there = group.at(self._now)
            actions[name], present[name] = arrays.tensor(values), arrays.tensor(there)
        if self._course.events:
            self._happen(self._host_now + self._dt)
        self._state, rewards = self._world.advance(self._state, actions, present)
        self._steps += 1
        self._tick += 1
        self._earn(rewards, takes)
        ended = self._world.terminated(self._state).cpu().numpy() & self._is_live
        cut = (self._steps >= self._horizon) & self._is_live & ~ended
        over = ended | cut
        is_over = bool(over.any())
        self._keep_time()
        self._look()
        if is_over or any(self._tick % steps == 0 for steps in self._ticks.values()):
            self._see()
            self._close(takes, ended, cut)
        if is_over:
            self._finish(over)
            self._is_live &= ~over
        if self._tick % self._grid == 0 and not self._is_live.all():
            self._begin(~self._is_live)
            self._look()
            self._see()

    def _earn(self, rewards: Mapping[str, Tensor], takes: Mapping[str, Take]) -> None:
        live = None
        if not self._is_live.all():
            live = torch.from_numpy(self._is_live.copy()).to(self._device)
        own = {name: values.sum(-1) for name, values in rewards.items()}
        team_reward = getattr(self._world, "team_reward", None)
        if team_reward is not None:
            team = team_reward(rewards)
        else:
            earned = [values for values in own.values() if values.shape[1]]
            team = torch.cat(earned, 1).mean(1)
        if live is not None:
            own = {name: values * live[:, None] for name, values in own.items()}
            team = team * live
        for name, values in own.items():
            before = self._returns.get(name)
            self._returns[name] = values if before is None else before + values
        self._team = self._team + team
        for group, take in takes.items():
            take.earn(own[group], team)

    def _look(self) -> None:
        """What is there to see now, and what has arrived by now."""
        self._obs = self._world.observe(self._state)
        for key, topic in self._topics.items():
            since = None
            if self._since and not self._since.keys().isdisjoint(topic.receivers):
                columns = [
                    self._since.get(r, np.zeros(self.copies, dtype=np.int64))
                    for r in topic.receivers
                ]
                since = self._arrays.put(np.stack(columns, 1))
            if topic.parcels:
                topic.deliver(self._now, self._hears[key], since)

    def _see(self) -> None:
        """What the sides' networks see of it, and a critic."""
        self._central = central_state(self._world, self._state, self._obs)
        self._seen, self._alive = {}, {}
        alive = self._world.alive(self._state) if hasattr(self._world, "alive") else {}
        for group, player in self._learners.items():
            seen = player.policy.see(self._rows_of(player), self._inbox(player), player.memory)
            shape = (self.copies, player.n, -1)
            self._seen[group] = self._arrays.tensor(seen).reshape(shape).to(torch.float32)
            there = self._arrays.tensor(self._everybody[player.n])
            if group in alive:
                there = there & alive[group]
            may = self._may(player, None)
            self._alive[group] = there if may is None else there & self._arrays.tensor(may)

    def _close(self, takes: Mapping[str, Take], ended: Any, cut: Any) -> None:
        """Decisions that are over now, because their time is, or because the episode is."""
        over = ended | cut
        is_any, is_all_live = bool(over.any()), bool(self._is_live.all())
        flags = [torch.from_numpy(x).to(self._device) if is_any else None for x in (ended, cut)]
        for group, take in takes.items():
            if self._tick % self._ticks[group] == 0:
                which = None if is_all_live else self._is_live
            elif is_any:
                which = over
            else:
                continue
            rows = None if which is None else torch.from_numpy(which.copy()).to(self._device)
            take.end(
                rows, *flags, next_seen=self._seen[group], next_alive=self._alive[group],
                next_state=self._central,
            )  # fmt: skip

    def _finish(self, over: Any) -> None:
        """Notes the episodes that ended. Shapes: bool [B]."""
        rows = np.flatnonzero(over)
        earning = {
            name: total.cpu().numpy() for name, total in self._returns.items() if total.shape[1]
        }
        team = self._team.cpu().numpy()
        for row in rows.tolist():
            returns = {
                agent: float(total[row, i])
                for name, total in earning.items()
                for i, agent in enumerate(self._groups[name].agents)
            }
            metrics = {}
            if self.tells_metrics:
                one = {k: v[row : row + 1] for k, v in self._state.items()}
                metrics = {k: m.value for k, m in self._world.metrics(one).items()}
            self._finished.append(
                Episode(
                    self._seed, int(self._episode[row]), int(self._steps[row]), returns,
                    float(team[row]), metrics,
                )
            )  # fmt: skip

    def finished(self) -> list[Episode]:
        """Episodes that ended since this was last asked."""
        found, self._finished = self._finished, []
        return found

    # --- going on -------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Plain data and tensors from which `restore` goes on to the same records, on CPU."""
        snapshot: dict[str, Any] = to_cpu(
            {
                "state": self._state,
                "tick": self._tick,
                "steps": self._steps,
                "episode": self._episode,
                "is_live": self._is_live,
                "network_memory": self._network_memory,
                "decided": self._decided,
                "returns": self._returns,
                "team": self._team,
                "drawn": self._drawn,
                "was_started": self._was_started,
                "players": [player.state() for player in self._players],
                "topics": [topic.state() for topic in self._topics.values()],
                "actions": [actions.state() for actions in self._actions.values()],
                "clerks": [clerk.bases for clerk in self._clerks],
            }
        )
        return snapshot

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot of a rollout of the same making."""

        def here(name: str) -> Any:
            return brought(snapshot[name], lambda tensor: tensor.to(self._device))

        def native(name: str) -> Any:
            return brought(snapshot[name], lambda t: self._arrays.of(t.to(self._device)))

        def host(name: str) -> Any:
            return brought(snapshot[name], lambda tensor: tensor.numpy())

        self._tick = int(snapshot["tick"])
        self._steps, self._episode = host("steps"), host("episode")
        self._is_live, self._was_started = host("is_live"), host("was_started")
        self._state, self._network_memory = here("state"), here("network_memory")
        self._returns, self._team = here("returns"), here("team")
        self._decided, self._drawn = native("decided"), native("drawn")
        parts: tuple[tuple[str, Any], ...] = (
            ("players", self._players),
            ("topics", self._topics.values()),
            ("actions", self._actions.values()),
        )
        for name, owners in parts:
            for owner, state in zip(owners, native(name), strict=True):
                owner.load(state)
        for clerk, bases in zip(self._clerks, snapshot["clerks"], strict=True):
            clerk.bases = list(bases)
        self._finished = []
        self._keep_time()
        self._look()
        self._see()

    def close(self) -> None:
        """Nothing was started."""


def why_not(prepared: Prepared, cast: Cast, mode: LinkMode) -> str:
    """What of a scenario no batch can have, in words; "" if it can have all of it."""
    if cast.programs:
        (first, spec), *more = cast.programs.items()
        others = f" and {len(more)} more" if more else ""
        return f"{first} plays {spec}, a program{others}; kernels in memory run it"
    if not mode.is_ideal and (queues := queued(prepared)):
        return f"{queues}; kernels in memory have queues"
    if kinds := missing(prepared):
        return f"the scenario has faults of kind {', '.join(kinds)}; kernels in memory have them"
    try:
        world = catalogue.make_batch(prepared.scenario.world.kind, prepared.scenario.world.params)
    except BoundError as error:
        return str(error)
    for clearing in cast.clearings:
        if clearing.round.every_ns < world.dt_ns:
            return f"the round {clearing.round.topic!r} comes more often than the world steps"
    return ""


def _keys(bases: list[int], counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As `agents.policy.decision_key`. Shapes: [B] -> uint64 [B]."""
    count, zero, shift = counts.astype(np.uint64), np.uint64(0), np.uint64(32)
    key = np.array(bases, dtype=np.uint64)
    low, high, _, _ = philox(count & np.uint64(0xFFFFFFFF), count >> shift, zero, zero, key)
    found: np.ndarray[Any, Any] = high << shift | low
    return found


def _replaced(values: Any, rows: Tensor, fresh: Any) -> Any:
    """A tensor of the state with some rows replaced; what is no tensor stays."""
    return values.index_copy(0, rows, fresh) if isinstance(values, torch.Tensor) else values
