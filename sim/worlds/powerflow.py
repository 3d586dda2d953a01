"""Balanced AC power flow of distribution networks, batched, in float64 on any device.

Networks whose voltages are fixed at external grids only (no voltage-controlled generators) obey

    V = W + Z conj(S / V),      Z = Yll^-1,  W = -Z Yls Vs

over the buses l that are supplied and not an external grid. Iterating this from V = W converges
for loads up to close to the voltage collapse, at a rate near |Z S / V^2| (about one digit per
iteration in low-voltage feeders), with one dense matrix product per iteration and nothing else.

Powers are kW and kvar per bus, positive *into* the network (generation minus consumption); the
voltages are complex and per unit. A branch that is open leaves the buses behind it without supply:
voltage 0, their power not served; `Network.supplied` says which. What does not converge is NaN and
says so. Absent: voltage-controlled buses, unbalanced phases, loads that depend on the voltage.

Source: the Z-bus Gauss method, T.-H. Chen et al., IEEE Trans. Power Delivery 6(3), 1991; when it
        converges: A. Bernstein et al., "Load flow in multiphase distribution networks", IEEE
        Trans. Power Systems 33(6), 2018.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from sim.errors import UnknownKeyError
from sim.worlds.grid_data import Branches, GridData

TOLERANCE = 1e-10
"""Largest change of a voltage in the last iteration, per unit."""
ITERATIONS_MAX = 100

Complex = NDArray[np.complex128]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A grid compiled for one set of open branches.

    Shapes: z_t [l, l] and w [l] over `active` [l], the buses solved for; y_t [n, n]; v_off [n]
            holds the external grids' voltages and 0 elsewhere; slack bool [n], supplied bool [n];
            branch tensors [m]; y_ff to y_tt are 0 for open branches.
    Units:  per unit on base_kva; ka_* convert a current at a branch's end into percent of rating.
    """

    grid: GridData
    open_branches: frozenset[str]
    base_kva: float
    active: torch.Tensor
    supplied: torch.Tensor
    slack: torch.Tensor
    w: torch.Tensor
    z_t: torch.Tensor
    y_t: torch.Tensor
    v_off: torch.Tensor
    from_bus: torch.Tensor
    to_bus: torch.Tensor
    y_ff: torch.Tensor
    y_ft: torch.Tensor
    y_tf: torch.Tensor
    y_tt: torch.Tensor
    percent_from: torch.Tensor
    percent_to: torch.Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """Voltages of a batch. Rows that did not converge are NaN.

    Shapes: v complex [B, n] (0 where not supplied); converged bool [B]; iterations int64 [B];
            s_kva complex [B, n], the injections served (0 where not supplied).
    """

    v: torch.Tensor
    converged: torch.Tensor
    iterations: torch.Tensor
    s_kva: torch.Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Flows:
    """What follows from the voltages. NaN where not converged.

    Shapes: loading_percent [B, m]; s_from_kva, s_to_kva complex [B, m], into the branch at each
            end; the others [B].
    Units:  loading is of the rated current at the worse end. slack_*: from the external grids into
            the network. residual_kva: the worst bus's imbalance between what is injected and what
            the branches carry away, computed from Y, not from Z.
    """

    loading_percent: torch.Tensor
    s_from_kva: torch.Tensor
    s_to_kva: torch.Tensor
    losses_kw: torch.Tensor
    slack_p_kw: torch.Tensor
    slack_q_kvar: torch.Tensor
    residual_kva: torch.Tensor


