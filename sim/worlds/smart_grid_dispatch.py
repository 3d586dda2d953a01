"""One minute of every device: what it is asked, what it can, what it then does, and what it costs.

A device that nobody has ever played is an ordinary one without energy management: a vehicle
charges at full power when it comes, waiting demand is served at once, a battery stands still, an
inverter feeds in all it has at unity power factor. One that lost its agent falls back as standards
have it: the vehicle to its least power, the generator down its ramp, the battery to rest, the
inverter to its droop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import torch

from sim.worlds.smart_grid_devices import ROLES, Params, Roster
from sim.worlds.smart_grid_droop import DROOP_SPEED, droop_kvar
from sim.worlds.smart_grid_profiles import stays
from sim.worlds.smart_grid_spaces import QUARTER_MIN

Tensors = Mapping[str, torch.Tensor]

FULL_KVA: Final = 1 - 1e-12


@dataclasses.dataclass(frozen=True)
class Done:
    """What the devices of one role did in a minute. 0 stands for zeros.

    Shapes: [B, n] each. Units: kW and kvar into the network; the costs in EUR.
    wear: throughput; comfort: what waits or is forgone; unserved: demand not supplied, at its
    value; fuel. `state` are the role's own quantities afterwards.
    """

    p_kw: torch.Tensor
    q_kvar: torch.Tensor | float = 0.0
    curtailed_kw: torch.Tensor | float = 0.0
    unserved_kw: torch.Tensor | float = 0.0
    wear_eur: torch.Tensor | float = 0.0
    comfort_eur: torch.Tensor | float = 0.0
    unserved_eur: torch.Tensor | float = 0.0
    fuel_eur: torch.Tensor | float = 0.0
    state: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What one role is asked in a minute, and what it meets.

    Shapes: action [B, n, a]; is_present, was_played, is_supplied bool [B, n]; own_kw, own_kvar,
            v_pu, q_kvar [B, n].
    """

    action: torch.Tensor
    is_present: torch.Tensor
    was_played: torch.Tensor
    is_supplied: torch.Tensor
    own_kw: torch.Tensor
    own_kvar: torch.Tensor
    v_pu: torch.Tensor
    q_kvar: torch.Tensor


