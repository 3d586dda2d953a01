"""The bundled auction house: what each format realises with and without losses."""

from __future__ import annotations

from typing import Any

import pytest

import sim
from agents.behaviours.auction_house import SALES
from sim.errors import ScenarioError


def table(**overrides: Any) -> dict[str, list[float]]:
    """(efficiency in percent, revenue, messages, bidders not heard) per auction, by format."""
    lots = {"agents.agent-1.params.lots": 3, "faults": []}
    result = sim.run(
        "auction_house", inline=True, record=False, compare=False, overrides=lots | overrides
    )
    assert result.status == "completed"
    said = [e["text"].replace("%", "").split() for e in result.events if e["agent"] == "agent-1"]
    return {line[0]: [float(x) for x in line[1:]] for line in said if line and line[0] in SALES}


def test_without_losses_every_format_realises_everything() -> None:
    found = table(**{"network.default.loss": 0, "duration": "1min"})
    assert set(found) == set(SALES)
    for name, (efficiency, revenue, _, unheard) in found.items():
        assert efficiency >= (90 if name in ("english", "dutch") else 100), name
        assert unheard == 0
        assert revenue > 0 or name == "double_auction"
    assert found["double_auction"][1] == pytest.approx(0)


def test_losses_cost_clocks_more_than_sealed_bids() -> None:
    found = table(**{"network.default.loss": 0.3})
    for name in ("english", "dutch"):
        assert found[name][3] > found["second_price"][3]
        assert found[name][2] > found["second_price"][2]
    assert found["english"][0] < found["second_price"][0]


def test_what_the_house_finds_is_the_outcome() -> None:
    """Of the formats that are asked for; what there is to earn is what the winner gains."""
    found = {}
    for formats in ("first_price", "*_price"):
        result = sim.run(
            "auction_house", inline=True, record=False, compare=False, duration="20s",
            overrides={
                "agents.agent-1.params.formats": formats, "agents.agent-1.params.lots": 2,
                "network.default.loss": 0, "faults": [],
            },
        )  # fmt: skip
        found[formats] = {name: metric.value for name, metric in result.metrics.items()}
        said = " ".join(event["text"] for event in result.events)
        assert ("second_price" in said) == (formats == "*_price")
    assert found["first_price"]["efficiency"] == found["*_price"]["efficiency"] == 1
    assert found["first_price"]["revenue"] == pytest.approx(7 / 8)
    assert 0.5 < found["*_price"]["revenue"] < 7 / 8


def test_a_format_that_does_not_exist_is_told() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'first_price'"):
        sim.run("auction_house", overrides={"agents.agent-1.params.formats": "frist_price"})
