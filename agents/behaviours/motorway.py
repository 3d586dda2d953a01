"""Drivers of the world `motorway`: people by their sensors alone, and those who talk.

`Human`        IDM and MOBIL, deaf and dumb; a policy.
`Cooperative`  the same; lets in who asks for a gap, and makes way for an emergency vehicle.
`Entrant`      on the ramp: asks those beside whom it will come out for a gap; then as Cooperative.
`Siren`        in an emergency: tells ten times a second where it is, and keeps to the left.

Topics, each [position, speed, lane] in m and m/s: `cam`, everybody's, ten times a second; `siren`;
`plan`, to who has promised a gap, until one is in. `gap` is the request, and its reply yes or no.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import numpy as np
from array_api_compat import array_namespace

from agents.agent import Agent, serves
from agents.behaviours.motorway_view import Sensors, View
from agents.behaviours.vehicles import check
from agents.channels import Message
from sim.worlds.motorway.laws import Manners, follow, gains
from sim.worlds.vehicles.laws import DRIVER

COURTESY: Final = 1.5
"""m/s2, by which one brakes for others at most."""
SLOW: Final = 0.6
"""Below this share of its own wish nobody brakes for others: the jam would cost more."""


def manners_of(params: Mapping[str, Any], *others: str) -> Manners:
    """Of MOBIL, where a scenario says so. others: params that are none of it.

    Raises: AgentError for one that does not exist, with the nearest one.
    """
    names = [field.name for field in fields(Manners)]
    check(params, (*names, *others))
    return Manners(**{name: float(params[name]) for name in names if name in params})


class Human:
    """IDM and MOBIL. params: those of `sim.worlds.motorway.laws.Manners`."""

    speaks: Mapping[str, int] = {}
    hears: Mapping[str, int] = {}
    plays_group = True
    is_random = False
    ignores_absent = True

    def __init__(self, name: str, group: Any, params: Mapping[str, Any]) -> None:
        self.sensors, self.manners = Sensors(group.observation), manners_of(params)
        self.low, self.high = float(group.action.low[0]), float(group.action.high[0])

    def memory(self, xp: Any, batch: int) -> Any:
        return xp.zeros((batch, 0), dtype=xp.float64)

    def __call__(
        self, obs: Any, inbox: Mapping[str, Any], memory: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any]:
        xp = array_namespace(obs)
        view = self.sensors.read(obs)
        pedal = xp.clip(view.pedal(), self.low, self.high)
        side = view.side(self.manners, self.sensors.size)
        return xp.stack((pedal, side), axis=-1), {}, memory


class Driver(Agent):
    """Drives by IDM and MOBIL, and tells where it is. Ends once it has left the road."""

    view: View | None = None
    topic = "cam"

    def __init__(self, **manners: float) -> None:
        self.manners = manners_of(manners)

    async def run(self) -> None:
        self.sensors = Sensors(self.observation_space)
        self.least, self.most = float(self.action_space.low[0]), float(self.action_space.high[0])
        self.ready()
        async for seen in self.observations():
            if seen.gone:
                return
            if not seen.alive:
                continue
            self.view = view = self.sensors.read(seen.values)
            pedal, side = self.pedal(view), self.side(view)
            self.act([float(np.clip(pedal, self.least, self.most)), float(side)])
            self.publish(self.topic, self.here(view))

    def ready(self) -> None:
        """Before the first observation."""

    def pedal(self, view: View) -> Any:
        """Acceleration in m/s2."""
        return view.pedal()

    def side(self, view: View) -> Any:
        """Change of lane."""
        return view.side(self.manners, self.sensors.size)

    def here(self, view: View) -> list[float]:
        return [float(view.position), float(view.speed), float(view.lane)]

    def behind(self, view: View, message: Message) -> tuple[float, float]:
        """Gap and closing speed to somebody of whom one has heard, as it is by now."""
        place, speed, _ = message.payload
        gap = place + speed * self.age(message) - self.sensors.size - float(view.position)
        return gap, float(view.speed) - speed


class Cooperative(Driver):
    """patience: s for which a message counts. courtesy: m/s2, by which it brakes for others.
    reach: m, from which on it makes way. Others: as of `Manners`."""

    def __init__(
        self,
        patience: float = 0.5,
        courtesy: float = COURTESY,
        reach: float = 400.0,
        **manners: float,
    ) -> None:
        super().__init__(**manners)
        self.patience, self.courtesy, self.reach = patience, courtesy, reach
        self.guest: Message | None = None

    def ready(self) -> None:
        self.subscribe("siren")

    @serves("gap")
    async def gap(self, message: Message) -> bool:
        """Whether it lets somebody in, which it then does. Who asks again has not heard the yes."""
        view = self.view
        is_taken = self.guest is not None and self.guest.sender != message.sender
        if view is None or view.lane != 1 or is_taken:
            return False
        if self.behind(view, message)[0] < 0:
            return False
        self.guest = message
        return True

    def pedal(self, view: View) -> Any:
        pedal = super().pedal(view)
        guest = self._guest(view)
        if guest is None or view.speed < SLOW * view.wish:
            return pedal
        return min(pedal, max(self._yielding(view, *self.behind(view, guest)), -self.courtesy))

    def _guest(self, view: View) -> Message | None:
        """The newest of whom it lets in, as long as that one is heard, beside it and not yet in.

        A plan comes from who counts on a promise: after silence, that renews it.
        """
        guest = self.guest
        for message in reversed(self.inbox("plan", last=20)):
            if guest is None or (message.sender == guest.sender and message.sent > guest.sent):
                guest = message
                break
        if guest is None:
            return None
        is_in = guest.payload[2] > 0
        is_past = self.behind(view, guest)[0] < 0
        is_lost = self.age(guest) > 2 * self.patience
        self.guest = None if is_in or is_past or is_lost or view.lane != 1 else guest
        return self.guest

    def _yielding(self, view: View, gap: float, closing: float) -> float:
        """IDM behind somebody who is in another lane yet: half of the headway will do."""
        gap = gap + 0.5 * DRIVER.headway * float(view.speed)
        return float(follow(view.wish, np.float64(gap), np.float64(closing), view.speed))

    def side(self, view: View) -> Any:
        siren = self.latest("siren", max_age=2 * self.patience)
        if siren is None:
            return super().side(view)
        ahead = -self.behind(view, siren)[0] - self.sensors.size
        if not -2 * self.sensors.size < ahead < self.reach:
            return super().side(view)
        lane = siren.payload[2]
        may_right, may_left = view.may
        may = may_right & (view.lane - 1 != lane), may_left & (view.lane + 1 != lane)
        if view.lane != lane:
            return view.side(self.manners, self.sensors.size, may)
        return make_way(self.manners, view, self.sensors.size)


class Entrant(Cooperative):
    """ask: m before the lane opens from which on it asks. wait: s for a reply, less than between
    two decisions, so that it can ask in each. again: s until who has refused is asked again.
    fall_back: m/s2, with which it takes its place behind who is ahead of the gap. Others: as of
    `Cooperative`."""

    def __init__(
        self,
        ask: float = 200.0,
        wait: float = 0.05,
        again: float = 0.5,
        fall_back: float = 0.6,
        **others: float,
    ) -> None:
        super().__init__(**others)
        self.ask, self.wait, self.again, self.fall_back = ask, wait, again, fall_back
        self.host = ""
        self.asking: asyncio.Task[None] | None = None
        self.refused: dict[str, float] = {}

    def pedal(self, view: View) -> Any:
        pedal = super().pedal(view)
        if view.lane > 0:
            self._arrived(view)
            return pedal
        self.subscribe("cam")
        heard = self._heard()
        self._negotiate(view, heard)
        leader = self._leader(heard)
        if leader is None:
            return pedal
        # Its place is behind that one, and it falls back to it while the lane is still closed.
        gap, closing = self.behind(view, leader)
        return min(pedal, max(self._yielding(view, gap, closing), -self.fall_back))

    def _leader(self, heard: Mapping[str, Message]) -> Message | None:
        """Who is ahead of the one that has promised a gap, in its lane."""
        host = heard.get(self.host)
        if host is None:
            return None
        ahead = [m for m in heard.values() if m.payload[2] == 1 and m.payload[0] > host.payload[0]]
        return min(ahead, key=lambda m: m.payload[0], default=None)

    def _arrived(self, view: View) -> None:
        if self.host:
            self.send(self.host, "plan", self.here(view))
        self.host = ""
        self.unsubscribe("cam")

    def _negotiate(self, view: View, heard: Mapping[str, Message]) -> None:
        """Tells its plan to who has promised a gap, or asks who could."""
        if self.host:
            host = heard.get(self.host)
            if host is None or self.behind(view, host)[0] < -self.sensors.size:
                self.send(self.host, "plan", self.here(view))
                return
            self.host = ""
        if view.opens > self.ask or (self.asking and not self.asking.done()):
            return
        # Where everybody will be by the time the lane opens.
        ahead = float(view.opens / max(view.speed, 1.0))
        gaps = {}
        for name, message in heard.items():
            gap, closing = self.behind(view, message)
            gap = -gap - 2 * self.sensors.size
            if gap > 0 and message.payload[2] == 1 and self.refused.get(name, 0.0) <= self.now:
                gaps[name] = gap + closing * ahead
        beside = {name: gap for name, gap in gaps.items() if gap > -self.sensors.size}
        if beside:
            self.asking = asyncio.create_task(self._ask(min(beside, key=beside.__getitem__), view))

    async def _ask(self, name: str, view: View) -> None:
        reply = await self.request(name, "gap", self.here(view), timeout=self.wait)
        if reply is None:
            return  # Lost, either way: to be asked again at once.
        if reply.payload:
            self.host = name
        else:
            self.refused[name] = self.now + self.again

    def _heard(self) -> dict[str, Message]:
        """The newest message of everybody."""
        found = {}
        for message in self.inbox("cam", last=400):
            if self.age(message) <= self.patience:
                found[message.sender] = message
        return found


class Siren(Driver):
    """As selfish as can be: no politeness, and to the left rather than to the right."""

    topic = "siren"

    def __init__(self, **manners: float) -> None:
        super().__init__(**{"politeness": 0.0, "threshold": 0.3, "right": -0.2, **manners})


def make_way(manners: Manners, view: View, size: float) -> float:
    """Out of the own lane, to the right if that is safe, else to the left."""
    _, is_safe = gains(manners, view.wish, view.speed, size, view.lanes)
    if view.may[0] and is_safe[0]:
        return -1.0
    return 1.0 if view.may[1] and is_safe[1] else 0.0
