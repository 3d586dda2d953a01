"""Choosing a leader: the first member that lives, in the order of the members.

Source: Garcia-Molina, Elections in a distributed computing system (1982), in two rounds: first all
who live say so to those behind them, so that whoever hears nobody before itself leads and says so.
"""

from __future__ import annotations

from typing import Final

from agents.collectives.call import Call, Part

ALIVE: Final = 0
LEADS: Final = 1


async def elect(call: Call) -> Part:
    """n (n - 1) / 2 messages of who lives, and n - 1 of who leads.

    The part's value is the leader's rank, None if nobody said that it leads; its contributors are
    those this member heard of. If messages are lost, two may believe that they lead; then all who
    hear both take the first.
    """
    rank, size = call.rank, call.size
    for to in range(rank + 1, size):
        call.send(to, ALIVE, call.mine(None))
    before = await call.receive_all(range(rank), ALIVE, call.by(0.5)) if rank else {}
    who = 1 << rank
    for other in before.values():
        who |= other.who
    if not before:
        for to in range(size):
            if to != rank:
                call.send(to, LEADS, call.mine(None))
        return Part(rank, who)
    leader = min(before)
    if await call.receive(leader, LEADS) is None:
        said = [at[1] for at, _ in call.heard() if at[0] == LEADS]
        return Part(min(said) if said else None, who)
    return Part(leader, who | 1 << leader)
