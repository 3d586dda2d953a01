"""Policy files: what is written is what acts, and what does not fit is refused by field."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from agents.networks import load_policy, read_policy, save_policy, schema
from agents.policy import Received
from sim.errors import CheckpointError
from sim.runner import run
from sim.spaces import Field, Space
from sim.worlds.blank import Blank
from sim.worlds.world import Group, Metric

SEES = Space((Field("time", "s"),))
ACTS = Space((Field("value", size=2),))
BOUND = Space((Field("value", low=0.0, high=4.0), Field("other", low=-1.0, high=1.0)))
WEIGHTS = {
    "layer_0_weight": np.array([[1.0], [-1.0], [0.5]]),
    "layer_0_bias": np.zeros(3),
    "head_weight": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]),
    "head_bias": np.array([0.1, -0.1]),
    "log_std": np.array([-1.0, 0.0]),
    "mean": np.array([1.0]),
    "scale": np.array([2.0]),
}
NETWORK = {"own": 1, "outputs": 4, "free": 2, "hidden": [3]}


def group(sees: Space = SEES, acts: Space = ACTS, name: str = "a") -> Group:
    return Group("agent", (name,), sees, acts, 10**9)


def saved(
    path: Path,
    sees: Space = SEES,
    acts: Space = ACTS,
    tensors: dict[str, Any] | None = None,
    inbox: dict[str, int] | None = None,
    network: dict[str, Any] | None = None,
    **card: Any,
) -> Path:
    card = {
        "schema": schema(sees, acts, inbox),
        "network": {**NETWORK, **(network or {})},
        "agents": ["a"],
        **card,
    }
    save_policy(path, WEIGHTS if tensors is None else tensors, card)
    return path


def test_forward_is_the_formula(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.safetensors", acts=BOUND)
    policy = load_policy(path)("a", group(acts=BOUND), {})
    action, outbox, _ = policy(np.array([[3.0], [1.0]]), {}, policy.memory(np, 2), 0)
    hidden = np.tanh(np.array([1.0, -1.0, 0.5]))
    raw = np.array([hidden[0] + 0.1, hidden[1] + 2 * hidden[2] - 0.1])
    expected = np.array([0.0, -1.0]) + (np.tanh(raw) + 1) / 2 * np.array([4.0, 2.0])
    np.testing.assert_allclose(action[0], expected, rtol=1e-6)
    assert outbox == {}
    assert (action.shape, action.dtype) == ((2, 2), np.float64)


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


def test_the_card_is_readable_and_its_schema_hashed(tmp_path: Path) -> None:
    path = saved(tmp_path / "p", scores={"return": 3.5}, scenario="quickstart")
    with safe_open(path, framework="numpy") as file:
        card = json.loads(file.metadata()["card"])
    assert card["schema"]["action"] == [["value", "", 2, None, None, 0]]
    text = json.dumps(card["schema"], sort_keys=True, separators=(",", ":"))
    assert card["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert (card["scores"], card["scenario"]) == ({"return": 3.5}, "quickstart")
    assert card["role"] == "agents.roles:PlainRole"
    tensors, read = read_policy(path)
    assert read == card
    np.testing.assert_array_equal(tensors["log_std"], [-1.0, 0.0])
    assert [p.name for p in tmp_path.iterdir()] == ["p"], "nothing else is left behind"


def test_another_schema_is_refused_by_field(tmp_path: Path) -> None:
    other = Space((Field("time", "h"), Field("soc", "kWh")))
    tensors = {**WEIGHTS, "layer_0_weight": np.zeros((3, 2)), "mean": np.zeros(2)}
    tensors["scale"] = np.ones(2)
    path = saved(tmp_path / "p.safetensors", sees=other, tensors=tensors, network={"own": 2})
    with pytest.raises(CheckpointError, match=r"another observation.*time, soc"):
        load_policy(path)("a", group(), {})


def test_other_bounds_of_an_action_are_refused(tmp_path: Path) -> None:
    wider = Space((Field("value", low=0.0, high=5.0), BOUND.fields[1]))
    factory = load_policy(saved(tmp_path / "p", acts=BOUND))
    with pytest.raises(CheckpointError, match=r"another action.*differ: value \(value was .*4\.0"):
        factory("a", group(acts=wider), {})


def test_the_same_fields_in_another_order_are_refused(tmp_path: Path) -> None:
    factory = load_policy(saved(tmp_path / "p", acts=BOUND))
    with pytest.raises(CheckpointError, match="their order"):
        factory("a", group(acts=Space(BOUND.fields[::-1])), {})


@pytest.mark.parametrize("content", [b"", b"not a policy", bytes(100)])
def test_what_is_no_policy_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a policy file"):
        load_policy(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"network": {**NETWORK, "activation": "gelu"}}, "gelu"),
        ({"network": {**NETWORK, "hidden": [4]}}, r"layer_0_weight has shape \(3, 1\)"),
        ({"network": {**NETWORK, "heard": [["offer", 2, 1]]}}, r"hears \[\['offer', 1\]\]"),
        ({"network": {**NETWORK, "recurrent": 2}}, r"gru_input_weight has shape None"),
        ({"agents": "a"}, "card is not that of a policy"),
        ({"schema": {"observation": [["time", "h", 1, ""]]}}, "card was changed"),
    ],
)
def test_a_card_that_is_wrong_is_refused(
    tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    tensors, card = read_policy(saved(tmp_path / "good"))
    path = tmp_path / "bad"
    save_file(tensors, path, metadata={"card": json.dumps({**card, **change})})
    with pytest.raises(CheckpointError, match=match):
        load_policy(path)


def test_a_file_without_a_card_is_refused(tmp_path: Path) -> None:
    save_file({"layer_0_bias": np.zeros(3)}, tmp_path / "p")
    with pytest.raises(CheckpointError, match="card is not that of a policy"):
        load_policy(tmp_path / "p")


def test_a_tensor_too_many_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tensor more has shape"):
        saved(tmp_path / "p", tensors={**WEIGHTS, "more": np.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_bad_policy_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a policy file"):
        run("quickstart", behaviours=[f"agent-1=policy:{bad}"], inline=True, record=False)
    other = saved(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="agent-1 has; these fields differ"):
        run("quickstart", behaviours=[f"agent-1=policy:{other}"], inline=True, record=False)


@pytest.mark.parametrize("kind", [{"share": "none"}, {"identity": True}])
def test_an_agent_it_does_not_know_is_refused_by_name(tmp_path: Path, kind: dict[str, Any]) -> None:
    agents = ["home-1", "home-2"]
    wide = np.zeros((3, 3)) if "identity" in kind else WEIGHTS["layer_0_weight"]
    tensors = {**WEIGHTS, "layer_0_weight": wide}
    if "share" in kind:
        own = {n: np.stack([t, t]) for n, t in tensors.items() if n not in ("mean", "scale")}
        tensors |= own
    path = saved(tmp_path / "p", tensors=tensors, agents=agents, network=kind)
    load_policy(path)("home-2", group(name="home-2"), {})
    with pytest.raises(CheckpointError, match=r"'home-12'.*did you mean 'home-[12]'"):
        load_policy(path)("home-12", group(name="home-12"), {})


def test_a_role_that_is_not_here_is_named(tmp_path: Path) -> None:
    for role in ("agents.roles:PlainRoll", "no.such.module:Role", "mine.py:Role"):
        path = saved(tmp_path / "p", role=role)
        with pytest.raises(CheckpointError, match=f"its role '{role}' is not here"):
            load_policy(path)("a", group(), {})


# --- what it hears, and how often it decides -----------------------------------------------------


def hearing(path: Path, attention: int = 0) -> Path:
    """A network that adds up what it hears on `offer`: two senders of one number in training."""
    if attention:
        tensors = {
            "query_0_weight": np.zeros((1, 1)), "query_0_bias": np.zeros(1),
            "key_0_weight": np.zeros((1, 3)),
            "value_0_weight": np.array([[1.0, 0.0, 0.0]]), "value_0_bias": np.zeros(1),
            "head_weight": np.array([[0.0, 1.0]]),
        }  # fmt: skip
    else:
        tensors = {"head_weight": np.array([[0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])}
    return saved(
        path,
        acts=Space((Field("value"),)),
        tensors={**tensors, "head_bias": np.zeros(1), "log_std": np.zeros(1)},
        inbox={"offer": 1},
        role_params={"hears": {"offer": 1}},
        network={
            "outputs": 2,
            "free": 1,
            "hidden": [],
            "heard": [["offer", 2, 1]],
            "attention": attention,
            "activation": "relu",
        },
    )


def offers(*values: float | None) -> dict[str, Received]:
    present = np.array([[v is not None for v in values]], dtype=bool).reshape(1, -1)
    numbers = np.array([[[v or 0.0] for v in values]]).reshape(1, -1, 1)
    return {"offer": Received(numbers, present, np.zeros(present.shape))}


def test_messages_are_taken_as_they_are_from_the_senders_of_training(tmp_path: Path) -> None:
    one = group(acts=Space((Field("value"),)))
    policy = load_policy(hearing(tmp_path / "p"))("a", one, {})
    memory = policy.memory(np, 1)
    assert policy.hears == {"offer": 1}
    assert policy(np.zeros((1, 1)), offers(3.0, 4.0), memory, 0)[0].item() == 7.0
    assert policy(np.zeros((1, 1)), offers(3.0, None), memory, 0)[0].item() == 3.0
    with pytest.raises(CheckpointError, match="made for 2 senders on 'offer', here are 3"):
        policy(np.zeros((1, 1)), offers(3.0, 4.0, 5.0), memory, 0)


def test_attention_takes_any_number_of_senders(tmp_path: Path) -> None:
    one = group(acts=Space((Field("value"),)))
    policy = load_policy(hearing(tmp_path / "p", attention=1))("a", one, {})
    memory = policy.memory(np, 1)
    for heard, mean in [
        ((3.0, 4.0), 3.5),
        ((3.0, None, 9.0), 6.0),
        ((1.0, 2.0, 3.0, 6.0), 3.0),
        ((None, None), 0.0),
        ((), 0.0),
    ]:
        action, _, _ = policy(np.zeros((1, 1)), offers(*heard), memory, 0)
        assert action.item() == pytest.approx(mean, rel=1e-6)


def talking(path: Path, attention: int) -> Path:
    """Says the time it sees on `state`; acts with the sum, or the mean, of what it hears there."""
    tensors = {
        "head_weight": np.array([[0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [1.0] + [0.0] * 6]),
        "head_bias": np.zeros(2),
        "log_std": np.zeros(2),
    }
    if attention:
        tensors |= {
            "query_0_weight": np.zeros((1, 1)), "query_0_bias": np.zeros(1),
            "key_0_weight": np.zeros((1, 3)),
            "value_0_weight": np.array([[1.0, 0.0, 0.0]]), "value_0_bias": np.zeros(1),
            "head_weight": np.array([[0.0, 1.0], [1.0, 0.0]]),
        }  # fmt: skip
    said = Field("state", low=-1.0, high=1.0)
    return saved(
        path,
        tensors=tensors,
        schema=schema(SEES, Space((Field("value"), said)), {"state": 1}, {"state": 1}),
        role_params={"hears": {"state": 1}, "speaks": {"state": 1}},
        network={
            "outputs": 4,
            "hidden": [],
            "activation": "relu",
            "attention": attention,
            "heard": [["state", 2, 1]],
        },
    )


def test_learned_messages_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def last(world: Blank) -> dict[str, Metric]:
        return {name: Metric(world.actions[i, 0].item()) for i, name in enumerate("abc")}

    monkeypatch.setattr(Blank, "metrics", last)
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "duration: 1s\nworld: {kind: blank, agents: 3, step: 100ms}\n"
        "network: {default: {latency: 1ms}}\n"
    )
    for attention in (0, 1):
        path = talking(tmp_path / "p", attention)
        result = run(
            scenario, behaviours=[f"agent-*=policy:{path}"], inline=True, record=False,
            compare=False,
        )  # fmt: skip
        if attention:
            assert result.status == "completed", result.agent_failures
            heard = pytest.approx(np.tanh(0.8), abs=1e-6)  # what all said a step before
            assert [result.metrics[name].value for name in "abc"] == [heard] * 3
        else:
            (failure, *_) = result.agent_failures
            assert "made for 2 senders on 'state', here are 3" in str(failure)


EVERY_3 = """
from agents.roles import PlainRole

