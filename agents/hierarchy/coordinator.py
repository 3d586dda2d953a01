"""How a group is led: call its members, add up what they say, hand down what is decided above.

    await sim.coordinate(self, tree, "north", period="10s")

Everybody in the group's line does so; the one whom `leadership` finds acts, the others stand by and
hear what it would hear from above. A round: call all members, wait for their answers, aggregate,
answer the call from above with it. A set-point from above is split among the members as soon as it
comes. Rounds of all groups begin at the same instants, and a coordinator that is called while it
asks answers when it has asked, so that a report is at the root within one round.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.arguments import span_ns
from agents.channels import Message
from agents.collectives.leadership import View
from agents.hierarchy.member import CALL, SETPOINT, Follower, Vector, vector, whole
from agents.hierarchy.tree import Tree
from sim.errors import AgentError
from sim.ids import did_you_mean
from sim.units import SECOND

if TYPE_CHECKING:
    from agents.agent import Agent

Reports = Mapping[str, Vector]
"""What the members said last, by member."""


@dataclass(frozen=True)
class Recovery:
    """A group that got set-points again. seconds: without any, from the last of `before`."""

    group: str
    before: str
    after: str
    at: float
    seconds: float


def total(reports: Reports) -> Vector:
    """The sum of all reports."""
    found: Vector = np.sum(list(reports.values()), axis=0)
    return found


def in_proportion(setpoint: Vector, reports: Reports) -> dict[str, Vector]:
    """To each member its share of every number, as its report has of the sum; equal if that is 0.

    A set-point of another length than the reports goes by the first number of each report.
    """
    said = np.array(list(reports.values()))
    if said.shape[1] != len(setpoint):
        said = said[:, :1]
    sums = said.sum(axis=0)
    is_some = sums != 0
    shares = np.where(is_some, said / np.where(is_some, sums, 1.0), 1 / len(said))
    return dict(zip(reports, shares * setpoint, strict=True))


async def coordinate(
    agent: Agent,
    tree: Mapping[str, Any],
    group: str,
    *,
    aggregate: Callable[[Reports], Any] = total,
    disaggregate: Callable[[Vector, Reports], Mapping[str, Any]] = in_proportion,
    setpoint: Callable[[Vector], Any] | None = None,
    period: float | str = "10s",
    wait: float | str | None = None,
    memory: int = 3,
    heartbeat: float | str = "1s",
    patience: int = 3,
    recoveries: list[Recovery] | None = None,
    tag: str = "tree",
) -> None:
    """Stands in the line of a group, and leads it when it is its turn; never returns.

    aggregate:    reports of the members -> one for the group.
    disaggregate: set-point and reports -> one for each member.
    setpoint:     aggregate -> set-point; of the root, which must have it. None: no set-point now.
    period:       of the rounds. wait: for answers; default half the period for the root, and less
                  for the groups below it, by their height.
    memory:       rounds for which the last report of a silent member counts; periods after which
                  members forget whom they followed.
    heartbeat, patience: of `leadership` within the line.
    recoveries:   a list that gets one entry each time that this agent has taken over.
    Raises: AgentError for a tree that is none, a group that is not in it, a line without oneself.
    """
    found = Tree(tree, agent.names)
    if group not in found.groups:
        raise AgentError(f"tree: there is no group {group!r}; {did_you_mean(group, found.groups)}")
    if group == found.root and setpoint is None:
        raise AgentError(f"tree: {group!r} is the root, whose set-point must come from `setpoint`")
    height, period_ns = found.height(group) / found.height(found.root), span_ns("period", period)
    leader = _Coordinator(
        agent=agent, tree=found, group=group, tag=tag,
        aggregate=aggregate, disaggregate=disaggregate, decide=setpoint,
        period_ns=period_ns,
        wait_ns=round(period_ns * height / 2) if wait is None else span_ns("wait", wait),
        memory=memory, heartbeat=heartbeat, patience=patience,
        recoveries=[] if recoveries is None else recoveries,
    )  # fmt: skip
    await leader.run()


@dataclass
class _Report:
    """What a member said last: in which round, led in which term, from where in its line."""

    round: int
    rank: tuple[int, int]
    value: Vector


@dataclass
class _Coordinator:
    """One agent's standing in one line; the fields are the arguments of `coordinate`."""

    agent: Agent
    tree: Tree
    group: str
    tag: str
    aggregate: Callable[[Reports], Any]
    disaggregate: Callable[[Vector, Reports], Mapping[str, Any]]
    decide: Callable[[Vector], Any] | None
    period_ns: int
    wait_ns: int
    memory: int
    heartbeat: float | str
    patience: int
    recoveries: list[Recovery]

    def __post_init__(self) -> None:
        agent, group = self.agent, self.group
        self.members = self.tree.groups[group].members
        self.reports: dict[str, _Report] = {}
        self.number = 0
        self.told_last = (-1, "")
        self.is_new = self.is_asking = self.is_told = self.is_fresh = False
        self.sum: Vector | None = None
        self.woken = asyncio.Event()
        agent._cell.channels.claim(f"{self.tag}-up-{group}", self._on_answer)
        self.above: Follower | None = None
        if group != self.tree.root:
            self.above = Follower(agent, self.tree, group, self.tag, self._on_setpoint)
            self.above.on_call = self._pass_up
        self.view = View(
            agent,
            self.tree.groups[group].line,
            f"{self.tag}-line-{group}",
            span_ns("heartbeat", self.heartbeat),
            self.patience,
            {},
        )

    @property
    def leads(self) -> bool:
        return self.view.leader == self.agent.name

    async def run(self) -> None:
        loop = self.agent._cell.loop
        line = loop.create_task(self._stand_in_line(), name=f"line of {self.group}")
        try:
            while True:
                if not self.leads:
                    await self._wait(None)
                    continue
                await self._ask()
                due = (loop.now_ns // self.period_ns + 1) * self.period_ns
                while self.leads and loop.now_ns < due:
                    if self.is_told:
                        self._hand_down()
                    await self._wait(due)
        finally:
            line.cancel()

    async def _stand_in_line(self) -> None:
        async for _ in self.view.changes():
            self.is_new = True
            self.woken.set()

    async def _wait(self, until_ns: int | None) -> None:
        """Until something happens, or an instant."""
        self.woken.clear()
        left = None if until_ns is None else (until_ns - self.agent.now_ns) / SECOND
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self.woken.wait()

    # --- a round ----------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Calls all members, half way those again who are silent, and waits for them; sends up what
        they say, and down if it is due."""
        was_fresh, self.is_fresh = self.is_fresh, False
        self.number = max(self.number, self.agent.now_ns // self.period_ns) + 1
        self.is_asking = True
        begun = self.agent.now_ns
        for ends in (begun + self.wait_ns // 2, begun + self.wait_ns):
            if not self.leads:
                break  # and the term is another's: a call in it would pass for the new leader's
            for member in self._silent():
                self._send(member, [CALL, self.number])
            while self.agent.now_ns < ends and self._silent():
                await self._wait(ends)
        self.is_asking = False
        if not self.leads:
            return
        reports = self._fitting()
        self.sum = vector(self.aggregate(reports)) if reports else None
        if self.above is None:
            self._hand_down()
            return
        self._pass_up()
        if self.is_new or not (was_fresh or self.is_fresh):
            self._hand_down()  # nothing came from above for a whole round: the last one holds

    def _silent(self) -> list[str]:
        """Members that have not answered in this round."""
        heard = self._heard(0)
        return [member for member in self.members if member not in heard]

    def _heard(self, rounds: int) -> dict[str, Vector]:
        """Reports that are at most so many rounds old, in the order of the members."""
        found = ((member, self.reports.get(member)) for member in self.members)
        return {m: r.value for m, r in found if r and r.round >= self.number - rounds}

    def _fitting(self) -> dict[str, Vector]:
        """What members said within the memory, of the length that most of them have."""
        heard = self._heard(self.memory)
        lengths = Counter(map(len, heard.values())).most_common(1)
        return {member: each for member, each in heard.items() if len(each) == lengths[0][0]}

    def _pass_up(self) -> None:
        if self.above is not None and self.leads and not self.is_asking and self.sum is not None:
            self.above.answer(self.sum, self.view.term)

    def _hand_down(self) -> None:
        """Splits the set-point in force among the members heard of, and sends each its own."""
        self.is_told = False
        found, reports = self._in_force(), self._fitting()
        if found is None or not reports:
            return
        value, issued_ns = found
        for member, each in self.disaggregate(value, reports).items():
            if (own := vector(each)) is None:
                raise AgentError(f"tree: set-point for {member!r}: expected numbers, found {each}")
            self._send(member, [SETPOINT, issued_ns, own])
        if self.is_new:
            self.is_new = False
            self._note_recovery()

    def _in_force(self) -> tuple[Vector, int] | None:
        """The set-point for this group, and when the root decided it."""
        if self.above is None:
            assert self.decide is not None
            given = None if self.sum is None else self.decide(self.sum)
            value = None if given is None else vector(given)
            return None if value is None else (value, self.agent.now_ns)
        last = self.above.setpoint
        return None if last is None else (last.value, last.issued_ns)

    def _send(self, member: str, body: list[Any]) -> None:
        """To all who stand for a member. body: kind, number, and what else there is."""
        kind, *rest = body
        whole_body = [kind, self.view.term, self.memory * self.period_ns, *rest]
        for name in self.tree.standing_for(member):
            self.agent.send(name, f"{self.tag}-down-{member}", whole_body)

    def _note_recovery(self) -> None:
        sent_ns, before = self.told_last
        if sent_ns < 0 or before == self.agent.name:
            return
        now = self.agent.now_ns
        found = Recovery(
            self.group, before, self.agent.name, now / SECOND, (now - sent_ns) / SECOND
        )
        self.recoveries.append(found)
        self.agent.log(
            f"{found.group}: {found.after} leads after {before}, "
            f"{found.seconds:.3f} s without set-points"
        )

    # --- what comes -------------------------------------------------------------------------------

    def _on_setpoint(self) -> None:
        self.is_told = self.is_fresh = True
        self.woken.set()

    def _on_answer(self, message: Message) -> None:
        body = whole(message, 3)
        if body is None or len(body) != 6:
            return
        term, number, told_ns, told_by, member, given = body
        if member not in self.members or (value := vector(given)) is None:
            return
        line = self.tree.standing_for(member)
        if message.sender not in line or not 0 <= number <= self.number:
            return
        rank, last = (term, -line.index(message.sender)), self.reports.get(member)
        if last and rank < last.rank and last.round >= self.number - self.memory:
            return  # from one who is no longer, or not yet, in charge
        self.reports[member] = _Report(number, rank, value)
        if isinstance(told_by, str):
            self.told_last = max(self.told_last, (told_ns, told_by))
        self.woken.set()
