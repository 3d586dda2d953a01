"""Losses that come in bursts: the chain of good and bad times of a link, and how a file writes it.

Two states, good and bad; from step to step good turns bad with one probability and bad turns good
with another, and each state loses messages at a rate of its own.
Source: Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39 (1960);
Elliott, "Estimates of error rates for codes on burst-noise channels", the same, 42 (1963).
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from sim import units
from sim.errors import BoundError, ScenarioError
from sim.scenario.forms import check_keys, wrong
from sim.scenario.keys import Key
from sim.scenario.tree import Node

BURST_KEYS: Final = ("loss", "length", "enter", "leave", "good", "bad")
SLOTS: Final = 10
"""Instants per mean length of a burst at which a chain in time is looked at."""
_ROUNDING: Final = 1e-9
_CHANGE_MIN: Final = 1e-3
"""Smallest enter + leave: a draw looks back over 1 / (enter + leave) steps on average."""
_EXPECTED: Final = (
    "none, LOSS:LENGTH such as 10%:5 or 10%:200ms, {loss: 10%, length: 5}, "
    "or {enter: 0.01, leave: 0.2}"
)


class Burst(msgspec.Struct, frozen=True):
    """The chain of a link. As it stands: none.

    enter, leave: probabilities per step of good -> bad and of bad -> good; together at most 1.
    good, bad:    probability that a message is lost in either state.
    length_ns:    mean length of a burst in time; 0: a step is a message on its way.
    """

    enter: float = 0.0
    leave: float = 1.0
    good: float = 0.0
    bad: float = 0.0
    length_ns: int = 0

    @property
    def slot_ns(self) -> int:
        """How long a step lasts; 0: a step is a message."""
        return max(self.length_ns // SLOTS, 1) if self.length_ns else 0

    @property
    def share(self) -> float:
        """Probability of the bad state at any step."""
        return self.enter / (self.enter + self.leave)

    @property
    def loss(self) -> float:
        """Probability that a message is lost, over both states."""
        return self.good + self.share * (self.bad - self.good)

    @property
    def text(self) -> str:
        """`10 % in bursts of 5 messages`."""
        length = units.duration_text(self.length_ns) or ""
        if not self.length_ns:
            length = f"{1 / self.leave:.4g} messages"
        text = f"{100 * self.loss:.4g} % in bursts of {length}"
        if (self.good, self.bad) != (0.0, 1.0):
            text += f" ({100 * self.bad:.4g} % in them, {100 * self.good:.4g} % outside)"
        return text


def burst_of_messages(enter: float, leave: float, good: float = 0.0, bad: float = 1.0) -> Burst:
    """A chain that steps with each message. Raises: ValueError if there is none such."""
    if leave <= 0:
        raise ValueError("leave is above 0: a bad time ends")
    if enter + leave > 1 + _ROUNDING:
        raise ValueError(
            f"enter + leave are at most 1, found {enter + leave:.6g}: bursts would be shorter than "
            "those of losses that have nothing to do with each other"
        )
    if enter + leave < _CHANGE_MIN:
        raise ValueError(
            f"enter + leave are at least {_CHANGE_MIN:g}, found {enter + leave:.6g}; longer bursts "
            "are written in time: {loss: 10%, length: 1min}"
        )
    return Burst(min(enter, 1 - leave), leave, good, bad)


def burst_of_loss(loss: float, length: float, good: float = 0.0, bad: float = 1.0) -> Burst:
    """A chain by its mean loss and the mean length of a bad time, in messages.

    Raises: ValueError with what would be possible.
    """
    share = _share(loss, good, bad)
    shortest, longest = 1 / (1 - share), 1 / (1 - share) / _CHANGE_MIN
    if not shortest * (1 - _ROUNDING) <= length <= longest:
        raise ValueError(
            f"a length in messages is from {shortest:.6g} (losses that have nothing to do with "
            f"each other) to {longest:.6g} here, found {length:g}; a longer one is written in "
            "time, as 10s"
        )
    leave = 1 / length
    return burst_of_messages(min(leave * share / (1 - share), 1 - leave), leave, good, bad)


def burst_of_time(loss: float, length_ns: int, good: float = 0.0, bad: float = 1.0) -> Burst:
    """A chain by its mean loss and the mean length of a bad time, in ns.

    Good and bad times are exponential; a step is what becomes of them in a slot.
    Raises: ValueError with what would be possible.
    """
    if length_ns < 1:
        raise ValueError("a length is above 0")
    share = _share(loss, good, bad)
    slot_ns = Burst(length_ns=length_ns).slot_ns
    # The two rates: 1 / length out of the bad state, and share / (1 - share) times that into it.
    change = -math.expm1(-slot_ns / length_ns / (1 - share))
    return Burst(share * change, (1 - share) * change, good, bad, length_ns)


def _share(loss: float, good: float, bad: float) -> float:
    """The part of the time that is bad, for a mean loss."""
    if not good < bad:
        raise ValueError(f"bad is above good, found bad {bad:g} and good {good:g}")
    if not good <= loss < bad:
        raise ValueError(
            f"the loss is from {good:g} (good) to below {bad:g} (bad) here, found {loss:g}"
        )
    return (loss - good) / (bad - good)


def read_burst(node: Node, path: str, key: Key) -> Burst:
    """The reader of the form `burst`."""
    value = node.value
    if value in (None, "none", "0", 0) and value is not False:
        return Burst()
    if isinstance(value, str) and ":" in value:
        loss, _, length = value.partition(":")
        parts = {"loss": Node(loss.strip(), node.where), "length": Node(length.strip(), node.where)}
    elif node.is_map:
        parts = value
    else:
        raise wrong(node, path, _EXPECTED)
    check_keys(parts, path, BURST_KEYS)
    found = parts.keys() - {"good", "bad"}
    if found not in ({"loss", "length"}, {"enter", "leave"}):
        listed = ", ".join(parts) or "none"
        raise ScenarioError(f"{node.where}: {path}: expected {_EXPECTED}, found {listed}")
    shares = {
        name: _fraction(child, f"{path}.{name}")
        for name, child in parts.items()
        if name != "length"
    }
    try:
        if "length" not in parts:
            return burst_of_messages(**shares)
        mean, span = shares.pop("loss"), _length(parts["length"], f"{path}.length")
        if isinstance(span, int):
            return burst_of_time(mean, span, **shares)
        return burst_of_loss(mean, span, **shares)
    except ValueError as error:
        raise BoundError(f"{node.where}: {path}: {error}") from None


def burst_of_text(text: str) -> Burst:
    """What an option of a command says. Raises: ValueError."""
    try:
        return read_burst(Node(text, ""), "burst", Key("burst", ""))
    except ScenarioError as error:
        raise ValueError(str(error).removeprefix(": burst: ")) from None


def _fraction(node: Node, path: str) -> float:
    try:
        value = units.fraction(_scalar(node, path, "a share such as 10%"))
    except ValueError as error:
        raise ScenarioError(f"{node.where}: {path}: {error}") from None
    if not 0 <= value <= 1:
        raise BoundError(str(wrong(node, path, "a value from 0 to 1")))
    return value


def _length(node: Node, path: str) -> float | int:
    """A number of messages as a float, or nanoseconds as an integer."""
    value = _scalar(node, path, "messages, as 5, or a time, as 200ms")
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return units.duration_ns(value)
    except ValueError as error:
        raise ScenarioError(f"{node.where}: {path}: {error}") from None


def _scalar(node: Node, path: str, expected: str) -> Any:
    if isinstance(node.value, bool) or not isinstance(node.value, str | int | float):
        raise wrong(node, path, expected)
    return node.value
