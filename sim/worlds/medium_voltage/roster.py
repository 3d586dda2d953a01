"""Who stands where in the network: the units that agents play, and what is left as background."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import BoundError
from sim.worlds.grid_data import Devices, load_grid, with_external_voltage
from sim.worlds.medium_voltage.bundled import load_bundled
from sim.worlds.medium_voltage.params import Params
from sim.worlds.smart_grid_devices import Roster, feeders_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROLES: Final = ("wind", "biomass", "industrial", "hydro")
"""The roles of units, in the order of every unit axis. `dso` and `tso` follow as groups."""
COUNTS: Final = ("winds", "biomasses", "industrials", "hydros")


def make_roster(p: Params) -> Roster:
    """Places every unit, in the order of `ROLES`. The largest power of hydro is that of its pump.

    Raises: BoundError if there is none, or a role has fewer in the grid's record than asked for;
            ScenarioError for a grid that cannot be read.
    """
    grid = with_external_voltage(load_grid(Path(p.grid)) if p.grid else load_bundled(),
                                 p.external_voltage)  # fmt: skip
    is_free = np.ones(len(grid.loads), dtype=bool), np.ones(len(grid.sgens), dtype=bool)
    of: dict[str, tuple[Devices, Ints, float]] = {
        "wind": (grid.sgens, _largest(p, grid.sgens, "wind", "wind"), p.wind_scale),
        "biomass": (grid.sgens, _largest(p, grid.sgens, "biomass", "biomass"), p.biomass_scale),
        "industrial": (
            grid.loads,
            _largest(p, grid.loads, "industrial", "industry", "commerce", "farm"),
            p.industrial_scale,
        ),
    }
    names: list[str] = []
    roles: list[str] = []
    slices: dict[str, slice] = {}
    parts: list[Floats] = []
    for role in ROLES[:-1]:
        devices, at, scale = of[role]
        is_free[devices is grid.sgens][at] = False
        slices[role] = slice(len(names), len(names) + len(at))
        names += [f"{role}-{i + 1}" for i in range(len(at))]
        roles += [role] * len(at)
        kw, kvar = scale * devices.p_kw[at], scale * devices.q_kvar[at]
        kva = scale * devices.s_kva[at]
        columns = (devices.bus[at], kw, kvar, kva, devices.profile_p[at], devices.profile_q[at])
        parts.append(np.stack(columns, axis=1).astype(np.float64))
    slices["hydro"] = slice(len(names), len(names) + p.hydros)
    if p.hydros:
        rivers = grid.sgens.of_role("hydro")
        bus = int(grid.sgens.bus[rivers[0]]) if len(rivers) else int(grid.branches.to_bus[-1])
        is_free[1][rivers] = False
        names.append("hydro-1")
        roles.append("hydro")
        parts.append(np.array([[bus, p.pump_kw, 0, 1.1 * p.pump_kw, -1, -1]], dtype=np.float64))
    if not names:
        raise BoundError("world: expected at least one unit that an agent plays")
    table = np.concatenate(parts)
    feeders, feeder_of_bus, busbar = feeders_of(grid)
    return Roster(
        grid=grid, names=tuple(names), role=tuple(roles), slices=slices,
        bus=table[:, 0].astype(np.int64), rated_kw=table[:, 1], rated_kvar=table[:, 2],
        s_kva=table[:, 3], profile_p=table[:, 4].astype(np.int64),
        profile_q=table[:, 5].astype(np.int64), load_is_free=is_free[0], sgen_is_free=is_free[1],
        feeders=feeders, feeder_of_bus=feeder_of_bus, busbar=busbar,
    )  # fmt: skip


def _largest(p: Params, devices: Devices, role: str, *kinds: str) -> Ints:
    """As many as the parameters ask for, largest first, ties by position. Raises: BoundError."""
    key = COUNTS[ROLES.index(role)]
    wanted = int(getattr(p, key))
    of = devices.of_role(*kinds)
    if len(of) < wanted:
        raise BoundError(f"world.{key}: the grid has {len(of)} of them, not {wanted}")
    order = sorted(of.tolist(), key=lambda i: (-float(devices.p_kw[i]), i))
    return np.array(order[:wanted], dtype=np.int64)
