"""Pictures of the console, compared with those accepted before.

After a wanted change: `pytest tests/console/test_snapshots.py --snapshot-update`, and look at them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console.fakes import FakeSource, stored
from textual.pilot import Pilot

from sim.console.app import Console

SMALL, WIDE = (80, 24), (160, 45)


def console(name: str, many: int) -> Console:
    intro, frames = stored(name)
    return Console(FakeSource(intro, frames[:many]), is_owner=True)


async def settled(pilot: Pilot[str]) -> None:
    await pilot.pause()
    app = pilot.app
    assert isinstance(app, Console)
    app.tick()
    await pilot.pause()


@pytest.mark.parametrize(
    ("name", "many", "size", "press"),
    [
        ("smart_grid", 14, SMALL, ()),
        ("smart_grid", 14, WIDE, ()),
        ("quickstart", 32, SMALL, ()),
        ("microgrid", 14, SMALL, ("m",)),
        ("quickstart", 32, (60, 4), ()),
        ("quickstart", 32, SMALL, ("k",)),
        ("smart_grid", 27, SMALL, ()),
    ],
    ids=["grid-small", "grid-wide", "points-small", "links-small", "tiny", "dialog", "outcome"],
)
def test_picture(
    name: str,
    many: int,
    size: tuple[int, int],
    press: tuple[str, ...],
    snap_compare: Callable[..., bool],
) -> None:
    async def before(pilot: Pilot[str]) -> None:
        await settled(pilot)
        await pilot.press(*press)
        await pilot.pause()

    assert snap_compare(console(name, many), terminal_size=size, run_before=before)
