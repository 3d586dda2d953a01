"""Rule behaviours of the microgrid: one controller sees the frequency and asks, devices answer.

    generators -> controller   topic `output`: power, power lost by a trip, capacity (kW)
    storage    -> controller   topic `charge`: power, room to deliver, room to take (kW)
    controller -> all          topic `dispatch`: share of capacity for generators, of room for
                               storage (both signed), of relief for consumers, limit for panels

The controller asks storage for what the frequency and its slope call for, at once, and generators
for what is missing in the long run: automatic generation control (Kundur 1994, section 11.1.5)
with a fast part. All of it goes stale with delay; without it devices fall back to their droop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from array_api_compat import array_namespace, device

NOMINAL_HZ: Final = 50.0
STALE_S: Final = 1.0
"""A dispatch older than this no longer moves storage, consumers or panels."""
PROMPT_S: Final = 0.15
"""Up to this delay of the reports the controller acts with its full gain."""
DISPATCH: Final = {"dispatch": 4}


class _Device:
    """What all devices share: they hear the dispatch and know their own limits."""

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = DISPATCH
    plays_group = True
    is_random = False

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.high = float(group.action.high[0]) if group.action.size else 0.0

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0), dtype=xp.float64)


class Generator(_Device):
    """Follows its schedule plus its share; holds the last share it heard. Reports what it makes."""

    speaks: Mapping[str, int] = {"output": 3}

    def memory(self, xp: Any, batch: int) -> Any:
        """The power it made when it last could. Shapes: [B, 1]."""
        return xp.zeros((batch, 1), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 4] (power, reference, schedule, capacity) -> reference [B, 1]."""
        xp = array_namespace(obs)
        power, schedule, capacity = obs[:, 0:1], obs[:, 2:3], obs[:, 3:4]
        share = _heard(xp, inbox, 0, float("inf"), 0.0, obs)
        is_up = capacity > 0
        before = xp.where(is_up, power, memory)
        lost = xp.where(is_up, xp.zeros_like(power), before)
        action = xp.clip(schedule + share * self.high, 0, self.high)
        return action, {"output": xp.concat((power, lost, capacity), axis=1)}, before


class Storage(_Device):
    """Gives its share of what it can, and leans gently back to half charge."""

    speaks: Mapping[str, int] = {"charge": 3}
    lean = 0.1

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 2] (power, charge) -> power to deliver [B, 1]."""
        xp = array_namespace(obs)
        power, charge = obs[:, 0:1], obs[:, 1:2]
        up = self.high * xp.clip((charge - 0.1) / 0.05, 0, 1)
        down = self.high * xp.clip((0.9 - charge) / 0.05, 0, 1)
        share = _heard(xp, inbox, 1, STALE_S, 0.0, obs)
        action = share * xp.where(share > 0, up, down) + self.lean * self.high * (charge - 0.5)
        action = xp.clip(action, -self.high, self.high)
        return action, {"charge": xp.concat((power, up, down), axis=1)}, memory


class Consumer(_Device):
    """Forgoes the part of its demand that is asked for, up to what it can."""

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 2] (demand, served) -> relief [B, 1]."""
        share = _heard(array_namespace(obs), inbox, 2, STALE_S, 0.0, obs)
        return self.high * share, {}, memory


