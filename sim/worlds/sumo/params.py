"""What agents in the traffic of SUMO see and do, and where SUMO is: parameters and spaces."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Final

import msgspec
from msgspec import Meta

from sim.errors import BoundError, InstallationError
from sim.ids import did_you_mean
from sim.spaces import Field, Space
from sim.units import duration_ns

EXTRA: Final = "pip install 'sim-agents[sumo]'"
WHEEL: Final = "sumo:"
"""A path that begins so is one in the folder of the installed package."""
SIGHT_M: Final = 150.0
SPEED_MAX: Final = 60.0


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """config: a .sumocfg, as a path from where one is, or of the package after `sumo:`.
    agents: how many. vehicles: names in SUMO, or patterns of such, of those to be agents.
    warmup: what SUMO drives alone before.
    options: of the program sumo, beside the configuration's. safe: see above.
    decide: time between two decisions. dt: a step of SUMO.
    """

    config: str
    agents: Annotated[int, Meta(ge=1, le=200)] = 4
    vehicles: tuple[str, ...] = ("*",)
    warmup: str | float = 0.0
    options: dict[str, str | float] = msgspec.field(default_factory=dict)
    safe: bool = True
    accelerate: Annotated[float, Meta(gt=0)] = 2.5
    brake: Annotated[float, Meta(gt=0)] = 8.0
    decide: str | float = "500ms"
    dt: str | float = "100ms"


SEES: Final = Space(
    (
        Field("there", low=0.0, high=1.0, help="1: it has a vehicle on the road"),
        Field("speed", "m/s", 0.0, SPEED_MAX),
        Field("acceleration", "m/s2", -20.0, 20.0),
        Field("limit", "m/s", 0.0, SPEED_MAX, help="the fastest it may go here"),
        Field("gap", "m", 0.0, SIGHT_M, help="to who is ahead"),
        Field("closing", "m/s", -SPEED_MAX, SPEED_MAX, help="own speed less that of who is ahead"),
        Field("seen", low=0.0, high=1.0, help="1: somebody is ahead within sight"),
        Field("lane", low=0.0, high=20.0, help="from the right, the first is 0"),
        Field("lanes", low=0.0, high=20.0, help="of the road here"),
        Field("left", low=0.0, high=1.0, help="1: there is room for a change to the left"),
        Field("left_gap", "m", 0.0, SIGHT_M, help="to who would be ahead there"),
        Field("right", low=0.0, high=1.0, help="1: there is room for a change to the right"),
        Field("right_gap", "m", 0.0, SIGHT_M, help="to who would be ahead there"),
        Field("x", "m"),
        Field("y", "m"),
    )
)


def library() -> Any:
    if importlib.util.find_spec("libsumo") is None:
        raise InstallationError(f"the world 'sumo' needs SUMO, which is not installed; {EXTRA}")
    with contextlib.redirect_stdout(io.StringIO()):  # on import it speaks of versions of pyarrow
        return importlib.import_module("libsumo")


@contextlib.contextmanager
def errors_in_file() -> Iterator[IO[str]]:
    """A file to which goes what libraries write to standard error themselves."""
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+") as log:
        os.dup2(log.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def path_of(text: str, name: str) -> Path:
    """Where a file is, in the package after `sumo:`. Raises: InstallationError."""
    if not text.startswith(WHEEL):
        return Path(text)
    spec = importlib.util.find_spec("sumo")
    if spec is None or not spec.submodule_search_locations:
        raise InstallationError(f"world.{name}: {text!r} lies in the package of SUMO; {EXTRA}")
    return Path(spec.submodule_search_locations[0], text.removeprefix(WHEEL))


def options_of(p: Params) -> list[str]:
    """Options of the program, with paths found."""
    found: list[str] = []
    for name, value in p.options.items():
        text = value if isinstance(value, str) else f"{value:g}"
        text = str(path_of(text, "options")) if text.startswith(WHEEL) else text
        found += [f"--{name}", text]
    return found


def config_of(p: Params) -> Path:
    """Where the configuration is. Raises: BoundError that names the nearest one beside it."""
    path = path_of(p.config, "config")
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob("*.sumocfg"))
        close = f"; {did_you_mean(path.name, beside)}" if beside else ""
        raise BoundError(f"world.config: there is no file {p.config!r}{close}")
    return path


def duration(p: Params, name: str) -> int:
    try:
        return duration_ns(getattr(p, name))
    except ValueError as error:
        raise BoundError(f"world.{name}: {error}") from None
