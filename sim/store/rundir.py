"""The directory of a run, `runs/<scenario>-<nnnn>/`: what it was, what came of it, its log.

scenario.yaml  as resolved     manifest.json  versions, machine, options      run.log  see runlog
summary.json   the outcome     events.jsonl   the story: faults, failures, what agents printed

A directory is made anew for every run and never written over. `runs/last` names the newest.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from sim.clock import timestamp
from sim.errors import CheckpointError, ScenarioError, SimError, UnknownKeyError
from sim.ids import did_you_mean
from sim.scenario.policies import LAST, RUNS

LIVE: Final = "live.json"
_NUMBERS_MAX: Final = 1_000_000
_PACKAGES: Final = {
    "sim": "sim-agents", "numpy": "numpy", "torch": "torch", "msgspec": "msgspec",
    "pyzmq": "pyzmq", "scipy": "scipy", "networkx": "networkx",
}  # fmt: skip


class RunDirectory:
    """A run's directory, open for writing.

    Raises: SimError from every method if the disk does not take it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: IO[str] | None = None

    def write_text(self, name: str, text: str) -> None:
        """A whole file at once: it is there complete, or not at all."""
        target = self.path / name
        draft = target.with_name(f".{name}.draft")
        try:
            draft.write_text(text)
            draft.replace(target)
        except OSError as error:
            raise SimError(f"cannot write {target}: {error.strerror or error}") from None

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """A document as JSON."""
        self.write_text(name, to_json(document) + "\n")

    def add_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Appends to the story, one line of JSON each."""
        try:
            if self._events is None:
                self._events = (self.path / "events.jsonl").open("a")
            self._events.writelines(to_json(event, indent=0) + "\n" for event in events)
        except OSError as error:
            raise SimError(f"cannot write the events in {self.path}: {error}") from None

    def announce(self, address: str | None) -> None:
        """Writes `live.json` with the address of the run's door; None removes it."""
        if address is None:
            with contextlib.suppress(OSError):
                (self.path / LIVE).unlink(missing_ok=True)
        else:
            pid = os.getpid()
            self.write_json(LIVE, {"address": address, "pid": pid, "born": born(pid)})

    def close(self) -> None:
        """Closes what is open; may be called again."""
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.close()
            self._events = None


def create_run(name: str, run_dir: str | Path | None = None) -> RunDirectory:
    """A new directory: `run_dir`, or the next number of `runs/<name>-<nnnn>`.

    Raises: ScenarioError if `run_dir` holds anything already; SimError if it cannot be made.
    """
    if run_dir is None:
        return _next_run(name, Path(RUNS))
    path = Path(run_dir)
    try:
        path.mkdir(parents=True, exist_ok=True)
        is_empty = not any(path.iterdir())
    except OSError as error:
        raise ScenarioError(f"cannot make the run directory {path}: {error.strerror}") from None
    if not is_empty:
        raise ScenarioError(f"the run directory {path} is not empty; a run never overwrites one")
    return RunDirectory(path)


def _next_run(name: str, runs: Path) -> RunDirectory:
    try:
        runs.mkdir(exist_ok=True)
        taken = [entry.name.rpartition("-")[2] for entry in runs.glob(f"{name}-*")]
        number = max((int(end) for end in taken if end.isdecimal()), default=0)
        while number < _NUMBERS_MAX:
            number += 1
            path = runs / f"{name}-{number:04d}"
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                _point(runs / LAST, path.name)
                return RunDirectory(path)
    except OSError as error:
        raise SimError(
            f"cannot make a run directory in {runs.resolve()}: {error.strerror}; "
            "--run-dir puts it elsewhere"
        ) from None
    raise SimError(f"{runs.resolve()} holds a million runs of {name}; remove some")


def _point(link: Path, target: str) -> None:
    """Makes `link` name `target`: a symbolic link, or a file with the name where there are none."""
    draft = link.with_name(f".{LAST}-{target}")
    try:
        draft.symlink_to(target)
    except OSError:
        draft.write_text(target + "\n")
    draft.replace(link)


