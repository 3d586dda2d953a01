"""The places of agents in all copies: what each of them has seen, heard and done.

Everything is an array [B, n, ...], so that a role sees and acts for all copies at once, an actor
decides for all of them in one forward pass, and a rule that may play a group does so in one call.
What an agent does is what `PolicyAgent` (agents.policy) would do with the same role or policy in a
process: the same mailbox, the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from agents.channels import Channels
from agents.decisions import physical
from agents.faults import describe_failure
from agents.loop import AgentLoop
from agents.policy import decision_key, hear, received, senders_of, speak
from sim.errors import AgentError, SimError
from sim.learn.cast import Party
from sim.learn.record import Side
from sim.rng import key_of, philox
from sim.units import NEVER
from sim.wire.messages import FAILED, RUNNING, Act, Done, Start, Work
from sim.worlds.world import Group

Array = NDArray[np.float64]
Rows: TypeAlias = tuple[Any, Any]
_KEYS_BY_ONE = 8
"""Keys up to which counting them one by one is quicker than as an array."""


class _Instant:
    """The clock that a mailbox looks at; what is due soon is done at once."""

    now_ns = 0

    def call_soon(self, callback: Any, *arguments: Any) -> None:
        callback(*arguments)


class Player:
    """One agent of one copy: its mailbox, between the kernel and the arrays of its places.

    It begins anew, with nothing remembered, whenever the kernel starts it.
    """

    def __init__(self, places: Places, copy: int, seat: int) -> None:
        self._places, self._at = places, (copy, seat)
        self._clock = _Instant()
        self._slots: dict[str, dict[str, int]] = {}
        self._rounds: dict[str, dict[str, Any]] = {}
        self._inbound: list[Any] = []
        self._absorbed = 0
        self._until = 0
        self._act: list[Act] = []
        self._error = ""

    def _begin(self, start: Start, roster: list[str]) -> None:
        self._channels = Channels(
            cast(AgentLoop, self._clock), start.name, roster, start.inbox_max,
            start.messages_per_second_max, start.budget,
        )  # fmt: skip
        self._rounds = {r["topic"]: r for r in start.rounds}
        for topic in self._places.hears:
            self._channels.subscribe(topic)
            senders = senders_of(topic, start.rounds, roster)
            self._slots[topic] = {name: i for i, name in enumerate(senders)}
        self._places.renew(*self._at, key_of(start.seed, "policy", start.name, start.episode))

    def take(self, work: Work, until: int, roster: list[str], topics: list[str]) -> None:
        """What the agent gets in a window; it is to decide if an observation is with it."""
        places, at = self._places, self._at
        self._clock.now_ns, self._until = work.wake, until
        self._act, self._error = [], ""
        if work.start is not None:
            self._begin(work.start, roster)
        channels = self._channels
        self._inbound = channels.unpack(work.rows, work.bodies, topics) if work.rows else []
        self._absorbed = 0
        if work.observed is None:
            return
        if self._inbound:
            self._absorbed = channels.absorb(self._inbound, 0, work.wake)
        for topic, slots in self._slots.items():
            hear(channels, topic, slots, places.values[topic][at], places.sent[topic][at])
        places.obs[at] = np.frombuffer(work.observed.values)
        places.observed[at] = True
        places.now[at] = work.wake

    def give(self, action: Array, is_finite: bool, outbox: Mapping[str, Array]) -> None:
        """What the agent does now. Shapes: [action.size], [width] per topic."""
        try:
            if not is_finite:
                raise AgentError(f"act: every number must be finite, got {action.tolist()}")
            self._act = [Act(self._clock.now_ns, "", action.tobytes())]
            for topic, row in outbox.items():
                speak(self._channels, topic, row, self._rounds.get(topic))
        except AgentError as error:
            self._error = describe_failure(error)

    def done(self, agent: int) -> Done:
        """What it did in the window."""
        channels = self._channels
        if self._absorbed < len(self._inbound):
            channels.absorb(self._inbound, self._absorbed, self._until)
        state = FAILED if self._error else RUNNING
        done = Done(
            agent, NEVER, state, not self._error, sends=channels.sends, acts=self._act,
            subscribes=channels.subscribes, error=self._error,
            failed_at=self._clock.now_ns if self._error else 0,
        )  # fmt: skip
        channels.sends, channels.subscribes = [], []
        return done


class Places(ABC):
    """Agents of one group in all copies, played by one object.

    Shapes: B copies, n agents, in order; sent and now are instants in ns.
    observed: who has an observation to answer in the present window.
    hears:    topic -> senders and width.
    """

    def __init__(
        self,
        group: Group,
        agents: tuple[str, ...],
        hears: Mapping[str, tuple[int, int]],
        player: Any,
        copies: int,
    ) -> None:
        """player: a role or a policy, for its memory and its use of keys."""
        shape = (copies, len(agents))
        self.group, self.agents, self.hears = group, agents, hears
        self._memory_at_first = np.asarray(player.memory(np, 1), dtype=np.float64)[0]
        self._is_random = bool(getattr(player, "is_random", True))
        self.obs = np.zeros((*shape, group.observation.size))
        self.now = np.zeros(shape, dtype=np.int64)
        self.values = {topic: np.zeros((*shape, *size)) for topic, size in hears.items()}
        self.sent = {t: np.zeros((*shape, n), dtype=np.int64) for t, (n, _) in hears.items()}
        self.memory = np.zeros((*shape, len(self._memory_at_first)))
        self.base = np.zeros(shape, dtype=np.uint64)
        self.count = np.zeros(shape, dtype=np.int64)
        self.observed = np.zeros(shape, dtype=np.bool_)

    def renew(self, copy: int, seat: int, base: int) -> None:
        """An agent begins: it has heard, seen and decided nothing. base: of its decisions' keys."""
        at = copy, seat
        for topic, values in self.values.items():
            values[at] = 0.0
            self.sent[topic][at] = 0
        self.memory[at] = self._memory_at_first
        self.observed[at] = False
        self.base[at], self.count[at] = base, 0

    def begin_episode(self, copy: int) -> None:
        """A copy starts anew."""
        self.observed[copy] = False

    @abstractmethod
    def play(self, rows: Rows) -> tuple[Any, Mapping[str, Any], Any]:
        """Action, outbox and memory of the agents of these rows."""

    def act(self, copies: Any, players: Mapping[int, list[Player]]) -> None:
        """Lets who has observed act."""
        rows = self.rows(self.observed, copies)
        if rows is None:
            return
        with blamed(self.group.name):
            action, outbox, memory = self.play(rows)
            action = np.ascontiguousarray(action, dtype=np.float64)
            said = {topic: np.asarray(value, np.float64) for topic, value in outbox.items()}
        expected = (len(rows[0]), self.group.action.size)
        if action.shape != expected:
            raise AgentError(
                f"who plays {self.group.name!r} gave actions of shape {action.shape}, "
                f"not {expected}"
            )
        self.memory[rows] = memory
        self.count[rows] += 1
        is_finite = np.isfinite(action).all(axis=1).tolist()
        for row, (copy, seat) in enumerate(zip(*(part.tolist() for part in rows), strict=True)):
            says = {topic: value[row] for topic, value in said.items()} if said else said
            players[copy][seat].give(action[row], is_finite[row], says)
        self.observed[rows] = False

    def rows(self, mask: NDArray[np.bool_], copies: Any) -> Rows | None:
        """Copy and seat of each place of `mask` in these copies; None if there is none."""
        found, seats = np.nonzero(mask[copies])
        return (np.asarray(copies)[found], seats) if len(found) else None

    def inbox(self, rows: Rows) -> dict[str, Any]:
        """What these agents have heard."""
        if not self.values:
            return {}
        now = self.now[rows][:, None]
        return {
            topic: received(values[rows], self.sent[topic][rows], now)
            for topic, values in self.values.items()
        }

    def keys(self, rows: Rows) -> NDArray[np.uint64]:
        """Of these agents' decisions, as in a process. Shapes: [rows]."""
        base, count = self.base[rows], self.count[rows]
        if not self._is_random:
            return base
        if len(base) <= _KEYS_BY_ONE:
            pairs = zip(base.tolist(), count.tolist(), strict=True)
            return np.array([decision_key(b, c) for b, c in pairs], dtype=np.uint64)
        low, high, _, _ = philox(
            (count & 0xFFFFFFFF).astype(np.uint64), (count >> 32).astype(np.uint64),
            np.uint64(0), np.uint64(0), base,
        )  # fmt: skip
        return np.asarray(high << 32 | low, dtype=np.uint64)


