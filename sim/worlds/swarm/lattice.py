"""Olfati-Saber's flocks: forces between neighbours that hold them at a distance.

    u_i = sum_j phi(|q_j - q_i|_s) n_ij + sum_j a_ij (v_j - v_i) + what leads to the goal
with the s-norm |z|_s = (sqrt(1 + e |z|^2) - 1) / e, smooth also at 0, n_ij = (q_j - q_i) / sqrt(1 +
e |q_j - q_i|^2), the bump rho, 1 up to h and then down to 0 at 1, a_ij = rho(|q_j - q_i|_s / |r|_s)
and phi, which pushes nearer than d, pulls farther, and ends at r. Robots end as a lattice in which
neighbours are d apart. Arrays of any library that knows the array API.
Source: Olfati-Saber, Flocking for Multi-Agent Dynamic Systems: Algorithms and Theory, 2006,
equations 8 to 23, algorithm 2, and its values e 0.1, a = b = 5, h 0.2, r = 1.2 d. Only some robots
need to know the goal: Su, Wang and Lin, Flocking of Multi-Agents with a Virtual Leader, 2009.
"""

from __future__ import annotations

import math
from typing import Any, Final

Array = Any

E: Final = 0.1
H: Final = 0.2
A: Final = 5.0
REACH: Final = 1.2
"""r / d."""


def s_norm(square: float) -> float:
    """The s-norm of a length, from its square."""
    return (math.sqrt(1 + E * square) - 1) / E


def bump(xp: Any, share: Array) -> Array:
    """rho: 1 up to H, 0 from 1 on, smooth between. Shapes: [...]."""
    falling = 0.5 * (1 + xp.cos(math.pi * (share - H) / (1 - H)))
    return xp.where(share < H, xp.ones_like(share), xp.where(share < 1, falling, 0 * share))


def force(xp: Any, square: Array, distance: float) -> tuple[Array, Array]:
    """phi / sqrt(1 + e |z|^2), what a difference of places is multiplied by, and a_ij.

    square: |q_j - q_i|^2 in m2. distance: d in m. Shapes: [...] -> [...], [...].
    """
    root = xp.sqrt(1 + E * square)
    size = (root - 1) / E
    near, far = s_norm(distance**2), s_norm((REACH * distance) ** 2)
    weight = bump(xp, size / far)
    off = size - near
    return weight * A * off / xp.sqrt(1 + off * off) / root, weight


def push(square: float, distance: float) -> tuple[float, float]:
    """`force` of one neighbour in plain numbers, many times as quick as arrays of one."""
    root = math.sqrt(1 + E * square)
    near, far = s_norm(distance**2), s_norm((REACH * distance) ** 2)
    share = (root - 1) / (E * far)
    if share >= 1:
        return 0.0, 0.0
    weight = 1.0 if share < H else 0.5 * (1 + math.cos(math.pi * (share - H) / (1 - H)))
    off = (root - 1) / E - near
    return weight * A * off / math.sqrt(1 + off * off) / root, weight


def hexagonal(n: int, distance: float) -> list[float]:
    """How far the n nearest places of a hexagonal lattice are from one of them, in m, in order."""
    far = math.ceil(math.sqrt(n)) + 2
    squares = sorted(
        i * i + i * j + j * j for i in range(-far, far + 1) for j in range(-far, far + 1)
    )
    return [distance * math.sqrt(square) for square in squares[:n]]
