"""A flock of very many, ten of whom know the way: neighbours by sight, the way by message.

The forces are those of `swarm_flocking.Flock`. What goes round is not where the goal is but how the
flock is to move: were each of a thousand pulled to one point, they would be pressed together. Who
is informed knows that from where it is itself; all others go by the newest that they have heard,
and each tells it to some neighbours, others each time.
No robot looks where the way is free: there are no obstacles for it, and the forces keep neighbours
away. One robot's few numbers are quickest as plain ones.
Source: see `sim.worlds.swarm.lattice`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from agents.agent import Agent
from agents.channels import Message
from sim.worlds.swarm.lattice import push


class News(NamedTuple):
    """The velocity that the flock is to have, in m/s, and since when, in s."""

    x: float
    y: float
    time: float


class Crowd(Agent):
    """params: spacing (m, as the world's; default 2), grip, ease, brake (gains of forces, of the
    velocities of neighbours, and of the flock's; default 0.2, 0.6, 0.4), pull (velocity towards the
    goal by distance, 1/s; default 0.05), cruise (the most of it, m/s; default 1.5), forget (s, for
    which news counts; default 40), tells (how many neighbours at a time; default 2), talk (s, how
    often; default 1).
    """

    def __init__(
        self, spacing: float = 2.0, grip: float = 0.2, ease: float = 0.6, brake: float = 0.4,
        pull: float = 0.05, cruise: float = 1.5, forget: float = 40.0, tells: int = 2,
        talk: float = 1.0,
    ) -> None:  # fmt: skip
        self.spacing, self.grip, self.ease, self.brake = spacing, grip, ease, brake
        self.pull, self.cruise, self.forget = pull, cruise, forget
        self.tells, self.talk = tells, talk
        self.news: News | None = None

    async def run(self) -> None:
        self.subscribe("way")
        fields = {field.name: field for field in self.observation_space.fields}
        speed, most = fields["speed_x"].high, self.action_space.fields[0].high
        at = self.observation_space.slices
        lag = max(self._cell.start.every_ns / 1e9, 0.2)
        due, told = 0.0, 0
        async for obs in self.observations():
            values = obs.values.tolist()
            seen = {name: values[where] for name, where in at.items()}
            self.news = self.newest(seen)
            push_x, push_y = self.pushed(seen)
            vx, vy = seen["speed_x"][0], seen["speed_y"][0]
            x, y = limited(vx + lag * push_x, vy + lag * push_y, speed)
            self.act(list(limited((x - vx) / lag, (y - vy) / lag, most)))
            if self.news and self.now >= due:
                due = self.now + self.talk
                told = self.tell(self.news, [int(n) for n in seen["near_number"] if n], told)

    def newest(self, seen: dict[str, list[float]]) -> News | None:
        """How the flock is to move, as far as it knows."""
        if seen["informed"][0]:
            x, y = seen["goal_x"][0], seen["goal_y"][0]
            x, y = limited(self.pull * x, self.pull * y, self.cruise)
            return News(x + seen["goal_speed_x"][0], y + seen["goal_speed_y"][0], self.now)
        best, message = self.news, self.latest("way")
        heard = message and news_of(message)
        if heard and (best is None or heard.time > best.time):
            best = heard
        return best if best and self.now - best.time <= self.forget else None

    def pushed(self, seen: dict[str, list[float]]) -> tuple[float, float]:
        """What neighbours and news ask for, in m/s2."""
        x = y = 0.0
        for there, dx, dy, speed_x, speed_y in zip(
            *(seen[name] for name in ("near", "near_x", "near_y", "near_speed_x", "near_speed_y")),
            strict=True,
        ):
            if there:
                hold, weight = push(dx * dx + dy * dy, self.spacing)
                hold, weight = self.grip * hold, self.ease * weight
                x, y = x + hold * dx + weight * speed_x, y + hold * dy + weight * speed_y
        if self.news:
            x += self.brake * (self.news.x - seen["speed_x"][0])
            y += self.brake * (self.news.y - seen["speed_y"][0])
        return x, y

    def tell(self, news: News, neighbours: list[int], told: int) -> int:
        """Tells the next of its neighbours; returns how many it has told so far."""
        for i in range(told, told + min(self.tells, len(neighbours))):
            number = neighbours[i % len(neighbours)]
            self.send(f"robot-{number}", "way", [news.x, news.y, self.now - news.time])
        return told + self.tells


def news_of(message: Message) -> News | None:
    """None if that is no news."""
    try:
        x, y, age = map(float, message.payload)
    except (TypeError, ValueError):
        return None
    found = News(x, y, message.sent_ns / 1e9 - age)
    return found if all(map(math.isfinite, found)) else None


def limited(x: float, y: float, most: float) -> tuple[float, float]:
    """No longer than `most`."""
    size = math.hypot(x, y)
    return (x, y) if size <= most else (x * most / size, y * most / size)
