"""Wind: from wind speed to power and back, by the constants of a published reference turbine.

Below its rated speed the turbine takes the most that it can from the wind,

    P = eta/2 rho pi R^2 Cp v^3,

above it its rating; below cut-in and above cut-out it stands. Per unit of the rating only the
speeds matter, so that the same curve serves parks of any size. Records give power; the speed that
belongs to it is stirred by turbulence and turned into power again.

Source: Jonkman, Butterfield, Musial and Scott, Definition of a 5-MW Reference Wind Turbine for
Offshore System Development, NREL/TP-500-38060, 2009: R 63 m, Cp 0.482, generator 94.4 %, cut-in 3,
cut-out 25 m/s; density of air 1.225 kg/m3. With a peak Cp up to the rating it is reached at 11.3
instead of 11.4 m/s, as the transition below rated speed is left out.
"""

from __future__ import annotations

import math
from typing import Final

import torch

RADIUS_M: Final = 63.0
POWER_COEFFICIENT: Final = 0.482
GENERATOR: Final = 0.944
AIR_KG_PER_M3: Final = 1.225
RATED_W: Final = 5e6
CUT_IN: Final = 3.0
CUT_OUT: Final = 25.0
"""m/s."""
CUBE: Final = 0.5 * AIR_KG_PER_M3 * math.pi * RADIUS_M**2 * POWER_COEFFICIENT * GENERATOR / RATED_W
"""Share of the rating per (m/s)^3; a product is the same on every machine, a power need not be."""
RATED_SPEED: Final = (1 / CUBE) ** (1 / 3)


def power(speed: torch.Tensor) -> torch.Tensor:
    """Share of the rating. Shapes: [...]. Units: m/s."""
    share = torch.clamp(CUBE * speed * speed * speed, max=1.0)
    return share * ((speed >= CUT_IN) & (speed <= CUT_OUT))


def speed_of(share: torch.Tensor) -> torch.Tensor:
    """The wind speed at which a turbine gives so much: 3 m/s or less for nothing, and the rated
    speed for all. Shapes: [...]."""
    return torch.pow(torch.clamp(share, 0.0, 1.0) / CUBE, 1 / 3)