class Every3(PlainRole):
    every = 3  # by a clock in the observation; it counts its actions

    def memory(self, xp, batch):
        return xp.zeros((batch, 1), dtype=xp.float64)

    def is_due(self, obs):
        return obs[:, 0] % 3 == 0

    def act(self, decision, obs, inbox, memory, key):
        return decision, {}, memory + 1.0
"""


def test_a_decision_lasts_as_long_as_its_role_says(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EVERY_3)
    path = saved(tmp_path / "p", role="mine.py:Every3")
    policy = load_policy(path)("a", group(), {})
    memory = policy.memory(np, 2)
    assert memory.shape == (2, 3)
    seen, acted = [], []
    for t in range(1, 9):  # the first decision is made though none is due
        obs = np.array([[float(t)], [float(t + 1)]])
        action, _, memory = policy(obs, {}, memory, 0)
        seen.append(obs[:, 0])
        acted.append(action[:, 0])
    clock = np.stack(seen)
    due = [np.where(clock[: t + 1, i] % 3 == 0)[0] for t in range(8) for i in range(2)]
    expected = [clock[d[-1] if len(d) else 0, i] for d, i in zip(due, [0, 1] * 8, strict=True)]
    hidden = np.tanh((np.reshape(expected, (8, 2)) - 1.0) / 2.0)
    np.testing.assert_allclose(np.stack(acted), hidden + 0.1, rtol=1e-6)
    np.testing.assert_array_equal(memory[:, 0], 8.0)


def test_what_a_policy_says_of_itself_for_batches(tmp_path: Path) -> None:
    one = group(acts=Space((Field("value"),)))
    for attention in (0, 1):
        policy = load_policy(hearing(tmp_path / "p", attention))("a", one, {})
        found = (policy.is_random, policy.plays_group, policy.ignores_absent)
        assert found == (False, True, attention == 1)
    own = {n: t[None] for n, t in WEIGHTS.items() if n not in ("mean", "scale")}
    path = saved(tmp_path / "p", tensors={**WEIGHTS, **own}, network={"share": "none"})
    policy = load_policy(path)("a", group(), {"sample": True})
    found = (policy.is_random, policy.plays_group, policy.ignores_absent)
    assert found == (True, False, True)


def test_sampling_depends_on_the_key_alone(tmp_path: Path) -> None:
    factory = load_policy(saved(tmp_path / "p"))
    likeliest, sampled = (factory("a", group(), p) for p in ({}, {"sample": True}))
    obs, memory = np.zeros((2000, 1)), likeliest.memory(np, 2000)
    mean = likeliest(obs, {}, memory, np.uint64(1))[0]
    assert (mean == mean[0]).all()
    one = sampled(obs, {}, memory, np.uint64(1))[0]
    np.testing.assert_array_equal(one, sampled(obs, {}, memory, np.uint64(1))[0])
    assert (one != sampled(obs, {}, memory, np.uint64(2))[0]).all()
    # five standard errors of mean and deviation
    np.testing.assert_allclose((one - mean).mean(axis=0), 0.0, atol=5 / 2000**0.5)
    deviation = np.exp(WEIGHTS["log_std"])
    np.testing.assert_allclose((one - mean).std(axis=0), deviation, rtol=5 / (2 * 2000) ** 0.5)
    for row in (0, 7):
        keys = np.arange(2000, dtype=np.uint64)
        by_row = sampled(obs, {}, memory, keys)[0][row]
        alone = sampled(obs[:1], {}, memory[:1], np.uint64(row))[0][0]
        np.testing.assert_allclose(by_row, alone, rtol=1e-6)


NO_TORCH = """
import sys
from pathlib import Path
import numpy as np
from agents.networks import load_policy
from sim.spaces import Field, Space
from sim.worlds.world import Group

