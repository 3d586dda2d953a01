"""What a run leaves behind while it runs: its directory and its log, as one thing to write to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sim.errors import SimError
from sim.store.rundir import RunDirectory, create_run, manifest
from sim.store.runlog import VERSION, Decision, Header, Input, RunLog

_WITHOUT_LOG: Final = (
    "the run goes on without its log: up to here it can be verified and resumed, and from here on "
    "it takes no commands"
)


@dataclass
class Recorder:
    """The run's directory and log; writes nothing, if the run is not recorded.

    The run never ends for its record: what the disk does not take stops that part of it, and is
    told in `refused`, once.
    """

    directory: RunDirectory | None = None
    log: RunLog | None = None
    refused: list[str] = field(default_factory=list)
    _has_no_log: bool = False
    _has_no_story: bool = False

    @property
    def path(self) -> Path | None:
        return self.directory.path if self.directory else None

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        """The digest at a grid point."""
        with self._logging() as log:
            if log:
                log.fold(time_ns, chain, mark)

    def add(self, record: Decision | Input) -> None:
        """What comes from outside, before it takes effect.

        Raises: SimError for a command that cannot be recorded: it must not take effect.
        """
        with self._logging() as log:
            if log:
                log.add(record)
        if isinstance(record, Input) and self._has_no_log:
            raise SimError("the run has lost its log, so it takes no commands: the disk is full?")

    def end(self, status: str, digest: str) -> None:
        """The end of the run."""
        with self._logging() as log:
            if log:
                log.end(status, digest)

    def flush(self) -> None:
        """Hands over what is buffered."""
        with self._logging() as log:
            if log:
                log.flush()

    @contextlib.contextmanager
    def _logging(self) -> Iterator[RunLog | None]:
        """The log; given up if the disk does not take what is written."""
        try:
            yield self.log
        except SimError as error:
            if self.log is None:
                raise
            self.refused.append(f"{error}: {_WITHOUT_LOG}")
            self._has_no_log = True
            with contextlib.suppress(SimError):
                self.log.close()
            self.log = None

    def announce(self, address: str | None) -> None:
        """Says where the run's door is, so that it can be found by its directory; None: no more."""
        with self._telling():
            if self.directory:
                self.directory.announce(address)

    def add_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Adds to the story."""
        with self._telling():
            if self.directory and events and not self._has_no_story:
                self.directory.add_events(events)

    def write(self, summary: Mapping[str, Any]) -> None:
        """The summary as it now stands."""
        with self._telling():
            if self.directory:
                self.directory.write_json("summary.json", summary)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except SimError as error:
            self._has_no_story = True
            self.refused.append(str(error))

    def take_refused(self) -> list[str]:
        """What the disk has refused since the last time."""
        told, self.refused = self.refused, []
        return told

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        with self._logging() as log:
            if log:
                log.close()
        if self.directory:
            self.directory.close()


def new_recorder(
    name: str, seed: int, scenario: str, given: Mapping[str, Any], run_dir: str | Path | None
) -> Recorder:
    """A fresh directory with what is known before the run. scenario: the resolved file's text;
    given: what goes into the manifest beside it.
    """
    directory = create_run(name, run_dir)
    document = manifest(scenario=name, seed=seed, **given)
    directory.write_text("scenario.yaml", scenario)
    directory.write_json("manifest.json", document)
    header = Header(VERSION, name, seed, document)
    return Recorder(directory, RunLog(directory.path / "run.log", header))
