"""The record of an electrical network and of what is connected to it, with a year of profiles.

A record is plain arrays: buses, branches (one two-port model for lines and transformers), devices
(loads, generators, storages) and relative profiles. It comes from `sim.worlds.grid_import`, lives
in one compressed `.npz` without pickled objects, and knows nothing of how power flow is solved.
The bundled record is an extract of SimBench (ODbL 1.0, see `data/LICENSE-DATA`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import ScenarioError, UnknownKeyError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Index = slice | Sequence[int] | NDArray[Any]

BUNDLED: Final = "1-LV-rural3--2-no_sw"
FORMAT: Final = 1
INT16_MAX: Final = 32_767

_ROLES: Final = {  # SimBench's profile names, by their beginning
    "H0": "household", "Air_": "heat pump", "Soil_": "heat pump", "HLS_": "ev home",
    "APLS_": "ev work", "HS": "ev fast", "G3-H": "industry", "BL-": "industry", "WB-": "industry",
    "G": "commerce", "L": "farm", "PV": "pv", "WP": "wind", "BM": "biomass", "Hydro": "hydro",
    "Storage_": "battery",
}  # fmt: skip


def role_of(profile: str) -> str:
    """What a SimBench profile belongs to: `household`, `heat pump`, `ev home`, `pv`, ..."""
    for beginning, role in _ROLES.items():
        if profile.startswith(beginning):
            return role
    return "other"


@dataclasses.dataclass(frozen=True, eq=False)
class Branches:
    """Lines and transformers, each the two-port of the MATPOWER manual.

    Shapes: every array [branches].
    Units:  r, x, g, b per unit on `base_kva` and the voltage of the `to_bus` side; g and b are the
            whole shunt admittance; ratio and shift_deg are the tap at the from side (1 and 0 for a
            line; the shift includes the vector group). rated_*_ka: current at each end that counts
            as 100 %, infinite if unknown.
    Source: MATPOWER User's Manual 7.1, section 3.2 (with a shunt conductance added).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    from_bus: Ints
    to_bus: Ints
    r: Floats
    x: Floats
    g: Floats
    b: Floats
    ratio: Floats
    shift_deg: Floats
    rated_from_ka: Floats
    rated_to_ka: Floats

    def __len__(self) -> int:
        return len(self.names)


