"""A network over a record: what it says at each decision and at the end of each decision."""

from __future__ import annotations

from typing import Any

import torch

Tensor = torch.Tensor


def with_next(
    network: Any, seen: Tensor, next_seen: Tensor, memory: Tensor, is_first: Tensor, ends: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs at `seen` (with gradient) and at `next_seen` (without), and the memory afterwards.

    Inside an episode the end of a decision is the beginning of the next, so the network is asked
    once for both; only at ends, and after the last decision, is `next_seen` looked at.
    network: a `Network`, or a `Critic`, whose outputs lack the last dimension.
    Shapes:  seen, next_seen [T, B, n, F]; memory [B, n, H]; is_first, ends [T, B]
             -> [T, B, n, O], [T, B, n, O], [B, n, H].
    """
    if not memory.shape[-1]:
        out, memory = network.unroll(seen, memory, is_first)
        with torch.no_grad():
            next_out = torch.cat((out[1:], out[-1:])).detach().clone()
            last = ends.clone()
            last[-1] = True
            rows = next_seen[last]
            next_out[last] = network(rows, memory.new_zeros(*rows.shape[:-1], 0))[0]
        return out, next_out, memory
    outs: list[Tensor] = []
    nexts: list[Tensor] = []
    asked = ends.any(dim=1).tolist()
    for t in range(len(seen)):
        memory = memory * ~is_first[t, :, None, None]
        out, memory = network(seen[t], memory)
        if t:  # where it is not asked, the next output is this one
            is_end = ends[t - 1].reshape(-1, *(1,) * (out.ndim - 1))
            nexts[-1] = torch.where(is_end, nexts[-1], out.detach())
        outs.append(out)
        with torch.no_grad():
            wanted = asked[t] or t == len(seen) - 1
            nexts.append(network(next_seen[t], memory)[0] if wanted else out.detach())
    return torch.stack(outs), torch.stack(nexts), memory
