"""The parameters of the medium-voltage world; the unit ends the name, shares have none."""

from __future__ import annotations

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=100)]
Scale = Annotated[float, msgspec.Meta(ge=0, le=100)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Efficiency = Annotated[float, msgspec.Meta(ge=0.3, le=1)]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of the world."""

    grid: str = ""
    """A grid record written by `sim import grid`; empty for the bundled SimBench network."""
    day: str = "2016-02-09"
    """The day of the profiles: windy, and people work."""
    day_choices: tuple[str, ...] = ()
    """If given, each episode draws its day from these instead, by its seed."""
    load_scale: Scale = 1.0
    """Times the loads of the record that no agent plays."""
    external_voltage: Annotated[float, msgspec.Meta(ge=0.8, le=1.2)] = 1.025
    """Of the high-voltage grid, per unit."""

    winds: Count = 6
    """The largest wind parks of the record; what is left of it is background."""
    biomasses: Count = 3
    industrials: Count = 6
    """The largest consumers that are connected to the medium voltage themselves."""
    hydros: Annotated[int, msgspec.Meta(ge=0, le=1)] = 1
    """Pumped hydro, where the record has its river plant, or at the first spare bus."""
    wind_scale: Scale = 1.25
    """Times the parks of the record, 1.7 to 4.9 MW."""
    biomass_scale: Scale = 3.0
    """Times the plants of the record, 0.3 MW each."""
    industrial_scale: Scale = 2.0
    """Times the consumers of the record, 0.2 to 0.5 MW each."""

    biomass_least: Share = 0.4
    """Least power of a plant that runs, as a share of its rating; it always runs."""
    biomass_ramp: Share = 0.1
    """Change of its power per minute, as a share of its rating."""
    biomass_eur_per_kwh: NotNegative = 0.075
    """Fuel."""
    industrial_share: Share = 0.4
    """Part of a consumer's demand whose process can be put off; also by how much it can do more."""
    industrial_hours: Positive = 2.0
    """Hours of that part of its rated demand that may be put off, or done ahead."""
    rebound: Annotated[float, msgspec.Meta(ge=1, le=2)] = 1.05
    """What is made up for each kWh put off: a process that was stopped is warmed up again."""
    delay_eur_per_kwh_h: NotNegative = 0.002
    """One kWh put off, or done ahead, for an hour."""

    head_m: Positive = 120.0
    """Between the reservoirs' floors: the head when both are empty, and both as full as deep."""
    upper_m3: Positive = 45_000.0
    """Volume of the upper reservoir, and of the lower one."""
    depth_m: Positive = 16.0
    """Depth of each when full; walls are upright."""
    upper_start: Share = 0.5
    """How full the upper reservoir is at first; the lower one holds the rest of one filling."""
    inflow_m3_per_s: NotNegative = 0.03
    """Of the river into the upper reservoir. What neither holds spills."""
    turbine_m3_per_s: Positive = 2.2
    """Flow that the turbine can take."""
    pump_kw: Positive = 2_600.0
    """Power that the pump can draw."""
    turbine_efficiency: Efficiency = 0.9
    pump_efficiency: Efficiency = 0.87
    turbine_least: Share = 0.3
    """Least power of the turbine that runs, as a share of what it could at this head."""
    pump_least: Share = 0.7
    """Least power of the pump, as a share of its rating."""
    start_eur: NotNegative = 15.0
    """Cost of each start of turbine or pump."""
    start_min: Annotated[int, msgspec.Meta(ge=0, le=15)] = 3
    """Minutes from standstill to power, and from the one direction to the other."""

    spot_eur_per_kwh: Positive = 0.08
    """Mean price of the day-ahead market."""
    spot_noise: Share = 0.12
    """Relative deviation of its hours from their shape. The day's prices are known."""
    imbalance_share: Share = 0.2
    """What is not as nominated is bought dearer, or sold cheaper, than spot by this share."""
    need_kw: NotNegative = 2_000.0
    """Standard deviation of what the transmission operator needs from here, up or down."""
    need_calm: NotNegative = 0.6
    """In standard deviations: so much of it is dealt with by frequency control, without a call."""
    balancing_eur_per_kwh: NotNegative = 0.12
    """Balancing energy from elsewhere is so much dearer (up) or cheaper (down) than spot."""
    penalty_eur_per_kwh: NotNegative = 0.05
    """Paid by a unit to the operator that called it, for what it did not deliver."""
    end_share: Share = 0.9
    """Water and demand put off count, at the end, at this share of the day's mean price."""
    unserved_eur_per_kwh: NotNegative = 3.0
    """Value of demand that is not supplied."""

    load_noise: Share = 0.05
    """Relative standard deviation of a load from its 15-minute profile."""
    turbulence: Share = 0.06
    """Relative standard deviation of wind speed from its 15-minute mean."""
