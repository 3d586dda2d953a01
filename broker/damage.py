"""Bytes changed on a link, where no checksum finds it: what the receiver gets instead.

The wrong bytes are a run, as a disturbance of some length leaves it: it begins anywhere, and its
length is geometric.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.rng import uniform_pair
from sim.wire.codec import encode_payload
from sim.wire.corrupt import Corrupt

_PLACES: Final = 3
"""Stage number of the Philox block that says which bytes are wrong."""
_MEAN: Final = 4.0
"""Mean length of a run in bytes, where the message does not end before."""


def damaged(
    rows: NDArray[Any], bodies: NDArray[np.object_], which: NDArray[np.intp]
) -> NDArray[np.object_]:
    """The bodies, with those of `which` rows damaged. rows: of `broker.network.ROW`."""
    bodies = bodies.copy()
    for i in which.tolist():
        key, counter, hop, size = (int(rows[n][i]) for n in ("key", "counter", "hop", "length"))
        place, length = uniform_pair(key, counter, _PLACES, hop)
        first = int(place * size)
        count = 1 + int(math.log(length) / math.log(1 - 1 / _MEAN))
        bodies[i] = encode_payload(Corrupt(size, first, min(count, size - first)))
    return bodies
