"""The motorway as runs: what asking for a gap is worth, and a siren; and what an accident costs."""

from __future__ import annotations

import pytest

import sim

pytestmark = [pytest.mark.torch, pytest.mark.slow]
COARSE = ("world.dt=100ms", "world.latency=0")


def outcome(
    scenario: str, players: str, seed: int, *overrides: str, who: str = "*"
) -> dict[str, float]:
    result = sim.run(
        scenario, seed=seed, behaviours={who: players}, overrides=(*COARSE, *overrides),
        inline=True, record=False, compare=False,
    )  # fmt: skip
    assert result.status == "completed"
    return {name: metric.value for name, metric in result.metrics.items()}


def test_who_asks_for_a_gap_waits_half_as_long_as_who_only_looks() -> None:
    """Reward and delay on the ramp, in pairs of equal traffic; `none` drives as `Human` does."""
    asked, looked = (
        [outcome("merge", players, seed) for seed in range(4)] for players in ("rule", "none")
    )
    for with_it, without in zip(asked, looked, strict=True):
        assert with_it["ramp_delay"] < without["ramp_delay"]
        assert with_it["reward"] > without["reward"]
        assert with_it["near_misses"] == with_it["collisions"] == 0

    def mean(found: list[dict[str, float]], name: str) -> float:
        return sum(one[name] for one in found) / len(found)

    assert mean(asked, "ramp_delay") < mean(looked, "ramp_delay") / 2
    assert mean(asked, "reward") > mean(looked, "reward") + 1.0


def test_without_messages_who_asks_drives_like_who_only_looks() -> None:
    deaf = outcome("merge", "rule", 1, "duration=60s", "network.default.loss=1")
    human = outcome("merge", "none", 1, "duration=60s")
    assert deaf["ramp_delay"] == pytest.approx(human["ramp_delay"], rel=0.1)


def test_who_hears_the_siren_makes_way_and_nobody_comes_to_harm() -> None:
    """Seconds sooner at the scene than among people that are deaf, in pairs of equal traffic; with
    nobody in its way it needs 35 s."""
    heard, deaf = (
        [outcome("emergency", players, seed, "duration=90s", who="vehicle-*") for seed in (0, 1)]
        for players in ("rule", "none")
    )
    gains = []
    for with_it, without in zip(heard, deaf, strict=True):
        assert 35.0 < with_it["response_time"] < without["response_time"] < 90.0 - 20.0
        gains.append(without["response_time"] - with_it["response_time"])
    assert sum(gains) / len(gains) > 6.0
    for one in (*heard, *deaf):
        assert one["near_misses"] == one["collisions"] == one["scrapes"] == 0


def test_an_accident_blocks_its_lane_until_it_is_lifted() -> None:
    """By hand, among people: nobody passes in that lane, and they pass again afterwards."""
    none, all_along, short = (
        outcome("emergency", "none", 0, f"faults={faults}", "duration=70s")
        for faults in (
            "[]",
            "[{at: 15s, world: accident, target: lane-2}]",
            "[{at: 15s, world: accident, target: lane-2, for: 20s}]",
        )
    )
    assert all_along["lane_2"] < short["lane_2"] < none["lane_2"]
    assert all_along["delay"] > short["delay"] > none["delay"] + 0.5
    assert all_along["left"] < short["left"] < none["left"]
    assert all_along["collisions"] == short["collisions"] == 0
