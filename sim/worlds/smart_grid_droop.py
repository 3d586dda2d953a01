"""Q(U) droop: what an inverter does for the voltage without being told."""

from __future__ import annotations

from typing import Any, Final

from array_api_compat import array_namespace

DROOP_V: Final = (0.93, 0.97, 1.03, 1.07)
"""Full reactive power below the first and above the last voltage, none between the middle two."""
DROOP_Q: Final = 0.436
"""Reactive power at full droop, of the inverter's rating: a power factor of 0.9."""
DROOP_SPEED: Final = 0.5
"""Part of the way to the droop's value that an inverter goes in a minute; keeps the loop calm."""


def droop_kvar(v_pu: Any, s_kva: Any) -> Any:
    """Q(U): reactive power to feed in; negative, absorbing, at high voltage.

    Source: form and values of VDE-AR-N 4105:2018-11, 5.7.2.4, which applies EN 50549-1; IEEE
            1547-2018 category B is of the same form with 0.92, 0.98, 1.02, 1.08 p.u. and 44 %.
    """
    xp = array_namespace(v_pu)
    low, dead_low, dead_high, high = DROOP_V
    give = xp.clip((dead_low - v_pu) / (dead_low - low), 0.0, 1.0)
    take = xp.clip((v_pu - dead_high) / (high - dead_high), 0.0, 1.0)
    return DROOP_Q * s_kva * (give - take)
