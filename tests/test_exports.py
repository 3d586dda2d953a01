"""What `import sim` offers is sorted, complete and importable, and says what it is."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sim


def test_the_public_names_are_sorted_and_listed() -> None:
    assert sim.__all__ == sorted(set(sim.__all__))
    assert dir(sim) == sim.__all__
    assert sim.__all__ == sorted(sim._EXPORTS)


def test_what_stands_in_the_package_itself_is_public_or_private() -> None:
    """Nothing else is found in a fresh `sim` but its modules, and names with an underscore."""
    code = "import sim; print(*[n for n in vars(sim) if not n.startswith('_')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) <= {"annotations", "importlib", "Any"}


@pytest.mark.parametrize("name", sim.__all__)
def test_each_public_name_is_there_and_documented(name: str) -> None:
    found = getattr(sim, name)
    assert found is getattr(sim, name)
    assert inspect.getdoc(found)
    assert found.__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'agent'"):
        _ = sim.agent


def test_what_is_installed_has_every_package() -> None:
    root = Path(sim.__file__).parent.parent
    given = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {
        ".".join(path.parent.relative_to(root).parts)
        for top in ("sim", "agents", "broker")
        for path in (root / top).rglob("__init__.py")
    }
    only_data = {"sim.bundled", "sim.console.pages", "sim.worlds.data"}
    assert there | only_data == set(given)
