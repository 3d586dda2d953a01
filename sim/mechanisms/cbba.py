"""Task allocation without an auctioneer: bundles are bid for, and neighbours agree on who won.

Source: Choi, Brunet, How, Consensus-based decentralized auctions for robust task allocation, IEEE
Transactions on Robotics 25 (2009): algorithm 3 is `build`, table 1 is `merge`. Every agent keeps,
for each task, the highest bid it knows of (y) and whose it is (z), and for each agent how new its
news of it is (s). News are numbered by the agent that they are about, so that nobody's clock
counts; what was overtaken by newer news on its way says nothing any more.

A score says what a path of tasks, in the order in which they are done, is worth to an agent. If
what a task adds never grows as other tasks are added (diminishing marginal gain), the result is
free of conflicts after at most tasks x diameter rounds on links without loss, and worth at least
half of the optimum. For other scores a bid is held down to the bids before it in the bundle, which
keeps the convergence: Johnson, Choi, How, Allowing non-submodular score functions in distributed
task allocation (2012).

All numbers are integers; equal bids go by lots that all agents draw from one key. An agent has one
lot for all tasks: with one for each, a bid that is equal to the one before it in the bundle could
be above it by lot, and bids would go round in circles. A state holds lists of changing length and a
score is any function, so this is one agent at a time: no batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from array_api_compat import numpy as xn

from sim.mechanisms.double_auction import lots

NOBODY: Final = -1
Score = Callable[[tuple[int, ...]], int]
"""What a path of tasks is worth, as an integer; nothing for the empty path."""


@dataclass(frozen=True)
class State:
    """What one agent of n believes of m tasks, and has planned.

    bids:    y [m], the highest bid known for each task; 0 if none.
    winners: z [m], whose it is; NOBODY if there is none.
    news:    s [n], the number of the newest news of each agent.
    bundle:  own tasks in the order in which they were taken; path: in that in which they are done.
    """

    bids: tuple[int, ...]
    winners: tuple[int, ...]
    news: tuple[int, ...]
    bundle: tuple[int, ...] = ()
    path: tuple[int, ...] = ()


def begin(agents: int, tasks: int) -> State:
    """Of an agent that knows nothing."""
    return State((0,) * tasks, (NOBODY,) * tasks, (0,) * agents)


def lottery(agents: int, key: int) -> list[int]:
    """A lot for each agent, the same for all who know the key."""
    drawn: list[int] = lots(xn, key, (1, agents), "cpu")[0].tolist()
    return drawn


def build(
    me: int, state: State, score: Score, tickets: Sequence[int], room: int | None = None
) -> State:
    """Adds the task that gains most and that its bid would win, until there is none.

    room: how many tasks an agent takes at most; default all.
    """
    bids, winners = list(state.bids), list(state.winners)
    bundle, path = list(state.bundle), state.path
    least = min((bids[j] for j in bundle), default=None)
    while len(bundle) < (len(bids) if room is None else room):
        best: tuple[int, int, tuple[int, ...]] | None = None
        before = score(path)
        for j in range(len(bids)):
            if j in path:
                continue
            worth, longer = max(
                ((score(p), p) for p in _insertions(path, j)), key=lambda each: each[0]
            )
            gain = worth - before if least is None else min(worth - before, least)
            if gain <= 0 or not _beats(gain, me, bids[j], winners[j], tickets):
                continue
            if best is None or gain > best[0]:
                best = (gain, j, longer)
        if best is None:
            break
        least, j, path = best
        bundle.append(j)
        bids[j], winners[j] = least, me
    return replace(state, bids=tuple(bids), winners=tuple(winners), bundle=tuple(bundle), path=path)


def merge(me: int, state: State, sender: int, theirs: State, tickets: Sequence[int]) -> State:
    """What an agent believes after it has heard another. Of `theirs`, bids, winners, news count."""
    if theirs.news[sender] <= state.news[sender]:
        return state
    bids, winners = list(state.bids), list(state.winners)
    for j, (bid, winner) in enumerate(zip(theirs.bids, theirs.winners, strict=True)):
        is_higher = winner != NOBODY and _beats(bid, winner, bids[j], winners[j], tickets)
        action = _decide(me, sender, winners[j], winner, is_higher, state.news, theirs.news)
        if action == _UPDATE:
            bids[j], winners[j] = bid, winner
        elif action == _RESET:
            bids[j], winners[j] = 0, NOBODY
    news = tuple(map(max, state.news, theirs.news))
    kept = (news[i] if i != me else state.news[me] for i in range(len(news)))
    return _release(me, replace(state, bids=tuple(bids), winners=tuple(winners), news=tuple(kept)))


def forget(me: int, state: State, gone: Collection[int]) -> State:
    """Frees the tasks of agents of whom there are no news any more."""
    is_free = [winner in gone and winner != me for winner in state.winners]
    bids = tuple(0 if free else y for free, y in zip(is_free, state.bids, strict=True))
    winners = tuple(NOBODY if free else z for free, z in zip(is_free, state.winners, strict=True))
    return replace(state, bids=bids, winners=winners)


def tell(me: int, state: State) -> State:
    """The state as it is sent, with the next number of the agent's own news."""
    news = tuple(s + (i == me) for i, s in enumerate(state.news))
    return replace(state, news=news)


