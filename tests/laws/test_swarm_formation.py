"""Formation by consensus: differences die out at the second eigenvalue of the Laplacian, and grow
from the known delay on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from checkers.robots import play

from agents.behaviours.swarm_formation import Consensus
from agents.policy import Received
from sim.worlds.swarm.consensus import adjacency, delay_limit, rate, spectrum
from sim.worlds.swarm.formation import SHAPES, reference
from sim.worlds.swarm.world import make

N = 10
BLIND = {"neighbours": 0, "beams": 0}


@pytest.mark.parametrize(
    ("graph", "wanted"), [("line", 0.0979), ("ring", 0.382), ("complete", 10.0), ("star", 1.0)]
)
def test_second_eigenvalues_of_ten(graph: str, wanted: float) -> None:
    assert rate(graph, N) == pytest.approx(wanted, abs=5e-5)


class Points:
    """Points that move as the rule wants, at once and in any direction; what they say is late by
    whole decisions."""

    def __init__(self, graph: str, gain: float, delay: int, period: float, **params: Any) -> None:
        world = make({
            "task": "formation", "robots": N, "graph": graph, "speed": 1e6, **BLIND,
            "decide": f"{1000 * period:g}ms", "dt": f"{1000 * period:g}ms", "change": "10000h",
            "width": 200, "height": 200,
        })  # fmt: skip
        self.rule = Consensus(
            "robot-1", world.groups[0], {"gain": gain, "patience": (delay + 1) * period, **params}
        )

        self.obs = world.observe(world.reset([(0, 0)]))[world.group][0].numpy().copy()
        self.delay, self.period, self.said = delay, period, []
        self.memory = self.rule.memory(np, N)

    def step(self) -> float:
        """One decision. Returns how far beliefs are apart."""
        inbox = {}
        if len(self.said) >= self.delay:
            told = np.broadcast_to(self.said[-self.delay], (N, N, 3))
            age = np.full((N, N), self.delay * self.period)
            inbox = {"belief": Received(told, ~np.eye(N, dtype=bool), age)}
        wanted, outbox, self.memory = self.rule.decide(np, self.obs, inbox, self.memory, None)
        self.said.append(outbox["belief"])
        self.obs[:, :2] += wanted * self.period
        belief = self.obs[:, :2] - self.rule.pair(np, self.obs, "place")
        return float(np.linalg.norm(belief - belief.mean(0)))


@pytest.mark.parametrize("graph", ["line", "ring", "complete"])
def test_differences_decay_at_the_second_eigenvalue(graph: str) -> None:
    """Once its faster parts are gone; values are late by a decision and a half, and the rate is
    that of s = -r exp(-1.5 T s)."""
    gain, seconds = {"line": (1.0, 40), "ring": (0.3, 40), "complete": (0.02, 12)}[graph]
    period = 0.05
    points = Points(graph, gain, 1, period)
    course = np.log([points.step() for _ in range(round(seconds / period))])
    half = len(course) // 2
    found = (course[half] - course[-1]) / ((len(course) - 1 - half) * period)
    wanted = rate(graph, N, gain)
    assert found == pytest.approx(wanted * np.exp(1.5 * period * wanted), rel=0.01)


@pytest.mark.parametrize("graph", ["ring", "complete"])
@pytest.mark.parametrize(("share", "grows"), [(0.85, False), (1.15, True)])
def test_differences_grow_from_the_known_delay_on(graph: str, share: float, grows: bool) -> None:
    gain = 0.5
    limit = delay_limit(graph, N, gain)
    period = limit / 20
    # Held for a period, a value is late by half of one more.
    points = Points(graph, gain, round(20 * share - 0.5), period)
    course = [points.step() for _ in range(1200)]
    early, late = max(course[400:600]), max(course[-200:])
    assert late > 3 * early if grows else late < early / 3


def test_compared_with_what_it_believes_now_no_delay_is_too_long() -> None:
    period, gain = 0.2, 0.5
    delay = round(4 * delay_limit("ring", N, gain) / period)
    points = Points("ring", gain, delay, period, same_age=False)
    course = [points.step() for _ in range(1000)]
    assert course[-1] < 1e-3 * course[0]


def test_the_same_age_keeps_the_mean_of_all_beliefs() -> None:
    for same, moves in ((True, False), (False, True)):
        points = Points("line", 0.5, 10, 0.1, same_age=same)
        before = points.obs[:, :2].mean(0)
        for _ in range(200):
            points.step()
        assert (np.linalg.norm(points.obs[:, :2].mean(0) - before) > 1e-6) == moves


def test_the_limit_is_that_of_the_largest_eigenvalue() -> None:
    assert delay_limit("complete", N) == pytest.approx(np.pi / 20)
    assert spectrum("ring", 4).tolist() == pytest.approx([0, 2, 2, 4])
    assert adjacency("star", 4).sum(1).tolist() == [3, 1, 1, 1]


# --- robots ---------------------------------------------------------------------------------------


def form(params: dict[str, Any], seconds: float, delay: int = 1, **rule_params: Any) -> Any:
    """A world, and its state once robots have gone by the rule for so long."""
    world = make({"task": "formation", "motion": "double_integrator", **params})
    rule = Consensus("robot-1", world.groups[0], rule_params)
    return world, play(world, rule, seconds, delay)


def test_robots_take_their_places_and_do_so_again_when_the_shape_changes() -> None:
    world, state = form({"robots": 6, "change": "25s", "graph": "complete"}, 24.8, gain=0.2)
    assert world.metrics(state)["error_now"].value < 0.1
    assert world.metrics(state)["stands"].value > 10
    everybody = {world.group: torch.zeros(1, 6, dtype=torch.bool)}
    still = {world.group: torch.zeros(1, 6, 2, dtype=torch.float64)}
    for _ in range(3):
        state, _ = world.advance(state, still, everybody)
    assert world.metrics(state)["error_now"].value > 1, "another shape, and nobody has moved"


@pytest.mark.slow
def test_robots_swing_when_messages_are_too_late() -> None:
    sizes = {
        "robots": 6,
        "graph": "complete",
        "change": "1h",
        **BLIND,
        "radius": 0.01,
        "dt": "200ms",
    }
    limit = delay_limit("complete", 6, 0.2)  # 1.3 s
    soon, late = (
        world.metrics(state)["error_now"].value
        for world, state in (
            form(sizes, 60, round(share * limit / 0.2), gain=0.2) for share in (0.5, 1.6)
        )
    )
    assert soon < 0.05
    assert late > 0.5


@pytest.mark.parametrize("robots", [1, 2, 7])
def test_shapes_have_their_pitch_and_their_middle(robots: int) -> None:
    places = make({"task": "formation", "robots": robots, "pitch": 3}).task.places
    assert len(places) == len(SHAPES)
    for place in places:
        assert float(place.mean(0).abs().max()) < 1e-5
        if robots > 1:
            assert float(torch.pdist(place).min()) == pytest.approx(3, rel=1e-5)


@pytest.mark.slow
def test_nobody_is_quicker_than_straight_and_at_full_speed() -> None:
    params = {"robots": 6, "change": "20s", "graph": "complete"}
    world, state = form(params, 39, gain=0.15)
    direct = reference({"task": "formation", **params}, 0, 39 * 10**9)["direct"]
    assert direct["error"] < world.metrics(state)["error"].value
    assert direct["error_now"] < 0.01
