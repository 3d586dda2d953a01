"""What `sim.worlds.catalogue` asks for of the world `junctions`."""

from __future__ import annotations

from typing import Final

from sim.worlds.classics.common import maker
from sim.worlds.junctions.params import Params
from sim.worlds.junctions.reference import reference
from sim.worlds.junctions.world import Junctions

RULES: Final = {
    "signal": "agents.behaviours.junctions:MaxPressure",
    "vehicle": "agents.behaviours.junctions_slots:Vehicle",
    "manager": "agents.behaviours.junctions_slots:Manager",
}
make = maker(Junctions, Params, "junctions")

__all__ = ["RULES", "make", "reference"]
