"""Pictures in the cells of tables: dots on a line, and colours by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sim.report.colours import INK, LINE
from sim.report.page import Cell, Raw, join, tag


def strip(values: Sequence[tuple[float | None, str]], width: int = 190) -> Raw:
    """Dots of several columns on one line, in one row of a table: (value, colour)s, the largest
    first; None where there is none."""
    known = [value for value, _ in values if value is not None and np.isfinite(value)]
    if len(set(known)) < 2:
        return Raw("")
    low, high = min(known), max(known)
    dots = []
    for at, (value, colour) in enumerate(values):
        if value is not None and np.isfinite(value):
            x = 8 + (width - 16) * (value - low) / (high - low)
            size = 'r="6"' if at == 0 else 'r="3.4" stroke="#fff" stroke-width="1.2"'
            dots.append(f'<circle cx="{x:.1f}" cy="11" {size} fill="{colour}"/>')
    line = f'<line x1="8" y1="11" x2="{width - 8}" y2="11" stroke="{LINE}" stroke-width="2"/>'
    inner = line + "".join(dots)
    return Raw(f'<svg viewBox="0 0 {width} 22" width="{width}" height="22">{inner}</svg>')


def shade(share: float, colour: tuple[int, int, int] = (217, 72, 15)) -> str:
    """Background of a cell of a heat map, and its ink; share in [0, 1]."""
    strength = 0.06 + 0.84 * min(max(share, 0.0), 1.0) ** 0.6 if share > 0 else 0.0
    mixed = [round(255 + (c - 255) * strength) for c in colour]
    ink = "#fff" if strength > 0.6 else INK
    return f"background:rgb({mixed[0]},{mixed[1]},{mixed[2]});color:{ink}"


def heat(
    ends: Sequence[str],
    active: Sequence[int],
    values: Any,
    words: Callable[[float], str],
    colour: Callable[[float], str],
) -> Raw:
    """A table whose cells are coloured by their values. active: numbers of the ends shown.

    Shapes: values [ends, ends].
    """
    head = tag("tr", join([tag("th", ""), *(tag("th", ends[j], "n") for j in active)], ""))
    rows = []
    for i in active:
        cells: list[Cell] = [tag("th", ends[i])]
        for j in active:
            value = float(values[i, j])
            if np.isfinite(value):
                cells.append(tag("td", words(value), style=colour(value)))
            else:
                cells.append(tag("td", "", "none"))
        rows.append(tag("tr", join(cells, "")))
    return tag("table", join([tag("thead", head), tag("tbody", join(rows))], ""), "heat")
