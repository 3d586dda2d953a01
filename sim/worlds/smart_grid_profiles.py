"""What the smart grid's devices cannot change: demand, sun, wind, tariff, and vehicles' stays.

Base values are the grid record's 15-minute profiles; around them runs a first-order noise by the
minute, with clouds that plants have in common. Day-ahead forecasts are the hourly means with an
error of each hour and device. The tariff has a fixed daily shape and a deviation of each hour, of
which its forecast knows half. All of it follows from (seed, episode) alone and from no action, so
that the bound can be computed from the same numbers (`exogenous`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from sim.worlds.grid_data import GridData
from sim.worlds.noise import normals, row_keys, uniforms
from sim.worlds.smart_grid_devices import CONSUMERS, INVERTERS, Params, Roster
from sim.worlds.smart_grid_spaces import HOURS, QUARTER_MIN

DAY_MIN: Final = 1440
QUARTERS: Final = 96
MILLICENT_PER_EUR: Final = 100_000
KEEP: Final = math.exp(-1 / 15)
"""Of the noise from minute to minute: a correlation time of 15 minutes."""
COMMON_CLOUD: Final = 0.8
"""Part of a plant's cloud noise that all plants share; the own part is 0.6, together 1."""
CROWD: Final = 0.3
"""Noise of the summed background load, relative to that of one load."""
TARIFF: Final = (
    0.89, 0.86, 0.84, 0.80, 0.82, 0.90, 1.06, 1.18, 1.16, 1.02, 0.88, 0.80,
    0.76, 0.75, 0.80, 0.92, 1.06, 1.24, 1.38, 1.42, 1.32, 1.16, 1.04, 0.94,
)  # fmt: skip
"""Daily shape of the tariff, mean 1: a solar dip at noon, the peak at seven in the evening. Its
form is that of German day-ahead prices on summer working days; its numbers are our own."""
ARRIVAL_MIN: Final = (990.0, 1110.0)
"""Vehicles come home between 16:30 and 18:30 and leave between 6:30 and 8:00."""
DEPARTURE_MIN: Final = (390.0, 480.0)
FIRST_NEED: Final = 0.6
"""What a vehicle still needs at the start, as a share of a stay's energy."""

_STAYS: Final = ("arrival", "departure", "stay_kwh")
_NOISE, _NOISE_START, _FORECAST, _PRICE, _STAY, _DAY = range(6)


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """Profiles of the days of a world, on one device.

    Shapes: own_kw, own_kvar [D Q, N]: what each device has or needs by profile, positive; hourly_kw
            [D, H, N] its hourly means; background [D Q, 3, buses]: load kW, generation kW, load
            kvar. D first days, Q = 96 quarters times the days; H = 24 times the days and 23 more.
            is_sun, is_load [N]: whose noise is whose.
    """

    quarters: int
    own_kw: torch.Tensor
    own_kvar: torch.Tensor
    hourly_kw: torch.Tensor
    background: torch.Tensor
    sigma_own: torch.Tensor
    sigma_common: torch.Tensor
    tariff: torch.Tensor


def make_tables(p: Params, roster: Roster, device: str = "cpu") -> Tables:
    """The tables of a world. Raises: ScenarioError for a day without profiles."""
    grid = roster.grid
    own, reactive, hourly, background = [], [], [], []
    for day in p.day_choices or (p.day,):
        index = _instants(grid, day, p.days)
        relative = _relative(grid, index)
        kw = relative[:, roster.profile_p] * roster.rated_kw
        kvar = relative[:, roster.profile_q] * roster.rated_kvar
        is_driven = np.array([role in (*CONSUMERS, *INVERTERS) for role in roster.role])
        own.append(kw * is_driven)
        reactive.append(kvar * is_driven)
        mean = (kw * is_driven).reshape(-1, 4, len(roster.names)).mean(1)
        hourly.append(np.concatenate([mean, mean[: HOURS - 1]]))
        background.append(_background(p, roster, index))
    share = np.array([role in INVERTERS for role in roster.role], dtype=np.float64)
    load = np.array([role in CONSUMERS for role in roster.role], dtype=np.float64)
    tariff = np.tile(TARIFF, p.days + 1)[: HOURS * p.days + HOURS - 1] * p.import_eur_per_kwh

    def tensor(array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)).to(device)

    return Tables(
        quarters=QUARTERS * p.days,
        own_kw=tensor(np.concatenate(own)),
        own_kvar=tensor(np.concatenate(reactive)),
        hourly_kw=tensor(np.stack(hourly)),
        background=tensor(np.concatenate(background)),
        sigma_own=tensor(load * p.load_noise + share * p.cloud_noise * 0.6),
        sigma_common=tensor(share * p.cloud_noise * COMMON_CLOUD),
        tariff=tensor(tariff * MILLICENT_PER_EUR),
    )


