"""Biomass: plants that always run, between their least power and their rating, at a ramp."""

from __future__ import annotations

import torch

from sim.worlds.medium_voltage.params import Params

Tensor = torch.Tensor


def fire(p: Params, before_kw: Tensor, wanted_kw: Tensor, rated_kw: Tensor) -> Tensor:
    """The power after a minute towards the one wanted. Shapes: [B, n]; rated_kw [n]."""
    target = torch.minimum(torch.maximum(wanted_kw, p.biomass_least * rated_kw), rated_kw)
    step = p.biomass_ramp * rated_kw
    return torch.minimum(torch.maximum(target, before_kw - step), before_kw + step)