class Panel(_Device):
    """Stays below the share of its peak power that is allowed."""

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 2] (power, available) -> limit [B, 1]."""
        share = _heard(array_namespace(obs), inbox, 3, STALE_S, 1.0, obs)
        return self.high * share, {}, memory


class Controller(_Device):
    """Asks for the power that frequency, slope and what was lost call for.

    params: proportional (kW per Hz), slope (kW per Hz/s), integral (kW per Hz and second).
    """

    speaks: Mapping[str, int] = DISPATCH
    hears: Mapping[str, int] = {"output": 3, "charge": 3}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        self.proportional = float(params.get("proportional", 50.0))
        self.slope = float(params.get("slope", 8.0))
        self.integral = float(params.get("integral", 20.0))
        self.step_s = getattr(group, "every_ns", 100_000_000) / 1e9

    def memory(self, xp: Any, batch: int) -> Any:
        """The power asked of generators in the long run, kW. Shapes: [B, 1]."""
        return xp.zeros((batch, 1), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        """Shapes: obs [B, 3] (frequency, slope, stages shed) -> no action [B, 0]."""
        xp = array_namespace(obs)
        off, slope = obs[:, 0:1] - NOMINAL_HZ, obs[:, 1:2]
        made, stored = _total(xp, inbox, "output", obs), _total(xp, inbox, "charge", obs)
        lost, capacity = made[:, 1:2], made[:, 2:3]
        # What acts late must act gently, or the grid swings: gain falls with the delay heard.
        gentle = xp.clip(PROMPT_S / xp.clip(_age(xp, inbox, obs), 1e-9, None), 0, 1)
        held = xp.clip(memory - gentle * self.integral * self.step_s * off, -capacity, capacity)
        slow = (held + lost) / xp.clip(capacity, 1e-9, None)
        wanted = -gentle * (self.proportional * off + self.slope * slope)
        room = xp.where(wanted > 0, stored[:, 1:2], stored[:, 2:3])
        fast = wanted / xp.clip(room, 1e-9, None)
        says = (
            xp.where(capacity > 0, xp.clip(slow, -1, 1), xp.zeros_like(slow)),
            xp.where(room > 0, xp.clip(fast, -1, 1), xp.zeros_like(fast)),
            xp.clip((-off - 0.5) / 0.3, 0, 1),
            xp.clip(1 - (off - 0.15) / 0.35, 0, 1),
        )
        return obs[:, :0], {"dispatch": xp.concat(says, axis=1)}, held


def _heard(
    xp: Any, inbox: Mapping[str, Any], column: int, stale_s: float, otherwise: float, like: Any
) -> Any:
    """One number of the freshest dispatch, or `otherwise`. Shapes: -> [B, 1]."""
    start = xp.full((like.shape[0], 1), otherwise, dtype=like.dtype, device=device(like))
    heard = inbox.get("dispatch")
    if heard is None or heard.values.shape[1] == 0:
        return start
    counts = heard.present & (heard.age_s <= stale_s)
    weight = xp.astype(counts, like.dtype)
    values = xp.where(counts, heard.values[..., column], xp.zeros_like(weight))
    number = xp.sum(weight, axis=1, keepdims=True)
    mean = xp.sum(values, axis=1, keepdims=True) / xp.clip(number, 1, None)
    return xp.where(number > 0, mean, start)


def _age(xp: Any, inbox: Mapping[str, Any], like: Any) -> Any:
    """Mean age in seconds of what storage reported lately, 0 if nothing. Shapes: -> [B, 1]."""
    heard = inbox.get("charge")
    if heard is None or heard.values.shape[1] == 0:
        return xp.zeros((like.shape[0], 1), dtype=like.dtype, device=device(like))
    counts = xp.astype(heard.present & (heard.age_s <= STALE_S), like.dtype)
    number = xp.clip(xp.sum(counts, axis=1, keepdims=True), 1, None)
    return xp.sum(counts * heard.age_s, axis=1, keepdims=True) / number


def _total(xp: Any, inbox: Mapping[str, Any], topic: str, like: Any) -> Any:
    """The sum of the fresh reports on a topic. Shapes: -> [B, 3]."""
    heard = inbox.get(topic)
    if heard is None or heard.values.shape[1] == 0:
        return xp.zeros((like.shape[0], 3), dtype=like.dtype, device=device(like))
    counts = (heard.present & (heard.age_s <= STALE_S))[..., None]
    return xp.sum(xp.where(counts, heard.values, xp.zeros_like(heard.values)), axis=1)
