"""Runs to report on, recorded once."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkers.recorded import record_run

from sim.live import _fault
from sim.scenario.load import dump
from sim.store.rundir import manifest, to_json

FAULTS = [
    {"at": "2s", "kill": "agent-2", "for": "2s"},
    {"at": "5s", "hang": "agent-1", "for": "1s"},
]


def recorded_run(folder: Path, name: str, seed: int = 0, **options: object) -> Path:
    """A directory as a run leaves it: scenario, manifest, summary, events and recording."""
    path = folder / name
    path.mkdir()
    given = {"duration": 8, **options}
    scenario = str(given.pop("scenario", "quickstart"))
    run = record_run(scenario, path, seed=seed, **given)
    kernel = run.kernel
    values = {n: m.value for n, m in kernel.world.metrics().items()}
    summary = run.summary(
        virtual_seconds=kernel.now / 1e9, wall_seconds=0.5, steps=kernel.steps, agents=3,
        processes=0, digest=kernel.digest.chain.hex(), agent_failures=[],
        faults=[_fault(each) for each in kernel.faults_applied],
        metrics={**values, "gap": 0.4},
        reference={"no control": {**values, "gap": 1.0}, "optimum": {next(iter(values)): 0.0}},
    )  # fmt: skip
    document = manifest(scenario=kernel.scenario.name, seed=seed, packing={"inline": True})
    (path / "summary.json").write_text(to_json(summary))
    (path / "manifest.json").write_text(to_json(document))
    (path / "scenario.yaml").write_text(dump(kernel.scenario))
    return path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    lossy = {"network.default.loss": 0.5, "faults": FAULTS}
    one = [{"at": "1s", "kill": "agent-2", "for": "500ms"}]
    many = {"world.agents": 50, "faults": one}
    return {
        "one": recorded_run(folder, "one-0001", overrides={"faults": FAULTS}),
        "other": recorded_run(folder, "one-0002", seed=5, overrides=lossy),
        "grid": recorded_run(folder, "grid-0001", scenario="smart_grid", duration="2h"),
        "many": recorded_run(folder, "many-0001", duration=2, overrides=many),
    }
