"""Whether this environment is ours to run in.

Our packages are named `sim`, `agents` and `broker`, words that another distribution may use too;
pip would write one over the other without a word.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Final

from sim.errors import InstallationError

DISTRIBUTION: Final = "sim-agents"
NAMES: Final = ("sim", "agents", "broker")
EXTRAS: Final = {
    "grid": ("simbench", "pandapower"),
    "sumo": ("libsumo", "sumo"),
    "zoo": ("gymnasium", "pettingzoo", "mpe2"),
}
"""Optional extras, and the modules each brings."""
_REMEDY: Final = (
    "install sim-agents into an environment of its own: python -m venv .venv && "
    ".venv/bin/pip install sim-agents"
)


def check_names() -> None:
    """Raises: InstallationError if another distribution owns one of our import names."""
    owners = importlib.metadata.packages_distributions()
    for name in NAMES:
        others = sorted(set(owners.get(name, ())) - {DISTRIBUTION})
        if others:
            raise InstallationError(
                f"the import name {name!r} belongs to the distribution {', '.join(others)} in this "
                f"environment, and would be mixed up with ours; {_REMEDY}"
            )
    home = Path(__file__).resolve().parents[1]
    for name in NAMES:
        spec = importlib.util.find_spec(name)
        places = (
            [Path(p).resolve() for p in (spec.submodule_search_locations or ())] if spec else []
        )
        if places != [home / name]:
            found = ", ".join(map(str, places)) or "nothing"
            raise InstallationError(
                f"`import {name}` finds {found} instead of {home / name}; "
                f"rename or move that, or {_REMEDY}"
            )


def missing_extras() -> dict[str, str]:
    """Extras that are not installed, each with the command that installs it."""
    return {
        extra: f"pip install 'sim-agents[{extra}]'"
        for extra, modules in EXTRAS.items()
        if any(importlib.util.find_spec(module) is None for module in modules)
    }


def version() -> str:
    """Our own version; of a tree that was never installed, `0 (not installed)`."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0 (not installed)"
