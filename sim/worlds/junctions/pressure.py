"""Max-pressure: each junction shows the phase that takes most from full lanes to empty ones.

The weight of an approach is what waits there less what waits where it goes, by the shares that
turn; the pressure of a phase is the sum over its approaches (all have one saturation flow). It
needs no demand, and keeps any demand stable that some signals could serve, but for what changes of
phase cost. Array API standard: the same for a signal's process and for batches.
Source: Varaiya, Max pressure control of a network of signalized intersections, 2013.
"""

from __future__ import annotations

from typing import Any, Final

from sim.worlds.junctions.layout import LEAVES, phases

MARGIN: Final = 4.0
"""Vehicles by which a phase must be better than the one that is on, since a change takes time."""
Array = Any


def beyond(xp: Any, neighbours: Array, numbers: Array, counts: Array, is_known: Array) -> Array:
    """What waits on the next lane by the side at which one leaves; 0 where nobody says.

    neighbours: numbers by side. numbers, is_known: of n junctions that were heard of. counts: what
    waits there, by approach. Shapes: [..., 4], [..., n], [..., n, 4], bool [..., n] -> [..., 4].
    """
    told = xp.where(is_known[..., None], counts, xp.zeros_like(counts))
    of_side = []
    for side in range(4):
        is_it = xp.astype(numbers == neighbours[..., side, None], told.dtype)
        of_side.append(xp.sum(is_it * told[..., (side + 2) % 4], axis=-1))
    return xp.stack(of_side, axis=-1)


def best_phase(
    xp: Any, counts: Array, after: Array, shares: Array, phase: Array, margin: float = MARGIN
) -> Array:
    """The phase to show.

    counts: what waits by approach. after: as of `beyond`. shares: that go through, right, left.
    phase: 1 at the one that is on. Shapes: [..., 4], [..., 4], [..., 3], [..., P] -> [..., 1].
    """
    weight = []
    for k in range(4):
        ahead = sum(shares[..., m] * after[..., (k + turn) % 4] for m, turn in enumerate(LEAVES))
        weight.append(counts[..., k] - ahead)
    together = phases(phase.shape[-1] > 2)
    sums = [sum(weight[k] for k in some) for some in together]
    pressure = xp.stack(sums, axis=-1) + margin * phase
    return xp.astype(xp.argmax(pressure, axis=-1, keepdims=True), counts.dtype)