class Crowd(Places):
    """Agents that do not learn, all played by one policy that may play a whole group."""

    def __init__(self, group: Group, party: Party, senders: Mapping[str, int], copies: int) -> None:
        policy = party.policy
        hears = {topic: (senders[topic], width) for topic, width in policy.hears.items()}
        super().__init__(group, party.agents, hears, policy, copies)
        self._policy = policy

    def play(self, rows: Rows) -> tuple[Any, Mapping[str, Any], Any]:
        played: tuple[Any, Mapping[str, Any], Any] = self._policy(
            self.obs[rows], self.inbox(rows), self.memory[rows], self.keys(rows)
        )
        return played


class Seats(Places):
    """The agents of a learning side.

    due: whose network is to decide. seen: what each network saw last. decision: in force, in
    physical units; raw: as decided last. first: copies whose networks have not decided since the
    episode began; fresh: agents whose have not since they began.
    """

    def __init__(self, side: Side, group: Group, senders: Mapping[str, int], copies: int) -> None:
        shape = (copies, len(side.agents))
        hears = {topic: (senders[topic], width) for topic, width in side.role.hears.items()}
        super().__init__(group, side.agents, hears, side.role, copies)
        self.side = side
        self.decision = np.zeros((*shape, side.decides.size))
        self.has_decided = np.zeros(shape, dtype=np.bool_)
        self.due = np.zeros(shape, dtype=np.bool_)
        self.seen = np.zeros((*shape, side.layout.size), dtype=np.float32)
        self.raw = np.zeros((*shape, side.decides.size), dtype=np.float32)
        self.log_prob = np.zeros(shape, dtype=np.float32)
        self.first = np.ones(copies, dtype=np.bool_)
        self.fresh = np.ones(shape, dtype=np.bool_)

    def renew(self, copy: int, seat: int, base: int) -> None:
        super().renew(copy, seat, base)
        at = copy, seat
        self.has_decided[at] = self.due[at] = False
        self.fresh[at] = True
        self.seen[at] = 0.0
        self.raw[at] = self.log_prob[at] = 0.0

    def begin_episode(self, copy: int) -> None:
        super().begin_episode(copy)
        self.first[copy] = True
        self.due[copy] = False
        self.seen[copy] = 0.0
        self.raw[copy] = self.log_prob[copy] = 0.0

    def see(self, copies: Any, is_last: bool = False) -> None:
        """Finds out who is to decide in these copies, and what their networks see. is_last: at the
        end of an episode, where all look once more."""
        self.due[copies] = False
        rows = self.rows(self.observed, copies)
        if rows is None:
            return
        role = self.side.role
        with blamed(self.side.group):
            if role.every > 1 and not is_last:
                due = np.asarray(role.is_due(self.obs[rows])) | ~self.has_decided[rows]
                rows = rows[0][due], rows[1][due]
            if len(rows[0]):
                seen = role.see(self.obs[rows], self.inbox(rows), self.memory[rows])
                self.seen[rows] = np.asarray(seen)
                self.due[rows] = True

    def decide(self, copies: Any, raw: Any, log_prob: Any) -> None:
        """Takes the decisions of who was due. Shapes: float32 [B, n, A], [B, n]."""
        rows = self.rows(self.due, copies)
        if rows is None:
            return
        self.raw[rows], self.log_prob[rows] = raw[rows], log_prob[rows]
        with blamed(self.side.group):
            wide = self.raw[rows].astype(np.float64)
            self.decision[rows] = physical(self.side.decides, wide, np)
        self.has_decided[rows] = True

    def play(self, rows: Rows) -> tuple[Any, Mapping[str, Any], Any]:
        self.due[rows] = False
        return self.side.role.act(
            self.decision[rows], self.obs[rows], self.inbox(rows), self.memory[rows],
            self.keys(rows),
        )  # fmt: skip


@contextmanager
def blamed(group: str) -> Iterator[None]:
    """What a role or a policy raises is told with its author's frames."""
    try:
        yield
    except SimError:
        raise
    except Exception as fault:
        text = f"the role of {group!r} failed: {describe_failure(fault)}"
        raise AgentError(text) from fault
