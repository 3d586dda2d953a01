"""Draws docs/console.svg: the console on the smart grid, hurt by hand while the sun is high.

python docs/pictures.py
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path

import sim
from sim.console.app import Console
from sim.console.source import RecordedSource
from sim.store.recording import open_recording
from sim.wire.control import ControlClient

SIZE = (160, 45)
WHEN = "13:24"
BY_HAND = (
    "{at: 12h50min, kill: battery-3, for: 2h}",
    "{at: 13h5min, link: ['pv-*', operator], loss: 40%, for: 1h}",
)


def record(folder: Path) -> Path:
    """A day with two commands of a person in it."""

    def hurt(address: str) -> None:
        door = ControlClient(address)
        for entry in BY_HAND:
            door.ask("inject", entry)
        door.close()

    result = sim.run(
        "smart_grid", run_dir=folder / "smart_grid-0042", duration="24h", speed="max",
        on_live=lambda address: threading.Thread(target=hurt, args=(address,)).start(),
    )  # fmt: skip
    assert result.run_dir is not None
    return result.run_dir


async def draw(run: Path) -> str:
    """The console at that moment, as SVG."""
    source = RecordedSource(open_recording(run))
    app = Console(source)
    async with app.run_test(size=SIZE) as pilot:
        source.ask("pause")
        source.ask("seek", WHEN)
        for _ in range(20):
            await pilot.pause(0.1)
        return app.export_screenshot(title="sim run smart_grid")


def main() -> None:
    """Records, and draws."""
    with tempfile.TemporaryDirectory() as folder:
        svg = asyncio.run(draw(record(Path(folder))))
    Path(__file__).with_name("console.svg").write_text(svg)


if __name__ == "__main__":
    main()
