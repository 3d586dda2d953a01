"""Checkpoints: what is read equals what was written, and a file is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import CheckpointError, SimError
from sim.learn.checkpoint import (
    checkpoint_path,
    checkpoints,
    newest,
    prune,
    read_checkpoint,
    write_checkpoint,
)

pytestmark = pytest.mark.torch

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(),
    st.binary(max_size=8),
)  # fmt: skip
KEYS = st.one_of(st.text(max_size=5), st.integers(0, 9), st.tuples(st.integers(0, 3), st.text()))
TREES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=tries(50), deadline=None)
@given(tree=TREES)
def test_plain_data_comes_back_equal(tree: Any, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("state") / "a.safetensors"
    write_checkpoint(path, {"tree": tree}, {"frames": 3})
    state, card = read_checkpoint(path)
    assert state == {"tree": tree}
    assert card["frames"] == 3


def test_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    state = {
        "view": shared.T, "same": shared, "flag": torch.tensor(True), "none": torch.zeros(0, 3),
        "rng": torch.Generator().get_state(), "array": np.float64([1.5, np.nan]),
        "list": [torch.tensor(3, dtype=torch.int64)],
    }  # fmt: skip
    write_checkpoint(tmp_path / "a.safetensors", state, {})
    read, _ = read_checkpoint(tmp_path / "a.safetensors")
    assert torch.equal(read["view"], shared.T)
    assert torch.equal(read["same"], shared)
    assert read["flag"].dtype == torch.bool
    assert read["flag"].shape == ()
    assert read["none"].shape == (0, 3)
    assert torch.equal(read["rng"], state["rng"])
    assert np.array_equal(read["array"], state["array"], equal_nan=True)
    assert read["list"][0].dtype == torch.int64


def test_what_has_no_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="may not hold a object"):
        write_checkpoint(tmp_path / "a.safetensors", {"x": object()}, {})


def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"x": 1}, {})

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SimError, match="No space left"):
        write_checkpoint(path, {"x": 2}, {})
    assert read_checkpoint(path)[0] == {"x": 1}


def test_a_damaged_newest_one_is_passed_over(tmp_path: Path) -> None:
    for frames in (5, 10, 15):
        write_checkpoint(checkpoint_path(tmp_path, frames), {"x": frames}, {"frames": frames})
    damaged = checkpoint_path(tmp_path, 15)
    damaged.write_bytes(damaged.read_bytes()[:40])
    path, state, card = newest(tmp_path)
    assert (path, state, card["frames"]) == (checkpoint_path(tmp_path, 10), {"x": 10}, 10)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_checkpoint(damaged)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for frames in (5, 100, 15, 2000):
        write_checkpoint(checkpoint_path(tmp_path, frames), {}, {})
    prune(tmp_path, 2)
    assert [path.stem for path in checkpoints(tmp_path)] == ["000000000100", "000000002000"]


def test_no_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        newest(tmp_path)
