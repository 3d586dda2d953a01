"""Auctions under one topic: `hold` one, or answer the `calls` of others.

    auction = sim.Auction(self, "reserve")
    result = await auction.hold("slot-1", "battery-*", format="second_price", closes_in="2s")

    auction = sim.Auction(self, "reserve")
    async for call in auction.calls():
        call.bid(3.2)
        award = await call.award()

Every message passes the network: bids come late or not at all, and the result says whose.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from agents.arguments import span_ns, whole
from agents.auctions import checks, messages
from agents.auctions.calls import Call
from agents.auctions.formats import FORMATS
from agents.auctions.messages import Letter, Plan, Terms, Watch
from agents.auctions.records import Result
from agents.auctions.session import Session
from agents.channels import Message
from sim.errors import AgentError, MalformedFrameError
from sim.ids import did_you_mean
from sim.rng import key_of
from sim.units import SECOND

if TYPE_CHECKING:
    from agents.agent import Agent

CLOCK_PRICES: Final = 20
"""For how many prices of an English clock there is time, if each takes the default `every`."""
CALLS_MAX: Final = 256
"""Auctions of others that are not over, for a bidder, and for a deputy; more are not heard of."""


class Auction:
    """An agent's part in the auctions under a topic: auctioneer, bidder, deputy, or all of them.

    results: of the auctions that this agent has held, also as a deputy.
    topic:   under which all who take part have theirs.
    Raises:  AgentError if the agent uses this topic already.
    """

    def __init__(self, agent: Agent, topic: str = "auction") -> None:
        self._agent = agent
        self._channels = agent._cell.channels
        self._loop = agent._cell.loop
        self.topic = topic
        self.results: list[Result] = []
        self._sessions: dict[str, Session] = {}
        self._calls: dict[str, Call] = {}
        self._fresh: asyncio.Queue[Call] = asyncio.Queue()
        self._watches: dict[str, Watch] = {}
        self._held = 0
        self._channels.claim(topic, self._on_message)

    # --- holding ----------------------------------------------------------------------------------

    async def hold(
        self,
        items: str | Sequence[str],
        bidders: str | Sequence[str] = "*",
        *,
        format: str = "second_price",
        closes_in: float | str = 5.0,
        reserve: float = 0.0,
        units: int = 1,
        start: float | None = None,
        increment: float = 1.0,
        every: float | str | None = None,
        confirm: float | str = 0.0,
        reawards: int = 0,
        settle: float | str | None = None,
        tries: int = 1,
        quorum: int = 0,
        deputies: str | Sequence[str] = (),
        tick: float | None = None,
        grain: float = 1e-3,
    ) -> Result:
        """Calls for bids, closes, clears, awards, and tells everybody how it ended.

        items:     what is sold, by name; parallel and vcg sell several.
        bidders:   names in their order, or a pattern, which leaves oneself out.
        closes_in: until bids are late; it closes earlier if all have answered.
        reserve:   the least price, of each item or unit; of clocks the lowest.
        units:     how many identical ones there are, in uniform_price and pay_as_bid.
        start, increment, every: of a clock: its first price (english: default the reserve, 0 at
                   least), its step, and how long a price is answered at most, which is to be longer
                   than a message there and one back (default, english: a twentieth of
                   `closes_in`; dutch: `closes_in` divided among its prices).
        confirm:   how long a winner has to confirm its award; 0: it need not.
        reawards:  how often the rest is cleared anew without those who did not `confirm`.
        settle:    until who has not acknowledged the outcome is `uninformed`; default `closes_in`.
        tries:     how often what wants an answer is sent, spread over its time.
        quorum:    with fewer bids it is void; up to the number of bidders.
        deputies:  who holds it anew, one after the other, if no outcome is heard in time; names in
                   their order, or a pattern.
        tick:      the smallest amount of money, default 1e-6, of double auctions 1e-3; grain: of
                   quantity in double auctions.

        Raises: AgentError for what cannot be.
        """
        if format not in FORMATS:
            raise AgentError(f"there is no format {format!r}; {did_you_mean(format, FORMATS)}")
        if format == "dutch" and start is None:
            raise AgentError("start: expected the price at which a dutch clock begins, found none")
        own, known = self._agent.name, self._agent.names
        rivals = checks.names("bidders", bidders, own, known)
        line = [own, *checks.names("deputies", deputies, own, known)]
        closes_ns = span_ns("closes_in", closes_in)
        confirm_ns = span_ns("confirm", confirm, 0)
        settle_ns = closes_ns if settle is None else span_ns("settle", settle, 0)
        least = checks.amount("reserve", reserve)
        first = checks.amount("start", 0.0 if start is None else start)
        tick = FORMATS[format].tick if tick is None else tick
        now, reawards = self._loop.now_ns, whole("reawards", reawards, 0, 2**16)
        self._held += 1
        terms = Terms(
            f"{own}:{now}:{self._held}", line, 0, format,
            [items] if isinstance(items, str) else list(items),
            whole("units", units, 1, checks.UNITS_MAX), least,
            max(first, least) if format == "english" else first,
            checks.amount("increment", increment),
            checks.amount("tick", tick, messages.MONEY_MIN),
            checks.amount("grain", grain, messages.MONEY_MIN), now, now + closes_ns,
            now + closes_ns + (reawards + 1) * confirm_ns + settle_ns,
        )  # fmt: skip
        prices = checks.prices_of(terms) if format == "dutch" else CLOCK_PRICES
        plan = Plan(
            rivals,
            max(closes_ns // prices, 1) if every is None else span_ns("every", every),
            confirm_ns,
            settle_ns,
            reawards,
            whole("tries", tries, 1, messages.TRIES_MAX),
            whole("quorum", quorum, 0, len(rivals)),
        )
        checks.check(terms, plan)
        return await self._hold(terms, plan)

    async def _hold(self, terms: Terms, plan: Plan) -> Result:
        start = self._agent._cell.start
        key = key_of(start.seed, "auction", terms.id, start.episode)
        session = Session(terms, plan, self._loop, self._post, key)
        self._sessions[terms.id] = session
        watching = self._loop.create_task(self._announce(session), name=f"deputies of {terms.id}")
        try:
            result = await session.run()
        finally:
            watching.cancel()
            del self._sessions[terms.id]
        self.results.append(result)
        return result

    async def _announce(self, session: Session) -> None:
        """Lets the others in line watch, as often as bidders are called."""
        terms, plan = session.terms, session.plan
        for again in range(plan.tries):
            for other in terms.line:
                if other != terms.auctioneer:
                    session.send(other, Watch(terms, plan), again > 0)
            await asyncio.sleep((terms.closes_ns - terms.began_ns) / plan.tries / SECOND)

    # --- standing in ------------------------------------------------------------------------------

    def _watch(self, sender: str, watch: Watch) -> None:
        """Begins to watch an auction for which this agent is a deputy, or learns of a new term."""
        terms, plan, own = watch.terms, watch.plan, self._agent.name
        is_known = {*plan.bidders, *terms.line} <= set(self._agent.names)
        is_sane = is_known and terms.format in FORMATS and checks.moves(terms)
        if sender != terms.auctioneer or own not in terms.line or not is_sane:
            return
        held = self._sessions.get(terms.id)
        if held is not None and terms.term > held.terms.term:
            held.supersede()
        before = self._watches.get(terms.id)
        was_mine = held is not None or any(result.id == terms.id for result in self.results)
        is_old = before is not None and before.terms.term >= terms.term
        if was_mine or is_old or terms.line.index(own) <= terms.term:
            return
        if before is None and len(self._watches) >= CALLS_MAX:
            return
        self._watches[terms.id] = watch
        if before is None:
            self._loop.create_task(self._stand_in(terms.id), name=f"deputy in {terms.id}")

    async def _stand_in(self, id: str) -> None:
        """Holds an auction anew if its turn comes before an outcome does."""
        while (watch := self._watches.get(id)) is not None:
            terms = watch.terms
            own = terms.line.index(self._agent.name)
            due_ns = terms.ends_ns + (own - terms.term - 1) * terms.span_ns
            if self._loop.now_ns >= due_ns:
                del self._watches[id]
                anew = terms.taken_over(own, self._loop.now_ns)
                told = f"{self.topic}: holds {id} in place of {terms.auctioneer}"
                self._agent.log(told, level="warning")
                await self._hold(anew, watch.plan)
                return
            await asyncio.sleep((due_ns - self._loop.now_ns) / SECOND)

    # --- bidding ----------------------------------------------------------------------------------

    async def calls(self) -> AsyncIterator[Call]:
        """Each call for bids that is still open, as it comes."""
        while True:
            call = await self._fresh.get()
            if call.is_open:
                yield call

    def _called(self, sender: str, terms: Terms) -> None:
        call = self._calls.get(terms.id)
        if call is not None:
            call.receive(sender, messages.Call(terms))
            return
        now = self._loop.now_ns
        self._calls = {i: c for i, c in self._calls.items() if c.lasts_until_ns >= now}
        is_known = terms.format in FORMATS and sender == terms.auctioneer
        if is_known and len(self._calls) < CALLS_MAX:
            call = Call(terms, self._agent.name, self._loop, self._post)
            self._calls[terms.id] = call
            self._fresh.put_nowait(call)

    # --- messages ---------------------------------------------------------------------------------

    def _post(self, to: str, letter: Letter) -> int:
        return self._channels.direct(to, self.topic, msgspec.to_builtins(letter))

    def _on_message(self, message: Message) -> None:
        """Hands a letter to whom it is for; what is none is counted where its sender bids."""
        try:
            letter = messages.read(message.payload)
        except MalformedFrameError:
            letter = None
        sender = message.sender
        if letter is None:
            for session in self._sessions.values():
                session.nonsense(sender)
        elif isinstance(letter, messages.Call):
            self._called(sender, letter.terms)
        elif isinstance(letter, Watch):
            self._watch(sender, letter)
        elif isinstance(letter, messages.Bid | messages.Confirm | messages.Heard):
            if letter.id in self._sessions:
                self._sessions[letter.id].receive(sender, letter)
        else:
            if isinstance(letter, messages.Outcome):
                self._ended(sender, letter)
            if letter.id in self._calls:
                self._calls[letter.id].receive(sender, letter)

    def _ended(self, sender: str, outcome: messages.Outcome) -> None:
        """An outcome ends what a deputy waits for, or holds in vain."""
        watch = self._watches.get(outcome.id)
        if watch is not None and sender == watch.terms.auctioneer:
            del self._watches[outcome.id]
        if outcome.id in self._sessions:
            self._sessions[outcome.id].receive(sender, outcome)
        elif outcome.id not in self._calls:
            self._post(sender, messages.Heard(outcome.id, outcome.term))
