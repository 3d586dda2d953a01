"""Draws docs/gallery.md: every scenario at a moment of it, as its console draws the world.

python docs/gallery.py [SCENARIO ...]

Without names all of them, which takes some minutes. Each is run in memory up to that moment.
"""

from __future__ import annotations

import itertools
import re
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Final

import sim
from sim.console.drawings import Drawing
from sim.console.ink import GROUND, TEXT, Row, style_of, width_of
from sim.errors import InstallationError
from sim.scenario.load import bundled, describe, load_scenario
from sim.store.recording import open_recording
from sim.units import SECOND

WIDTH, HEIGHT = 100, 28
CELL, LINE, SIZE = 7.2, 15.0, 12
"""Of a character: width, distance of lines, size of the font; in the units of the picture."""
SHARE: Final = 0.6
"""Of its duration, when a scenario is drawn, unless said here in seconds."""
WHEN: Final[dict[str, float]] = {
    "central_grid": 13 * 3600, "flash_crash": 75, "large_grid": 7 * 3600, "learn_online": 13 * 3600,
    "medium_voltage": 13 * 3600, "smart_grid": 13 * 3600, "swarm_thousand": 20,
}  # fmt: skip
HEAD = """# Gallery

Every scenario that comes with it, as the console draws its world at some moment. Run each by
`sim run NAME`; its file says in its first lines what to look at. `docs/gallery.py` draws this page.
"""


def scene_of(name: str, folder: Path) -> tuple[list[dict[str, Any]], float]:
    """The scenes up to the moment, and the moment in s."""
    whole = load_scenario(name).duration_ns / SECOND
    seconds = min(WHEN.get(name, SHARE * whole), whole)
    sim.run(
        name, duration=f"{seconds}s", inline=True, compare=False, run_dir=folder / name,
        agents_per_host=1000, speed="max",
    )  # fmt: skip
    recording = open_recording(folder / name)
    return recording.parts("/scene"), recording.times[-1] / SECOND


def svg(rows: list[Row]) -> str:
    """Rows as a picture. Each run of one ink is as wide as its cells, whatever the font."""
    wide, high = WIDTH * CELL + 2 * SIZE, len(rows) * LINE + 2 * SIZE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}">',
        f"<style>text{{font:{SIZE}px 'Fira Code',Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"fill:{TEXT};white-space:pre}}</style>",
        f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>',
    ]
    for number, row in enumerate(rows):
        x, y = float(SIZE), SIZE + (number + 0.8) * LINE
        for ink, cells in itertools.groupby(row, key=lambda cell: cell[1]):
            text = "".join(text for text, _ in cells)
            width = width_of([(text, ink)]) * CELL
            if text.strip():
                parts.append(_text(text, ink, x, y, width))
            x += width
    return "".join([*parts, "</svg>\n"])


def _text(text: str, ink: str, x: float, y: float, width: float) -> str:
    style = style_of(ink)
    told = f"fill:{style.color.triplet.hex};" if style.color and style.color.triplet else ""
    told += "font-weight:bold" if style.bold else ""
    ground = style.bgcolor.triplet.hex if style.bgcolor and style.bgcolor.triplet else GROUND
    behind = ""
    if ground != GROUND:
        top = y - 0.8 * LINE
        behind = (
            f'<rect x="{x:g}" y="{top:g}" width="{width:g}" height="{LINE:g}" fill="{ground}"/>'
        )
    return (
        f'{behind}<text x="{x:g}" y="{y:g}" textLength="{width:g}" lengthAdjust="spacingAndGlyphs"'
        f' style="{told}">{escape(text)}</text>'
    )


def entry(name: str, folder: Path) -> str:
    """Draws one, and what stands about it in the page."""
    scenes, seconds = scene_of(name, folder)
    drawing = Drawing()
    for scene in scenes[:-1]:
        drawing.see(scene)
    rows = drawing.draw(scenes[-1], WIDTH, HEIGHT)
    Path(__file__).with_name("gallery").mkdir(exist_ok=True)
    Path(__file__).with_name("gallery").joinpath(f"{name}.svg").write_text(svg(rows))
    picture = f"![{name} at {seconds:g} s](gallery/{name}.svg)"
    return f"## `{name}`\n\n{describe(bundled()[name])}\n\n{picture}"


def main(names: list[str]) -> None:
    """Draws those, and writes the page if that is all."""
    page = Path(__file__).with_name("gallery.md")
    known = sorted(bundled())
    old = page.read_text() if page.exists() else ""
    parts = {
        n: text.strip("\n") for text, n in re.findall(r"(## `(\w+)`.*?)(?=\n## |\Z)", old, re.S)
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in names or known:
            print(name, flush=True)
            try:
                parts[name] = entry(name, Path(folder))
            except InstallationError as error:
                print(f"  left as it is: {error}")
    page.write_text(HEAD + "".join(f"\n{parts[name]}\n" for name in known if name in parts))


if __name__ == "__main__":
    main(sys.argv[1:])