_LEAVE, _UPDATE, _RESET = range(3)


def _decide(
    i: int, k: int, mine: int, theirs: int, is_higher: bool, s_i: Sequence[int], s_k: Sequence[int]
) -> int:
    """Table 1: what receiver i does about a task, of which sender k says that `theirs` has won it.

    mine: who i thinks has won it.
    """

    def is_newer(m: int) -> bool:
        return s_k[m] > s_i[m]

    if theirs == k:
        if mine == i:
            return _UPDATE if is_higher else _LEAVE
        if mine in (k, NOBODY):
            return _UPDATE
        return _UPDATE if is_newer(mine) or is_higher else _LEAVE
    if theirs == i:
        if mine == k:
            return _RESET
        return _RESET if mine not in (i, NOBODY) and is_newer(mine) else _LEAVE
    if theirs == NOBODY:
        if mine == k:
            return _UPDATE
        return _UPDATE if mine not in (i, NOBODY) and is_newer(mine) else _LEAVE
    if mine == i:
        return _UPDATE if is_newer(theirs) and is_higher else _LEAVE
    if mine == k:
        return _UPDATE if is_newer(theirs) else _RESET
    if mine in (theirs, NOBODY):
        return _UPDATE if is_newer(theirs) else _LEAVE
    if is_newer(theirs) and (is_newer(mine) or is_higher):
        return _UPDATE
    return _RESET if is_newer(mine) and s_i[theirs] > s_k[theirs] else _LEAVE


def _release(me: int, state: State) -> State:
    """Gives up, from the first task of the bundle that was lost on, all that was built upon it."""
    at = next((at for at, j in enumerate(state.bundle) if state.winners[j] != me), None)
    if at is None:
        return state
    dropped = set(state.bundle[at:])
    own = {j for j in dropped if state.winners[j] == me}
    return replace(
        state,
        bids=tuple(0 if j in own else y for j, y in enumerate(state.bids)),
        winners=tuple(NOBODY if j in own else z for j, z in enumerate(state.winners)),
        bundle=state.bundle[:at],
        path=tuple(j for j in state.path if j not in dropped),
    )


def _insertions(path: tuple[int, ...], j: int) -> list[tuple[int, ...]]:
    return [(*path[:at], j, *path[at:]) for at in range(len(path) + 1)]


def _beats(bid: int, bidder: int, other: int, holder: int, tickets: Sequence[int]) -> bool:
    """Whether a bid for a task is above the one that holds it; equal ones go by lot."""
    if holder in (NOBODY, bidder):
        return bid > other
    return (bid, tickets[bidder]) > (other, tickets[holder])


def discounted_route(
    start: Sequence[float],
    places: Sequence[Sequence[float]],
    rewards: Sequence[float],
    speed: float,
    discount: float,
) -> Score:
    """The score of the paper's section III: rewards of places, less the later they are reached.

    A reward counts discount^t, t the seconds until its place is reached along the path. Its gains
    do not always diminish: a detour costs a later task less if that one is late already.

    Shapes: start [d], places [m, d], rewards [m].
    Units:  metres, metres per second; the score in millionths of a reward, rounded.
    """

    def score(path: tuple[int, ...]) -> int:
        here, seconds, total = start, 0.0, 0.0
        for j in path:
            there = places[j]
            seconds += sum((a - b) ** 2 for a, b in zip(here, there, strict=True)) ** 0.5 / speed
            total += rewards[j] * discount**seconds
            here = there
        return round(1e6 * total)

    return score
