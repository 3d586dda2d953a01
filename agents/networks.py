"""Policy files: learned networks that act, with all that is needed to know whether they may.

A policy file is safetensors with a readable card in its metadata:

    tensors  float32, as `Architecture.shapes` names them (agents.forward); optionally mean and
             scale of the normaliser
    card     JSON: schema (the fields seen and decided, the topics heard and said) and its sha256,
             network (the architecture), agents (whose parameters or identities these are, in
             order), role and role_params, and whatever its maker says of it (scenario, seed,
             versions, scores)

The same file acts in an agent's process, on NumPy without torch, and in a batch on torch. A file
whose schema is not that of the role it is to play is refused, field by field.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from array_api_compat import array_namespace
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from agents.behaviour import load_module
from agents.decisions import Physical, decide, log_prob, mask_of, physical, plan_of
from agents.forward import Architecture, forward, of_agent, with_deviations
from agents.roles import Heard, Layout, Role
from sim.errors import CheckpointError, SimError
from sim.ids import did_you_mean
from sim.spaces import Space
from sim.worlds.world import Group

__all__ = [
    "Architecture", "Card", "LearnedPolicy", "forward", "load_policy", "physical", "read_policy",
    "role_name", "save_policy", "schema",
]  # fmt: skip

_FILE_BYTES_MAX: Final = 1 << 30
Array = Any
Schema = dict[str, list[list[Any]]]


class Card(msgspec.Struct, frozen=True):
    """What must be known of a policy file; see the module. Further entries are its maker's."""

    schema: Schema
    sha256: str
    network: Architecture
    agents: tuple[str, ...]
    role: str
    role_params: dict[str, Any]


