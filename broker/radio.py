"""Which messages a radio link brings across a distance, for all of a window at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from broker.ledger import FADING, RANGE
from broker.numbered import Columns, Numbered
from sim.scenario.radio import NO_RADIO, Radio

Floats = NDArray[np.float64]


def radios() -> Numbered[Radio]:
    """The radios of links; columns: float64 [k] each."""
    return Numbered(NO_RADIO, _columns)


def _columns(known: Sequence[Radio]) -> dict[str, Floats]:
    found: dict[str, list[float]] = {
        "margin": [r.margin_db for r in known],
        "exponent": [r.exponent for r in known],
        "reference": [r.reference_m for r in known],
        "shadowing": [r.shadowing_db for r in known],
        "fading": [r.fading_m for r in known],
        "range": [r.range_m for r in known],
    }
    return {name: np.array(column) for name, column in found.items()}


def unheard(
    parameters: Columns, numbers: NDArray[np.int64], distances: Floats, normals: Floats,
    uniforms: Floats,
) -> NDArray[np.int64]:  # fmt: skip
    """Per message 0 if it is received, else why not: `RANGE` if the mean power is too low or the
    distance too large, `FADING` if it faded. What is no radio, or nowhere (NaN), is received.

    Shapes: numbers, distances (m), normals (of the pair), uniforms (of the message) [n].
    Source: P(received) = Gamma(m, m g_th / g) / Gamma(m), g the mean power, g_th the sensitivity.
    """
    of: dict[str, Any] = {name: column[numbers] for name, column in parameters.items()}
    decades = np.log10(np.maximum(distances, of["reference"]) / of["reference"])
    margin = of["margin"] - 10 * of["exponent"] * decades - of["shadowing"] * normals
    is_low = (margin < 0) | (distances > of["range"])
    m = of["fading"]
    weakness = 10.0 ** (-np.clip(margin, -300.0, 300.0) / 10)
    heard = np.where(m > 0, gammaincc(np.maximum(m, 0.5), m * weakness), margin >= 0)
    is_lost = (uniforms >= heard) | (distances > of["range"])
    is_radio = (numbers > 0) & ~np.isnan(distances)
    return np.where(is_radio & is_lost, np.where(is_low, RANGE, FADING), 0)
