"""Networks of many agents in one call: equal to separate ones, blind to the order of senders."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from checkers.effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.roles import Heard, Layout
from sim.learn.critics import Critic
from sim.learn.networks import Network, Shape

pytestmark = pytest.mark.torch

AGENTS = ("a", "b", "c")
OWN = 5
HEARD = (Heard("offer", 4, 2), Heard("state", 2, 1))
LAYOUT = Layout(OWN, HEARD)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.empty(shape).normal_(generator=generator(seed))


def made(shape: Shape, layout: Layout = LAYOUT, outputs: int = 6, free: int = 2) -> Network:
    """A network with no weight at 0, so that nothing is hidden."""
    net = Network(layout, outputs, AGENTS, shape, generator(1), free=free)
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter += 0.2 * normal(*parameter.shape, seed=i)
    return net


def heard(senders: int, present: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Own numbers and one block of `senders`. Shapes: -> [B, 3, OWN + senders * 4]."""
    batch = present.shape[0]
    block = normal(batch, 3, senders, 4, seed=seed)
    block[..., 2] = 1.0
    block = block * present[:, None, :, None]
    return torch.cat((normal(batch, 3, OWN, seed=seed + 1), block.flatten(-2)), -1)


def sees(layout: Layout, *lead: int) -> torch.Tensor:
    seen = normal(*lead, 3, layout.size)
    at = layout.own
    for h in layout.heard:
        block = seen[..., at : at + h.size].unflatten(-1, (h.senders, h.width + 2))
        block[..., h.width] = (block[..., h.width] > 0).float()
        block *= block[..., h.width : h.width + 1]
        at += h.size
    return seen


SHAPES = {
    "plain": Shape(hidden=(7, 9)),
    "recurrent": Shape(hidden=(7,), recurrent=4),
    "attention": Shape(hidden=(7,), recurrent=4, attention=3, activation="relu"),
    "identity": Shape(hidden=(7,), identity=True),
    "no layer": Shape(hidden=(), recurrent=4),
}