@dataclasses.dataclass(frozen=True, eq=False)
class Devices:
    """Loads, generators or storages.

    Shapes: every array [devices].
    Units:  p_kw, q_kvar as rated: loads consume, generators feed in, storages discharge at most
            p_kw. s_kva is the rating of the inverter or connection; energy_kwh and efficiency (of
            charging and discharging once each) belong to storages and are 0 and 1 elsewhere.
            profile_p and profile_q index the grid's profiles; -1 means constant.
    """

    names: tuple[str, ...]
    profiles: tuple[str, ...]
    bus: Ints
    p_kw: Floats
    q_kvar: Floats
    s_kva: Floats
    energy_kwh: Floats
    efficiency: Floats
    profile_p: Ints
    profile_q: Ints

    def __len__(self) -> int:
        return len(self.names)

    @property
    def roles(self) -> tuple[str, ...]:
        """What each device is: `household`, `heat pump`, `pv`, ..."""
        return tuple(role_of(profile) for profile in self.profiles)

    def of_role(self, *roles: str) -> Ints:
        """Positions of the devices of these roles, in order."""
        return np.array([i for i, role in enumerate(self.roles) if role in roles], dtype=np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class GridData:
    """One network, its devices, and the profiles they follow.

    Shapes: bus arrays [buses]; slack_bus, slack_v [external grids] (complex, per unit, fixed);
            shunt [buses] complex admittance per unit; profile_values int16 [times, profiles], to
            be multiplied by profile_scale [profiles].
    Units:  per unit on `base_kva` and `vn_kv`; the profiles are relative to a device's rated
            power, one value every `step_s` from `start` on (local time of the source).
    """

    code: str
    source: str
    base_kva: float
    bus_names: tuple[str, ...]
    vn_kv: Floats
    slack_bus: Ints
    slack_v: NDArray[np.complex128]
    shunt: NDArray[np.complex128]
    branches: Branches
    loads: Devices
    sgens: Devices
    storages: Devices
    profile_names: tuple[str, ...]
    profile_values: NDArray[np.int16]
    profile_scale: Floats
    start: str
    step_s: int

    @property
    def times(self) -> int:
        """How many instants the profiles have."""
        return len(self.profile_values)

    def profile(self, name: str, index: Index = slice(None)) -> Floats:
        """A relative profile by name, e.g. `PV3`, `H0-A_pload`, `WP4`. Shapes: [len(index)].

        Raises: UnknownKeyError with the names there are.
        """
        if name not in self.profile_names:
            raise UnknownKeyError(
                f"grid {self.code}: no profile {name!r}; there are {', '.join(self.profile_names)}"
            )
        column = self.profile_names.index(name)
        return np.asarray(self.profile_values[index, column] * self.profile_scale[column])

    def day(self, date: str) -> slice:
        """The instants of a day such as `2016-06-21`, as an index into the profiles.

        Raises: ScenarioError if the profiles do not cover the day.
        """
        days = self.days()
        if date not in days:
            covered = f"{days[0]} to {days[-1]}" if days else "no day at all"
            raise ScenarioError(f"grid {self.code}: no profiles on {date!r}; they cover {covered}")
        per_day = 86_400 // self.step_s
        first = days.index(date) * per_day
        return slice(first, first + per_day)

    def days(self) -> list[str]:
        """Every day the profiles cover wholly, from `2016-01-01` on."""
        count = self.times * self.step_s // 86_400
        return [str(day) for day in np.datetime64(self.start[:10], "D") + np.arange(count)]

    def power(self, devices: Devices, index: Index) -> tuple[Floats, Floats]:
        """What these devices draw or feed in by profile, in the sign of their rated power.

        Shapes: two arrays [len(index), devices]. Units: kW and kvar. Index: of 15-minute instants;
                of a grid without profiles there is one, constant, instant.
        """
        values = self.profile_values[index] if self.times else self.profile_values.reshape(1, 0)
        relative = values * self.profile_scale
        constant = np.ones((len(relative), 1))
        table = np.hstack([relative, constant])  # column -1
        p, q = table[:, devices.profile_p], table[:, devices.profile_q]
        return p * devices.p_kw, q * devices.q_kvar

    def at_buses(self, devices: Devices, power: Floats) -> Floats:
        """Sums powers of devices per bus. Shapes: [..., devices] to [..., buses]."""
        return power @ self.incidence(devices)

    def incidence(self, devices: Devices) -> Floats:
        """One where a device (row) is at a bus (column). Shapes: [devices, buses]."""
        matrix = np.zeros((len(devices), len(self.bus_names)))
        matrix[np.arange(len(devices)), devices.bus] = 1.0
        return matrix

    def injections(
        self, index: Index, load_scale: float = 1.0, pv_scale: float = 1.0
    ) -> tuple[Floats, Floats]:
        """Net injection per bus if loads and generators follow their profiles and storages stand
        still, which is the network that nobody controls.

        Shapes: two arrays [len(index), buses]. Units: kW and kvar, positive into the network.
        """
        fed, drawn = self.power(self.sgens, index), self.power(self.loads, index)
        p, q = (
            pv_scale * self.at_buses(self.sgens, plus)
            - load_scale * self.at_buses(self.loads, less)
            for plus, less in zip(fed, drawn, strict=True)
        )
        return p, q

    def bus(self, name: str) -> int:
        """The position of a bus. Raises: UnknownKeyError."""
        if name not in self.bus_names:
            raise UnknownKeyError(f"grid {self.code}: no bus {name!r}")
        return self.bus_names.index(name)


def with_transformer(grid: GridData, s_kva: float) -> GridData:
    """The same grid with transformers of another rated power, of equal relative impedance.

    Raises: ScenarioError if the grid has no transformer or the power is not positive.
    """
    branches = grid.branches
    is_transformer = np.array([kind == "trafo" for kind in branches.kinds], dtype=bool)
    if not is_transformer.any() or not s_kva > 0:
        raise ScenarioError(f"grid {grid.code}: cannot set its transformers to {s_kva} kVA")
    now_kva = math.sqrt(3) * branches.rated_to_ka * grid.vn_kv[branches.to_bus] * 1e3
    larger = np.where(is_transformer, s_kva / now_kva, 1.0)
    changed = dataclasses.replace(
        branches,
        r=branches.r / larger,
        x=branches.x / larger,
        g=branches.g * larger,
        b=branches.b * larger,
        rated_from_ka=branches.rated_from_ka * larger,
        rated_to_ka=branches.rated_to_ka * larger,
    )
    return dataclasses.replace(grid, branches=changed)


def with_external_voltage(grid: GridData, v: float) -> GridData:
    """The same grid with its external grids at another voltage, per unit.

    Raises: ScenarioError outside 0.8 to 1.2.
    """
    if not 0.8 <= v <= 1.2:
        raise ScenarioError(f"grid {grid.code}: no external voltage of {v} per unit; 0.8 to 1.2")
    return dataclasses.replace(grid, slack_v=v * grid.slack_v / np.abs(grid.slack_v))


def quantise(values: Floats) -> tuple[NDArray[np.int16], Floats]:
    """Profiles as int16 and their scale, within half of 1/32767 of each profile's largest value.

    Shapes: [times, profiles] to the same and [profiles].
    """
    largest = np.abs(values).max(axis=0, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0) / INT16_MAX
    return np.round(values / scale).astype(np.int16), scale


def save_grid(grid: GridData, path: Path) -> Path:
    """Writes the record as one `.npz`: arrays, and a JSON card with names and numbers."""
    card: dict[str, Any] = {"format": FORMAT}
    arrays: dict[str, NDArray[Any]] = {}
    for key, value in _leaves(grid):
        if isinstance(value, np.ndarray):
            arrays[key] = value
        else:
            card[key] = value
    # Neighbouring instants differ little: differences along time compress to half the size.
    arrays["profile_values"] = np.diff(grid.profile_values, axis=0, prepend=np.int16(0)).T
    card_bytes = json.dumps(card, ensure_ascii=False, sort_keys=True).encode()
    with path.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, card=np.frombuffer(card_bytes, np.uint8), **arrays
        )
    return path


