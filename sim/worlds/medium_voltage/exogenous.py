"""What no unit can change: wind, demand, the day's prices, and what the transmission system needs.

Base values are the grid record's 15-minute profiles. Around them runs a first-order noise by the
minute, of wind speed (mostly common to all parks) and of demand. Prices are those of the day-ahead
market, so they are known for the day. What the transmission operator is to find in this network, up
or down, is told to it a quarter ahead. All of it follows from (seed, episode) alone, so that the
bound can be computed from the same numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from sim.worlds.medium_voltage import wind
from sim.worlds.medium_voltage.params import Params
from sim.worlds.noise import normals, row_keys, uniforms
from sim.worlds.smart_grid_devices import Roster
from sim.worlds.smart_grid_profiles import MILLICENT_PER_EUR, QUARTERS, TARIFF, stirred
from sim.worlds.smart_grid_spaces import HOURS, QUARTER_MIN

COMMON: Final = 0.8
"""Part of a park's turbulence that all share; its own part is 0.6, together 1."""
NEED_MEMORY: Final = 4
"""Quarters that a need lasts: a moving sum of so many draws."""
LEAST_MC: Final = 100
"""Prices are positive here, so that an imbalance has one dear and one cheap side."""
_NOISE, _FIRST, _PRICE, _NEED, _DAY = range(5)
Tensor = torch.Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """Profiles of the days of a world, on one device.

    Shapes: own [D Q, N]: wind speed (m/s), demand or power by profile (kW); own_kvar [D Q, N];
            background [D Q, 3, buses]: load kW, generation kW, load kvar; shape [HOURS]: prices.
            D first days, Q = 96 quarters.
    """

    own: Tensor
    own_kvar: Tensor
    background: Tensor
    shape: Tensor
    rated_kw: Tensor
    is_wind: Tensor
    is_demand: Tensor


def make_tables(p: Params, roster: Roster, device: str = "cpu") -> Tables:
    """The tables of a world. Raises: ScenarioError for a day without profiles."""
    grid, at = roster.grid, roster.slices
    own, reactive, background = [], [], []
    for day in p.day_choices or (p.day,):
        index = grid.day(day)
        values = grid.profile_values[index] * grid.profile_scale
        relative = np.hstack([values, np.ones((len(values), 1))])
        kw = relative[:, roster.profile_p] * roster.rated_kw
        share = torch.from_numpy(relative[:, roster.profile_p[at["wind"]]].copy())
        kw[:, at["wind"]] = wind.speed_of(share).numpy()
        kw[:, at["hydro"]] = 0.0
        own.append(kw)
        reactive.append(relative[:, roster.profile_q] * roster.rated_kvar)
        background.append(_background(p, roster, index))
    roles = np.array(roster.role)

    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)).to(device)

    return Tables(
        own=tensor(np.concatenate(own)),
        own_kvar=tensor(np.concatenate(reactive)),
        background=tensor(np.concatenate(background)),
        shape=tensor(np.array(TARIFF) * p.spot_eur_per_kwh * MILLICENT_PER_EUR),
        rated_kw=tensor(roster.rated_kw),
        is_wind=tensor(roles == "wind"),
        is_demand=tensor(roles == "industrial"),
    )


def start(
    p: Params, tables: Tables, seeds: Sequence[tuple[int, int]], device: str
) -> dict[str, Tensor]:
    """The exogenous part of a state.

    Shapes: key, step, day int64 [B]; noise [B, N + 2]; spot_mc int64 [B, HOURS]; need_wh int64
            [B, QUARTERS + 1], the last as the first, for the quarter after midnight.
    """
    b, n = len(seeds), tables.own.shape[1]
    key = row_keys(seeds, "medium_voltage", device)
    zero = torch.zeros(b, dtype=torch.int64, device=device)
    days = len(tables.own) // QUARTERS
    spot = tables.shape * (1 + p.spot_noise * normals(key, zero, HOURS, _PRICE))
    draws = normals(key, zero, QUARTERS + NEED_MEMORY, _NEED) / NEED_MEMORY**0.5
    level = sum(draws[:, i : i + QUARTERS] for i in range(1, NEED_MEMORY)) + draws[:, :QUARTERS]
    kw = p.need_kw * torch.sign(level) * torch.clamp(level.abs() - p.need_calm, min=0.0)
    need = torch.round(kw * (1000 * QUARTER_MIN / 60)).to(torch.int64)
    return {
        "key": key,
        "step": zero,
        "day": (uniforms(key, zero, 1, _DAY)[:, 0] * days).to(torch.int64),
        "noise": normals(key, zero, n + 2, _FIRST),
        "spot_mc": torch.round(spot).to(torch.int64).clamp(min=LEAST_MC),
        "need_wh": torch.cat((need, need[:, :1]), 1),
    }