def last_run(runs: str | Path = RUNS) -> Path | None:
    """The newest run's directory; None if there is none."""
    link = Path(runs, LAST)
    if link.is_symlink() or link.is_dir():
        return link.resolve() if link.exists() else None
    return Path(runs, link.read_text().strip()) if link.is_file() else None


def born(pid: int) -> str:
    """When a process began, so that its number is not taken for another's; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
    except OSError:
        return ""


def address_of(run: Path) -> str | None:
    """The address of a run that goes on; None if it does not."""
    try:
        live = json.loads((run / LIVE).read_text())
        is_alive = born(live["pid"]) == live["born"] != ""
        return str(live["address"]) if is_alive else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def alive_runs(runs: str | Path = RUNS) -> dict[str, str]:
    """Runs that go on, by name: their addresses."""
    found = {}
    for path in sorted(Path(runs).glob(f"*/{LIVE}")):
        address = None if path.parent.is_symlink() else address_of(path.parent)
        if address is not None:
            found[path.parent.name] = address
    return found


def find_run(text: str | Path, runs: str | Path = RUNS) -> Path:
    """The directory of a run: a directory (or a file in it), a name under runs/, or `last`.

    Raises: UnknownKeyError that names the nearest run.
    """
    name = str(text)
    path = Path(text)
    if name == LAST and not _is_run(path):
        found = last_run(runs)
        if found is None or not _is_run(found):
            raise UnknownKeyError(f"there is no run yet in {Path(runs).resolve()}")
        return found
    for candidate in (path, Path(runs, name), path.parent):
        is_file = candidate is not path.parent or path.is_file()
        if is_file and _is_run(candidate):
            return candidate
    if path.is_dir():
        raise UnknownKeyError(f"{path} is a directory, but no run's: none of {', '.join(_PARTS)}")
    known = sorted(each.name for each in Path(runs).glob("*") if _is_run(each))
    known = [each for each in known if each != LAST]
    raise UnknownKeyError(f"no run {name!r}; {did_you_mean(name, [*known[::-1], LAST])}")


def refuse_other_kinds(path: Path) -> None:
    """Raises: CheckpointError for a directory of training, an evaluation or a sweep, of which there
    is nothing to play again.
    """
    try:
        kind = json.loads((path / "manifest.json").read_text()).get("kind")
    except (OSError, ValueError, AttributeError):
        return
    if kind:
        name = run_name(path)
        further = {"training": "train", "sweep": "sweep"}.get(kind)
        hint = f", `sim {further} --resume {name}` goes on with it" if further else ""
        raise CheckpointError(f"{name} is of kind {kind}: `sim report {name}` shows it{hint}")


def run_name(path: Path) -> str | Path:
    """What a person may call a run: its name if it is under runs/, or else its path."""
    is_near = path.parent.resolve() == Path(RUNS).resolve()
    return path.name if is_near else path


_PARTS: Final = ("manifest.json", "run.log", "events.mcap", "summary.json")


def _is_run(path: Path) -> bool:
    return path.is_dir() and any((path / part).is_file() for part in _PARTS)


def manifest(**given: Any) -> dict[str, Any]:
    """What a digest depends on beside the scenario: versions and processor; then what is given."""
    return {
        "started": timestamp(),
        "versions": {"python": platform.python_version(), **versions()},
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
        },
        **given,
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that a result depends on."""
    found = {}
    for name, package in _PACKAGES.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(package)
    return found


def processor() -> str:
    """The processor's model, as the operating system names it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def to_json(document: Any, indent: int = 2) -> str:
    """JSON of plain data; not-a-number and infinities, which JSON has not, become null."""
    plain = _finite(msgspec.to_builtins(document))
    if not indent:
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(plain, ensure_ascii=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
