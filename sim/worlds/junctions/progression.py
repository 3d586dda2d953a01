"""Offsets of fixed plans: when each junction's cycle begins, so that who had green has it again.

Who passes a line during its green comes to the next line a road later, and waits there until it is
green. Offsets are sought junction by junction, each the one at which the flows over the roads to
and from its neighbours wait least, until none is better: hill climbing, as by TRANSYT, on platoons
that neither spread nor queue.

Source: Robertson, TRANSYT: a traffic network study tool, Road Research Laboratory LR 253, 1969.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from sim.worlds.junctions.layout import layout, phases
from sim.worlds.junctions.params import CITY, Params
from sim.worlds.junctions.webster import flows

_ROUNDS: Final = 20


def wait(
    arrives: float, length: float, begins: float, green: float, cycle: float, step: float = 1.0
) -> float:
    """Mean wait in s of a platoon so long, of which the first comes at `arrives`."""
    count = max(round(length / step), 1)
    at = [(arrives + i * step - begins) % cycle for i in range(count)]
    return sum(cycle - t for t in at if t >= green) / count


def offsets(p: Params, shown: Sequence[Sequence[float]]) -> list[float]:
    """Of each junction, in whole s from the first. shown: greens in s, as of `webster.greens`."""
    roads, cycle = _roads(p, shown), sum(shown[0]) + len(shown[0]) * (p.amber + p.all_red)
    found = [0.0] * len(shown)
    for _ in range(_ROUNDS):
        before = list(found)
        for j in range(1, len(found)):
            near = [road for road in roads if j in (road.a, road.b)]
            tried = [[*found[:j], float(s), *found[j + 1 :]] for s in range(int(cycle))]
            found = min(tried, key=partial(_waits, near, cycle))
        if found == before:
            break
    return found


class _Road(NamedTuple):
    """From junction a to b: who goes straight on at a comes `comes` after the cycle there begins,
    for `lasts`, and is green at b from `begins` of the cycle there for `green`, all in s."""

    a: int
    b: int
    flow: float
    comes: float
    lasts: float
    begins: float
    green: float


def _roads(p: Params, shown: Sequence[Sequence[float]]) -> list[_Road]:
    at, together, flow = layout(p.rows, p.columns, p.box), phases(p.left > 0), flows(p)
    travel = (p.road + p.box) / CITY.speed

    def window(junction: int, approach: int) -> tuple[float, float]:
        i = next(i for i, some in enumerate(together) if approach in some)
        return sum(shown[junction][:i]) + i * (p.amber + p.all_red), shown[junction][i]

    found = []
    for lane in range(at.inner):
        onto = int(at.after[lane, 0])
        if onto < at.inner:
            (a, k), b = divmod(lane, 4), onto // 4
            (begins, lasts), (there, green) = window(a, k), window(b, k)
            found.append(_Road(a, b, flow[a][k], begins + travel, lasts, there, green))
    return found


def _waits(roads: Sequence[_Road], cycle: float, begun: Sequence[float]) -> float:
    """Mean number of vehicles that wait on some roads, if junctions begin so."""
    return sum(
        road.flow
        * wait(
            begun[road.a] + road.comes, road.lasts, begun[road.b] + road.begins, road.green, cycle
        )
        for road in roads
    )