def load_grid(path: Path) -> GridData:
    """Reads a record written by `save_grid`.

    Raises: ScenarioError if the file is missing, damaged, or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stored: dict[str, Any] = {key: file[key] for key in file.files}
        stored |= json.loads(stored.pop("card").tobytes())
        if stored.pop("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        steps = stored["profile_values"].T
        stored["profile_values"] = np.cumsum(steps, axis=0, dtype=np.int16)
        grid: GridData = _record(GridData, stored, "")
        _check(grid)
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ScenarioError(
            f"{path}: not a grid record ({error}); make one with `sim import grid CODE`"
        ) from error
    return grid


@functools.cache
def load_bundled() -> GridData:
    """The bundled network: SimBench 1-LV-rural3, scenario 2, with the year 2016.

    Cost: about 40 ms, once per process.
    """
    with resources.as_file(resources.files("sim.worlds") / "data" / f"{BUNDLED}.npz") as path:
        return load_grid(path)


def _leaves(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def _record(kind: type[Any], stored: dict[str, Any], prefix: str) -> Any:
    nested = {"branches": Branches, "loads": Devices, "sgens": Devices, "storages": Devices}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in nested:
            values[field.name] = _record(nested[field.name], stored, f"{field.name}.")
        else:
            value = stored[prefix + field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _check(grid: GridData) -> None:
    """Raises: ValueError where lengths, bus numbers or profile numbers do not fit together."""
    buses, profiles = len(grid.bus_names), len(grid.profile_names)
    for table in (grid.branches, grid.loads, grid.sgens, grid.storages):
        for name, value in _leaves(table):
            if len(value) != len(table.names):
                raise ValueError(f"{name} has {len(value)} entries, not {len(table.names)}")
            if name in ("bus", "from_bus", "to_bus") and not np.all((value >= 0) & (value < buses)):
                raise ValueError(f"{name} names a bus that does not exist")
            if name in ("profile_p", "profile_q") and not np.all(
                (value >= -1) & (value < profiles)
            ):
                raise ValueError(f"{name} names a profile that does not exist")
    if not len(grid.vn_kv) == len(grid.shunt) == buses:
        raise ValueError(f"vn_kv and shunt need {buses} entries")
    if grid.profile_values.shape[1] != profiles or len(grid.profile_scale) != profiles:
        raise ValueError(f"the profiles need {profiles} columns")
    if not 0 < len(grid.slack_bus) == len(grid.slack_v):
        raise ValueError("no external grid")
