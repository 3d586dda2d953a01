"""The programs on the page about auctions run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs/auctions.md").read_text(encoding="utf-8")
AUCTION, DRONES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_market_and_bidders(run: Any) -> None:
    source = AUCTION.replace("class Bidder", "class A")
    scenario = {"duration": "12s", "world": {"agents": 4}}
    outcome = run(source, scenario, {"agent-1": "Market"})
    assert outcome.result.status == "completed"
    assert [text for text in outcome.said() if text.startswith("sold")]
    assert any("won slot" in text for i in (2, 3, 4) for text in outcome.said(f"agent-{i}"))


def test_drones(run: Any) -> None:
    source = DRONES.replace("class Drone", "class A")
    outcome = run(source, {"duration": "5s", "world": {"agents": 3}})
    told = [outcome.said(f"agent-{i}")[0] for i in (1, 2, 3)]
    assert all(text.endswith("agreed: True") for text in told)
    assert sum(text.count("(") for text in told) == 6