@pytest.mark.parametrize("name", SHAPES)
def test_own_parameters_equal_separate_networks(name: str) -> None:
    net = made(replace(SHAPES[name], share="none"))
    seen, memory = sees(LAYOUT, 6, 4), normal(4, 3, net.memory_size)
    is_first = torch.zeros(6, 4, dtype=torch.bool)
    is_first[3, 2] = True
    out, after = net.unroll(seen, memory, is_first)
    for i in range(3):
        lone = made(replace(SHAPES[name], identity=False))
        if net.shape.identity:  # its one-hot becomes an ordinary input
            lone = made(replace(SHAPES[name], identity=False), Layout(LAYOUT.size + 3))
        one = Network(lone.layout, 6, ("a",), lone.shape, generator(), free=2)
        with torch.no_grad():
            for key, parameter in one.named_parameters():
                parameter.copy_(net.get_parameter(key)[i])
        own = seen[:, :, i : i + 1]
        if net.shape.identity:
            own = torch.cat((own, torch.eye(3)[i].expand(6, 4, 1, 3)), -1)
        expected, remembered = one.unroll(own, memory[:, i : i + 1], is_first)
        torch.testing.assert_close(out[:, :, i], expected[:, :, 0], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(after[:, i], remembered[:, 0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("share", ["none", "group"])
def test_a_sequence_equals_its_single_steps(name: str, share: str) -> None:
    net = made(replace(SHAPES[name], share=share))
    seen, memory = sees(LAYOUT, 6, 4), normal(4, 3, net.memory_size)
    is_first = normal(6, 4, seed=9) > 0.5
    out, after = net.unroll(seen, memory, is_first)
    for t in range(6):
        one, memory = net(seen[t], memory * ~is_first[t][:, None, None])
        torch.testing.assert_close(one, out[t], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(memory, after, atol=1e-6, rtol=1e-6)
    assert (is_first.any(), after.shape[-1]) == (True, net.memory_size)


def test_memory_is_a_gated_recurrent_unit() -> None:
    net = made(Shape(hidden=(), recurrent=4), Layout(OWN))
    cell = torch.nn.GRUCell(OWN, 4)
    with torch.no_grad():
        cell.weight_ih.copy_(net.gru_input_weight)
        cell.weight_hh.copy_(net.gru_memory_weight)
        cell.bias_ih.copy_(net.gru_input_bias)
        cell.bias_hh.copy_(net.gru_memory_bias)
    seen, memory = normal(6, 3, OWN), normal(6, 3, 4, seed=1)
    _, after = net(seen, memory)
    torch.testing.assert_close(after.flatten(0, 1), cell(seen.flatten(0, 1), memory.flatten(0, 1)))


def test_who_an_agent_is_changes_what_it_does_only_with_identity() -> None:
    seen = normal(4, 1, LAYOUT.size).expand(4, 3, LAYOUT.size)
    memory = torch.zeros(4, 3, 0)
    out, _ = made(Shape(hidden=(7,)))(seen, memory)
    torch.testing.assert_close(out[:, 0], out[:, 1])
    out, _ = made(Shape(hidden=(7,), identity=True))(seen, memory)
    assert (out[:, 0, :4] - out[:, 1, :4]).abs().max() > 1e-3


@settings(deadline=None, max_examples=tries(30))
@given(order=st.permutations(range(4)), share=st.sampled_from(["none", "group"]))
def test_attention_does_not_know_the_order_of_senders(order: list[int], share: str) -> None:
    layout = Layout(OWN, (Heard("offer", 4, 2),))
    net = made(Shape(hidden=(7,), attention=3, share=share), layout)
    seen = heard(4, torch.tensor([[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))
    block = seen[..., OWN:].unflatten(-1, (4, 4))[..., order, :]
    turned = torch.cat((seen[..., :OWN], block.flatten(-2)), -1)
    memory = torch.zeros(2, 3, 0)
    torch.testing.assert_close(net(seen, memory)[0], net(turned, memory)[0], atol=1e-6, rtol=1e-6)


def test_control_without_attention_the_order_of_senders_matters() -> None:
    layout = Layout(OWN, (Heard("offer", 4, 2),))
    net = made(Shape(hidden=(7,)), layout)
    seen = heard(4, torch.ones(2, 4))
    block = seen[..., OWN:].unflatten(-1, (4, 4)).flip(-2)
    turned = torch.cat((seen[..., :OWN], block.flatten(-2)), -1)
    memory = torch.zeros(2, 3, 0)
    assert (net(seen, memory)[0] - net(turned, memory)[0]).abs().max() > 1e-2


@pytest.mark.parametrize("share", ["none", "group"])
def test_the_absent_do_not_count_and_any_number_may_speak(share: str) -> None:
    """The same parameters with 4 senders of whom 2 are there, with these 2 alone, with none."""
    shape = Shape(hidden=(7,), attention=3, share=share)
    nets = {n: made(shape, Layout(OWN, (Heard("offer", n, 2),))) for n in (0, 2, 4)}
    for net in nets.values():
        net.load_state_dict(nets[4].state_dict())
    memory = torch.zeros(2, 3, 0)
    seen = heard(4, torch.tensor([[0.0, 1.0, 0.0, 1.0]] * 2))
    own, block = seen[..., :OWN], seen[..., OWN:].unflatten(-1, (4, 4))
    four, _ = nets[4](seen, memory)
    two, _ = nets[2](torch.cat((own, block[..., [1, 3], :].flatten(-2)), -1), memory)
    torch.testing.assert_close(four, two, atol=1e-6, rtol=1e-6)
    noise = block.clone()  # numbers of those who are not there are nobody's
    noise[..., [0, 2], :2] = 99.0
    same, _ = nets[4](torch.cat((own, noise.flatten(-2)), -1), memory)
    assert torch.equal(four, same)
    none, _ = nets[0](own, memory)
    silent, _ = nets[4](torch.cat((own, torch.zeros(2, 3, 16)), -1), memory)
    torch.testing.assert_close(none, silent, atol=1e-6, rtol=1e-6)
    assert (none - four).abs().max() > 1e-3


def test_gradients_are_finite_when_nobody_speaks() -> None:
    net = made(Shape(hidden=(7,), attention=3), Layout(OWN, (Heard("offer", 4, 2),)))
    net(heard(4, torch.zeros(2, 4)), torch.zeros(2, 3, 0))[0].square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert net.head_weight.grad.abs().sum() > 0.0


def test_first_weights_are_orthogonal_and_the_head_as_asked() -> None:
    shape = Shape(hidden=(8,), recurrent=8, share="none")
    net = Network(Layout(20), 6, AGENTS, shape, generator(), last_gain=0.01, free=2)
    for i in range(3):
        layer, gates = net.layer_0_weight[i], net.gru_memory_weight[i].chunk(3)
        torch.testing.assert_close(layer @ layer.T, 2 * torch.eye(8), atol=1e-5, rtol=0)
        for gate in gates:
            torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
        head = net.head_weight[i]
        torch.testing.assert_close(head @ head.T, 1e-4 * torch.eye(4), atol=1e-8, rtol=0)
    assert (net.layer_0_weight[0] != net.layer_0_weight[1]).any()
    assert (net.log_std == 0).all()
    again = Network(Layout(20), 6, AGENTS, shape, generator(), last_gain=0.01, free=2)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_a_network_can_be_copied_and_its_card_says_what_it_is() -> None:
    net = made(Shape(hidden=(7,), recurrent=4, attention=3, identity=True))
    card = copy.deepcopy(net).card()
    assert card["agents"] == ["a", "b", "c"]
    assert card["network"]["heard"] == [["offer", 4, 2], ["state", 2, 1]]
    tensors = net.tensors()
    assert {n: t.shape for n, t in tensors.items()} == net.architecture.shapes(3)
    assert tensors["layer_0_weight"].shape == (7, OWN + 2 * 3 + 3)


# --- critics -------------------------------------------------------------------------------------


def critic(sees_: str, per_agent: bool = False, recurrent: int = 0, share: str = "group") -> Critic:
    shape = Shape(hidden=(7,), recurrent=recurrent, identity=True, attention=3, share=share)
    return Critic(LAYOUT, 11, AGENTS, shape, sees_, generator(), per_agent)


@pytest.mark.parametrize("recurrent", [0, 4])
@pytest.mark.parametrize(
    ("sees_", "per_agent", "share"),
    [
        ("state", False, "group"),
        ("state", True, "none"),
        ("observations", False, "group"),
        ("observations", True, "group"),
        ("own", True, "group"),
        ("own", True, "none"),
    ],
)
def test_critics_value_every_agent(sees_: str, per_agent: bool, share: str, recurrent: int) -> None:
    net = critic(sees_, per_agent, recurrent, share)
    alive = torch.ones(6, 4, 3, dtype=torch.bool)
    inputs = net.inputs(sees(LAYOUT, 6, 4), alive, normal(6, 4, 11))
    assert inputs.shape[-1] == net.inputs_size
    values, memory = net.unroll(inputs, net.memory(4), torch.zeros(6, 4, dtype=torch.bool))
    assert values.shape == (6, 4, 3)
    one, _ = net(inputs[0], net.memory(4))
    torch.testing.assert_close(one, values[0], atol=1e-6, rtol=1e-6)
    assert memory.shape == net.memory(4).shape
    assert ((values[..., 0] == values[..., 1]).all().item()) == (not per_agent)


def test_a_central_critic_does_not_hear_the_dead() -> None:
    net = critic("observations")
    alive = torch.tensor([[True, False, True]]).expand(4, 3)
    seen, state = sees(LAYOUT, 4), normal(4, 11)
    other = seen.clone()
    other[:, 1] = 7.0
    memory = net.memory(4)
    one, same = (net(net.inputs(s, alive, state), memory)[0] for s in (seen, other))
    assert torch.equal(one, same)
    other[:, 2] = 7.0
    assert not torch.equal(one, net(net.inputs(other, alive, state), memory)[0])