def start(
    p: Params, tables: Tables, seeds: Sequence[tuple[int, int]], evs: int, device: str
) -> dict[str, torch.Tensor]:
    """The exogenous part of a state: keys, day, noise, tariffs and forecasts, vehicles' stays.

    Shapes: key, step, day int64 [B]; noise [B, N + 2]; price_mc, price_forecast_mc int64 [B, H];
            forecast_kw [B, H, N]; arrival, departure [B, days, evs] minutes of the day;
            stay_kwh [B, days, evs].
    """
    b = len(seeds)
    n, h = tables.own_kw.shape[1], tables.tariff.shape[0]
    key = row_keys(seeds, "smart_grid", device)
    zero = torch.zeros(b, dtype=torch.int64, device=device)
    choices = len(tables.hourly_kw)
    day = (uniforms(key, zero, 1, _DAY)[:, 0] * choices).to(torch.int64)
    known, unknown = normals(key, zero, 2 * h, _PRICE).reshape(b, 2, h).unbind(1)
    root = math.sqrt(0.5)
    forecast = tables.tariff * (1 + p.price_noise * root * known)
    price = tables.tariff * (1 + p.price_noise * root * (known + unknown))
    least = 1.1 * p.feed_in_eur_per_kwh * MILLICENT_PER_EUR
    error = normals(key, zero, h * n, _FORECAST).reshape(b, h, n)
    hourly = tables.hourly_kw[day] * (1 + p.forecast_noise * error)
    draws = uniforms(key, zero, 3 * p.days * evs, _STAY).reshape(b, 3, p.days, evs)
    low, high = p.ev_kwh
    return {
        "key": key,
        "step": zero,
        "day": day,
        "noise": normals(key, zero, n + 2, _NOISE_START),
        "price_mc": _round(torch.clamp(price, min=least)),
        "price_forecast_mc": _round(torch.clamp(forecast, min=least)),
        "forecast_kw": torch.clamp(hourly, min=0.0),
        "arrival": _between(draws[:, 0], ARRIVAL_MIN),
        "departure": _between(draws[:, 1], DEPARTURE_MIN),
        "stay_kwh": low + (high - low) * draws[:, 2],
    }


