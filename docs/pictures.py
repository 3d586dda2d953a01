"""Draws docs/run.svg: what a terminal shows at the end of `sim run smart_grid`.

python docs/pictures.py [scenario]
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

import sim
from sim.console.summary import print_result


def main(scenario: str) -> None:
    result = sim.run(scenario, record=False)
    console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True)
    command = ["sim", "run", scenario, "--set", "network.default.loss=30%"]
    print_result(console, result, command)
    svg = console.export_svg(title=f"sim run {scenario}")
    Path(__file__).with_name("run.svg").write_text(svg)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smart_grid")