def schema(
    observation: Space,
    action: Space,
    inbox: Mapping[str, int] | None = None,
    outbox: Mapping[str, int] | None = None,
) -> Schema:
    """What a policy sees and sets, field by field: name, unit, size, and the decision it masks; of
    what it decides name, unit, size, bounds (None: unbounded) and choices. Topics with their width.
    """

    def bound(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return {
        "observation": [[f.name, f.unit, f.size, f.masks] for f in observation.fields],
        "action": [
            [f.name, f.unit, f.size, bound(f.low), bound(f.high), f.choices] for f in action.fields
        ],
        "inbox": [[topic, width] for topic, width in (inbox or {}).items()],
        "outbox": [[topic, width] for topic, width in (outbox or {}).items()],
    }


def schema_of(role: Role) -> Schema:
    """The schema of whoever plays a role."""
    return schema(role.sees, role.decides, role.hears, role.speaks)


def role_name(role: Role) -> str:
    """As a card names the class of a role: "module:Name"."""
    return f"{type(role).__module__}:{type(role).__qualname__}"


def save_policy(path: Path, tensors: Mapping[str, Array], card: Mapping[str, Any]) -> None:
    """Writes a policy file, whole or not at all. card: as of `whole_card`.

    Raises: CheckpointError for a card or tensors that `load_policy` would refuse.
    """
    full, arrays = whole_card(card), _arrays(tensors)
    _checked(path, full, arrays)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(save(arrays, metadata={"card": json.dumps(full)}))
    part.replace(path)


def policy_bytes(tensors: Mapping[str, Array], card: Mapping[str, Any]) -> bytes:
    """A policy file, as bytes."""
    return save(_arrays(tensors), metadata={"card": json.dumps(whole_card(card))})


def _arrays(tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(value, dtype="<f4") for name, value in tensors.items()}


def whole_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card with everything that it needs, as plain data: schema, network and agents are given;
    role is PlainRole and role_params empty unless given; the hash of the schema is added.
    """
    full = {"role": "agents.roles:PlainRole", "role_params": {}, **card}
    full["sha256"] = _hash(full["schema"])
    plain: dict[str, Any] = json.loads(json.dumps(full))
    return plain


def read_policy(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Tensors and whole card of a policy file. Raises: CheckpointError if it is none."""
    if path.stat().st_size > _FILE_BYTES_MAX:
        raise CheckpointError(f"{path}: larger than {_FILE_BYTES_MAX} bytes")
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
            tensors = {n: file.get_tensor(n).astype(np.float32) for n in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a policy file: {error}") from None
    _checked(path, card, tensors)
    return tensors, card


def _hash(fields: Schema) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _checked(path: Path | str, found: Any, tensors: Mapping[str, Array]) -> Card:
    try:
        card = msgspec.convert(found, Card)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{path}: its card is not that of a policy: {error}") from None
    if card.sha256 != _hash(card.schema):
        raise CheckpointError(f"{path}: its card was changed: the hash of its schema is another")
    heard = [[topic, width] for topic, _, width in card.network.heard]
    if not all(each in card.schema.get("inbox", []) for each in heard):
        raise CheckpointError(f"{path}: its network hears {heard}, unlike its schema")
    expected = card.network.shapes(len(card.agents))
    if "mean" in tensors or "scale" in tensors:
        expected |= {"mean": (card.network.columns,), "scale": (card.network.columns,)}
    for name in {**expected, **tensors}:
        shape = tensors[name].shape if name in tensors else None
        if shape != expected.get(name):
            raise CheckpointError(
                f"{path}: tensor {name} has shape {shape}, its card says {expected.get(name)}"
            )
    return card


def _check(path: Path | str, card: Card, name: str, found: Schema) -> None:
    for side, fields in found.items():
        made_for = card.schema.get(side, [])
        if made_for == fields:
            continue
        theirs, ours = {f[0]: f for f in made_for}, {f[0]: f for f in fields}
        differ = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
        both = [n for n in differ if n in ours and n in theirs][:1]
        detail = "".join(f" ({n} was {theirs[n][1:]}, is {ours[n][1:]})" for n in both)
        raise CheckpointError(
            f"{path}: made for another {side} than {name} has; these fields differ: "
            f"{', '.join(differ) or 'their order'}{detail}"
        )


def load_policy(path: Path) -> Callable[..., LearnedPolicy]:
    """The policy factory of a file. params: `sample: true` draws decisions instead of taking the
    likeliest.

    Raises: CheckpointError if the file is not one, was made for other fields than its role has in
            the group, or for other agents where each has parameters of its own.
    """
    return policy_factory(path, *read_policy(path))


def policy_factory(
    path: Path | str, tensors: Mapping[str, Array], found: Mapping[str, Any]
) -> Callable[..., LearnedPolicy]:
    """As `load_policy`, of what a file holds. path: what messages call it."""
    card = _checked(path, found, tensors)

    def make(name: str, group: Group, params: Mapping[str, Any]) -> LearnedPolicy:
        role = _role(path, card, name, group)
        _check(path, card, name, schema_of(role))
        net, agent = card.network, 0
        takes, gives = role.sees.size, plan_of(role.decides, role.sees).outputs
        if (net.own, net.outputs) != (takes, gives):
            raise CheckpointError(
                f"{path}: its network takes {net.own} numbers and gives {net.outputs}, its role "
                f"has {takes} and {gives}"
            )
        if net.share == "none" or net.identity:
            if name not in card.agents:
                hint = did_you_mean(name, card.agents)
                raise CheckpointError(f"{path}: knows no agent {name!r} of its own; {hint}")
            agent = card.agents.index(name)
        weights = of_agent(net, tensors, agent, len(card.agents))
        return LearnedPolicy(path, net, weights, role, params.get("sample") is True)

    make.makes_policy = True  # type: ignore[attr-defined]
    return make


def _role(path: Path | str, card: Card, name: str, group: Group) -> Role:
    module, _, attribute = card.role.partition(":")
    try:
        found = getattr(load_module(module, str(Path(path).parent)), attribute)
    except (SimError, AttributeError) as error:
        raise CheckpointError(f"{path}: its role {card.role!r} is not here: {error}") from None
    role: Role = found(name, group, card.role_params)
    return role


class LearnedPolicy:
    """A network that plays a role: an `agents.policy.Policy`.

    Its memory is the role's, then the network's, then, if the network decides less often than its
    group, the decision in force. The first call always decides.

    on_decision: told of each new decision: what was seen, the raw decision, its log-probability.
    """

    on_decision: Callable[[Array, Array, Array], None] | None = None

    def __init__(
        self,
        path: Path | str,
        net: Architecture,
        weights: Mapping[str, Array],
        role: Role,
        is_sampled: bool = False,
    ) -> None:
        self.role, self.speaks, self.hears = role, role.speaks, role.hears
        self._path, self._net, self._is_sampled = path, net, is_sampled
        self._plan = plan_of(role.decides, role.sees)
        self._physical = Physical(role.decides)
        self._weights = {None: weights}
        self._layouts: dict[tuple[int, ...], Layout] = {}
        self._is_held = role.every > 1
        self.is_random = is_sampled or bool(getattr(role, "is_random", True))
        self.plays_group = net.share != "none" and not net.identity
        self.ignores_absent = net.attention > 0 or not net.heard

    def memory(self, xp: Any, batch: int) -> Array:
        """Before the first decision. Shapes: float64 [B, m]."""
        held = xp.full((batch, self._plan.size if self._is_held else 0), math.nan, dtype=xp.float64)
        own = xp.zeros((batch, self._net.recurrent), dtype=xp.float64)
        return xp.concat((self.role.memory(xp, batch), own, held), axis=1)

    def __call__(
        self, obs: Array, inbox: Mapping[str, Any], memory: Array, key: Array
    ) -> tuple[Array, Mapping[str, Array], Array]:
        xp = array_namespace(obs)
        end = memory.shape[1] - (self._plan.size if self._is_held else 0)
        start = end - self._net.recurrent
        role_memory, own, held = memory[:, :start], memory[:, start:end], memory[:, end:]
        if not self._is_held:
            decision, own = self._decide(obs, inbox, role_memory, own, key, xp)
        else:
            is_due = self.role.is_due(obs) | xp.isnan(held[:, 0])
            if not isinstance(is_due, np.ndarray) or is_due.any():
                new, remembered = self._decide(obs, inbox, role_memory, own, key, xp)
                decision = xp.where(is_due[:, None], new, held)
                own = xp.where(is_due[:, None], remembered, own)
            else:
                decision = held
        action, outbox, role_memory = self.role.act(decision, obs, inbox, role_memory, key)
        parts = [role_memory, own, decision] if self._is_held else [role_memory, own]
        return action, outbox, xp.concat(parts, axis=1) if memory.shape[1] else memory

    def _decide(
        self,
        obs: Array,
        inbox: Mapping[str, Any],
        role_memory: Array,
        own: Array,
        key: Any,
        xp: Any,
    ) -> tuple[Array, Array]:
        """A new decision in physical units, and the network's memory, both float64."""
        seen = xp.astype(self.role.see(obs, inbox, role_memory), xp.float32)
        layout = self._layout(inbox)
        weights, own = self._on(seen, xp), xp.astype(own, xp.float32)
        out, own = forward(self._net, weights, layout, seen, own, xp)
        mask = mask_of(self._plan, seen, xp)
        if self._is_sampled:
            out = with_deviations(self._net, weights, out, xp)
        raw = decide(self._plan, out, mask, xp, key if self._is_sampled else None)
        if self.on_decision is not None:
            self.on_decision(seen, raw, log_prob(self._plan, out, mask, raw, xp))
        return self._physical(raw, xp), xp.astype(own, xp.float64)

    def _on(self, like: Array, xp: Any) -> Mapping[str, Array]:
        """The weights where `like` is."""
        device = None if isinstance(like, np.ndarray) else like.device
        if device not in self._weights:
            there = {n: xp.asarray(w, device=device) for n, w in self._weights[None].items()}
            self._weights[device] = there
        return self._weights[device]

    def _layout(self, inbox: Mapping[str, Any]) -> Layout:
        """Of what is seen now. Raises: CheckpointError for other senders than the network takes."""
        senders = tuple([inbox[topic].present.shape[1] for topic, _, _ in self._net.heard])
        layout = self._layouts.get(senders)
        if layout is None:
            pairs = zip(self._net.heard, senders, strict=True)
            layout = Layout(self._net.own, tuple(Heard(t, n, width) for (t, _, width), n in pairs))
            for (topic, made_for, _), here in zip(self._net.heard, senders, strict=True):
                if not self._net.attention and here != made_for:
                    raise CheckpointError(
                        f"{self._path}: made for {made_for} senders on {topic!r}, here are {here}; "
                        f"a network with attention takes any number"
                    )
            self._layouts[senders] = layout
        return layout