def dispatch(
    p: Params,
    roster: Roster,
    state: Tensors,
    own: tuple[torch.Tensor, torch.Tensor],
    actions: Tensors,
    present: Tensors,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Every device's minute.

    Returns, by the names of `Done`, [B, N] over all devices; and the devices' own quantities.
    """  # fmt: skip
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in _SUMMED}
    after: dict[str, torch.Tensor] = {}
    for role in ROLES:
        at = roster.slices[role]
        if at.stop == at.start:
            continue
        asked = Asked(
            action=actions[role], is_present=present[role],
            was_played=state["was_played"][:, at], is_supplied=state["is_supplied"][:, at],
            own_kw=own[0][:, at], own_kvar=own[1][:, at],
            v_pu=state["v_pu"][:, at], q_kvar=state["q_kvar"][:, at],
        )  # fmt: skip
        if role in ("pv", "wind"):
            done = inverter(torch.from_numpy(roster.s_kva[at]).to(asked.v_pu.device), asked)
        else:
            done = _ROLE[role](p, state, asked)
        zero = torch.zeros_like(done.p_kw)
        for name, values in parts.items():
            value = getattr(done, name)
            values.append(value if isinstance(value, torch.Tensor) else zero)
        after |= done.state
    return {name: torch.cat(values, 1) for name, values in parts.items()}, after


def household(p: Params, state: Tensors, asked: Asked) -> Done:
    """Serves what cannot wait, and of what waits as much as it is asked (at once, if nobody asks).

    Discomfort is counted at the end of each quarter, so a delay within one hurts nobody.
    """
    share = p.household_flexible_share
    waits = state["backlog_kwh"] + asked.own_kw * (share / 60)
    most = torch.full_like(waits, p.household_flexible_kw)
    wanted = torch.where(asked.is_present, torch.minimum(asked.action[..., 0], most), most)
    serve = torch.minimum(wanted.clamp(min=0.0), waits * 60)
    serve = torch.maximum(serve, (waits - p.household_backlog_kwh) * 60) * asked.is_supplied
    backlog = (waits - serve / 60).clamp(min=0.0)
    base = asked.own_kw * (1 - share)
    unserved = base * ~asked.is_supplied
    is_last = (state["step"] % QUARTER_MIN == QUARTER_MIN - 1)[:, None]
    return Done(
        p_kw=-(base - unserved + serve),
        q_kvar=-asked.own_kvar * asked.is_supplied,
        unserved_kw=unserved,
        unserved_eur=unserved * (p.unserved_eur_per_kwh / 60),
        comfort_eur=backlog * (p.delay_eur_per_kwh_h * QUARTER_MIN / 60) * is_last,
        state={"backlog_kwh": backlog},
    )


def inverter(s_kva: torch.Tensor, asked: Asked) -> Done:
    """Feeds in what there is, below its limit; reactive power within P^2 + Q^2 <= S^2.

    Active power goes before reactive power. Left alone, it is not limited and follows its droop.
    """
    available = torch.minimum(asked.own_kw, s_kva) * asked.is_supplied
    limit = asked.action[..., 0].clamp(min=0.0)
    fed = torch.where(asked.is_present, torch.minimum(available, limit), available)
    ahead = asked.q_kvar + DROOP_SPEED * (droop_kvar(asked.v_pu, s_kva) - asked.q_kvar)
    ahead = ahead * asked.was_played
    wanted = torch.where(asked.is_present, asked.action[..., 1], ahead)
    room = torch.sqrt((s_kva * s_kva * FULL_KVA - fed * fed).clamp(min=0.0))
    q = torch.minimum(torch.maximum(wanted, -room), room) * asked.is_supplied
    return Done(p_kw=fed, q_kvar=q, curtailed_kw=available - fed)


def battery(p: Params, state: Tensors, asked: Asked) -> Done:
    """Charges and discharges within its power and energy; rests if nobody asks."""
    energy, eta = state["energy_kwh"], p.battery_efficiency
    runs = asked.is_present & asked.is_supplied
    wanted = asked.action[..., 0].clamp(-p.battery_kw, p.battery_kw) * runs
    discharge = torch.minimum(wanted.clamp(min=0.0), energy * (60 * eta))
    charge = torch.minimum((-wanted).clamp(min=0.0), (p.battery_kwh - energy) * (60 / eta))
    after = energy + (charge * eta - discharge / eta) / 60
    return Done(
        p_kw=discharge - charge,
        wear_eur=(discharge + charge) * (p.battery_eur_per_kwh / 60),
        state={"energy_kwh": after.clamp(0.0, p.battery_kwh)},
    )


def vehicle(p: Params, state: Tensors, asked: Asked) -> Done:
    """Charges while it is there, until it has what it needs; what is missing as it leaves costs."""
    is_connected, _, begins = stays(p, dict(state))
    need = state["need_kwh"] + begins
    missing = need * ~is_connected
    need = need - missing
    alone = p.ev_kw - (p.ev_kw - p.ev_min_kw) * asked.was_played.to(torch.float64)
    wanted = torch.where(asked.is_present, asked.action[..., 0].clamp(0.0, p.ev_kw), alone)
    charge = torch.minimum(wanted, need * 60) * asked.is_supplied
    return Done(
        p_kw=-charge,
        unserved_kw=missing * 60,
        unserved_eur=missing * p.ev_unserved_eur_per_kwh,
        state={"need_kwh": (need - charge / 60).clamp(min=0.0)},
    )


def _forgoing(p: Params, asked: Asked, share: float, value: float) -> Done:
    """Demand of which a share can be forgone, at its value."""
    forgo = torch.minimum(asked.action[..., 0].clamp(min=0.0), share * asked.own_kw)
    forgo = forgo * (asked.is_present & asked.is_supplied)
    unserved = asked.own_kw * ~asked.is_supplied
    return Done(
        p_kw=-(asked.own_kw - forgo - unserved),
        q_kvar=-asked.own_kvar * asked.is_supplied,
        unserved_kw=unserved,
        unserved_eur=unserved * (p.unserved_eur_per_kwh / 60),
        comfort_eur=forgo * (value / 60),
    )


def commercial(p: Params, state: Tensors, asked: Asked) -> Done:
    """Demand with a dear part that can be forgone."""
    return _forgoing(p, asked, p.commercial_share, p.commercial_eur_per_kwh)


def industrial(p: Params, state: Tensors, asked: Asked) -> Done:
    """Demand with a larger, cheaper part that can be forgone."""
    return _forgoing(p, asked, p.industrial_share, p.industrial_eur_per_kwh)


def generator(p: Params, state: Tensors, asked: Asked) -> Done:
    """Goes to its target at its ramp; to nothing if nobody asks."""
    before = state["generator_kw"]
    target = asked.action[..., 0].clamp(0.0, p.generator_kw) * asked.is_present
    moved = torch.maximum(before - p.generator_ramp_kw, torch.minimum(target, before))
    moved = torch.maximum(moved, torch.minimum(target, before + p.generator_ramp_kw))
    power = moved * asked.is_supplied
    return Done(
        p_kw=power,
        fuel_eur=power * (p.generator_eur_per_kwh / 60),
        state={"generator_kw": power},
    )


_SUMMED: Final = (
    "p_kw", "q_kvar", "curtailed_kw", "unserved_kw",
    "wear_eur", "comfort_eur", "unserved_eur", "fuel_eur",
)  # fmt: skip
_ROLE: Final = {
    "household": household, "battery": battery, "ev": vehicle,
    "commercial": commercial, "industrial": industrial, "generator": generator,
}  # fmt: skip
