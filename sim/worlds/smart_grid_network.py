"""The smart grid's network in one minute: power flow of a batch, with lines that may be open."""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import torch

from sim.worlds.grid_data import GridData
from sim.worlds.powerflow import compile_network, flows, solve

V_BAND: Final = (0.9, 1.1)
"""EN 50160: within 10 % of the nominal voltage."""
LOADING_MAX: Final = 100.0


@dataclasses.dataclass(frozen=True)
class Physics:
    """What the network does in a minute.

    Shapes: bus_v [B, buses] (the last ones where not converged), supplied bool [B, buses]; over,
            under [B] buses outside the band; overloaded [B] branches; loading [B, branches]
            percent; losses_kw, residual_pu, unsolved [B]; substation [B, 4]: import kW and kvar,
            loading of the transformer (share), voltage of the busbar.
    """

    bus_v: torch.Tensor
    supplied: torch.Tensor
    over: torch.Tensor
    under: torch.Tensor
    overloaded: torch.Tensor
    loading: torch.Tensor
    losses_kw: torch.Tensor
    residual_pu: torch.Tensor
    unsolved: torch.Tensor
    substation: torch.Tensor


def power_flow(
    grid: GridData,
    busbar: int,
    is_open: torch.Tensor,
    last_v: torch.Tensor,
    p_kw: torch.Tensor,
    q_kvar: torch.Tensor,
) -> Physics:
    """Solves the network; copies with the same open lines are solved together.

    Shapes: is_open bool [B, branches]; last_v, p_kw, q_kvar [B, buses].
    """  # fmt: skip
    if not bool(is_open.any()):
        return _solve(grid, busbar, frozenset(), last_v, p_kw, q_kvar)
    patterns, which = torch.unique(is_open, dim=0, return_inverse=True)
    solved: list[tuple[torch.Tensor, Physics]] = []
    for i, pattern in enumerate(patterns.tolist()):
        rows = torch.nonzero(which == i)[:, 0]
        part = (last_v[rows], p_kw[rows], q_kvar[rows])
        solved.append((rows, _solve(grid, busbar, opened(grid, pattern), *part)))
    order = torch.argsort(torch.cat([rows for rows, _ in solved]))
    fields = [field.name for field in dataclasses.fields(Physics)]
    return Physics(*(torch.cat([getattr(s, name) for _, s in solved])[order] for name in fields))


def opened(grid: GridData, is_open: list[bool]) -> frozenset[str]:
    """The names of the open branches."""
    return frozenset(name for name, off in zip(grid.branches.names, is_open, strict=True) if off)


def supplied_buses(grid: GridData, is_open: torch.Tensor) -> torch.Tensor:
    """Which buses have supply. Shapes: bool [B, branches] -> bool [B, buses]."""
    rows = [compile_network(grid, opened(grid, row)).supplied for row in is_open.tolist()]
    return torch.stack(rows).to(is_open.device)


def transformer(grid: GridData) -> int:
    """The branch whose loading the substation measures: the transformer, or the first branch."""
    return grid.branches.kinds.index("trafo") if "trafo" in grid.branches.kinds else 0


def transformer_kva(grid: GridData) -> float:
    """Rated power of that branch."""
    branch, branches = transformer(grid), grid.branches
    volts = float(grid.vn_kv[branches.to_bus[branch]]) * 1e3
    return math.sqrt(3) * float(branches.rated_to_ka[branch]) * volts


def _solve(
    grid: GridData, busbar: int, off: frozenset[str], last_v: torch.Tensor,
    p_kw: torch.Tensor, q_kvar: torch.Tensor,
) -> Physics:  # fmt: skip
    network = compile_network(grid, off, str(p_kw.device))
    solution = solve(network, p_kw, q_kvar)
    flow = flows(network, solution)
    solved = solution.converged[:, None]
    v = torch.where(solved, solution.v.abs(), last_v)
    counts = network.supplied & solved
    loading = torch.nan_to_num(flow.loading_percent)
    through = loading[:, transformer(grid)] / 100.0
    substation = torch.stack((flow.slack_p_kw, flow.slack_q_kvar, through, v[:, busbar]), 1)
    return Physics(
        bus_v=v,
        supplied=network.supplied.expand_as(v),
        over=((v > V_BAND[1]) & counts).sum(1),
        under=((v < V_BAND[0]) & counts).sum(1),
        overloaded=(loading > LOADING_MAX).sum(1),
        loading=loading,
        losses_kw=torch.nan_to_num(flow.losses_kw),
        residual_pu=torch.nan_to_num(flow.residual_kva) / network.base_kva,
        unsolved=(~solution.converged).to(torch.float64),
        substation=torch.nan_to_num(substation),
    )
