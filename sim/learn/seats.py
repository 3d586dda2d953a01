"""The places of one learning side in all copies: what each of its agents has seen, heard and done.

Everything is an array [B, n, ...], so that a role sees and acts for all copies at once, and an
actor decides for all of them in one forward pass. What an agent does is what `agents.policy`'s
`PolicyAgent` would do with the same role in a process: the same mailbox, the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from agents.channels import Channels
from agents.decisions import physical
from agents.faults import describe_failure
from agents.loop import AgentLoop
from agents.policy import decision_key, hear, received, senders_of, speak
from sim.errors import AgentError, SimError
from sim.learn.record import Side
from sim.rng import key_of, philox
from sim.units import NEVER
from sim.wire.messages import FAILED, RUNNING, Act, Done, Start, Work

Array = NDArray[np.float64]
_KEYS_BY_ONE = 8
"""Keys up to which counting them one by one is quicker than as an array."""


class _Instant:
    """The clock that a mailbox looks at; what is due soon is done at once."""

    now_ns = 0

    def call_soon(self, callback: Any, *arguments: Any) -> None:
        callback(*arguments)


class Player:
    """One learning agent of one copy: its mailbox, between the kernel and the arrays of its side.

    It begins anew, with nothing remembered, whenever the kernel starts it.
    """

    def __init__(self, seats: Seats, copy: int, seat: int) -> None:
        self._seats, self._at = seats, (copy, seat)
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
            start.messages_per_second_max,
        )  # fmt: skip
        self._rounds = {r["topic"]: r for r in start.rounds}
        for topic in self._seats.side.role.hears:
            self._channels.subscribe(topic)
            senders = senders_of(topic, start.rounds, roster)
            self._slots[topic] = {name: i for i, name in enumerate(senders)}
        self._seats.renew(*self._at, key_of(start.seed, "policy", start.name, start.episode))

    def take(self, work: Work, until: int, roster: list[str], topics: list[str]) -> None:
        """What the agent gets in a window; it is to decide if an observation is with it."""
        seats, at = self._seats, self._at
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
            hear(channels, topic, slots, seats.values[topic][at], seats.sent[topic][at])
        seats.obs[at] = np.frombuffer(work.observed.values)
        seats.observed[at] = True
        seats.now[at] = work.wake

    def give(self, action: Array, outbox: Mapping[str, Array]) -> None:
        """What the agent does now. Shapes: [action.size], [width] per topic."""
        try:
            if not np.isfinite(action).all():
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


class Seats:
    """Shapes: B copies, n agents of the side, in its order; sent and now are instants in ns.

    observed, due: who has an observation to answer in the present window, and whose network is to
    decide. seen: what each network saw last. decision: in force, in physical units; raw: as decided
    last. first: copies whose networks have not decided since the episode began.
    """

    def __init__(self, side: Side, action_size: int, observation_size: int, copies: int) -> None:
        role, n = side.role, len(side.agents)
        shape = (copies, n)
        self.side = side
        self._action_size = action_size
        self._memory_at_first = np.asarray(role.memory(np, 1), dtype=np.float64)[0]
        self.obs = np.zeros((*shape, observation_size))
        self.now = np.zeros(shape, dtype=np.int64)
        self.values = {h.topic: np.zeros((*shape, h.senders, h.width)) for h in side.layout.heard}
        self.sent = {
            h.topic: np.zeros((*shape, h.senders), dtype=np.int64) for h in side.layout.heard
        }
        self.memory = np.zeros((*shape, len(self._memory_at_first)))
        self.decision = np.zeros((*shape, side.decides.size))
        self.has_decided = np.zeros(shape, dtype=np.bool_)
        self.base = np.zeros(shape, dtype=np.uint64)
        self.count = np.zeros(shape, dtype=np.int64)
        self.observed = np.zeros(shape, dtype=np.bool_)
        self.due = np.zeros(shape, dtype=np.bool_)
        self.seen = np.zeros((*shape, side.layout.size), dtype=np.float32)
        self.raw = np.zeros((*shape, side.decides.size), dtype=np.float32)
        self.log_prob = np.zeros(shape, dtype=np.float32)
        self.first = np.ones(copies, dtype=np.bool_)
        self.fresh = np.ones(shape, dtype=np.bool_)

    def renew(self, copy: int, seat: int, base: int) -> None:
        """An agent begins: it has heard, seen and decided nothing. base: of its decisions' keys."""
        at = copy, seat
        for topic, values in self.values.items():
            values[at] = 0.0
            self.sent[topic][at] = 0
        self.memory[at] = self._memory_at_first
        self.has_decided[at] = self.observed[at] = self.due[at] = False
        self.fresh[at] = True
        self.base[at], self.count[at] = base, 0
        self.seen[at] = 0.0
        self.raw[at] = self.log_prob[at] = 0.0

    def begin_episode(self, copy: int) -> None:
        """A copy starts anew."""
        self.first[copy] = True
        self.observed[copy] = self.due[copy] = False
        self.seen[copy] = 0.0
        self.raw[copy] = self.log_prob[copy] = 0.0

    # --- for all copies at once -----------------------------------------------------------------

    def see(self, copies: Any, is_last: bool = False) -> None:
        """Finds out who is to decide in these copies, and what their networks see. is_last: at the
        end of an episode, where all look once more."""
        self.due[copies] = False
        rows = self._rows(self.observed, copies)
        if rows is None:
            return
        role = self.side.role
        with _blamed(self.side):
            if role.every > 1 and not is_last:
                due = np.asarray(role.is_due(self.obs[rows])) | ~self.has_decided[rows]
                rows = rows[0][due], rows[1][due]
            if len(rows[0]):
                seen = role.see(self.obs[rows], self._inbox(rows), self.memory[rows])
                self.seen[rows] = np.asarray(seen)
                self.due[rows] = True

    def decide(self, copies: Any, raw: Any, log_prob: Any) -> None:
        """Takes the decisions of who was due. Shapes: float32 [B, n, A], [B, n]."""
        rows = self._rows(self.due, copies)
        if rows is None:
            return
        self.raw[rows], self.log_prob[rows] = raw[rows], log_prob[rows]
        with _blamed(self.side):
            self.decision[rows] = physical(self.side.decides, self.raw[rows].astype(np.float64), np)
        self.has_decided[rows] = True

    def act(self, copies: Any, players: Mapping[int, list[Player]]) -> None:
        """Lets who has observed act on the decision in force."""
        rows = self._rows(self.observed, copies)
        if rows is None:
            return
        with _blamed(self.side):
            action, outbox, memory = self.side.role.act(
                self.decision[rows], self.obs[rows], self._inbox(rows), self.memory[rows],
                self._keys(rows),
            )  # fmt: skip
            action = np.ascontiguousarray(action, dtype=np.float64)
            said = {topic: np.asarray(value, np.float64) for topic, value in outbox.items()}
        if action.shape != (len(rows[0]), self._action_size):
            raise AgentError(
                f"the role of {self.side.group!r} gave actions of shape {action.shape}, and not "
                f"{(len(rows[0]), self._action_size)}"
            )
        self.memory[rows] = memory
        self.count[rows] += 1
        for row, (copy, seat) in enumerate(zip(*(part.tolist() for part in rows), strict=True)):
            players[copy][seat].give(action[row], {t: value[row] for t, value in said.items()})
        self.observed[rows] = self.due[rows] = False

    def _rows(self, mask: NDArray[np.bool_], copies: Any) -> tuple[Any, Any] | None:
        """Copy and seat of each place of `mask` in these copies; None if there is none."""
        found, seats = np.nonzero(mask[copies])
        return (np.asarray(copies)[found], seats) if len(found) else None

    def _inbox(self, rows: tuple[Any, Any]) -> dict[str, Any]:
        if not self.values:
            return {}
        now = self.now[rows][:, None]
        return {
            topic: received(values[rows], self.sent[topic][rows], now)
            for topic, values in self.values.items()
        }

    def _keys(self, rows: tuple[Any, Any]) -> NDArray[np.uint64]:
        base, count = self.base[rows], self.count[rows]
        if len(base) <= _KEYS_BY_ONE:
            pairs = zip(base.tolist(), count.tolist(), strict=True)
            return np.array([decision_key(b, c) for b, c in pairs], dtype=np.uint64)
        low, high, _, _ = philox(
            (count & 0xFFFFFFFF).astype(np.uint64), (count >> 32).astype(np.uint64),
            np.uint64(0), np.uint64(0), base,
        )  # fmt: skip
        return np.asarray(high << 32 | low, dtype=np.uint64)


@contextmanager
def _blamed(side: Side) -> Iterator[None]:
    """What a role raises is told with its author's frames."""
    try:
        yield
    except SimError:
        raise
    except Exception as fault:
        text = f"the role of {side.group!r} failed: {describe_failure(fault)}"
        raise AgentError(text) from fault
