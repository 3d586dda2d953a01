"""The JSON Schema of a scenario file, for editors, made from `sim.scenario.schema`."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from sim.scenario.bursts import BURST_KEYS
from sim.scenario.jitters import JITTERS, PAIRS, POINTS
from sim.scenario.keys import Key, keys_of
from sim.scenario.outages import OUTAGE_KEYS
from sim.scenario.radio import RADIO_KEYS
from sim.scenario.schema import LIES, RECORDS, Scenario, WorldSpec
from sim.scenario.worlds import SHORT
from sim.units import duration_text

_QUANTITY: Final = {"type": ["string", "number"]}
_DURATION: Final = {**_QUANTITY, "examples": ["20ms", "15min", "24h", "6h10min"]}
_TEXT: Final = {"type": "string"}
_PATTERNS: Final = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
_FIELD: Final = {"type": ["string", "integer"]}
_PAIR: Final = {"type": "array", "minItems": 2, "maxItems": 2}
_TWO: Final = {**_PAIR, "items": _QUANTITY}
_SAMPLES: Final = {"type": "array", "items": _QUANTITY, "minItems": 2, "maxItems": POINTS}
_JITTER: Final = {
    "oneOf": [
        {"const": "none"},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {kind: _TWO if kind in PAIRS else _DURATION for kind in JITTERS}
            | {"empirical": {"oneOf": [{**_TEXT, "pattern": r"\.csv(:.+)?$"}, _SAMPLES]}},
        },
    ]
}


def _only(*pairs: Any) -> dict[str, Any]:
    """A mapping of these keys and no others: key, schema, key, schema, ..."""
    properties = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return {"type": "object", "additionalProperties": False, "properties": properties}


_OUTAGE: Final = _only(*(part for key in OUTAGE_KEYS for part in (key, _DURATION)))
_FADING: Final = {"oneOf": [{"enum": ["none", "rayleigh"]}, _only("nakagami", {"type": "number"})]}
_RADIO: Final = _only(
    *(part for key in RADIO_KEYS for part in (key, _FADING if key == "fading" else _QUANTITY))
)
_FORMS: Final[dict[str, dict[str, Any]]] = {
    "name": _TEXT,
    "text": _TEXT,
    "behaviour": {**_TEXT, "examples": ["rule", "none", "my_agents.py:Saver", "policy:FILE"]},
    "names": {"type": "array", "items": _TEXT},
    "patterns": _PATTERNS,
    "pairs": {"type": "array", "items": {**_PAIR, "items": _TEXT}},
    "ends": {**_PAIR, "items": _PATTERNS},
    "duration": _DURATION,
    "fraction": {**_QUANTITY, "examples": [0.01, "1%"]},
    "rate": {**_QUANTITY, "examples": ["250kbit/s", "1MB/s", "unlimited"]},
    "size": {**_QUANTITY, "examples": ["64KiB"]},
    "speed": {**_QUANTITY, "examples": ["max", "realtime", "900x"]},
    "offset": {**_QUANTITY, "examples": ["2s", "-20ms"]},
    "drift": {**_QUANTITY, "examples": ["50ppm", 0.00005]},
    "fields": {"oneOf": [_FIELD, {"type": "array", "items": _FIELD, "minItems": 1}]},
    "mode": {**_TEXT, "pattern": f"^({'|'.join(LIES[:-1])}|{LIES[-1]}:.+)$"},
    "jitter": _JITTER,
    "burst": {
        "oneOf": [
            {**_TEXT, "pattern": "^(none|.+:.+)$", "examples": ["10%:5", "10%:200ms", "none"]},
            {"enum": [0, None]},
            _only(*(part for key in BURST_KEYS for part in (key, _QUANTITY))),
        ]
    },
    "expiry": {**_QUANTITY, "examples": ["500ms", "none"]},
    "outages": {
        "oneOf": [
            {"enum": ["none", None]},
            _OUTAGE,
            {"type": "array", "items": {"oneOf": [_OUTAGE, _TWO]}},
        ]
    },
    "radio": {"oneOf": [{"const": "none"}, _RADIO]},
    "flag": {"type": "boolean"},
    "params": {"type": "object"},
    "assignments": {"type": "object", "additionalProperties": _TEXT},
    "players": {"type": "object", "additionalProperties": _TEXT},
    "tables": {"type": "object", "additionalProperties": {"type": "object"}},
    "days": {**_TEXT, "examples": ["2016-01-01..2016-10-31"]},
    "reward": {"oneOf": [{"enum": ["team", "own"]}, _only("mix", {"type": "number"})]},
    "training_links": {
        "oneOf": [{"enum": ["ideal", "scenario"]}, _only("loss", _TWO, "latency", _TWO)]
    },
}


def _fragment(key: Key) -> dict[str, Any]:
    """The schema of one value."""
    reference = {"$ref": f"#/$defs/{key.of}"}
    if key.form == "record":
        return reference
    if key.form == "records":
        return {"type": "array", "items": reference}
    if key.form == "graph":
        return {"oneOf": [_TEXT, {"type": "array", "items": reference}]}
    if key.form == "table":
        return {"type": "object", "additionalProperties": reference}
    if key.form == "choice":
        return {"enum": list(key.choices)}
    if key.form == "integers":
        return {"type": "array", "minItems": 1, "items": _fragment(_one_of(key))}
    if key.form in ("integer", "number", "count"):
        bounds = {"minimum": key.low, "maximum": key.high}
        return {
            "type": "number" if key.form == "count" else key.form,
            **{
                name: int(bound) if bound == int(bound) else bound
                for name, bound in bounds.items()
                if math.isfinite(bound)
            },
        }
    return dict(_FORMS[key.form])


def _one_of(key: Key) -> Key:
    """The key of one item of a list of whole numbers."""
    return Key("integer", "", low=key.low, high=key.high)


def _default(form: str, value: Any) -> Any:
    """A default as a file would write it; None where the help says it."""
    if form == "duration" and isinstance(value, int):
        return duration_text(value)
    return value if isinstance(value, bool | int | str) and value != "" else None


def _record(record: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of one record."""
    fields = {field.name: field for field in msgspec.structs.fields(record)}
    properties, required = {}, []
    for name, (field, key) in keys_of(record).items():
        if key.form == "rest":
            continue
        properties[name] = {**_fragment(key), "description": key.help}
        default = _default(key.form, fields[field].default)
        if fields[field].required:
            required.append(name)
        elif default is not None:
            properties[name]["default"] = default
    schema = {
        "type": "object",
        "description": (record.__doc__ or "").split("\n\n")[0],
        "additionalProperties": any(key.form == "rest" for _, key in keys_of(record).values()),
        "properties": properties,
    }
    if record is WorldSpec:
        schema["anyOf"] = [{"required": [name]} for name in (*required, *SHORT)]
    elif required:
        schema["required"] = required
    return schema


def scenario_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file as users write it.

    A file with `extends` may leave out what its base says, so nothing is required there.
    """
    schema = _record(Scenario)
    required = schema.pop("required")
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "A file, or a bundled scenario, that this one is merged into key by key.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario",
        **schema,
        "anyOf": [{"required": ["extends"]}, {"required": required}],
        "$defs": {
            name: _record(record) for name, record in RECORDS.items() if record is not Scenario
        },
    }
