"""Folders of sockets: made for their process, and swept when nobody is behind them."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from sim.wire.folders import make_folder, remove_folders


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def aged(path: Path) -> Path:
    os.utime(path, (1.0, 1.0))
    return path


def test_old_ones_without_an_owner_go_and_others_stay(root: Path) -> None:
    owned, refused, young, empty, other = (
        root / f"sim-{n}-{name}"
        for n, name in ((1, "owned"), (2, "refused"), (3, "young"), (4, "empty"), ("x", "other"))
    )
    for path in (owned, refused, young, empty, other):
        path.mkdir()
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(owned / "hosts"))
        alive.listen()
        for path in (refused, young):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(path / "hosts"))
        for path in (owned, refused, empty, other):
            aged(path)
        made = Path(make_folder("sim-", "hosts"))
    assert set(root.iterdir()) == {owned, young, other, made}
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_what_a_process_made_is_removed_by_its_number(root: Path) -> None:
    mine, others = Path(make_folder("sim-live-", "control")), root / "sim-live-1-x"
    others.mkdir()
    remove_folders("sim-live-", os.getpid())
    assert list(root.iterdir()) == [others]
    assert not mine.exists()
