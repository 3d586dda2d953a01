"""How far a link reaches by radio: its record, and how a file writes it.

Mean power falls with distance by the log-distance law from free space at a reference distance
(Friis, Proc. IRE 34, 1946; Rappaport, Wireless Communications, chapter 4), off it by log-normal
shadowing, the same for a pair of agents both ways; single messages fade by Nakagami's m
distribution, of which Rayleigh's is m = 1 (Nakagami 1960).
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from sim import units
from sim.errors import BoundError, ScenarioError
from sim.scenario.forms import check_keys, number, wrong
from sim.scenario.keys import Key
from sim.scenario.tree import Node

LIGHT_M_PER_S: Final = 299_792_458.0
RADIO_KEYS: Final = (
    "power_dbm", "frequency", "exponent", "reference_distance", "shadowing_db", "fading",
    "sensitivity_dbm", "range",
)  # fmt: skip
_BOUNDS: Final = {
    "power_dbm": (-100.0, 200.0),
    "exponent": (1.0, 10.0),
    "shadowing_db": (0.0, 50.0),
    "sensitivity_dbm": (-250.0, 100.0),
}


class Radio(msgspec.Struct, frozen=True):
    """A radio link. fading_m: 0 for none. Units: dBm, Hz, m, dB."""

    power_dbm: float = 20.0
    frequency_hz: float = 5.9e9
    exponent: float = 2.0
    reference_m: float = 1.0
    shadowing_db: float = 0.0
    fading_m: float = 0.0
    sensitivity_dbm: float = -82.0
    range_m: float = math.inf

    @property
    def margin_db(self) -> float:
        """By how much the mean power is above the sensitivity at the reference distance."""
        length = LIGHT_M_PER_S / self.frequency_hz
        loss = 20 * math.log10(4 * math.pi * self.reference_m / length)
        return self.power_dbm - loss - self.sensitivity_dbm

    @property
    def reach_m(self) -> float:
        """Where the mean power, without shadowing, is down to the sensitivity."""
        decades = self.margin_db / (10 * self.exponent)
        return min(self.reference_m * 10 ** min(max(decades, 0.0), 300.0), self.range_m)

    @property
    def text(self) -> str:
        """`radio to 503 m (5.9 GHz, exponent 2, shadowing 4 dB, Rayleigh)`."""
        parts = [f"{self.frequency_hz / 1e9:.4g} GHz", f"exponent {self.exponent:g}"]
        if self.shadowing_db:
            parts.append(f"shadowing {self.shadowing_db:g} dB")
        if self.fading_m:
            is_rayleigh = self.fading_m == 1.0
            parts.append("Rayleigh" if is_rayleigh else f"Nakagami {self.fading_m:g}")
        return f"radio to {self.reach_m:,.4g} m ({', '.join(parts)})"


NO_RADIO: Final = Radio(range_m=-1.0)
"""What `radio: none` says: the link is no radio."""


def read_radio(node: Node, path: str, key: Key) -> Radio:
    """The reader of the form `radio`."""
    if node.value == "none":
        return NO_RADIO
    if not node.is_map:
        raise wrong(node, path, f"none, or a mapping of some of {', '.join(RADIO_KEYS)}")
    values: dict[str, Any] = {}
    check_keys(node.value, path, RADIO_KEYS)
    for name, child in node.value.items():
        at = f"{path}.{name}"
        if name == "fading":
            values["fading_m"] = _fading(child, at)
        elif name == "frequency":
            values["frequency_hz"] = _measure(child, at, units.frequency_hz, "5.9GHz")
        elif name in ("reference_distance", "range"):
            field = "range_m" if name == "range" else "reference_m"
            values[field] = _measure(child, at, units.distance_m, "300m or 1.5km")
        else:
            low, high = _BOUNDS[name]
            values[name] = number(child, at, Key("number", "", low=low, high=high))
    return Radio(**values)


def _fading(node: Node, path: str) -> float:
    if node.value == "none":
        return 0.0
    if node.value == "rayleigh":
        return 1.0
    if not node.is_map or set(node.value) != {"nakagami"}:
        raise wrong(node, path, "none, rayleigh or {nakagami: m}, as {nakagami: 3}")
    bounds = Key("number", "", low=0.5, high=100.0)
    return number(node.value["nakagami"], f"{path}.nakagami", bounds)


def _measure(node: Node, path: str, read: Any, example: str) -> float:
    if node.value is None or node.is_map or node.is_list:
        raise wrong(node, path, f"a value such as {example}")
    try:
        value: float = read(node.value)
    except ValueError as error:
        raise ScenarioError(f"{node.where}: {path}: {error}") from None
    if not 0 < value < math.inf:
        raise BoundError(str(wrong(node, path, f"a value above 0, such as {example}")))
    return value
