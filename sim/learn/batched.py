"""The batched rollout: thousands of copies of a scenario as tensors, with the meaning of a run.

What happens in a copy is `sim.learn.stage`'s; here is who learns from it. Copy b plays the episodes
b, b + B, b + 2 B, ... of the scenario's seed, so that no two ever play the same.

A copy whose episode is over waits for the next instant at which every side decides, and begins
anew there. So all copies decide at the same instants, whatever their own clocks say; one that waits
has nobody alive in the records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from agents.decisions import physical
from sim.errors import BoundError, ScenarioError
from sim.learn.arrays import arrays_on
from sim.learn.cast import Cast, cast_rollout
from sim.learn.central import central_state
from sim.learn.course import missing, rerouted
from sim.learn.links import LinkMode, coupled, link_mode
from sim.learn.record import Actor, Episode, Record, Side
from sim.learn.seats import blamed
from sim.learn.stage import Stage
from sim.learn.taking import Take, brought, to_cpu
from sim.prepare import Prepared
from sim.worlds import catalogue

Tensor = torch.Tensor


class BatchedRollout:
    """See `sim.learn.record.Rollout`. device: where world, policies and records are.

    links:     see `sim.learn.links.link_mode`.
    is_numpy:  whether policies and mechanisms get NumPy arrays; by default on the processor.
    tells_metrics: whether finished episodes have the world's metrics; by default unless they are
               so short that the metrics would cost more than the steps.
    Raises:    ScenarioError saying what a batch cannot have, see `why_not`; UnknownKeyError.
    """

    kind = "batched"

    def __init__(
        self,
        prepared: Prepared,
        learning: Sequence[str],
        copies: int,
        *,
        links: str | Mapping[str, Any] | LinkMode = "scenario",
        device: str = "cpu",
        seed: int | None = None,
        role_params: Mapping[str, Mapping[str, Any]] | None = None,
        is_numpy: bool | None = None,
        first: int = 0,
        stride: int | None = None,
    ) -> None:
        """first, stride: copy b's k-th episode is first + b + k * stride, if others run beside."""
        cast, mode = cast_rollout(prepared, learning, role_params), link_mode(links)
        obstacle = why_not(prepared, cast, mode)
        if obstacle:
            raise ScenarioError(f"a batched rollout is impossible: {obstacle}")
        self.reason = "everybody is a policy or a mechanism"
        self.sides, self.copies, self._device = cast.sides, copies, device
        self._seed = prepared.scenario.seed if seed is None else seed
        self._arrays = arrays_on(device, is_numpy)
        self._stage = stage = Stage(prepared, cast, mode, copies, self._arrays)
        self._ticks = {side.group: side.every_ns // stage.dt_ns for side in cast.sides}
        self._grid = math.lcm(*self._ticks.values()) if self._ticks else 1
        self.tells_metrics = 4 * stage.horizon >= copies
        self._finished: list[Episode] = []
        self._tick = 0
        self._stride = copies if stride is None else stride
        self._episode = first + np.arange(copies) - self._stride
        self._is_live = np.zeros(copies, dtype=bool)
        self._memory: dict[str, Tensor] = {}
        self._returns: dict[str, Tensor] = {}
        self._team = torch.zeros(copies, dtype=torch.float64, device=device)
        self._begin()

    @property
    def state_size(self) -> int:
        """S of the central state."""
        return int(self._central.shape[1])

    @property
    def step_ns(self) -> int:
        """Of the world: what a decision lasts where nobody learns."""
        return int(self._stage.dt_ns)

    def _begin(self) -> None:
        """Begins the next episode in the copies whose last one is over."""
        is_begun = ~self._is_live
        self._episode[is_begun] += self._stride
        starts = [(self._seed, episode) for episode in self._episode[is_begun].tolist()]
        self._stage.begin(is_begun, starts)
        self._is_live[:] = True
        here = self._flags(is_begun)
        self._team = torch.where(here, 0.0, self._team)
        for name, total in self._returns.items():
            self._returns[name] = torch.where(here[:, None], 0.0, total)
        self._see()

    def _flags(self, host: Any) -> Tensor:
        """Flags of copies, or of agents in them, brought to the device."""
        return torch.from_numpy(host.copy()).to(self._device)

    # --- what a rollout offers ------------------------------------------------------------------

    def collect(self, actors: Mapping[str, Actor], decisions: int) -> dict[str, Record]:
        """The next so many decisions of each side, in every copy.

        If sides decide at different periods these are the slowest side's, and the others give those
        of the same time. Without a side they are steps of the world.
        """
        longest = max(self._ticks.values(), default=1)
        ticks = -(-decisions * longest // self._grid) * self._grid
        takes = {side.group: self._take(side, actors[side.group], ticks) for side in self.sides}
        for _ in range(ticks):
            self._decide(actors, takes)
            self._stage.act()
            self._step(takes)
        return {group: take.record for group, take in takes.items()}

    def _take(self, side: Side, actor: Actor, ticks: int) -> Take:
        shape = (self.copies, len(side.agents), actor.memory_size)
        memory = self._memory.get(side.group)
        if memory is None or memory.shape != shape:
            memory = self._memory[side.group] = torch.zeros(shape, device=self._device)
        steps, sizes = self._ticks[side.group], (self.state_size, side.decides.size)
        return Take(side, ticks // steps, steps, self.copies, sizes, memory)

    def _decide(self, actors: Mapping[str, Actor], takes: Mapping[str, Take]) -> None:
        """The sides whose networks are due decide."""
        for side in self.sides:
            group = side.group
            if self._tick % self._ticks[group]:
                continue
            seen, alive = self._seen[group], self._alive[group]
            is_first = self._flags(self._stage.steps == 0)
            is_new = self._stage.restarted.pop(group, None)
            if is_new is not None:
                self._memory[group] = self._memory[group] * ~self._flags(is_new)[..., None]
            raw, log_prob, memory = actors[group].act(seen, alive, self._memory[group], is_first)
            self._memory[group] = memory
            takes[group].begin(
                self._flags(self._is_live),
                seen=seen, alive=alive, decision=raw, log_prob=log_prob, is_first=is_first,
                state=self._central,
            )  # fmt: skip
            rows = raw.detach().reshape(-1, raw.shape[-1]).to(torch.float64)
            self._stage.decided[group] = physical(
                side.decides, self._arrays.of(rows), self._arrays.xp
            )

    def _step(self, takes: Mapping[str, Take]) -> None:
        """The world goes on; decisions and episodes end."""
        stage = self._stage
        rewards = stage.advance()
        self._tick += 1
        self._earn(rewards, takes)
        ended = stage.world.terminated(stage.state).cpu().numpy() & self._is_live
        cut = (stage.steps >= stage.horizon) & self._is_live & ~ended
        over = ended | cut
        is_over = bool(over.any())
        if is_over or any(self._tick % steps == 0 for steps in self._ticks.values()):
            self._see()
            self._close(takes, ended, cut)
        if is_over:
            self._finish(over)
            self._is_live &= ~over
        if self._tick % self._grid == 0 and not self._is_live.all():
            self._begin()

    def _earn(self, rewards: Mapping[str, Tensor], takes: Mapping[str, Take]) -> None:
        """Adds what one step brought. Shapes: per group [B, n, components]."""
        live = None if self._is_live.all() else self._flags(self._is_live)
        own = {name: values.sum(-1) for name, values in rewards.items()}
        team_reward = getattr(self._stage.world, "team_reward", None)
        if team_reward is not None:
            team = team_reward(rewards)
        else:
            team = torch.cat(list(own.values()), 1).mean(1)
        if live is not None:
            own = {name: values * live[:, None] for name, values in own.items()}
            team = team * live
        for name, values in own.items():
            before = self._returns.get(name)
            self._returns[name] = values if before is None else before + values
        self._team = self._team + team
        for group, take in takes.items():
            take.earn(own[group][:, self._stage.learners[group].slots], team)

    def _see(self) -> None:
        """What the sides' networks see now, and a critic."""
        stage, arrays = self._stage, self._arrays
        self._central = central_state(stage.world, stage.state, stage.obs)
        self._seen: dict[str, Tensor] = {}
        self._alive: dict[str, Tensor] = {}
        alive = stage.world.alive(stage.state) if hasattr(stage.world, "alive") else {}
        for group, player in stage.learners.items():
            inbox = player.inbox(stage.now) if player.hears else {}
            with blamed(group):
                seen = player.policy.see(stage.rows_of(player), inbox, player.memory)
            shape = (self.copies, player.n, -1)
            self._seen[group] = arrays.tensor(seen).reshape(shape).to(torch.float32)
            there = arrays.tensor(stage.everybody[player.n])
            if group in alive:
                there = there & alive[group][:, player.slots]
            who = stage.who(player, None)
            self._alive[group] = there if who is None else there & arrays.tensor(who)

    def _close(self, takes: Mapping[str, Take], ended: Any, cut: Any) -> None:
        """Decisions that are over now, because their time is, or because the episode is."""
        over = ended | cut
        is_any, is_all_live = bool(over.any()), bool(self._is_live.all())
        flags = [self._flags(x) if is_any else None for x in (ended, cut)]
        for group, take in takes.items():
            if self._tick % self._ticks[group] == 0:
                which = None if is_all_live else self._is_live
            elif is_any:
                which = over
            else:
                continue
            rows = None if which is None else self._flags(which)
            take.end(
                rows, *flags, next_seen=self._seen[group], next_alive=self._alive[group],
                next_state=self._central,
            )  # fmt: skip

    def _finish(self, over: Any) -> None:
        """Notes the episodes that ended. Shapes: bool [B]."""
        stage, rows = self._stage, np.flatnonzero(over)
        agents = [a for g in self._returns for a in stage.groups[g].agents]
        earned = torch.cat(list(self._returns.values()), 1).cpu().numpy()[rows].tolist()
        team = self._team.cpu().numpy()[rows].tolist()
        for row, own, together in zip(rows.tolist(), earned, team, strict=True):
            returns = dict(zip(agents, own, strict=True))
            metrics = {}
            if self.tells_metrics:
                one = {k: v[row : row + 1] for k, v in stage.state.items()}
                metrics = {k: m.value for k, m in stage.world.metrics(one).items()}
            self._finished.append(
                Episode(
                    self._seed, int(self._episode[row]), int(stage.steps[row]), returns,
                    together, metrics,
                )
            )  # fmt: skip

    def finished(self) -> list[Episode]:
        """Episodes that ended since this was last asked."""
        found, self._finished = self._finished, []
        return found

    # --- going on -------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Plain data and tensors from which `restore` goes on to the same records, on CPU."""
        snapshot: dict[str, Any] = to_cpu(
            {
                "stage": self._stage.snapshot(),
                "tick": self._tick,
                "episode": self._episode,
                "is_live": self._is_live,
                "memory": self._memory,
                "returns": self._returns,
                "team": self._team,
                "restarted": self._stage.restarted,
            }
        )
        return snapshot

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot of a rollout of the same making."""

        def here(name: str) -> Any:
            return brought(snapshot[name], lambda tensor: tensor.to(self._device))

        self._tick = int(snapshot["tick"])
        self._episode = snapshot["episode"].numpy().copy()
        self._is_live = snapshot["is_live"].numpy().copy()
        self._memory, self._returns, self._team = here("memory"), here("returns"), here("team")
        self._stage.restore(snapshot["stage"])
        self._stage.restarted = brought(snapshot["restarted"], lambda tensor: tensor.numpy())
        self._finished = []
        self._see()

    def close(self) -> None:
        """Nothing was started."""


def why_not(prepared: Prepared, cast: Cast, mode: LinkMode) -> str:
    """What of a scenario no batch can have, in words; "" if it can have all of it."""
    if cast.programs:
        (first, spec), *more = cast.programs.items()
        others = f" and {len(more)} more" if more else ""
        return f"{first} plays {spec}, a program{others}; kernels in memory run it"
    if not mode.is_ideal and (coupling := coupled(prepared)):
        return f"{coupling}; kernels in memory have that too"
    if why := rerouted(prepared):
        return f"{why}; kernels in memory find the ways"
    if not mode.is_ideal and (bound := [p.name for p in prepared.plans if p.budget]):
        return f"{bound[0]} has a budget; kernels in memory have them"
    if kinds := missing(prepared):
        return f"the scenario has faults of kind {', '.join(kinds)}; kernels in memory have them"
    try:
        world = catalogue.make_batch(prepared.scenario.world.kind, prepared.scenario.world.params)
    except BoundError as error:
        return str(error)
    for clearing in cast.clearings:
        if clearing.round.every_ns < world.dt_ns:
            return f"the round {clearing.round.topic!r} comes more often than the world steps"
    return ""
