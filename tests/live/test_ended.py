"""Who comes to the end of its program has ended, and is not down as one that was hit."""

from __future__ import annotations

from pathlib import Path

import sim

AGENTS = """\
import asyncio
import sim
class Short(sim.Agent):
    async def run(self): await asyncio.sleep(1)
class Long(sim.Agent):
    async def run(self): await asyncio.sleep(10)
"""
SCENARIO = """\
duration: 3s
world: {kind: blank}
agents:
  done: {count: 1, behaviour: "two.py:Short"}
  hit: {count: 1, behaviour: "two.py:Long"}
network: {default: {latency: 1ms}}
faults: [{at: 1s, kill: hit}]
"""


def test_an_agent_that_is_done_is_told_from_one_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(AGENTS)
    (tmp_path / "x.yaml").write_text(SCENARIO)
    sim.run(tmp_path / "x.yaml", inline=True, run_dir=tmp_path / "run", compare=False)
    agents = sim.load(tmp_path / "run").agents
    told = agents[agents["time"] == agents["time"].max()].set_index("agent")["state"].to_dict()
    assert (told["done"], told["hit"]) == ("finished", "down")
