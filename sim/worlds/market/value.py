"""What a share is worth: a random walk, or drawn anew each round; and what the news say of it."""

from __future__ import annotations

from collections import deque

from sim.rng import generator
from sim.worlds.market.params import Params, Times


class Value:
    """now: what a share is worth; the world's secret. Units: ticks."""

    def __init__(self, params: Params, times: Times) -> None:
        self.params, self._step_s = params, times.dt / 1e9
        self._steps_late = times.delay // times.dt
        self.reset(0, 0)

    def reset(self, seed: int, episode: int) -> None:
        """The first value of an episode."""
        self._draw = generator(seed, "market value", episode)
        self.now = float(self.params.price)
        self._past = deque([self.now] * (self._steps_late + 1), self._steps_late + 1)
        if not self.params.walks:
            self.redraw()

    @property
    def news(self) -> float:
        """What everybody knows: the value as it was, or the mean of those that may be drawn."""
        return self._past[0] if self.params.walks else float(self.params.price)

    def walk(self) -> None:
        """One step on, if it walks."""
        if self.params.walks:
            step = self.params.volatility * self._step_s**0.5
            self.add(step * float(self._draw.standard_normal()))
            self._past.append(self.now)

    def redraw(self) -> None:
        """That of the next round."""
        p = self.params
        if p.value == "binary":
            self.now = float(p.price + round(p.volatility) * (-1) ** (self._draw.random() < 0.5))
        else:
            self.now = float(p.price)
            self.add(round(p.volatility * float(self._draw.standard_normal())))

    def add(self, ticks: float) -> None:
        """Moves it; a share is always worth a tick."""
        self.now = max(self.now + ticks, 1.0)
