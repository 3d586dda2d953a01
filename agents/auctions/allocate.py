"""Task allocation without an auctioneer, among the members of a communicator: CBBA in rounds.

    team = sim.Communicator(self, "drone-*", graph=neighbours)
    found = await sim.allocate(team, score, tasks=12, rounds=40, timeout="4s")
    for task in found.path: ...

The rules are those of `sim.mechanisms.cbba`. In each round a member tells its neighbours what it
believes, and merges what has come from them by the round's end. What is lost is told again in the
next round; what was cut in two agrees again once it is whole, if rounds are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.collectives.call import Call, Part, Sent, ranks
from agents.collectives.communicator import Communicator
from sim.mechanisms import cbba
from sim.mechanisms.cbba import NOBODY, Score, State
from sim.rng import key_of


@dataclass(frozen=True)
class Allocation:
    """What a member ends up with.

    path:      its tasks, in the order in which it does them.
    winners:   who does each task, as far as it knows; None where nobody does. bids: by task.
    is_agreed: whether the neighbours that are not missing have last named the same winners.
    missing:   of whom there was no news in the last `patience` rounds, or never any.
    settled:   the last round in which a task changed hands here, from 1; 0 if none did.
    seconds, spent: as of any collective operation.
    """

    path: tuple[int, ...]
    winners: tuple[str | None, ...]
    bids: tuple[int, ...]
    is_agreed: bool
    missing: tuple[str, ...]
    settled: int
    seconds: float
    spent: Sent


async def allocate(
    team: Communicator,
    score: Score,
    tasks: int,
    *,
    rounds: int = 20,
    room: int | None = None,
    patience: int | None = None,
    **options: Any,
) -> Allocation:
    """Who does which of `tasks`, for all members, each with a score of its own.

    score:    what a path of tasks is worth, as an integer; see `sim.mechanisms.cbba`.
    rounds:   of timeout / rounds each. On links without loss tasks x diameter of the graph suffice,
              if a message takes less than a round.
    room:     how many tasks this member takes at most; default all.
    patience: after how many rounds without news of a member its tasks are free again; default
              never. Less than the diameter, and whoever is far counts as gone.
    options:  those of every call, `timeout` and `number`.
    """
    member = _Member(team, score, tasks, rounds, room, patience)
    found = await team.run(member.run, **options)
    winners = tuple(None if z == NOBODY else team.members[z] for z in member.state.winners)
    heard = set(ranks(member.who))
    missing = tuple(n for r, n in enumerate(team.members) if r not in heard)
    return Allocation(
        member.state.path, winners, member.state.bids, member.is_agreed, missing,
        member.settled, found.seconds, found.spent,
    )  # fmt: skip


class _Member:
    """One member's state over the rounds."""

    def __init__(
        self, team: Communicator, score: Score, tasks: int, rounds: int,
        room: int | None, patience: int | None,
    ) -> None:  # fmt: skip
        self.team, self.score, self.tasks = team, score, tasks
        self.rounds, self.room, self.patience = rounds, room, patience
        self.me, self.near = team.rank, team.neighbours[team.rank]
        self.state = cbba.begin(team.size, tasks)
        self.said: dict[int, tuple[int, ...]] = {}
        self.news_in = [0] * team.size
        self.settled = 0

    async def run(self, call: Call) -> Part:
        seed = self.team.seed
        tickets = cbba.lottery(call.size, key_of(seed, "cbba", self.team.tag, call.number))
        seen: set[tuple[int, int]] = set()
        for step in range(self.rounds):
            before = self.state.winners
            self._forget(step)
            state = cbba.build(self.me, self.state, self.score, tickets, self.room)
            self.state = cbba.tell(self.me, state)
            body = [list(self.state.bids), list(self.state.winners), list(self.state.news)]
            for to in self.near:
                call.send(to, step, call.mine(body))
            await call.sleep_until(call.by((step + 1) / self.rounds))
            for at, part in call.heard():
                theirs = None if at in seen else self._read(part.value)
                seen.add(at)
                if theirs is not None:
                    self._merge(step, at[1], theirs, tickets)
            if self.state.winners != before:
                self.settled = step + 1
        return Part(None, self.who)

    def _merge(self, step: int, sender: int, theirs: State, tickets: list[int]) -> None:
        was = self.state.news
        self.state = cbba.merge(self.me, self.state, sender, theirs, tickets)
        for rank, (old, new) in enumerate(zip(was, self.state.news, strict=True)):
            if new > old:
                self.news_in[rank] = step + 1
        if self.state.news[sender] > was[sender]:
            self.said[sender] = theirs.winners

    def _forget(self, step: int) -> None:
        if self.patience is not None:
            gone = {r for r, at in enumerate(self.news_in) if step - at > self.patience}
            self.state = cbba.forget(self.me, self.state, gone - {self.me})

    def _read(self, value: Any) -> State | None:
        """What a neighbour said, if it is a state of so many tasks and members."""
        n, m = self.team.size, self.tasks
        if not isinstance(value, list) or [len(v) for v in value if isinstance(v, list)] != [
            m,
            m,
            n,
        ]:
            return None
        if not all(type(x) is int for part in value for x in part):
            return None
        bids, winners, news = value
        is_sound = all(
            (bid > 0 and 0 <= winner < n) or (bid == 0 and winner == NOBODY)
            for bid, winner in zip(bids, winners, strict=True)
        )
        return State(tuple(bids), tuple(winners), tuple(news)) if is_sound else None

    @property
    def who(self) -> int:
        """Of whom there is news that is new enough, as bits."""
        last = self.rounds if self.patience is None else self.patience
        fresh = (0 < at and self.rounds - at <= last for at in self.news_in)
        return 1 << self.me | sum(1 << rank for rank, is_fresh in enumerate(fresh) if is_fresh)

    @property
    def is_agreed(self) -> bool:
        said = [winners for rank, winners in self.said.items() if self.who >> rank & 1]
        return all(winners == self.state.winners for winners in said) and bool(
            said or not self.near
        )
