"""The bundled medium-voltage network, an extract of SimBench (ODbL 1.0, see `LICENSE-DATA`)."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Final

from sim.worlds.grid_data import GridData, load_grid

BUNDLED: Final = "1-MV-rural--2-no_sw"


@functools.cache
def load_bundled() -> GridData:
    """SimBench 1-MV-rural, scenario 2, with the year 2016. Cost: about 40 ms, once per process."""
    with resources.as_file(resources.files("sim.worlds") / "data" / f"{BUNDLED}.npz") as path:
        return load_grid(path)
