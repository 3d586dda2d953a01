"""Files of an author's as modules: agents, worlds, environments."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from pathlib import Path
from types import ModuleType

from sim.errors import ScenarioError


def file_module(path: Path) -> ModuleType:
    """The module of a file, loaded once per process, and again once the file changed.

    Raises: ScenarioError if it is no file of Python; whatever its own code raises.
    """
    name = f"sim_author_{path.stem}_{zlib.crc32(bytes(path) + path.read_bytes()):08x}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ScenarioError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def author_module(name: str) -> ModuleType:
    """The module of a world's file.

    Raises: ScenarioError with the author's line, for a file that is not there or does not load.
    """
    path = Path(name).absolute()
    if not path.is_file():
        raise ScenarioError(f"no file {name!r}")
    try:
        return file_module(path)
    except SyntaxError as error:
        raise ScenarioError(f"{path}:{error.lineno}: {error.msg}") from None
    except ScenarioError:
        raise
    except Exception as error:
        raise ScenarioError(f"{_line_of(error, path)}: {type(error).__name__}: {error}") from None


def _line_of(error: BaseException, path: Path) -> str:
    """Where in a file an error came from: its innermost line there."""
    found, trace = str(path), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            found = f"{path}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
