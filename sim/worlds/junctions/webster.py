"""What theory says of a signal: Webster's delay and cycle, and the demand that it can serve.

Mean delay at a fixed-time signal with cycle C, effective green g = l C, flow q and saturation flow
s, with x = q / (l s):
    d = C (1 - l)^2 / (2 (1 - l x)) + x^2 / (2 q (1 - x)) - 0.65 (C / q^2)^(1/3) x^(2 + 5 l)
The first term is exact for even arrivals, the second is that of a queue with random arrivals, the
third a correction that Webster fitted to simulations, 5 to 15 % of the whole.
Shortest delay of a junction, with lost time L in a cycle and Y the sum of its critical q / s:
    C = (1.5 L + 5) / (1 - Y),  g_i = (C - L) y_i / Y
Demand can be served, by whatever signals, while Y < 1 - L / C for some C: within the region that
max-pressure keeps stable (Varaiya).

Sources: Webster, Traffic Signal Settings, Road Research Technical Paper 39, 1958; Varaiya, Max
pressure control of a network of signalized intersections, Transportation Research C 36, 2013;
Transportation Research Board, Highway Capacity Manual, 2010, chapter 18 (lost times).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from sim.worlds.junctions.layout import layout, phases
from sim.worlds.junctions.params import CITY, LENGTH_M, Params
from sim.worlds.vehicles.theory import capacity as capacity_of

SATURATION: Final = capacity_of(CITY, LENGTH_M)[0]
"""Vehicles per second that leave a queue by one lane: the capacity of IDM, 0.527. A queue that
starts comes within 3 % of it, see `tests/laws/test_junctions.py`."""
LOST_S: Final = -0.7
"""Shown less effective green: 2.0 s are lost at the start, and for 2.7 s of amber those go on who
could not stop with 3 m/s2 (the manual has 2 and 2)."""
CYCLE_MAX_S: Final = 120.0
_ROUNDS: Final = 40
"""Of adding up flows along lanes: what has turned so often is next to nothing."""


def uniform(cycle: float, green: float, flow: float, saturation: float = SATURATION) -> float:
    """Delay in s with even arrivals. green: effective, s. flow, saturation: vehicles per s."""
    share = green / cycle
    return cycle * (1 - share) ** 2 / (2 * (1 - min(flow / saturation, share)))


def delay(cycle: float, green: float, flow: float, saturation: float = SATURATION) -> float:
    """Webster's delay in s, below saturation.

    Raises: ValueError at or beyond it.
    """
    share = green / cycle
    x = flow / (share * saturation)
    if x >= 1:
        raise ValueError(f"flow: expected below {share * saturation:g} vehicles/s, found {flow:g}")
    queue = x * x / (2 * flow * (1 - x))
    fitted: float = 0.65 * (cycle / flow**2) ** (1 / 3) * x ** (2 + 5 * share)
    return uniform(cycle, green, flow, saturation) + queue - fitted


def lost(p: Params) -> float:
    """Seconds of a cycle in which nobody can go."""
    return len(phases(p.left > 0)) * (p.amber + p.all_red + LOST_S)


def flows(p: Params) -> list[list[float]]:
    """Vehicles per second on the lanes that lead to each junction, by approach, if all pass."""
    at = layout(p.rows, p.columns, p.box)
    shares = torch.tensor([1 - p.right - p.left, p.right, p.left], dtype=torch.float64)
    come = torch.zeros(at.lanes + 1, dtype=torch.float64)
    for lane in at.entries.tolist():
        come[lane] = (p.north_south, p.east_west)[lane % 2] / 3600
    flow = come
    # What a lane gets is what comes at the edge and the shares of those before it.
    for _ in range(_ROUNDS):
        turned = torch.zeros_like(come)
        for lane in range(at.inner):
            turned.index_add_(0, at.after[lane], flow[lane] * shares)
        flow = come + turned
    return [flow[4 * j : 4 * j + 4].tolist() for j in range(at.junctions)]


def greens(p: Params) -> list[list[float]]:
    """Shown green of each phase of each junction in s, by Webster for the demand.

    The cycle is the same for all, that of the fullest, and at most CYCLE_MAX_S.
    """
    gone, together = lost(p), phases(p.left > 0)
    ratios = [[max(of[k] for k in some) / SATURATION for some in together] for of in flows(p)]
    fullest = max(map(sum, ratios))
    cycle = (1.5 * gone + 5) / (1 - fullest) if fullest < 1 else CYCLE_MAX_S
    cycle = min(max(cycle, gone + len(together) * (p.least_green - LOST_S)), CYCLE_MAX_S)
    return [_split(p, cycle, gone, of) for of in ratios]


def _split(p: Params, cycle: float, gone: float, ratios: Sequence[float]) -> list[float]:
    """Greens in proportion to what is needed, none shorter than the least."""
    least, total = p.least_green - LOST_S, sum(ratios)
    rest = cycle - gone - len(ratios) * least
    shares = [y / total if total else 1 / len(ratios) for y in ratios]
    wanted = [max((cycle - gone) * share - least, 0.0) for share in shares]
    scale = rest / sum(wanted) if sum(wanted) else 0.0
    return [least + scale * extra + LOST_S for extra in wanted]


def capacity(p: Params, shown: Sequence[float]) -> list[float]:
    """Vehicles per hour that a lane of each phase can pass under a fixed plan."""
    cycle = sum(shown) + len(shown) * (p.amber + p.all_red)
    return [3600 * SATURATION * (green - LOST_S) / cycle for green in shown]
