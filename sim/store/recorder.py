"""What a run leaves behind while it runs: its directory and its log, as one thing to write to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.store.rundir import RunDirectory, create_run, manifest
from sim.store.runlog import VERSION, Decision, Header, Input, RunLog


@dataclass
class Recorder:
    """The run's directory and log; writes nothing, if the run is not recorded.

    Raises: SimError from every method if the disk does not take it.
    """

    directory: RunDirectory | None = None
    log: RunLog | None = None

    @property
    def path(self) -> Path | None:
        return self.directory.path if self.directory else None

    def fold(self, time_ns: int, chain: str, mark: bytes) -> None:
        if self.log:
            self.log.fold(time_ns, chain, mark)

    def add(self, record: Decision | Input) -> None:
        if self.log:
            self.log.add(record)

    def end(self, status: str, digest: str) -> None:
        if self.log:
            self.log.end(status, digest)

    def flush(self) -> None:
        if self.log:
            self.log.flush()

    def announce(self, address: str | None) -> None:
        """Says where the run's door is, so that it can be found by its directory; None: no more."""
        if self.directory:
            self.directory.announce(address)

    def add_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        if self.directory and events:
            self.directory.add_events(events)

    def write(self, summary: Mapping[str, Any]) -> None:
        """The summary as it now stands."""
        if self.directory:
            self.directory.write_json("summary.json", summary)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        if self.log:
            self.log.close()
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
