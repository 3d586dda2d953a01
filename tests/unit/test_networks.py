"""Policy files: what is written is what acts, and what does not fit is refused by field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.networks import load_policy, save_policy, schema
from sim.errors import CheckpointError
from sim.runner import run
from sim.spaces import Field, Space
from sim.worlds.world import Group

SEES = Space((Field("time", "s"),))
ACTS = Space((Field("value", size=2),))


def saved(path: Path, sees: Space = SEES, activation: str = "tanh") -> Path:
    tensors = {
        "weight_0": np.array([[1.0], [-1.0], [0.5]]),
        "bias_0": np.zeros(3),
        "weight_1": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]),
        "bias_1": np.array([0.1, -0.1]),
        "mean": np.array([1.0]),
        "scale": np.array([2.0]),
        "low": np.array([0.0, -1.0]),
        "high": np.array([4.0, 1.0]),
    }
    save_policy(path, tensors, {"schema": schema(sees, ACTS), "activation": activation})
    return path


def test_forward_is_the_formula(tmp_path: Path) -> None:
    group = Group("agent", ("a",), SEES, ACTS, 1)
    policy = load_policy(saved(tmp_path / "p.safetensors"))("a", group, {})
    action, outbox, _ = policy(np.array([[3.0], [1.0]]), {}, policy.memory(np, 2), 0)
    hidden = np.tanh(np.array([1.0, -1.0, 0.5]))
    raw = np.array([hidden[0] + 0.1, hidden[1] + 2 * hidden[2] - 0.1])
    expected = np.array([0.0, -1.0]) + (np.tanh(raw) + 1) / 2 * np.array([4.0, 2.0])
    np.testing.assert_allclose(action[0], expected, rtol=1e-14)
    assert outbox == {}
    assert action.shape == (2, 2)


def test_a_policy_plays_a_role(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.safetensors")
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "duration: 1s\nworld: {kind: blank, agents: 2, acts: 2}\n"
        "network: {default: {latency: 1ms}}\n"
    )
    as_policy = [f"agent-*=policy:{path}"]
    result = run(scenario, behaviours=as_policy, inline=True, run_dir=tmp_path / "run")
    assert result.status == "completed", result.agent_failures
    assert result.metrics["actions present"].value == 2


def test_another_schema_is_refused_by_field(tmp_path: Path) -> None:
    other = Space((Field("time", "h"), Field("soc", "kWh")))
    group = Group("agent", ("a",), SEES, ACTS, 1)
    factory = load_policy(saved(tmp_path / "p.safetensors", sees=other))
    with pytest.raises(CheckpointError, match=r"another observation.*time, soc"):
        factory("a", group, {})


@pytest.mark.parametrize("content", [b"", b"not a policy", bytes(100)])
def test_what_is_no_policy_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a policy file"):
        load_policy(path)


def test_unknown_activation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="activation 'gelu'"):
        load_policy(saved(tmp_path / "p", activation="gelu"))


def test_a_bad_policy_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a policy file"):
        run("quickstart", behaviours=[f"agent-1=policy:{bad}"], inline=True, record=False)
    other = saved(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="agent-1 has; these fields differ"):
        run("quickstart", behaviours=[f"agent-1=policy:{other}"], inline=True, record=False)
