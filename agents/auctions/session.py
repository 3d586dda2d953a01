"""One auction, as who holds it lives it: call, collect until the close, clear, award, tell.

Whatever wants an answer is sent again to those who have not given one, `tries` times within its
time. Silence is never waited for beyond it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from agents.auctions.formats import FORMATS, Shares, money, ticks
from agents.auctions.messages import (
    Answer,
    Award,
    Bid,
    Call,
    Confirm,
    Heard,
    Letter,
    Outcome,
    Plan,
    Price,
    Share,
    Terms,
)
from agents.auctions.records import Result
from agents.collectives.call import Sent
from agents.loop import AgentLoop
from sim.units import SECOND, duration_text

Post = Callable[[str, Letter], int]
"""Sends a letter to a name; returns the bytes of its payload."""


class Session:
    """The books of one auction while it is held.

    key: of the lottery among equal bids.
    """

    def __init__(self, terms: Terms, plan: Plan, loop: AgentLoop, post: Post, key: int) -> None:
        self.terms, self.plan, self.loop, self.key = terms, plan, loop, key
        self.format = FORMATS[terms.format]
        self.spent = Sent()
        self.bids: dict[str, Any] = {}
        self.known: Outcome | None = None
        """An outcome of an earlier term, if somebody has heard it."""
        self.is_superseded = False
        self._post = post
        self._step = 0
        self._reason = ""
        self._cut = ""
        self._is_open = True
        self._answers: dict[str, bool] = {}
        self._counted: set[tuple[str, int]] = set()
        self._seen: dict[str, set[str]] = {
            kind: set() for kind in ("declined", "late", "duplicate", "invalid", "withdrawn")
        }
        self._silent: set[str] = set(plan.bidders)
        self._version = 0
        self._pending: dict[str, None] = {}
        self._answered: asyncio.Future[None] | None = None

    # --- what comes -------------------------------------------------------------------------------

    def receive(self, sender: str, letter: Answer) -> None:
        """A letter about this auction."""
        if sender not in self.plan.bidders and sender not in self.terms.line:
            return
        if isinstance(letter, Outcome):
            if letter.term < self.terms.term and self.known is None:
                self.known = letter
                self._give_up_waiting()
        elif letter.term != self.terms.term:
            return
        elif isinstance(letter, Bid):
            self._take(sender, letter)
        elif isinstance(letter, Confirm) and letter.version == self._version:
            if sender in self._pending:
                self._answers[sender] = letter.accepts
                self._settle(sender)
        elif isinstance(letter, Heard) and not self._is_open:
            self._settle(sender)

    def nonsense(self, sender: str) -> None:
        """Something came that is no message at all."""
        if sender in self.plan.bidders:
            self._seen["invalid"].add(sender)

    def supersede(self) -> None:
        """A deputy holds it now."""
        self.is_superseded = True
        self._give_up_waiting()

    def _take(self, sender: str, bid: Bid) -> None:
        if sender not in self.plan.bidders or bid.step > self._step:
            self._seen["invalid"].add(sender)
        elif bid.step < self._step or not self._is_open:
            was_counted = (sender, bid.step) in self._counted
            self._seen["duplicate" if was_counted else "late"].add(sender)
        elif sender in self._answers:
            self._seen["duplicate"].add(sender)
        elif self.format.is_clock and not isinstance(bid.value, bool | None):
            self._seen["invalid"].add(sender)
        else:
            self._count(sender, bid.value)

    def _count(self, sender: str, value: Any) -> None:
        if value is None:
            self._seen["declined"].add(sender)
        elif not self.format.is_clock:
            try:
                self.bids[sender] = self.format.read(value, self.terms)
            except (ValueError, OverflowError):
                self._seen["invalid"].add(sender)
                return
        self._answers[sender] = bool(value)
        self._counted.add((sender, self._step))
        self._silent.discard(sender)
        self._settle(sender)

    def _settle(self, sender: str) -> None:
        self._pending.pop(sender, None)
        if not self._pending:
            self._wake()

    def _give_up_waiting(self) -> None:
        self._pending.clear()
        self._wake()

    def _wake(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def send(self, to: str, letter: Letter, is_again: bool = False) -> None:
        """Sends, and counts what is sent."""
        self.spent.messages += 1
        self.spent.resent += is_again
        self.spent.bytes += self._post(to, letter)

    # --- how it goes ------------------------------------------------------------------------------

    async def run(self) -> Result:
        """Holds the auction; ends by `terms.ends_ns`."""
        await (self._run_clock() if self.format.is_clock else self._run_sealed())
        self._is_open = False
        status, shares = await self._conclude()
        if self.loop.now_ns >= self.terms.ends_ns:
            # It stood still, and bidders have stopped to wait.
            status, shares = self._void("its time was over before it had an outcome")
        uninformed = await self._tell(status, shares)
        return self._result(status, shares, uninformed)

    async def _conclude(self) -> tuple[str, Shares]:
        """What came of it."""
        if self.known is not None:
            if self.known.status != "sold":
                self._reason = f"{self.terms.line[self.known.term]} has held it already"
            return self.known.status, dict(self.known.shares)
        if self.is_superseded:
            return self._void("a deputy holds it now")
        if self._cut:
            return self._void(self._cut)
        if len(self.bids) < self.plan.quorum:
            return self._void(f"{len(self.bids)} bids, for a quorum of {self.plan.quorum}")
        return await self._award()

    def _void(self, reason: str) -> tuple[str, Shares]:
        self._reason = reason
        return "void", {}

    async def _run_sealed(self) -> None:
        await self._ask(dict.fromkeys(self.plan.bidders, Call(self.terms)), self.terms.closes_ns)

    async def _run_clock(self) -> None:
        """Price by price: up until at most one is in, or down until one is. Silence is out.

        A price has all of its time, or is not called: who is silent for want of time is not out.
        """
        terms, is_up = self.terms, self.terms.format == "english"
        start, increment = ticks(terms.start, terms), ticks(terms.increment, terms)
        price, inside = start, list(self.plan.bidders)
        call: Letter = Call(terms)
        while inside:
            until = self.loop.now_ns + self.plan.every_ns
            if until > terms.closes_ns:
                shown = money(price, terms)
                self._cut = f"closes_in cut the clock before {shown:g}, with {len(inside)} in"
                break
            self._answers, self._silent = {}, self._silent | set(inside)
            await self._ask(dict.fromkeys(inside, call), until)
            yes = [name for name in inside if self._answers.get(name)]
            self.bids |= dict.fromkeys(yes, money(price, terms))
            is_over = len(yes) <= 1 if is_up else bool(yes)
            if is_over or self.known is not None or self.is_superseded:
                break
            gone = self._silent | self._seen["declined"]
            inside = yes if is_up else [name for name in inside if name not in gone]
            price += increment if is_up else -increment
            if not is_up and price < ticks(terms.reserve, terms):
                break
            self._step += 1
            call = Price(terms.id, terms.term, self._step, money(price, terms))

    async def _award(self) -> tuple[str, Shares]:
        """Clears, and has the winners confirm; without who does not, it is cleared anew."""
        confirmed: Shares = {}
        shares: Shares = {}
        for _ in range(self.plan.reawards + 1):
            withdrawn = self._seen["withdrawn"]
            counted = [n for n in self.plan.bidders if n in self.bids and n not in withdrawn]
            left = {n: self.bids[n] for n in counted}
            shares = self.format.clear(left, self.terms, self.key) if left else {}
            asked = {n: s for n, s in shares.items() if confirmed.get(n) != s}
            if not self.plan.confirm_ns or not asked:
                break
            self._version += 1
            self._answers = {}
            until = self.loop.now_ns + self.plan.confirm_ns
            await self._ask({n: self._awarding(s, until) for n, s in asked.items()}, until)
            if self.is_superseded:
                return self._void("a deputy holds it now")
            confirmed |= {n: s for n, s in asked.items() if self._answers.get(n)}
            refused = {n for n in asked if not self._answers.get(n)}
            withdrawn |= refused
            if not refused:
                break
        kept = {n: s for n, s in shares.items() if n not in self._seen["withdrawn"]}
        if self.format.is_joint and len(kept) < len(shares):
            return self._void("not all confirmed, and without them the rest does not balance")
        if not kept:
            self._reason = self._why_unsold()
        return ("sold" if kept else "unsold"), kept

    def _why_unsold(self) -> str:
        if self._seen["withdrawn"]:
            return "who won did not confirm"
        if self.bids or not self._silent:
            return "no bid was good enough"
        within = f" within {duration_text(self.plan.every_ns)} of a price"
        silent = f"{len(self._silent)} of {len(self.plan.bidders)} bidders did not answer in time"
        return silent + (within if self.format.is_clock else "")

    def _awarding(self, share: Share, until_ns: int) -> Letter:
        return Award(self.terms.id, self.terms.term, self._version, share, until_ns)

    async def _tell(self, status: str, shares: Mapping[str, Share]) -> set[str]:
        """Tells all bidders and deputies how it ended; returns who did not acknowledge it.

        Who held it before has probably died, and is told without waiting for it.
        """
        if self.is_superseded:
            return set()
        before, after = self.terms.line[: self.terms.term], self.terms.line[self.terms.term + 1 :]
        waited_for = dict.fromkeys([*self.plan.bidders, *after])
        outcome = Outcome(self.terms.id, self.terms.term, status, dict(shares))
        until = min(self.loop.now_ns + self.plan.settle_ns, self.terms.ends_ns)
        for name in before:
            if name not in waited_for:
                self.send(name, outcome)
        await self._ask(dict.fromkeys(waited_for, outcome), until)
        return set(self._pending)

    async def _ask(self, letters: Mapping[str, Letter], until_ns: int) -> None:
        """Sends each its letter, and again if it has not answered, until all have or time is up."""
        self._pending = dict.fromkeys(letters)
        began_ns, tries = self.loop.now_ns, self.plan.tries
        for attempt in range(1, tries + 1):
            for name in list(self._pending):
                self.send(name, letters[name], attempt > 1)
            due_ns = began_ns + (until_ns - began_ns) * attempt // tries
            if self._pending:
                self._answered = self.loop.create_future()
                with suppress(TimeoutError):
                    async with asyncio.timeout((due_ns - self.loop.now_ns) / SECOND):
                        await self._answered
            if not self._pending:
                return

    def _result(self, status: str, shares: Mapping[str, Share], uninformed: set[str]) -> Result:
        bidders, seen = self.plan.bidders, self._seen
        if self.is_superseded:
            status, shares, uninformed = "superseded", {}, set()
            self._reason = "a deputy holds it now"
        late = seen["late"] & self._silent
        missing = self._silent - late - seen["invalid"]

        def named(those: set[str]) -> tuple[str, ...]:
            return (*(n for n in bidders if n in those), *sorted(those - set(bidders)))

        terms = self.terms
        return Result(
            terms.id, terms.format, tuple(terms.items), terms.auctioneer, terms.term, status,
            {n: shares[n] for n in sorted(shares, key=self._place)}, self.bids,
            named(seen["declined"]), named(late), named(missing), named(seen["duplicate"]),
            named(seen["invalid"]), named(seen["withdrawn"]), named(uninformed),
            (self.loop.now_ns - terms.began_ns) / SECOND, self.spent, self._reason,
        )  # fmt: skip

    def _place(self, name: str) -> tuple[bool, int, str]:
        """Bidders in their order; whoever else an earlier outcome may name, after them."""
        known = name in self.plan.bidders
        return not known, self.plan.bidders.index(name) if known else 0, name