@functools.lru_cache(maxsize=64)
def compile_network(
    grid: GridData, open_branches: frozenset[str] = frozenset(), device: str = "cpu"
) -> Network:
    """The matrices of a grid with some branches open; cached per grid, set and device.

    Raises: UnknownKeyError for a branch that does not exist.
    Cost:   one dense inversion, 2 ms at 129 buses.
    """
    branches = grid.branches
    unknown = sorted(open_branches.difference(branches.names))
    if unknown:
        raise UnknownKeyError(f"grid {grid.code}: no branch {unknown[0]!r} to open")
    closed = np.array([name not in open_branches for name in branches.names], dtype=bool)
    ports = _two_ports(branches) * closed
    y = _admittance(grid, ports)
    supplied = _supplied(grid, closed)
    is_slack = np.zeros(len(grid.vn_kv), dtype=bool)
    is_slack[grid.slack_bus] = True
    active = np.flatnonzero(supplied & ~is_slack)
    v_off = np.zeros(len(grid.vn_kv), dtype=np.complex128)
    v_off[grid.slack_bus] = grid.slack_v
    z = np.linalg.inv(y[np.ix_(active, active)])
    w = -z @ (y[active] @ v_off)
    rated = (branches.rated_from_ka, branches.rated_to_ka)
    ends = (branches.from_bus, branches.to_bus)
    percent = [
        100.0 * grid.base_kva / (1e3 * math.sqrt(3) * grid.vn_kv[bus]) / ka
        for bus, ka in zip(ends, rated, strict=True)
    ]

    def tensor(array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    y_ff, y_ft, y_tf, y_tt = (tensor(port) for port in ports)
    return Network(
        grid=grid, open_branches=open_branches, base_kva=grid.base_kva,
        active=tensor(active), supplied=tensor(supplied), slack=tensor(is_slack),
        w=tensor(w), z_t=tensor(z.T), y_t=tensor(y.T), v_off=tensor(v_off),
        from_bus=tensor(ends[0]), to_bus=tensor(ends[1]),
        y_ff=y_ff, y_ft=y_ft, y_tf=y_tf, y_tt=y_tt,
        percent_from=tensor(percent[0]), percent_to=tensor(percent[1]),
    )  # fmt: skip


@torch.no_grad()
def solve(
    network: Network,
    p_kw: torch.Tensor,
    q_kvar: torch.Tensor,
    tolerance: float = TOLERANCE,
    iterations_max: int = ITERATIONS_MAX,
) -> Solution:
    """Voltages for injections at every bus; what is given for an external grid's bus only counts
    in its own balance.

    Shapes: p_kw, q_kvar float64 [B, n].
    Order:  a row stops changing when it has converged, so it does not depend on the others.
    Cost:   per iteration one [B, l] x [l, l] complex product.
    """
    s_kva = torch.complex(p_kw, q_kvar) * network.supplied
    s = s_kva[:, network.active] / network.base_kva
    v = network.w.expand_as(s)
    done = torch.full((len(s),), network.active.numel() == 0, device=s.device)
    iterations = torch.zeros(len(s), dtype=torch.int64, device=s.device)
    for _ in range(iterations_max):
        if bool(done.all()):
            break
        new = torch.addmm(network.w, torch.conj_physical(s / v), network.z_t)
        change = torch.view_as_real(new - v).abs().amax((1, 2))
        iterations += ~done
        v = torch.where(done[:, None], v, new)
        done = done | (change <= tolerance)
    full = network.v_off.repeat(len(s), 1)
    full[:, network.active] = torch.where(done[:, None], v, complex(math.nan, math.nan))
    return Solution(full, done, iterations, s_kva)


@torch.no_grad()
def flows(network: Network, solution: Solution) -> Flows:
    """Branch flows and loadings, losses, exchange with the external grids, and the residual."""
    v, base = solution.v, network.base_kva
    v_from, v_to = v[:, network.from_bus], v[:, network.to_bus]
    i_from = network.y_ff * v_from + network.y_ft * v_to
    i_to = network.y_tf * v_from + network.y_tt * v_to
    loading = torch.maximum(i_from.abs() * network.percent_from, i_to.abs() * network.percent_to)
    given = v * torch.conj_physical(v @ network.y_t) * base  # what each bus gives the network
    surplus = given - solution.s_kva
    exchange = (surplus * network.slack).sum(1)
    residual = (surplus * ~network.slack).abs().amax(1)
    dark = ~solution.converged
    return Flows(
        loading_percent=loading,
        s_from_kva=v_from * torch.conj_physical(i_from) * base,
        s_to_kva=v_to * torch.conj_physical(i_to) * base,
        losses_kw=given.real.sum(1).masked_fill(dark, math.nan),
        slack_p_kw=exchange.real.masked_fill(dark, math.nan),
        slack_q_kvar=exchange.imag.masked_fill(dark, math.nan),
        residual_kva=residual.masked_fill(dark, math.nan),
    )


def _two_ports(branches: Branches) -> Complex:
    """Admittances ff, ft, tf, tt of every branch. Shapes: [4, m]."""
    series = 1.0 / (branches.r + 1j * branches.x)
    tt = series + 0.5 * (branches.g + 1j * branches.b)
    tap = branches.ratio * np.exp(1j * np.deg2rad(branches.shift_deg))
    return np.stack([tt / np.abs(tap) ** 2, -series / np.conj(tap), -series / tap, tt])


def _admittance(grid: GridData, ports: Complex) -> Complex:
    """The bus admittance matrix. Shapes: [n, n]."""
    start, end = grid.branches.from_bus, grid.branches.to_bus
    y = np.diag(grid.shunt)
    ends = ((start, start), (start, end), (end, start), (end, end))
    for port, where in zip(ports, ends, strict=True):
        np.add.at(y, where, port)
    return y


def _supplied(grid: GridData, closed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which buses are connected to an external grid through closed branches. Shapes: [n]."""
    reached = np.zeros(len(grid.vn_kv), dtype=bool)
    reached[grid.slack_bus] = True
    start, end = grid.branches.from_bus[closed], grid.branches.to_bus[closed]
    while True:
        crossing = reached[start] != reached[end]
        if not crossing.any():
            return reached
        reached[start[crossing]] = reached[end[crossing]] = True
