"""Settlement of a quarter of an hour between units, the two operators and the outside.

A unit has a baseline N (what it nominated, beside what follows the weather or its customers), may
have been called by one of the operators (C, signed as power into the network) and was metered M.
What it did beyond its baseline in the direction of the call, and no more than was called, was
delivered; the rest is imbalance. So nothing is paid for what was not delivered; beyond that, each
kWh that was called and is missing costs a penalty, unless a limit kept it from being delivered.

    unit          is paid spot for N and the call's price for what it delivered; imbalance: short
                  is bought dearer than spot, long is sold cheaper
    distribution  pays what was delivered to it, and keeps the system balanced: what is fed in less
                  by its calls it buys at spot, more it sells. What a unit lacks because its power
                  was limited, it buys at spot in its place: the unit is held harmless
    transmission  pays what was delivered; what it needs beyond it is balanced from elsewhere
    both          are paid the penalties of those that they called

Energies are whole Wh, prices whole milli-cents per kWh, so money is in 1e-8 EUR and what is paid is
what is received, to the last unit.
"""

from __future__ import annotations

import dataclasses

import torch

EUR: float = 1e8
Tensor = torch.Tensor


@dataclasses.dataclass(frozen=True)
class Prices:
    """Of a quarter, milli-cents per kWh. Shapes: int64 [B].

    dear, cheap: of imbalance; up, down: of balancing energy from elsewhere.
    """

    spot: Tensor
    dear: Tensor
    cheap: Tensor
    up: Tensor
    down: Tensor


@dataclasses.dataclass(frozen=True)
class Settled:
    """Of a quarter, positive where paid, in 1e-8 EUR; delivered in Wh.

    Shapes: units, delivered, penalties int64 [B, N]; tso, dso [B]; outside [B, 4] which receives:
            spot market, imbalance, balancing elsewhere, redispatch.
            sum(units) + tso + dso = sum(outside).
    """

    units: Tensor
    delivered: Tensor
    penalties: Tensor
    tso: Tensor
    dso: Tensor
    outside: Tensor


def prices(spot: Tensor, imbalance_permille: int, balancing: int) -> Prices:
    """From that of the day-ahead market."""
    return Prices(
        spot,
        spot * (1000 + imbalance_permille) // 1000,
        spot * (1000 - imbalance_permille) // 1000,
        spot + balancing,
        spot - balancing,
    )


def delivered_wh(base: Tensor, metered: Tensor, called: Tensor) -> Tensor:
    """What counts as delivered of a call. Shapes: int64 [B, N] each."""
    beyond = metered - base
    zero = torch.zeros_like(called)
    return torch.minimum(torch.maximum(beyond, called.minimum(zero)), called.maximum(zero))


def settle(
    price: Prices, base: Tensor, metered: Tensor, held: Tensor,
    call: tuple[Tensor, Tensor, Tensor], need: Tensor, penalty: int = 0,
) -> Settled:  # fmt: skip
    """The payments of a quarter.

    Shapes: base, metered, held int64 [B, N], held: what limits took from it; call: (Wh, price, bool
            whether by the distribution operator) [B, N] each; need [B] Wh that the transmission
            operator was to find here; penalty in milli-cents per kWh.
    """
    called, call_price, is_relief = call
    spot, dear, cheap = (x[:, None] for x in (price.spot, price.dear, price.cheap))
    delivered = delivered_wh(base, metered, called)
    zero = torch.zeros_like(delivered)
    off = metered - base - delivered
    lacking = torch.minimum(torch.maximum(-off, zero), held)
    short, long = torch.maximum(-off - lacking, zero), torch.maximum(off, zero)
    imbalance = short * dear - long * cheap
    ahead, redispatch = -base * spot, lacking * spot
    missing = torch.maximum((called - delivered).abs() - torch.where(called > 0, held, 0), zero)
    penalties = missing * penalty
    paid_out = delivered * call_price - penalties
    relief = torch.where(is_relief, delivered, 0)
    rest = need - (delivered - relief).sum(1)
    elsewhere = torch.where(rest > 0, rest * price.up, rest * price.down)
    replaced = (redispatch - relief * spot).sum(1)
    return Settled(
        units=ahead + imbalance - paid_out,
        delivered=delivered,
        penalties=penalties,
        tso=torch.where(is_relief, 0, paid_out).sum(1) + elsewhere,
        dso=torch.where(is_relief, paid_out, 0).sum(1) + replaced,
        outside=torch.stack((ahead.sum(1), imbalance.sum(1), elsewhere, replaced), 1),
    )
