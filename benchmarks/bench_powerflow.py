"""Power flow of the bundled 129-bus feeder on one core, beside Newton's method in the same run.

The batch is 1,000 different instants of the year; the peers solve the same instants one by one:
Newton-Raphson in rectangular coordinates with a sparse LU on our admittance matrix, and pandapower
if it is installed. One line of JSON; times in microseconds per solve, the median of five rounds.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu

from sim.clock import monotonic
from sim.worlds.grid_data import BUNDLED, load_bundled
from sim.worlds.powerflow import Network, compile_network, flows, solve

INSTANTS = slice(19_000, 20_000)


def microseconds(call: Callable[[], object], solves: int, repeats: int) -> float:
    """The median over five rounds of `repeats` calls, per solve."""
    call()
    rounds = []
    for _ in range(5):
        started = monotonic()
        for _ in range(repeats):
            call()
        rounds.append((monotonic() - started) / (repeats * solves) * 1e6)
    return statistics.median(rounds)


def newton(network: Network, s: np.ndarray, tolerance: float = 1e-10) -> np.ndarray:
    """Voltages of one set of injections (per unit) by Newton-Raphson. Shapes: [n] to [n]."""
    y = sparse.csr_matrix(network.y_t.numpy().T)
    pq = network.active.numpy()
    v = np.where(network.slack.numpy(), network.v_off.numpy(), 1.0 + 0j)
    v[pq] = network.w.numpy()
    for _ in range(20):
        current = y @ v
        mismatch = (v * current.conj() - s)[pq]
        if np.abs(mismatch).max() < tolerance:
            return v
        by_real = sparse.diags(current.conj()) + sparse.diags(v) @ y.conj()
        by_imaginary = 1j * (sparse.diags(current.conj()) - sparse.diags(v) @ y.conj())
        a, b = by_real[pq][:, pq], by_imaginary[pq][:, pq]
        jacobian = sparse.bmat([[a.real, b.real], [a.imag, b.imag]], format="csc")
        step = splu(jacobian).solve(np.concatenate([mismatch.real, mismatch.imag]))
        v[pq] -= step[: len(pq)] + 1j * step[len(pq) :]
    raise ArithmeticError("Newton's method did not converge")


def pandapower_microseconds() -> float | None:
    """One `runpp` of the same feeder, or None without the extra `grid`."""
    try:
        import pandapower
        import simbench
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = simbench.get_simbench_net(BUNDLED)
        return microseconds(lambda: pandapower.runpp(net, numba=False), 1, 3)


def main() -> None:
    torch.set_num_threads(1)
    grid = load_bundled()
    network = compile_network(grid)
    p, q = (torch.from_numpy(part) for part in grid.injections(INSTANTS))
    batch = solve(network, p, q)
    s = torch.complex(p, q).numpy() / network.base_kva
    worst = max(
        np.abs(newton(network, s[i]) - batch.v[i].numpy()).max() for i in range(0, 1000, 50)
    )
    single = microseconds(lambda: solve(network, p[:1], q[:1]), 1, 200)
    batched = microseconds(lambda: solve(network, p, q), 1000, 4)
    peer = microseconds(lambda: newton(network, s[0]), 1, 20)
    result = {
        "benchmark": "powerflow",
        "buses": len(grid.bus_names),
        "single_us": round(single, 1),
        "single_aim_us": 400,
        "batch_1000_us": round(batched, 1),
        "batch_1000_aim_us": 40,
        "flows_batch_1000_us": round(microseconds(lambda: flows(network, batch), 1000, 4), 1),
        "newton_us": round(peer, 1),
        "pandapower_us": pandapower_microseconds(),
        "newton_over_single": round(peer / single, 1),
        "largest_difference_to_newton_pu": float(worst),
        "iterations_max": int(batch.iterations.max()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
