"""What an auction cannot be, told by the name of the argument of `Auction.hold`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agents.auctions import messages
from agents.auctions.formats import FORMATS, ticks
from agents.auctions.messages import Plan, Terms
from sim.errors import AgentError
from sim.ids import did_you_mean, matching
from sim.units import duration_text

ITEMS_MAX: Final = 64
UNITS_MAX: Final = 1024


def names(what: str, given: str | Sequence[str], own: str, known: Sequence[str]) -> list[str]:
    """Agents by name, in their order, or all that match a pattern but oneself.

    Raises: AgentError for who does not exist.
    """
    if isinstance(given, str):
        if not matching(given, known):
            raise AgentError(f"{what}: there is no agent {given!r}; {did_you_mean(given, known)}")
        others = [name for name in matching(given, known) if name != own]
        if not others:
            raise AgentError(f"{what}: {given!r} is nobody but {own!r} itself")
        return others
    for name in given:
        if name not in known:
            raise AgentError(
                f"{what}: there is no agent {name!r}; {did_you_mean(str(name), known)}"
            )
    return list(dict.fromkeys(given))


def amount(what: str, given: Any, low: float = -messages.MONEY_MAX) -> float:
    """Raises: AgentError for what is no number, or beyond the bounds."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not low <= given <= messages.MONEY_MAX:
        raise AgentError(
            f"{what}: expected a number from {low:g} to {messages.MONEY_MAX:g}, found {given!r}"
        )
    return float(given)


def check(terms: Terms, plan: Plan) -> None:
    """Whether the arguments, each sound by itself, go together. Raises: AgentError."""
    takes_many = terms.format in ("parallel", "vcg")
    deputies = terms.line[1:]
    problems = {
        "bidders: expected at least one": not plan.bidders,
        f"items: expected 1 to {ITEMS_MAX} different names": not (
            all(isinstance(item, str) for item in terms.items)
            and 1 <= len(set(terms.items)) == len(terms.items) <= ITEMS_MAX
        ),
        f"items: {terms.format} sells one item; parallel and vcg sell several": (
            len(terms.items) > 1 and not takes_many
        ),
        "units: only uniform_price and pay_as_bid sell several": (
            terms.units > 1 and terms.format not in ("uniform_price", "pay_as_bid")
        ),
        "reawards: without `confirm` nobody can withdraw": (
            plan.reawards > 0 and not plan.confirm_ns
        ),
        f"deputies: {terms.line[0]!r} holds it already; expected other agents": (
            terms.line[0] in deputies
        ),
        f"deputies: expected at most {messages.LINE_MAX - 1}, found {len(deputies)}": (
            len(terms.line) > messages.LINE_MAX
        ),
        "closes_in, confirm, settle: expected to end within two years": (
            terms.ends_ns > messages.TIME_MAX_NS
        ),
    }
    for text, is_wrong in problems.items():
        if is_wrong:
            raise AgentError(text)
    if FORMATS[terms.format].is_clock:
        _check_clock(terms, plan)


def _check_clock(terms: Terms, plan: Plan) -> None:
    """Whether a clock moves, and has the time that its prices may take. Raises: AgentError."""
    if not moves(terms):
        raise AgentError(f"increment: expected at least a tick of {terms.tick:g}")
    if terms.format == "dutch" and terms.start < terms.reserve:
        raise AgentError("start: a dutch clock begins at its reserve or above")
    prices = prices_of(terms)
    needs_ns, has_ns = prices * plan.every_ns, terms.closes_ns - terms.began_ns
    if needs_ns > has_ns:
        raise AgentError(
            f"closes_in: a clock of {prices} price{'s' if prices > 1 else ''}, each for at most "
            f"{duration_text(plan.every_ns)} (`every`), may take {duration_text(needs_ns)}, found "
            f"{duration_text(has_ns)}; fewer prices have a larger `increment`"
        )


def moves(terms: Terms) -> bool:
    """Whether the price of a clock moves."""
    return not FORMATS[terms.format].is_clock or ticks(terms.increment, terms) >= 1


def prices_of(terms: Terms) -> int:
    """How many prices a clock has: of a dutch one from its start to its reserve; an english one
    ends nobody knows where, but has one."""
    if terms.format != "dutch" or not moves(terms):
        return 1
    start, reserve, step = (ticks(x, terms) for x in (terms.start, terms.reserve, terms.increment))
    return max((start - reserve) // step + 1, 1)
