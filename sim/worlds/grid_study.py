"""Which days of a year stress a network that nobody controls.

Loads and generators follow their profiles, storages stand still. Scenarios take their days from
here: the sunniest with little load, the coldest evening with much.
"""

from __future__ import annotations

import dataclasses

import torch

from sim.worlds.grid_data import GridData
from sim.worlds.powerflow import compile_network, flows, solve

CHUNK = 1_024


@dataclasses.dataclass(frozen=True)
class DayStress:
    """The extremes of one uncontrolled day.

    Units: voltages per unit; loadings percent of rating; *_bus_minutes are summed over buses,
           overload_minutes over branches; import and export at the external grid in kW.
    """

    date: str
    v_max: float
    v_min: float
    transformer_percent: float
    line_percent: float
    overvoltage_bus_minutes: float
    undervoltage_bus_minutes: float
    overload_minutes: float
    import_kw: float
    export_kw: float
    unsolved: int


def day_stress(
    grid: GridData,
    load_scale: float = 1.0,
    pv_scale: float = 1.0,
    band: tuple[float, float] = (0.9, 1.1),
) -> list[DayStress]:
    """The extremes of every day the profiles cover, in order of date; `band` bounds the voltage.

    Cost: 2 s for the bundled year on one core.
    """
    per_day, minutes = 86_400 // grid.step_s, grid.step_s / 60
    days_per_chunk = max(CHUNK // per_day, 1)
    dates = grid.days()
    result: list[DayStress] = []
    for first in range(0, len(dates), days_per_chunk):
        chunk = dates[first : first + days_per_chunk]
        index = slice(first * per_day, (first + len(chunk)) * per_day)
        columns = _extremes(grid, index, (load_scale, pv_scale), band)
        daily = columns.reshape(len(chunk), per_day, -1)
        largest, total = daily.amax(1), daily.sum(1)
        for i, date in enumerate(chunk):
            most, sums = largest[i].tolist(), total[i].tolist()
            result.append(
                DayStress(
                    date, most[0], -most[1], most[2], most[3], sums[4] * minutes,
                    sums[5] * minutes, sums[6] * minutes, most[7], most[8], int(sums[9]),
                )
            )  # fmt: skip
    return result


def most_stressful(days: list[DayStress], count: int = 5) -> dict[str, list[DayStress]]:
    """The days with the highest and lowest voltage, the largest import and the largest export."""

    def first(key: str, sign: float) -> list[DayStress]:
        return sorted(days, key=lambda day: (sign * getattr(day, key), day.date))[:count]

    return {
        "overvoltage": first("v_max", -1.0),
        "undervoltage": first("v_min", 1.0),
        "import": first("import_kw", -1.0),
        "export": first("export_kw", -1.0),
    }


def _extremes(
    grid: GridData, index: slice, scales: tuple[float, float], band: tuple[float, float]
) -> torch.Tensor:
    """One row per instant, one column per figure of `DayStress`. Shapes: [times, 10]."""
    network = compile_network(grid)
    p, q = grid.injections(index, *scales)
    solution = solve(network, torch.from_numpy(p), torch.from_numpy(q))
    flow = flows(network, solution)
    voltage = solution.v.abs()
    is_line = torch.tensor([kind == "line" for kind in grid.branches.kinds])
    percent = flow.loading_percent
    none = torch.zeros(len(voltage), 1, dtype=torch.float64)
    figures = (
        voltage.amax(1),
        -voltage.amin(1),
        torch.cat([percent[:, ~is_line], none], 1).amax(1),
        torch.cat([percent[:, is_line], none], 1).amax(1),
        (voltage > band[1]).sum(1),
        (voltage < band[0]).sum(1),
        (percent > 100.0).sum(1),
        flow.slack_p_kw,
        -flow.slack_p_kw,
        ~solution.converged,
    )
    return torch.stack([figure.to(torch.float64) for figure in figures], 1)