sees, acts = Space((Field("time", "s"),)), Space((Field("value", size=2),))
group = Group("agent", ("a",), sees, acts, 10**9)
policy = load_policy(Path(sys.argv[1]))("a", group, {"sample": True})
action, _, _ = policy(np.zeros((1, 1)), {}, policy.memory(np, 1), np.uint64(1))
print(action.shape, "torch" in sys.modules)
"""


def test_acting_needs_no_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_TORCH, str(saved(tmp_path / "p"))]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "(1, 2) False\n"


SPY = """
import sys
from pathlib import Path
from agents.roles import PlainRole

class Spy(PlainRole):
    def __init__(self, name, group, params):
        super().__init__(name, group, {})
        self.file = Path(params["to"], f"{name}.txt")

    def act(self, *args):
        lines = open("/proc/self/smaps_rollup").read().splitlines()
        told = dict(line.split()[:2] for line in lines if ":" in line[:20])
        private = int(told["Private_Dirty:"]) + int(told["Private_Clean:"])
        self.file.write_text(f"{private} {'torch' in sys.modules}")
        return super().act(*args)
"""


@pytest.mark.process
def test_a_process_that_plays_a_policy_is_small(tmp_path: Path) -> None:
    """At most 15 MiB of private memory, and no torch in it."""
    (tmp_path / "mine.py").write_text(SPY)
    path = saved(tmp_path / "p", role="mine.py:Spy", role_params={"to": str(tmp_path)})
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "duration: 1s\nworld: {kind: blank, agents: 2, acts: 2}\n"
        "network: {default: {latency: 100ms}}\n"
    )
    result = run(scenario, behaviours=[f"agent-*=policy:{path}"], record=False, compare=False)
    assert result.status == "completed", result.agent_failures
    for name in ("agent-1", "agent-2"):
        kib, has_torch = (tmp_path / f"{name}.txt").read_text().split()
        assert has_torch == "False"
        assert int(kib) <= 15 * 1024
