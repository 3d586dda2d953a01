"""How an auction ended: for who held it, and for one bidder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.auctions.messages import Share
from agents.collectives.call import Sent


@dataclass(frozen=True)
class Result:
    """How an auction ended for who held it.

    status:     sold; unsold: no bid was good enough; void: too few bid, a clock was cut, or awards
                that hang together were not all confirmed; superseded: a deputy holds it now.
    reason:     why it is not sold, in words.
    shares:     what the winners get, by name: items, quantity, and what each pays in all.
    bids:       those that counted, by name; of a clock, the last price a bidder was in at.
    declined:   who said that it does not bid.
    late:       whose bid came after the close, until this result; missing: of whom nothing came.
    duplicate:  of whom more than one bid came: the first counted. invalid: whose bid was none.
    withdrawn:  who won, and refused or did not confirm in time.
    uninformed: who did not acknowledge the outcome: it may think that the auction is void.
    term:       0 for who called it, then its deputies in their order. seconds: of virtual time.
    spent:      messages by who held it, those sent again among them, and bytes of their payload.
    """

    id: str
    format: str
    items: tuple[str, ...]
    held_by: str
    term: int
    status: str
    shares: Mapping[str, Share]
    bids: Mapping[str, Any]
    declined: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    duplicate: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    uninformed: tuple[str, ...] = ()
    seconds: float = 0.0
    spent: Sent = field(default_factory=Sent)
    reason: str = ""

    @property
    def winners(self) -> tuple[str, ...]:
        return tuple(self.shares)

    @property
    def revenue(self) -> float:
        """What is paid in all; of a double auction, what stays with the auctioneer."""
        return sum(share.pays for share in self.shares.values())


@dataclass(frozen=True)
class Award:
    """How an auction ended for one bidder.

    status:   won, lost, or void: there was no sale, or no outcome came in time.
    items, quantity, pays: what it gets, and pays in all (is paid, if below 0).
    winners:  who won, as far as it was told. term: whose outcome it is.
    """

    status: str
    items: tuple[str, ...] = ()
    quantity: float = 0.0
    pays: float = 0.0
    winners: tuple[str, ...] = ()
    term: int = 0

    @property
    def is_won(self) -> bool:
        return self.status == "won"