def next_noise(key: Tensor, step: Tensor, noise: Tensor) -> Tensor:
    """The noise of the minute that begins at `step`, of variance 1."""
    return stirred(noise, normals(key, step, noise.shape[1], _NOISE))


def at_row(day: Tensor, step: Tensor) -> Tensor:
    """Row of the tables at a minute. Shapes: int64 [B] -> int64 [B]."""
    return day * QUARTERS + step // QUARTER_MIN % QUARTERS


def own_power(p: Params, tables: Tables, row: Tensor, noise: Tensor) -> Tensor:
    """What each unit has now: wind available, demand, or power by profile, kW >= 0. [B, N]."""
    own, weather = tables.own[row], 0.6 * noise[:, :-2] + COMMON * noise[:, -2:-1]
    blown = wind.power(own * torch.clamp(1 + p.turbulence * weather, min=0.0)) * tables.rated_kw
    varied = own * torch.clamp(1 + p.load_noise * noise[:, :-2], min=0.0)
    demand = torch.where(tables.is_demand > 0, varied, own)
    return torch.where(tables.is_wind > 0, blown, demand)


def background_power(
    p: Params, tables: Tables, row: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Load kW, generation kW and load kvar per bus of what nobody plays. Shapes: [B, buses]."""
    load, made, kvar = tables.background[row].unbind(1)
    crowd = torch.clamp(1 + 0.3 * p.load_noise * noise[:, -1:], min=0.0)
    return load * crowd, made, kvar * crowd


def hour_of(step: Tensor) -> Tensor:
    """The hour of the day. Shapes: int64 [B] -> int64 [B]."""
    return step // 60 % HOURS


def quarter_of(step: Tensor) -> Tensor:
    """The quarter of the day. Shapes: int64 [B] -> int64 [B]."""
    return step // QUARTER_MIN % QUARTERS


def exogenous(p: Params, roster: Roster, seed: int, episode: int, steps: int) -> dict[str, Tensor]:
    """What one run meets, whatever anybody does: own [steps, N] as `own_power`; spot_mc [HOURS]
    and need_wh [QUARTERS + 1] as in the state."""
    tables = make_tables(p, roster)
    state = start(p, tables, [(seed, episode)], "cpu")
    minutes = torch.arange(steps)
    pushes = normals(state["key"].expand(steps), minutes, state["noise"].shape[1], _NOISE)
    noise, last = [], state["noise"]
    for push in pushes.unbind():
        last = stirred(last, push)
        noise.append(last)
    row = at_row(state["day"].expand(steps), minutes)
    return {
        "own": own_power(p, tables, row, torch.cat(noise)),
        "spot_mc": state["spot_mc"][0],
        "need_wh": state["need_wh"][0],
    }


def _background(p: Params, roster: Roster, index: slice) -> NDArray[np.float64]:
    """Shapes: [Q, 3, buses]."""
    grid = roster.grid
    load, kvar = grid.power(grid.loads, index)
    made, _ = grid.power(grid.sgens, index)
    return np.stack(
        [
            p.load_scale * grid.at_buses(grid.loads, load * roster.load_is_free),
            grid.at_buses(grid.sgens, made * roster.sgen_is_free),
            p.load_scale * grid.at_buses(grid.loads, kvar * roster.load_is_free),
        ],
        axis=1,
    )
