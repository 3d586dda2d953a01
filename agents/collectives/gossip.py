"""Averages without a plan: push-sum to random members, and consensus among neighbours.

Sources: Kempe, Dobra, Gehrke, Gossip-based computation of aggregate information (2003); Xiao and
Boyd, Fast linear iterations for distributed averaging (2004).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.collectives.call import Call, Part


async def push_sum(call: Call, part: Part, rounds: int, rng: np.random.Generator) -> Part:
    """Each round half of sum and weight goes to a random member; their ratio is the mean.

    rounds - 1 messages per member; in the last round one only listens. What is lost takes its
    share of sum and weight along: the estimates still agree, on another number.
    """
    total, weight, who = part.value.astype(np.float64), 1.0, part.who
    others = [rank for rank in range(call.size) if rank != call.rank]
    seen: set[tuple[int, int]] = set()
    for step in range(rounds):
        if others and step < rounds - 1:
            total, weight = total / 2, weight / 2
            pair = np.append(total.reshape(-1), weight)
            call.send(int(rng.choice(others)), step, Part(pair, who))
        await call.sleep_until(call.by((step + 1) / rounds))
        for at, heard in call.heard():
            pair = call.fitting(heard, (total.size + 1,))
            if at not in seen and pair is not None:
                total, weight = total + pair[:-1].reshape(total.shape), weight + float(pair[-1])
                who |= heard.who
            seen.add(at)
    return Part(total / weight, who)


async def consensus(
    call: Call,
    part: Part,
    weights: NDArray[np.float64],
    rounds: int,
    on_round: Callable[[int, Any], None] | None,
) -> Part:
    """x_i += sum of w_ij (x_j - x_i) over the neighbours heard in a round.

    A round ends when all neighbours have been heard, or when its share of the time is over; a
    neighbour that was not heard counts for nothing in it.
    """
    value, who = part.value.astype(np.float64), part.who
    near = [j for j in range(call.size) if j != call.rank and weights[call.rank, j] > 0]
    for step in range(rounds):
        for to in near:
            call.send(to, step, Part(value, who))
        heard = await call.receive_all(near, step, call.by((step + 1) / rounds))
        change = np.zeros_like(value)
        for j, other in sorted(heard.items()):
            its = call.fitting(other, value.shape)
            if its is not None:
                change += weights[call.rank, j] * (its - value)
                who |= other.who
        value = value + change
        if on_round is not None:
            on_round(step, value)
    return Part(value, who)
