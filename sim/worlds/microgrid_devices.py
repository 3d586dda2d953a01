"""What stands on the bus of a microgrid: its parameters, and what each device sees and does."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from sim.errors import BoundError
from sim.spaces import Field, Space
from sim.units import SECOND, duration_ns

Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Price = Annotated[float, msgspec.Meta(ge=0, le=1e4)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of the world; the unit ends the name, shares and p.u. have none."""

    generators: Count = 2
    generator_kw: Positive = 100.0
    """Rated power of each."""
    inertia_s: Positive = 4.0
    """H of each generator: seconds of rated power stored in rotation."""
    droop: Annotated[float, msgspec.Meta(ge=0.001, le=1)] = 0.05
    """R of each governor: p.u. frequency for p.u. power."""
    governor_s: Positive = 0.1
    turbine_s: Positive = 0.4
    ramp: Positive = 0.1
    """How fast a reference moves, p.u. of rated power per second."""
    fuel_eur_per_kwh: Price = 0.3
    storages: Count = 2
    storage_kw: Positive = 40.0
    storage_kwh: Positive = 20.0
    storage_droop: Annotated[float, msgspec.Meta(ge=0.001, le=1)] = 0.08
    """The inverter's own: p.u. frequency for p.u. power."""
    storage_lag_s: Positive = 0.05
    efficiency: Annotated[float, msgspec.Meta(ge=0.5, le=1)] = 0.95
    """Of charging, and again of discharging."""
    charge: Share = 0.5
    """State of charge at the start, within 0.1 .. 0.9."""
    throughput_eur_per_kwh: Price = 0.05
    consumers: Count = 5
    consumer_kw: Positive = 30.0
    """Mean demand of each."""
    demand_noise: Share = 0.03
    """Relative standard deviation of each demand."""
    relief: Share = 0.2
    """Part of its demand that a consumer can forgo when asked."""
    relief_eur_per_kwh: Price = 1.0
    lost_load_eur_per_kwh: Price = 10.0
    damping: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    """D of the load: p.u. power, on the rated power of all generators, for p.u. frequency."""
    panels: Count = 2
    panel_kw: Positive = 40.0
    """Peak power of each."""
    cloud_noise: Share = 0.15
    """Standard deviation of the clearness of the sky, whose mean is 0.75."""
    start_hour: Annotated[float, msgspec.Meta(ge=0, le=24)] = 11.0
    """Time of day; the sun shines from 6.5 to 19.5, most at 13."""
    load_step_kw: Positive = 40.0
    """What the event load-step adds to a consumer."""
    restore: str | float = "30s"
    """How long the frequency must be back at 49.9 Hz before one stage is restored."""
    dt: str | float = "100ms"


TTL_NS: Final = {
    "generator": 2**63 - 1,
    "storage": SECOND,
    "consumer": SECOND,
    "panel": 10 * SECOND,
    "controller": 2**63 - 1,
}
"""How long an action holds when its agent falls silent: then the device falls back."""


def duration(name: str, text: str | float) -> int:
    """Nanoseconds of the parameter `name`. Raises: BoundError."""
    try:
        ns = duration_ns(text)
    except ValueError as error:
        raise BoundError(f"world.{name}: {error}") from None
    if not 0 < ns <= 3600 * SECOND or (name == "dt" and ns > SECOND):
        most = "1 s" if name == "dt" else "1 h"
        raise BoundError(f"world.{name}: expected above 0 and at most {most}, found {text!r}")
    return ns


def spaces(p: Params) -> dict[str, tuple[Space, Space]]:
    """Observation and action of each group."""

    def kw(name: str, high: float, low: float = 0.0, text: str = "") -> Field:
        return Field(name, "kW", low, high, help=text)

    g, s = p.generator_kw, p.storage_kw
    high = 4 * p.consumer_kw + p.load_step_kw
    return {
        "generator": (
            Space(
                (
                    kw("power", g),
                    kw("reference", g),
                    kw("schedule", g, text="its reference at the start"),
                    kw("capacity", g, text="0 while tripped"),
                )
            ),
            Space((Field("reference", "kW", 0.0, g, help="moves there at the ramp rate"),)),
        ),
        "storage": (
            Space((kw("power", s, -s, "delivered"), Field("charge", "", 0.0, 1.0))),
            Space((kw("power", s, -s, "delivered, before its own droop"),)),
        ),
        "consumer": (
            Space((kw("demand", high), kw("served", high))),
            Space((Field("relief", "", 0.0, p.relief, help="share of demand forgone"),)),
        ),
        "panel": (
            Space((kw("power", p.panel_kw), kw("available", p.panel_kw))),
            Space((Field("limit", "kW", 0.0, p.panel_kw, default=p.panel_kw),)),
        ),
        "controller": (
            Space(
                (
                    Field("frequency", "Hz", 45.0, 55.0),
                    Field("rocof", "Hz/s", -50.0, 50.0, help="over the last step"),
                    Field("stage", "", 0.0, 6.0, help="stages shed"),
                )
            ),
            Space(()),
        ),
    }
