"""The least cost of a microgrid run, by a linear programme with perfect foresight (HiGHS).

It knows every demand and every cloud, has no frequency, no ramps and no trips, and needs to
balance energy only over blocks of time; each of these only lets it do more than any control can.
What the frequency lends is in it: rotation gives up at most what it holds between 50 and 47.5 Hz.
A load missed at low frequency costs as much as one shed, so it is no gain to run slow.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.signal import lfilter

from sim.worlds.microgrid import DARK_HZ, NOMINAL_HZ, Microgrid
from sim.worlds.noise import normals

BLOCKS_MAX: Final = 240
_CHUNK: Final = 65536


def least_cost(world: Microgrid, seed: int, duration_ns: int) -> float:
    """A bound from below on the metric `cost` (EUR) of a run without faults that add demand."""
    steps = max(duration_ns // world.dt_ns, 1)
    demand, sun = _energy(world, seed, steps)
    hours = world.dt_ns / 3.6e12
    edges = np.linspace(0, steps, min(BLOCKS_MAX, steps) + 1).astype(int)
    per_block = np.add.reduceat(demand, edges[:-1]), np.add.reduceat(sun, edges[:-1])
    return _solve(world, *per_block, hours * np.diff(edges))


def _energy(
    world: Microgrid, seed: int, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Demand and available sun energy of each step, in kWh."""
    p = world.params
    state = world.reset([(seed, 0)])
    columns = p.consumers + p.panels
    parts, last = [state["weather"].numpy()], state["weather"].numpy()
    for first in range(0, steps - 1, _CHUNK):
        time = torch.arange(first, min(first + _CHUNK, steps - 1))
        draws = normals(state["key"].expand(len(time)), time, columns, 0).numpy()
        series, _ = lfilter([world.stir], [1, -world.keep], draws, axis=0, zi=world.keep * last)
        parts.append(series)
        last = series[-1:]
    weather = torch.from_numpy(np.concatenate(parts))
    demand, sun = world.forcing(
        {
            "weather": weather,
            "step": torch.arange(steps),
            "load_step": torch.zeros(steps, p.consumers, dtype=torch.float64),
        }
    )
    hours = world.dt_ns / 3.6e12
    return demand.sum(1).numpy() * hours, sun.sum(1).numpy() * hours


def _solve(
    world: Microgrid,
    demand: NDArray[np.float64],
    sun: NDArray[np.float64],
    hours: NDArray[np.float64],
) -> float:
    """Columns per block: fuel, sun, discharge, charge, unserved, relief, lent by rotation."""
    p, n = world.params, len(demand)
    inertia = p.inertia_s * p.generator_kw * p.generators + world.load_inertia_kws
    lent = 2 * inertia * (NOMINAL_HZ - DARK_HZ[0]) / NOMINAL_HZ / 3600
    size = np.ones(n)
    fuel, wear = p.fuel_eur_per_kwh, p.throughput_eur_per_kwh
    # Energy taken from storage is bought back at the end, energy added is credited: at fuel cost.
    prices = (fuel, 0, wear + fuel / p.efficiency, wear - fuel * p.efficiency,
              p.lost_load_eur_per_kwh, p.relief_eur_per_kwh, 0)  # fmt: skip
    eye, running = sp.identity(n), sp.csr_matrix(np.tril(np.ones((n, n))))
    none = sp.csr_matrix((n, n))
    balance = sp.hstack([-eye, -eye, -eye, eye, -eye, -eye, -eye])
    out, into = running / p.efficiency, running * p.efficiency
    drawn = sp.hstack([none, none, out, -into, none, none, none])
    low, high = world.stored_kwh
    start = p.charge * p.storage_kwh
    rows = sp.vstack([balance, drawn, -drawn, sp.hstack([none] * 6 + [running])]).tocsr()
    most = (
        world.rated_kw * hours, sun, p.storages * p.storage_kw * hours,
        p.storages * p.storage_kw * hours, demand, p.relief * demand, lent * size,
    )  # fmt: skip
    room = (-demand, p.storages * (start - low) * size, p.storages * (high - start) * size)
    result = linprog(
        np.concatenate([price * size for price in prices]),
        A_ub=rows,
        b_ub=np.concatenate([*room, lent * size]),
        bounds=np.stack([np.zeros(7 * n), np.concatenate(most)], axis=1),
        method="highs",
    )
    if result.status != 0:
        raise ArithmeticError(f"the bound has no solution: {result.message}")
    return float(result.fun)
