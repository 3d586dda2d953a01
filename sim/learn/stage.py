"""The stage of a batch: the world, and everybody on it but the learners' networks.

Everything happens at the instants of the world's steps, but for the clearing of rounds and the
restart of agents, which fall between. At one instant, as in `broker.kernel`: faults, world step,
observations, decisions on what has arrived by then; what is said leaves after them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sim.errors import AgentError
from sim.learn.acts import GroupActions
from sim.learn.arrays import Array, Arrays
from sim.learn.books import Books
from sim.learn.cast import Cast, Party
from sim.learn.course import course_of
from sim.learn.links import LinkMode, Start
from sim.learn.players import Clerk, Key, Outgoing, Player, decision_keys, make_topics
from sim.learn.seats import blamed
from sim.learn.taking import brought
from sim.prepare import Prepared
from sim.units import NEVER
from sim.worlds import catalogue

Tensor = torch.Tensor
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Stage:
    """B copies, each with a clock of its own. `decided` holds what the learners' networks decided,
    per group [B * n, A], in physical units; `restarted`, bool [B, n], which learners have begun
    anew since that was last emptied.

    Shapes: steps int64 [B], of the world since the episode began; state and obs as of BatchWorld.
    """

    def __init__(
        self,
        prepared: Prepared,
        cast: Cast,
        mode: LinkMode,
        copies: int,
        arrays: Arrays,
        keeps_books: bool = False,
    ) -> None:
        """keeps_books: whether messages are counted, in `books`."""
        kind = prepared.scenario.world
        self.world = world = catalogue.make_batch(kind.kind, kind.params)
        self.copies, self.arrays = copies, arrays
        self.dt_ns = world.dt_ns
        self.horizon = prepared.scenario.duration_ns // world.dt_ns
        self.groups = {group.name: group for group in world.groups}
        self.decided: dict[str, Array] = {}
        self.restarted: dict[str, Bools] = {}
        self.state: dict[str, Any] = {}
        self.obs: dict[str, Tensor] = {}
        self.steps = np.zeros(copies, dtype=np.int64)
        self._mode = mode
        self._last_seen: dict[str, Tensor] = {}
        self._make_people(prepared, cast)
        self._make_links(prepared)
        self.books = self._make_books(prepared) if keeps_books else None

    def _make_people(self, prepared: Prepared, cast: Cast) -> None:
        arrays, copies = self.arrays, self.copies
        names = [plan.name for plan in prepared.plans]
        self.learners: dict[str, Player] = {}
        for side in cast.sides:
            slots = tuple(self.groups[side.group].agents.index(name) for name in side.agents)
            party = Party(side.group, slots, side.agents, side.role)
            self.learners[side.group] = Player(party, arrays, copies)
        self._others = [Player(party, arrays, copies) for party in cast.parties]
        self._side_of = {id(player): group for group, player in self.learners.items()}
        self._players = [*self.learners.values(), *self._others]
        sizes = {player.n for player in self._players}
        self.everybody = {n: arrays.full((copies, n), True, "bool") for n in sizes}
        self._topics = make_topics(cast, self._players, self.world, names, arrays, copies)
        for player in self._players:
            player.connect(self._topics, self.world, names)
        self._clerks = [Clerk(c, self._topics, arrays) for c in cast.clearings]
        self._actions = {
            g.name: GroupActions(g, arrays, copies, self.dt_ns) for g in self.world.groups
        }
        slow = {plan.name: plan.processing_ns for plan in prepared.plans}
        self._slow = {c.clearing.agent: slow[c.clearing.agent] for c in self._clerks}
        self._delays = {
            key: arrays.put(np.array([slow[s] for s in topic.senders], dtype=np.int64))
            for key, topic in self._topics.items()
        }
        self._late: dict[int, Array | None] = {
            id(player): arrays.put(np.array([slow[a] for a in player.agents], dtype=np.int64))
            if any(slow[a] for a in player.agents)
            else None
            for player in self._players
        }
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
            self._drawn["loss"] = self.arrays.full((self.copies, 1, 1), 0.0, "float64")
        if self._mode.latency_ns is not None:
            self._drawn["floor"] = self.arrays.full((self.copies, 1, 1), 0, "int64")
        self._present = self._course.presence
        self._was_started = {n: np.zeros(self.copies, dtype=np.int64) for n in self._present}

    def _make_books(self, prepared: Prepared) -> Books:
        unplayed = {plan.name for plan in prepared.plans if plan.behaviour == "none"}
        books = Books(self.copies, self.horizon, self.dt_ns, self._present, unplayed)
        for topic in self._topics.values():
            topic.books = books
        return books

    # --- episodes and time ----------------------------------------------------------------------

    def begin(self, is_begun: Bools, starts: Sequence[Start]) -> None:
        """Begins episodes in some copies. Shapes: bool [B]; a start for each that is True."""
        rows = np.flatnonzero(is_begun)
        fresh = self.world.reset(list(starts), self.arrays.device)
        if len(rows) == self.copies:
            self.state = fresh
        else:
            at = torch.from_numpy(rows).to(self.arrays.device)
            self.state = {k: _replaced(v, at, fresh[k]) for k, v in self.state.items()}
        self.steps[rows] = 0
        index, begun = self.arrays.put(rows), self.arrays.put(is_begun.copy())
        for topic in self._topics.values():
            topic.begin(index, begun, starts)
        for player in self._players:
            player.begin(index, begun, starts)
        for clerk in self._clerks:
            clerk.begin(rows.tolist(), self.copies, starts)
        for actions in self._actions.values():
            actions.begin(begun)
        if self.books is not None:
            self.books.begin(rows)
        for started in self._was_started.values():
            started[rows] = 0
        if self._drawn:
            values = [self._mode.drawn(*start) for start in starts]
            for name, key in (("loss", "loss_probability"), ("floor", "latency_ns")):
                if name in self._drawn:
                    told = np.array([getattr(v, key) for v in values])
                    self._drawn[name][index] = self.arrays.put(told)[:, None, None]
        self._keep_time()
        self._happen(self._host_now, is_begun)
        self.look()

    def _keep_time(self) -> None:
        """What the clock says in every copy, here and there."""
        self._is_level = bool((self.steps == self.steps[0]).all())
        self._host_now = self.steps * self.dt_ns
        self.now = self.arrays.put(self._host_now.copy())
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

    def _restart(self, name: str, is_new: Bools) -> None:
        here = self.arrays.put(is_new)
        for player in self._players:
            if name in player.agents:
                rows = np.zeros((self.copies, player.n), dtype=bool)
                rows[:, player.agents.index(name)] = is_new
                player.forget(self.arrays.put(rows))
                if id(player) in self._side_of:
                    group = self._side_of[id(player)]
                    self.restarted[group] = self.restarted.get(group, False) | rows
        for topic in self._topics.values():
            if name in topic.receivers:
                topic.forget(name, here)

    def _due(self, every_ns: int) -> Bools | bool:
        """Which copies' groups of this period decide now: all, none, or bool [B]."""
        steps = every_ns // self.dt_ns
        if self._is_level:
            return bool(self.steps[0] % steps == 0)
        due = self.steps % steps == 0
        return bool(due[0]) if due.all() or not due.any() else due

    def act(self) -> None:
        """Everybody whose group is due decides; then what they said leaves."""
        self._clear(is_now=True)
        outgoing = Outgoing(self._topics, self.arrays, self.copies)
        for player in self._players:
            due = self._due(self.groups[player.party.group].every_ns)
            if due is False:
                continue
            is_due = None if due is True else self.arrays.put(np.asarray(due))
            who = self.who(player, is_due)
            self._play(player, self.rows_of(player), self.now, who, outgoing)
        outgoing.post(self.now, self._delays, self._drawn, self._reachable(self._host_now))
        if self._present:
            self._come_back()
        self._clear(is_now=False)

    def _play(
        self, player: Player, obs: Array, now: Array, who: Array | None, outgoing: Outgoing
    ) -> None:
        """One call of a player. Shapes: who bool [B, n] decides, or None if all do."""
        group = player.party.group
        inbox, keys = player.inbox(now) if player.hears else {}, player.keys()
        with blamed(group):
            if id(player) in self._side_of:
                decided = self.decided[group]
                action, outbox, memory = player.policy.act(decided, obs, inbox, player.memory, keys)
            else:
                action, outbox, memory = player.policy(obs, inbox, player.memory, keys)
            action = self.arrays.here(action).reshape(self.copies, player.n, -1)
        player.took(self.arrays.here(memory), who)
        if action.shape[2] or self.groups[group].action.size:
            is_given = self.everybody[player.n] if who is None else who
            self._check(player, action, is_given)
            delays = self._late[id(player)]
            if delays is None and now is not self.now:
                delays = self.arrays.full((player.n,), 0, "int64")
            self._actions[group].submit(now, action, is_given, player.slots, delays)
        if outbox:
            outgoing.add(player, outbox, who)

    def _check(self, player: Player, action: Array, given: Array) -> None:
        """An action of another size or, on the processor, with numbers that are not finite.

        Raises: AgentError, as it fails an agent in a run.
        """
        group, size = player.party.group, self.groups[player.party.group].action.size
        if action.shape[2] != size:
            raise AgentError(f"{player.agents[0]}: expected {size} numbers, got {action.shape[2]}")
        if self.arrays.is_numpy and not np.isfinite(action).all():
            wrong = ~np.isfinite(action).all(-1) & given
            if wrong.any():
                name = player.agents[int(np.nonzero(wrong)[1][0])]
                raise AgentError(f"{name} of {group!r}: every number of an action must be finite")

    def _come_back(self) -> None:
        """Who is started between two steps decides at once on what it could have seen meanwhile.

        A learner waits for the next decision of its side.
        """
        for player in self._others:
            every = self.groups[player.party.group].every_ns
            for slot, agent in enumerate(player.agents):
                for time_ns, gone_ns in self._restarts(agent):
                    seen_ns = self._host_now // every * every
                    is_new = (self._host_now < time_ns) & (time_ns < self._host_now + self.dt_ns)
                    if not is_new.any():
                        continue
                    self._was_started[agent][is_new] = time_ns
                    self._restart(agent, is_new)
                    decides = is_new & (seen_ns >= gone_ns)
                    who = np.zeros((self.copies, player.n), dtype=bool)
                    who[:, slot] = decides
                    at = self.arrays.full((self.copies,), time_ns, "int64")
                    outgoing = Outgoing(self._topics, self.arrays, self.copies)
                    obs = self.rows_of(player, self._last_seen)
                    self._play(player, obs, at, self.arrays.put(who), outgoing)
                    then = np.full(self.copies, time_ns)
                    outgoing.post(at, self._delays, self._drawn, self._reachable(then))

    def _reachable(self, now: Ints) -> dict[Key, Array]:
        """Which receivers of each topic are up, for topics that hear of those ever killed."""
        found = {}
        for key, topic in self._topics.items():
            if not self._present.keys().isdisjoint(topic.receivers):
                is_up = np.ones((self.copies, len(topic.receivers)), dtype=bool)
                for r, name in enumerate(topic.receivers):
                    if name in self._present:
                        is_up[:, r] = self._present[name].at(now)[0]
                found[key] = self.arrays.put(is_up)
        return found

    def _restarts(self, agent: str) -> tuple[tuple[int, int], ...]:
        return self._present[agent].restarts if agent in self._present else ()

    def rows_of(self, player: Player, seen: Mapping[str, Tensor] | None = None) -> Array:
        """What a player's agents observe. Shapes: [B * n, k]."""
        group = player.party.group
        obs = self.arrays.of((self.obs if seen is None else seen)[group])[:, player.slots]
        return obs.reshape(self.copies * player.n, -1)

    def who(self, player: Player, is_due: Array | None) -> Array | None:
        """Which agents of a player decide in which copies; None if all. Shapes: bool [B, n]."""
        struck = [name for name in player.agents if name in self._up]
        if not struck:
            return None if is_due is None else is_due[:, None] & self.everybody[player.n]
        may = np.ones((self.copies, player.n), dtype=bool)
        for name in struck:
            may[:, player.agents.index(name)] = self._up[name]
        put = self.arrays.put(may)
        return put if is_due is None else put & is_due[:, None]

    def _clear(self, is_now: bool) -> None:
        """Mechanisms clear whose deadline is now, or falls before the next step."""
        for clerk in self._clerks:
            begin, when = clerk.due(self._host_now, self.dt_ns)
            clears = (when == self._host_now) if is_now else (when > self._host_now)
            name, since = clerk.clearing.agent, None
            first: Any = 0
            if name in self._present:
                is_up, started = self._present[name].at(when)
                every = clerk.clearing.round.every_ns
                first = -(-started // every) * every
                clears &= is_up & (begin >= first)
                since = self.arrays.put(started)
            if not clears.any():
                continue
            count = np.maximum((begin - first) // clerk.clearing.round.every_ns, 0)
            arrays, limit = self.arrays, np.where(clears, when, -1)
            awards, present = clerk.clear(
                arrays.put(begin),
                arrays.put(limit),
                arrays.put(decision_keys(np.array(clerk.bases, np.uint64), count)),
                since,
            )
            here, delay = arrays.put(clears), self._slow[name]
            leaving = arrays.put(when + delay)
            clerk.answer(leaving, awards, present & here[:, None], self._drawn)
            group = clerk.clearing.group
            if group and self.groups[group].action.size == math.prod(awards.shape[1:]):
                slots = slice(clerk.clearing.slot, clerk.clearing.slot + 1)
                values = awards.reshape(self.copies, 1, -1)
                late = self.arrays.put(np.array([delay]))
                self._actions[group].submit(arrays.put(when), values, here[:, None], slots, late)

    def _happen(self, before: Ints, is_begun: Any = None) -> None:
        """Events of the world that fall before the end of a step, or on the start of an episode.

        Shapes: before int64 [B], ns: the clock at the end of the step.
        """
        for fault in self._course.events:
            if is_begun is not None:
                here = is_begun & (fault.time_ns <= 0)
            else:
                here = (fault.time_ns <= before) & (fault.time_ns > before - self.dt_ns)
                here &= before < self.horizon * self.dt_ns
            if not here.any():
                continue
            after = self.state
            for target in fault.targets:
                after = self.world.inject(after, fault.event, target, fault.is_on)
            rows = torch.from_numpy(np.flatnonzero(here)).to(self.arrays.device)
            self.state = {
                k: v if v is after[k] else _replaced(v, rows, after[k][rows])
                for k, v in self.state.items()
            }

    def advance(self) -> dict[str, Tensor]:
        """The world goes on by one step, and everybody sees it. Returns its rewards."""
        arrays, actions, present = self.arrays, {}, {}
        for name, group in self._actions.items():
            values, there = group.at(self.now)
            actions[name], present[name] = arrays.tensor(values), arrays.tensor(there)
        if self._course.events:
            self._happen(self._host_now + self.dt_ns)
        self.state, rewards = self.world.advance(self.state, actions, present)
        self.steps += 1
        self._keep_time()
        self.look()
        found: dict[str, Tensor] = rewards
        return found

    def look(self) -> None:
        """What is there to see now, and what has arrived by now."""
        self.obs = self.world.observe(self.state)
        if self._present:
            self._remember()
        for key, topic in self._topics.items():
            since = None
            if self._since and not self._since.keys().isdisjoint(topic.receivers):
                columns = [
                    self._since.get(r, np.zeros(self.copies, dtype=np.int64))
                    for r in topic.receivers
                ]
                since = self.arrays.put(np.stack(columns, 1))
            if topic.parcels:
                topic.deliver(self.now, self._hears[key], since)

    def _remember(self) -> None:
        """What each group saw when it was last due, for those who start between two steps."""
        for name, group in self.groups.items():
            due = self._due(group.every_ns)
            before = self._last_seen.get(name, self.obs[name])
            if due is not False:
                here = torch.from_numpy(np.broadcast_to(due, (self.copies,)).copy())
                here = here.to(self.arrays.device)[:, None, None]
                self._last_seen[name] = torch.where(here, self.obs[name], before)

    # --- going on -------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Everything that changes."""
        return {
            "state": self.state,
            "steps": self.steps,
            "decided": self.decided,
            "drawn": self._drawn,
            "last_seen": self._last_seen,
            "was_started": self._was_started,
            "players": [player.state() for player in self._players],
            "topics": [topic.state() for topic in self._topics.values()],
            "actions": [actions.state() for actions in self._actions.values()],
            "clerks": [clerk.bases for clerk in self._clerks],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot, whose tensors are on the processor."""
        arrays = self.arrays

        def here(name: str) -> Any:
            return brought(snapshot[name], lambda tensor: tensor.to(arrays.device))

        def native(name: str) -> Any:
            return brought(snapshot[name], lambda tensor: arrays.of(tensor.to(arrays.device)))

        def host(name: str) -> Any:
            return brought(snapshot[name], lambda tensor: tensor.numpy())

        self.state, self._last_seen = here("state"), here("last_seen")
        self.decided, self._drawn = native("decided"), native("drawn")
        self.steps, self._was_started = host("steps"), host("was_started")
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
        self._keep_time()
        self.look()


def _replaced(values: Any, rows: Tensor, fresh: Any) -> Any:
    """A tensor of the state with some rows replaced; what is no tensor stays."""
    return values.index_copy(0, rows, fresh) if isinstance(values, torch.Tensor) else values
