"""`sim new`: starting points as files of the author's own.

The files lie beside this module, with `.txt` behind their names and NAME, Name in place of the
author's name, so that neither imports nor checkers take them for ours.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from typing import Final

from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean

_FOLDER: Final = Path(__file__).parent
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,23}")
KINDS: Final = ("agent", "world")
_NEXT: Final = {
    "agent": ("sim run quickstart --as 'agent-1=NAME.py:Name'", "sim check NAME.py"),
    "world": ("sim run NAME.yaml", "sim check NAME.yaml"),
}


def create(kind: str, name: str, folder: str | Path = ".") -> list[str]:
    """Writes the files of a kind into a folder; lines that say which, and what to do next.

    Nothing is written unless all of it can be.
    Raises: UnknownKeyError for another kind; ScenarioError for a name that cannot be one of a
            module, and for a file that exists.
    """
    if kind not in KINDS:
        raise UnknownKeyError(f"sim new: there is no kind {kind!r}; {did_you_mean(kind, KINDS)}")
    texts = files(kind, _checked(name))
    for file in texts:
        if Path(folder, file).exists():
            raise ScenarioError(f"{Path(folder, file)} exists already; nothing was written")
    for file, text in texts.items():
        try:
            Path(folder, file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ScenarioError(f"{Path(folder, file)}: {error.strerror}") from None
    steps = [_filled(step, name) for step in _NEXT[kind]]
    return [*texts, *(f"next  {step}" for step in [*steps, f"pytest test_{name}.py"])]


def files(kind: str, name: str) -> dict[str, str]:
    """Name and text of each file."""
    return {
        _filled(path.name.removesuffix(".txt"), name): _filled(path.read_text("utf-8"), name)
        for path in sorted((_FOLDER / kind).glob("*.txt"))
    }


def _filled(text: str, name: str) -> str:
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("NAME", name).replace("Name", title)


def _checked(name: str) -> str:
    """Raises: ScenarioError if a module cannot have that name."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ScenarioError(
            "expected a name of at most 24 small letters, digits and _, as in my_name, "
            f"found {name!r}"
        )
    if importlib.util.find_spec(name) is not None and not Path(f"{name}.py").exists():
        raise ScenarioError(f"there is a module {name!r} already, which {name}.py would hide")
    return name
