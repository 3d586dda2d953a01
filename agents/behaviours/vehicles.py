"""Drivers of the world `vehicles`: cooperative and plain adaptive cruise control, and humans.

Each says ten times a second, on the topic `cam`, where its front is, how long it is, its speed, its
acceleration and the acceleration it intends. Of all that is heard only the message counts that is
of who drives ahead: the one whose rear is where the radar sees one. Once that message is older than
`patience` the vehicle is alone, and what it estimates by radar stands in for the message, at a
longer headway: see `sim.worlds.vehicles.laws`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

from array_api_compat import array_namespace

from sim.errors import AgentError
from sim.ids import did_you_mean
from sim.worlds.vehicles.laws import (
    ALONE_S,
    DRIVER,
    GAINS,
    SINGER,
    Gains,
    command,
    cruise,
    estimated,
    idm,
    towards,
)

CAM: Final = 5
"""Numbers of a message: position, length, speed, acceleration, intended acceleration."""
APART_M: Final = 3.0
"""By so much a message and the radar may differ on where somebody's rear is."""
JUMP_M: Final = 2.0
"""A gap that differs by so much from what it should have become is to somebody else."""
LENGTH_M: Final = 5.0
PARAMS: Final = (
    "headway", "alone", "patience", "ramp_in", "ramp_out", "estimate", "kp", "kd", "notice",
    "lease",
)  # fmt: skip
"""Of all drivers: who is cast in another's place is given the params of that one."""
SPEED_MAX: Final = 36.0
"""m/s; nobody who follows is faster."""


