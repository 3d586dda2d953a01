"""Agents that send wrong numbers: payloads altered as they leave, before anybody sees them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.errors import MalformedFrameError
from sim.rng import generator
from sim.scenario.schema import Fault
from sim.wire.codec import decode_payload, encode_payload
from sim.wire.messages import Send
from sim.worlds.world import Round

Sends: TypeAlias = list[tuple[int, int, int, Send]]
"""(time, agent, number, message), in key order."""
Lie: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Change: TypeAlias = Callable[[Any, Any], Any]
"""From a value, and the one that stood in its place in an earlier payload (or None)."""
_NUMERIC: Final = frozenset("fiu")
_INTEGERS: Final = (-(2**63), 2**64 - 1)


class Byzantine:
    """Who lies, about what; and what everybody said last, for those who will repeat it."""

    def __init__(self, seed: int, names: Sequence[str], rounds: Iterable[Round]) -> None:
        self._seed = seed
        self._names = names
        self._episode = 0
        self._columns: dict[str, tuple[str, ...]] = {}
        for round_ in rounds:
            self._columns[round_.topic] = round_.fields
            self._columns[round_.reply] = round_.reply_fields
        self._liars: dict[int, dict[int, Fault]] = {}
        self._last: dict[tuple[int, str, int], bytes] = {}
        self._repeated: dict[tuple[int, int, str, int], bytes] = {}
        self._serials: dict[tuple[int, str], int] = {}

    def switch(self, fault: Fault, agents: list[int]) -> None:
        """Begins or lifts a fault of kind byzantine; of several, each alters what the one before
        made of a payload.
        """
        for agent in agents:
            lies = self._liars.setdefault(agent, {})
            if fault.is_on:
                lies[fault.id] = fault
            else:
                lies.pop(fault.id, None)
        if not fault.is_on:
            self._repeated = {k: said for k, said in self._repeated.items() if k[0] != fault.id}

    def begin_episode(self, episode: int) -> None:
        """Everybody honest, and nothing said yet."""
        self._episode = episode
        self._liars.clear()
        self._last.clear()
        self._repeated.clear()
        self._serials.clear()

    def pass_on(self, sends: Sends) -> Sends:
        """The messages of a window as they leave."""
        last, liars = self._last, self._liars
        for i, (time, agent, number, send) in enumerate(sends):
            if agent in liars:
                sends[i] = (time, agent, number, self._falsified(agent, send))
            last[agent, send.topic, send.kind] = send.body
        return sends

    def _falsified(self, agent: int, send: Send) -> Send:
        lies = [f for f in self._liars[agent].values() if _is_about(f, send.topic)]
        if not lies:
            return send
        serial = self._serials.get((agent, send.topic), 0)
        self._serials[agent, send.topic] = serial + 1
        columns = self._columns.get(send.topic, ())
        try:
            payload = decode_payload(send.body)
            with np.errstate(all="ignore"):  # beyond its range a number is infinite, as agreed
                for fault in lies:
                    change, old = self._change(fault, agent, send, serial)
                    payload = _select(payload, old, fault.fields, columns, change)
            return msgspec.structs.replace(send, body=encode_payload(payload))
        except (MalformedFrameError, ValueError):
            return send  # nobody could read it, or it would not fit into a message

    def _change(self, fault: Fault, agent: int, send: Send, serial: int) -> tuple[Change, Any]:
        """What a fault makes of a value, and the payload it repeats if it is to."""
        if fault.mode == "stale":
            said = self._last.get((agent, send.topic, send.kind), send.body)
            key = (fault.id, agent, send.topic, send.kind)
            return _stale, decode_payload(self._repeated.setdefault(key, said))
        if fault.mode == "random":
            names = (self._names[agent], send.topic, self._episode, serial)
            lie = _random(generator(self._seed, "byzantine", *names))
        else:
            factor = -1.0 if fault.mode == "sign-flip" else fault.number
            lie = _times(factor)
        return lambda value, old: _altered(value, lie), None


def _is_about(fault: Fault, topic: str) -> bool:
    return any(fnmatch.fnmatchcase(topic, pattern) for pattern in fault.topics or ("*",))


def _random(draws: np.random.Generator) -> Lie:
    """Uniform between twice a number and its negative."""
    return lambda x: draws.uniform(-2.0, 2.0, size=x.shape) * np.abs(x)


def _times(factor: float) -> Lie:
    return lambda x: factor * x


def _select(
    payload: Any,
    old: Any,
    fields: Sequence[str | int],
    columns: Sequence[str],
    change: Change,
) -> Any:
    """The payload with the fields changed that are named, or all of it."""
    if not fields:
        return change(payload, old)
    if isinstance(payload, dict):
        was = old if isinstance(old, dict) else {}
        return {k: change(v, was.get(k)) if k in fields else v for k, v in payload.items()}
    chosen = [i for i, name in enumerate(columns) if name in fields]
    chosen += [field for field in fields if isinstance(field, int)]
    if isinstance(payload, list):
        before = old if isinstance(old, list) else []
        return [
            change(v, before[i] if i < len(before) else None) if i in chosen else v
            for i, v in enumerate(payload)
        ]
    if isinstance(payload, np.ndarray) and payload.ndim:
        rows = sorted({i for i in chosen if i < len(payload)})
        is_like = isinstance(old, np.ndarray) and old.shape == payload.shape
        payload[rows] = change(payload[rows], old[rows] if is_like else None)
    return payload


def _altered(value: Any, lie: Lie) -> Any:
    """The value with every number in it replaced by what `lie` makes of it, of its own type."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        told = _kept_nan(np.array([float(value)]), lie)[0]
        if isinstance(value, float) or not np.isfinite(told):
            return float(told)
        return min(max(round(told), _INTEGERS[0]), _INTEGERS[1])
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMERIC:
        told = _kept_nan(value.astype(np.float64), lie)
        if value.dtype.kind != "f":
            bounds = np.iinfo(value.dtype)
            # The largest float64 below the bound: 2.0**63 itself is out of int64's range.
            most = np.nextafter(float(bounds.max), 0.0) if bounds.bits == 64 else bounds.max
            told = np.clip(np.rint(told), bounds.min, most)
        return told.astype(value.dtype)
    if isinstance(value, list):
        return [_altered(v, lie) for v in value]
    if isinstance(value, dict):
        return {k: _altered(v, lie) for k, v in value.items()}
    return value


def _kept_nan(x: NDArray[np.float64], lie: Lie) -> NDArray[np.float64]:
    """What `lie` makes of the numbers; what is none (no offer, a broken sensor) stays none."""
    return np.where(np.isnan(x), x, lie(x))


def _stale(value: Any, old: Any) -> Any:
    """The value with every number in it replaced by the one that stood there before."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_number = isinstance(old, int | float) and not isinstance(old, bool)
        return old if is_number and value == value and old == old else value
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMERIC:
        if not isinstance(old, np.ndarray) or (old.shape, old.dtype) != (value.shape, value.dtype):
            return value
        return np.where(np.isnan(value) | np.isnan(old), value, old)
    if isinstance(value, list):
        was = old if isinstance(old, list) else []
        return [_stale(v, was[i] if i < len(was) else None) for i, v in enumerate(value)]
    if isinstance(value, dict):
        return {
            k: _stale(v, old.get(k) if isinstance(old, dict) else None) for k, v in value.items()
        }
    return value