def next_noise(key: torch.Tensor, step: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The noise of the minute that begins at `step`, of variance 1."""
    return stirred(noise, normals(key, step, noise.shape[1], _NOISE))


def stirred(noise: torch.Tensor, push: torch.Tensor) -> torch.Tensor:
    """One minute of the first-order noise. Shapes: [B, n] or [n], both alike."""
    return KEEP * noise + math.sqrt(1 - KEEP * KEEP) * push


def at_row(tables: Tables, day: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Row of the tables at a minute. Shapes: int64 [B] -> int64 [B]."""
    return day * tables.quarters + step // QUARTER_MIN % tables.quarters


def own_power(
    tables: Tables, row: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each device has (sun, wind) or needs (demand) now: kW and kvar, positive [B, N]."""
    factor = 1 + tables.sigma_own * noise[:, :-2] + tables.sigma_common * noise[:, -2:-1]
    factor = torch.clamp(factor, min=0.0)
    return tables.own_kw[row] * factor, tables.own_kvar[row] * factor


def background_power(
    p: Params, tables: Tables, row: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Load kW, generation kW and load kvar per bus of what nobody plays. Shapes: [B, buses]."""
    load, sun, kvar = tables.background[row].unbind(1)
    crowd = torch.clamp(1 + CROWD * p.load_noise * noise[:, -1:], min=0.0)
    sky = torch.clamp(1 + COMMON_CLOUD * p.cloud_noise * noise[:, -2:-1], min=0.0)
    return load * crowd, sun * sky, kvar * crowd


def hour_of(p: Params, step: torch.Tensor) -> torch.Tensor:
    """Position of a minute's hour in the hourly tables. Shapes: int64 [B] -> int64 [B]."""
    return step // 60 % (HOURS * p.days)


def stays(
    p: Params, state: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vehicles now: whether connected, minutes left to departure, energy of a stay that begins
    at this very minute (else 0). Shapes: bool, float64, float64 [B, evs].
    """
    step = state["step"]
    day = step // DAY_MIN % p.days
    rows = torch.arange(len(step), device=step.device)
    minute = (step % DAY_MIN).to(torch.float64)[:, None]
    arrival, departure = state["arrival"][rows, day], state["departure"][rows, day]
    tomorrow = state["departure"][rows, (day + 1) % p.days]
    has_come = minute >= arrival
    is_connected = has_come | (minute < departure)
    left = torch.where(has_come, DAY_MIN - minute + tomorrow, departure - minute)
    begins = (minute == arrival) * state["stay_kwh"][rows, day]
    return is_connected, left * is_connected, begins


def exogenous(
    p: Params, roster: Roster, seed: int, episode: int, steps: int
) -> dict[str, NDArray[Any]]:
    """What one run meets, whatever anybody does, minute by minute.

    Shapes: own_kw [steps, N] as `own_power`; import_mc int64 [steps]; is_connected bool,
            stay_kwh [steps, evs]: the energy of a stay that begins then; first_need_kwh [evs].
    Cost:   about 0.05 s per day.
    """
    tables = make_tables(p, roster)
    evs = len(roster.of_role("ev"))
    state = start(p, tables, [(seed, episode)], evs, "cpu")
    minutes = torch.arange(steps)
    state |= {k: state[k].expand(steps, *state[k].shape[1:]) for k in (*_STAYS, "key", "day")}
    state["step"] = minutes
    noise, last = [], state["noise"]
    for push in normals(state["key"], minutes, last.shape[1], _NOISE).unbind():
        last = stirred(last, push)
        noise.append(last)
    is_connected, _, begins = stays(p, state)
    row = at_row(tables, state["day"], minutes)
    return {
        "own_kw": own_power(tables, row, torch.cat(noise))[0].numpy(),
        "import_mc": state["price_mc"][0, hour_of(p, minutes)].numpy(),
        "is_connected": is_connected.numpy(),
        "stay_kwh": begins.numpy(),
        "first_need_kwh": (FIRST_NEED * state["stay_kwh"][0, 0]).numpy(),
    }


def _instants(grid: GridData, day: str, days: int) -> slice:
    first = grid.day(day)
    last = min(first.start + QUARTERS * days, grid.times)
    return slice(last - QUARTERS * days, last)


def _relative(grid: GridData, index: slice) -> NDArray[np.float64]:
    """Relative profiles, with a constant 1 as the last column. Shapes: [Q, profiles + 1]."""
    values = grid.profile_values[index] * grid.profile_scale
    return np.hstack([values, np.ones((len(values), 1))])


def _background(p: Params, roster: Roster, index: slice) -> NDArray[np.float64]:
    """Shapes: [Q, 3, buses]."""
    grid = roster.grid
    load, kvar = grid.power(grid.loads, index)
    sun, _ = grid.power(grid.sgens, index)
    return np.stack(
        [
            p.load_scale * grid.at_buses(grid.loads, load * roster.load_is_free),
            p.pv_scale * grid.at_buses(grid.sgens, sun * roster.sgen_is_free),
            p.load_scale * grid.at_buses(grid.loads, kvar * roster.load_is_free),
        ],
        axis=1,
    )


def _between(draw: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    low, high = bounds
    return torch.floor(low + (high - low) * draw)


def _round(values: torch.Tensor) -> torch.Tensor:
    return torch.round(values).to(torch.int64)