def check(params: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises: AgentError for a param that is not known, with the nearest one."""
    for name in params:
        if name not in known:
            raise AgentError(f"no driver has {name!r}; {did_you_mean(name, known)}")


class Motorist(ABC):
    """What all have in common. Memory: the acceleration that is intended, and what else is kept."""

    keeps = 0

    speaks: Mapping[str, int] = {"cam": CAM}
    hears: Mapping[str, int] = {}
    plays_group = True
    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        check(params, PARAMS)
        self.name, self.group = name, group
        self.has_guests = "lane" in {field.name for field in group.action.fields}
        self.period = group.every_ns / 1e9
        self.least, self.most = float(group.action.low[0]), float(group.action.high[0])

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 1 + self.keeps), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        xp = array_namespace(obs)
        intended, kept = self.intend(xp, obs, inbox, memory)
        intended = xp.clip(intended, self.least, self.most)
        intended = xp.where(self.field(obs, "braking") > 0, self.least, intended)
        memory = xp.concat((intended, *kept), axis=1)
        action = intended
        if self.has_guests:  # and stays where it is, in the file or beside
            action = xp.concat((intended, self.field(obs, "beside")), axis=1)
        return action, {"cam": self.told(xp, obs, intended)}, memory

    @abstractmethod
    def intend(
        self, xp: Any, obs: Any, inbox: Mapping[str, Any], memory: Any
    ) -> tuple[Any, Sequence[Any]]:
        """The acceleration to intend next, and what else to keep. Shapes: [B, 1] each."""

    def field(self, obs: Any, name: str) -> Any:
        """A number of the observation. Shapes: [B, o] -> [B, 1]."""
        return obs[:, self.group.observation.index(name)]

    def told(self, xp: Any, obs: Any, intended: Any) -> Any:
        """The message. Shapes: -> [B, CAM]."""
        length = xp.full_like(intended, LENGTH_M)
        own = (self.field(obs, name) for name in ("position", "speed", "acceleration"))
        position, speed, acceleration = own
        return xp.concat((position, length, speed, acceleration, intended), axis=1)


class Leader(Motorist):
    """Keeps the speed that the road asks for."""

    def intend(
        self, xp: Any, obs: Any, inbox: Mapping[str, Any], memory: Any
    ) -> tuple[Any, Sequence[Any]]:
        return cruise(self.field(obs, "wanted_speed"), self.field(obs, "speed")), ()


class Human(Motorist):
    """IDM, by what the radar sees."""

    def intend(
        self, xp: Any, obs: Any, inbox: Mapping[str, Any], memory: Any
    ) -> tuple[Any, Sequence[Any]]:
        gap, closing, speed = (self.field(obs, name) for name in ("gap", "closing", "speed"))
        return idm(DRIVER, gap, closing, speed), ()


class Cacc(Motorist):
    """Cooperative adaptive cruise control that degrades gracefully when messages stop.

    Kept: the headway, the gap, and speed and acceleration of who is ahead, by radar.
    params: headway (s, with messages; default the world's), alone (s, without; default 1.3),
            patience (s, for which a message counts; default 0.55), ramp_in, ramp_out (s per s, by
            which the headway shrinks and grows; default 0.04 and 0.1), kp, kd (default 0.2, 0.7),
            estimate (whether an estimate stands in for messages; default true).
    """

    hears: Mapping[str, int] = {"cam": CAM}
    keeps = 4

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, params)
        fields = {field.name: field.default for field in group.observation.fields}
        self.headway = float(params.get("headway", fields["headway"]))
        self.alone = float(params.get("alone", ALONE_S))
        self.patience = float(params.get("patience", 0.55))
        self.ramp_in = float(params.get("ramp_in", 0.04))
        self.ramp_out = float(params.get("ramp_out", 0.1))
        self.estimates = bool(params.get("estimate", True))
        kp, kd = (float(params.get(name, getattr(GAINS, name))) for name in ("kp", "kd"))
        self.gains = Gains(kp, kd, fields["standstill"])

    def intend(
        self, xp: Any, obs: Any, inbox: Mapping[str, Any], memory: Any
    ) -> tuple[Any, Sequence[Any]]:
        intended, is_heard = self.heard(xp, obs, inbox)
        wanted = xp.where(is_heard, self.headway, self.alone)
        return self.follow(xp, obs, memory, wanted, xp.where(is_heard, intended, xp.nan))

    def follow(
        self, xp: Any, obs: Any, memory: Any, wanted: Any, intended: Any
    ) -> tuple[Any, Sequence[Any]]:
        """What to intend at a wanted headway, behind somebody who intends that (NaN: not known),
        and what to keep. Shapes: [B, 1] each."""
        gap, closing, speed, acceleration = (
            self.field(obs, name) for name in ("gap", "closing", "speed", "acceleration")
        )
        before, headway, gap_before, *ahead = (memory[:, i : i + 1] for i in range(1 + self.keeps))
        # Behind somebody new the headway is the one that is there, so that nothing jumps.
        is_new = (headway <= 0) | (xp.abs(gap_before - closing * self.period - gap) > JUMP_M)
        there = (gap - self.gains.standstill) / xp.clip(speed, 1.0, None)
        headway = xp.where(is_new, xp.clip(there, self.headway, 2.0 * self.alone), headway)
        nearer = towards(headway, wanted, self.ramp_in, self.period)
        farther = towards(headway, wanted, self.ramp_out, self.period)
        headway = xp.where(wanted < headway, nearer, farther)
        measured = speed - closing
        believed = estimated(SINGER, (ahead[0], ahead[1]), measured, self.period)
        ahead_speed = xp.where(is_new, measured, believed[0])
        ahead_acceleration = xp.where(is_new, 0.0, believed[1])
        instead = ahead_acceleration if self.estimates else xp.zeros_like(gap)
        after = command(
            self.gains, before, (gap, closing), (speed, acceleration),
            xp.where(xp.isnan(intended), instead, intended), headway, self.period,
        )  # fmt: skip
        kept = headway, gap, ahead_speed, ahead_acceleration
        return xp.minimum(after, cruise(SPEED_MAX, speed)), kept

    def heard(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, Any]:
        """What who is ahead intends, 0 if that is not known, and whether it is: [B, 1] each."""
        silent = xp.zeros_like(obs[:, :1])
        cam = inbox.get("cam")
        if cam is None or not cam.values.shape[1]:
            return silent, silent > 0
        return ahead(xp, cam, self.field(obs, "position"), self.radar(obs), self.patience)

    def radar(self, obs: Any) -> tuple[Any, Any]:
        return self.field(obs, "gap"), self.field(obs, "seen") > 0


class Acc(Cacc):
    """Adaptive cruise control, deaf. params: as of Cacc, but `estimate` is false unless given."""

    hears: Mapping[str, int] = {}

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        super().__init__(name, group, {"estimate": False, **params})

    def heard(self, xp: Any, obs: Any, inbox: Mapping[str, Any]) -> tuple[Any, Any]:
        return super().heard(xp, obs, {})


def ahead(
    xp: Any, cam: Any, position: Any, radar: tuple[Any, Any], patience: float
) -> tuple[Any, Any]:
    """The intended acceleration of who drives ahead, 0 if it is not known, and whether it is.

    cam: what was heard, see `agents.policy.Received`. radar: gap in m, whether it sees anybody.
    Shapes: [B, n, CAM], [B, 1] -> [B, 1] each.
    """
    gap, is_seen = radar
    where, length, speed, intended = (cam.values[..., i] for i in (0, 1, 2, 4))
    apart = xp.abs(where + speed * cam.age_s - length - position - gap)
    is_new = cam.present & (cam.age_s <= patience) & is_seen
    apart = xp.where(is_new, apart, xp.full_like(apart, xp.inf))
    nearest = xp.min(apart, axis=1, keepdims=True)
    is_known = nearest < APART_M
    is_it = xp.astype(apart == nearest, intended.dtype)
    count = xp.clip(xp.sum(is_it, axis=1, keepdims=True), 1.0, None)
    found = xp.sum(is_it * intended, axis=1, keepdims=True) / count
    return xp.where(is_known, found, xp.zeros_like(found)), is_known
