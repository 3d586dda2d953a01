"""One auction, as a bidder lives it: a call comes, it bids or declines, and learns how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from agents.auctions import messages
from agents.auctions.formats import FORMATS, ticks
from agents.auctions.messages import Bid, Confirm, Heard, Letter, Outcome, Price, Share, Terms, Told
from agents.auctions.records import Award
from agents.loop import AgentLoop
from sim.errors import AgentError
from sim.units import SECOND

Accept = Callable[[Award], bool]


class Call:
    """A call for bids.

    Made by `Auction.calls`. If a deputy holds the auction anew, what was said to the first call is
    said again to the deputy.
    """

    def __init__(
        self, terms: Terms, name: str, loop: AgentLoop, post: Callable[[str, Letter], int]
    ) -> None:
        self._terms, self._name, self._loop, self._post = terms, name, loop, post
        self._step, self._price = 0, terms.start
        self._limit: Any = None
        self._has_answered = False
        self._accept: Accept | None = None
        self._accepted: dict[tuple[int, int], bool] = {}
        self._outcome: Outcome | None = None
        self._over: asyncio.Future[None] = loop.create_future()

    @property
    def id(self) -> str:
        return self._terms.id

    @property
    def auctioneer(self) -> str:
        """Who holds it now: who called it, or a deputy."""
        return self._terms.auctioneer

    @property
    def format(self) -> str:
        return self._terms.format

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(self._terms.items)

    @property
    def units(self) -> int:
        return self._terms.units

    @property
    def reserve(self) -> float:
        return self._terms.reserve

    @property
    def price(self) -> float:
        """The last price of a clock that was heard."""
        return self._price

    @property
    def closes(self) -> float:
        """Seconds of virtual time at which it closes, at the latest."""
        return self._terms.closes_ns / SECOND

    @property
    def lasts_until_ns(self) -> int:
        """Until when it may be asked about."""
        return self._terms.void_ns + self._terms.span_ns

    @property
    def is_open(self) -> bool:
        """Whether a bid could still count, as far as is known here."""
        return self._outcome is None and self._loop.now_ns < self._terms.closes_ns

    def bid(self, value: Any, accept: Accept | None = None) -> None:
        """Bids, once: the first answer to a call counts, in every format; another is reported as a
        duplicate, and changes nothing.

        value:  as the format says, see docs/auctions.md; at a clock the last price one would pay,
                by which each price is answered, and which is told to nobody.
        accept: decides on an award that is to be confirmed; default yes.
        Raises: AgentError for a value that is no bid in this format.
        """
        try:
            FORMATS[self.format].read(value, self._terms)
        except ValueError as error:
            raise AgentError(f"a bid in {self.format}: {error}") from None
        self._say(value, accept)

    def decline(self) -> None:
        """Says that one does not bid, so that nobody waits. It is an answer like a bid."""
        self._say(None)

    def _say(self, value: Any, accept: Accept | None = None) -> None:
        if not self._has_answered:
            self._limit, self._accept, self._has_answered = value, accept, True
        self._answer()

    async def award(self) -> Award:
        """How it ended; void if no outcome has come when the last deputy must have finished."""
        while self._outcome is None and (left := self._terms.void_ns - self._loop.now_ns) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left / SECOND):
                    await asyncio.shield(self._over)
        if self._outcome is None:
            return Award("void", term=self._terms.term)
        shares = self._outcome.shares
        winners, term, own = tuple(shares), self._outcome.term, shares.get(self._name)
        if own is None:
            status = "void" if self._outcome.status == "void" else "lost"
            return Award(status, winners=winners, term=term)
        return Award("won", tuple(own.items), own.quantity, own.pays, winners, term)

    # --- what comes -------------------------------------------------------------------------------

    def receive(self, sender: str, letter: Told) -> None:
        """A letter about this auction; only who holds it is believed."""
        if isinstance(letter, messages.Call):
            self._called(sender, letter.terms)
        elif sender != self.auctioneer or letter.term != self._terms.term:
            return
        elif isinstance(letter, Price) and letter.step >= self._step:
            self._step, self._price = letter.step, letter.price
            if self._has_answered:
                self._answer()
        elif isinstance(letter, messages.Award):
            self._confirm(letter)
        elif isinstance(letter, Outcome):
            self._outcome = self._outcome or letter
            self._post(sender, Heard(letter.id, letter.term))
            if not self._over.done():
                self._over.set_result(None)

    def _called(self, sender: str, terms: Terms) -> None:
        """Called again: by the same, who has not heard the answer, or by a deputy."""
        if terms.term < self._terms.term or sender != terms.auctioneer:
            return
        if terms.term > self._terms.term:
            self._terms, self._step, self._price = terms, 0, terms.start
        if self._outcome is not None:
            self._post(sender, self._outcome)
        elif self._has_answered:
            self._answer()

    def _answer(self) -> None:
        value = self._limit
        if value is not None and FORMATS[self.format].is_clock:
            value = ticks(value, self._terms) >= ticks(self._price, self._terms)
        self._post(self.auctioneer, Bid(self.id, self._terms.term, self._step, value))

    def _confirm(self, letter: messages.Award) -> None:
        """Answers an award if there is time, and the same each time it is asked."""
        if self._loop.now_ns <= letter.confirm_by_ns:
            version = letter.term, letter.version
            if version not in self._accepted:
                decide = self._accept
                self._accepted[version] = decide is None or bool(decide(_provisional(letter.share)))
            accepts = self._accepted[version]
            self._post(self.auctioneer, Confirm(letter.id, letter.term, letter.version, accepts))


def _provisional(share: Share) -> Award:
    return Award("won", tuple(share.items), share.quantity, share.pays)
