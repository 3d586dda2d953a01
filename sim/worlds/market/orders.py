"""What participants may say to a venue, read from payloads that anybody may have sent.

Policies say numbers: an order at any price as lots, negative to sell; a quote as bid, its lots, ask
and its lots.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.worlds.market.accounts import Rejected

Lots = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Price = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Levels = Annotated[list[tuple[Price, Lots]], msgspec.Meta(max_length=20)]


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """kind: `limit` rests, `ioc` trades at once or not at all, `market` does at any price.

    tag: names the order to its owner, above 0; an order with the tag of one that rests replaces it.
    """

    side: Literal["buy", "sell"]
    lots: Lots
    price: Price | None = None
    kind: Literal["limit", "market", "ioc"] = "limit"
    tag: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0


class Quote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replaces everything of its sender's that rests by these bids and asks, (price, lots) each.

    number: a quote that was overtaken by a later one, or by a cancellation, does not count.
    """

    bids: Levels = []
    asks: Levels = []
    number: int = 0


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """tag: of one order; 0 takes out all."""

    tag: int = 0
    number: int = 0


class Kill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sender's kill switch: all its orders are taken out, and it trades no more."""


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for the best prices, as they are told to all whenever they change."""


Message = Order | Quote | Cancel | Kill | Look
VERBS: Final[dict[str, type[Message]]] = {
    "order": Order, "quote": Quote, "cancel": Cancel, "kill": Kill, "look": Look,
}  # fmt: skip

NUMBERS: Final[dict[str, tuple[str, ...]]] = {
    "order": ("lots",),
    "quote": ("bid", "bid_lots", "ask", "ask_lots"),
}
"""The messages that may be numbers, with what these are."""


def read(verb: str, payload: Any) -> Message:
    """A message of a verb. Raises: Rejected, saying what was expected."""
    if verb not in VERBS:
        raise Rejected(f"a venue takes {', '.join(VERBS)}, not {verb!r:.40}")
    if isinstance(payload, np.ndarray):
        payload = _from_numbers(verb, payload)
    try:
        message: Message = msgspec.convert({} if payload is None else payload, VERBS[verb])
    except msgspec.ValidationError as error:
        raise Rejected(f"{verb}: {error}") from None
    if isinstance(message, Order) and (message.price is None) != (message.kind == "market"):
        raise Rejected(f"order: a {message.kind} order with price {message.price}")
    return message


def _from_numbers(verb: str, row: NDArray[Any]) -> dict[str, Any]:
    """Raises: Rejected if they are too many or too few, or no numbers."""
    names = NUMBERS.get(verb, ())
    if row.shape != (len(names),) or not np.isfinite(row).all():
        raise Rejected(f"{verb}: expected {' '.join(names) or 'no numbers'}, found {row.shape}")
    values = dict(zip(names, (round(x) for x in row.tolist()), strict=True))
    if verb == "order":
        lots = values["lots"]
        return {"side": "buy" if lots > 0 else "sell", "lots": abs(lots), "kind": "market"}
    sides = {"bids": ("bid", "bid_lots"), "asks": ("ask", "ask_lots")}
    return {
        side: [(values[price], values[lots])] if values[lots] else []
        for side, (price, lots) in sides.items()
    }
