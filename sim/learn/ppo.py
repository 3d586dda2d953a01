"""Proximal policy optimisation of one or several groups: PPO, IPPO and MAPPO, by the critic.

One update: values of what was seen, advantages, a few epochs of the clipped objective. Everything
an agent did while it was not in the world is masked. With a critic that sees `own`, each agent has
a value of its own observation (IPPO; PPO where there is one agent); with `state` or `observations`
the critic sees what no agent sees, and acts nowhere (MAPPO).

Sources: Schulman et al. 2017 (objective, equation 7), Schulman et al. 2016 (advantages), de Witt et
al. 2020 (IPPO), Yu et al. 2022 (MAPPO: value normalisation, death masking, few epochs).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from sim.learn import returns, schedules
from sim.learn.acting import NetworkActor, policy_file
from sim.learn.critics import Critic, Sees
from sim.learn.distributions import Decisions
from sim.learn.inputs import input_norm
from sim.learn.networks import Network, Shape
from sim.learn.normalise import RunningNorm, ValueNorm, normalise_advantages
from sim.learn.record import Actor, Record, Side
from sim.learn.state import (
    all_parameters,
    check_finite,
    generator_state,
    load_generator,
    load_module,
    load_optimiser,
    make_generator,
    module_state,
    optimiser_state,
    set_learning_rate,
)
from sim.learn.teams import mixed_reward, part_actors, spans, team_record
from sim.learn.unrolling import with_next

Tensor = torch.Tensor


@dataclass(frozen=True)
class PPO:
    """Hyperparameters, with where each default is from."""

    decisions: int = 25
    """Decisions of each copy per update. Many copies and few decisions: one episode of `spread`."""
    gamma: float = 0.99
    """Discount of one decision period. Schulman et al. 2017."""
    lambda_: float = 0.95
    """Of the advantages. Schulman et al. 2017."""
    clip: float = 0.2
    """Schulman et al. 2017; Yu et al. 2022 find no gain in more."""
    epochs: int = 4
    """Passes over each record. Yu et al. 2022 use 5 to 15; fewer cost less. Not tuned by itself."""
    minibatches: int = 8
    """Per pass. Yu et al. 2022 prefer fewer, larger ones; one trial on `spread` was better so."""
    learning_rate: float = 1e-3
    """Adam's. Yu et al. 2022 use 7e-4 (MPE)."""
    anneal_frames: int = 0
    """Frames over which the learning rate falls to 0; 0 keeps it. Schulman et al. 2017 anneal."""
    entropy: float = 0.01
    """Weight of the entropy bonus. Schulman et al. 2017; Yu et al. 2022."""
    gradient_max: float = 0.5
    """Largest norm, of policy and critic each. Andrychowicz et al. 2021, section 3.5."""
    target_kl: float = 0.05
    """The epochs stop when the policy moved further than this, in nats per decision; 0 never. Our
    own: a brake for rates that are too high, rarely felt at the default."""
    sequence: int = 16
    """Decisions of a recurrent network that gradients flow through: the largest divisor of the
    record's length up to this. Yu et al. 2022 use 10."""
    deviation: float = 1.0
    """Of the first draws of continuous decisions, before they are squashed into their bounds: where
    what is tried costs much, less learns sooner. 1: Andrychowicz et al. 2021, section 3.2, find
    less better on most tasks."""
    v_trace: bool = False
    """Corrects advantages and targets for experience of older policies (Espeholt et al. 2018)."""
    normalise_observations: bool = True
    """Yu et al. 2022; Andrychowicz et al. 2021, section 3.3."""
    normalise_values: bool = True
    """Yu et al. 2022, section 5.1."""
    normalise_advantages: bool = True
    """Per group. Andrychowicz et al. 2021 find it harmless."""


def clipped_objective(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The smaller of what the ratio promises and what it promises within [1 - clip, 1 + clip].

    Source: Schulman et al. 2017, equation 7.
    """
    return torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)


class _Team:
    """Sides that share one policy network (one side, unless `share: all`), and their critic."""

    def __init__(
        self,
        sides: Sequence[Side],
        state_size: int,
        shape: Shape,
        critic_sees: Sees,
        is_per_agent: bool,
        seed: int,
        device: str,
        options: PPO,
    ) -> None:
        self.sides = tuple(sides)
        self.name = "+".join(s.group for s in sides)
        side, agents = sides[0], [name for s in sides for name in s.agents]
        self.decisions = Decisions(side.decides, side.role.sees)
        init = make_generator(seed, "cpu", "ppo", self.name, "weights")
        self.policy = Network(
            side.layout,
            self.decisions.outputs,
            agents,
            shape,
            init,
            last_gain=0.01,  # begins near uniform: Andrychowicz et al. 2021, section 3.2
            free=self.decisions.free,
        ).to(device)
        if self.decisions.free:
            nn.init.constant_(self.policy.get_parameter("log_std"), math.log(options.deviation))
        if critic_sees != "own":
            shape = replace(shape, recurrent=0)
        self.critic = Critic(
            side.layout, state_size, agents, shape, critic_sees, init, is_per_agent
        ).to(device)
        self.critic_memory: Tensor | None = None
        self.norm = input_norm(side.layout, shape, device)
        self.state_norm = RunningNorm(state_size, device)
        self.value_norm = ValueNorm(device=device)
        self.optimiser = torch.optim.Adam(
            [*self.policy.parameters(), *self.critic.parameters()],
            options.learning_rate,
            eps=1e-5,  # Andrychowicz et al. 2021, section 3.7; Engstrom et al. 2020
            fused=True,
        )
        self.draws = make_generator(seed, device, "ppo", self.name, "draws")
        self.shuffles = make_generator(seed, device, "ppo", self.name, "shuffles")

    def state(self) -> dict[str, Any]:
        memory = {} if self.critic_memory is None else {"critic_memory": self.critic_memory.clone()}
        return memory | {
            "policy": module_state(self.policy),
            "critic": module_state(self.critic),
            "optimiser": optimiser_state(self.optimiser),
            "norm": self.norm.state(),
            "state_norm": self.state_norm.state(),
            "value_norm": self.value_norm.state(),
            "draws": generator_state(self.draws),
            "shuffles": generator_state(self.shuffles),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        load_module(self.policy, state["policy"])
        load_module(self.critic, state["critic"])
        load_optimiser(self.optimiser, state["optimiser"])
        self.norm.load(state["norm"])
        self.state_norm.load(state["state_norm"])
        self.value_norm.load(state["value_norm"])
        load_generator(self.draws, state["draws"])
        load_generator(self.shuffles, state["shuffles"])
        memory = state.get("critic_memory")
        self.critic_memory = None if memory is None else memory.clone()


class PPOFamily:
    """Trains its sides by PPO; see `sim.learn.family.Family`.

    critic_sees: "own", "observations" (of all agents that share the network, side by side) or
                 "state". A critic that sees own remembers where the policy does; the others see
                 enough to need no memory.
    reward:      "team", "own", or the team's part of a mixture. With "own" an agent's returns end
                 at its death; with the others they go on, and a critic that sees own is shown zeros
                 instead of what a dead agent sees (death masking, Yu et al. 2022, section 5.5).
    share:       "group", "none" (parameters per agent) or "all" (one network for all sides).
    """

    def __init__(
        self,
        sides: Sequence[Side],
        state_size: int,
        options: PPO,
        shape: Shape,
        critic_sees: Sees = "own",
        reward: str | float = "team",
        is_one_network: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.sides: Sequence[Side] = tuple(sides)
        self.options, self.decisions = options, options.decisions
        self.frames = 0
        self._reward = reward
        together = [self.sides] if is_one_network else [(side,) for side in self.sides]
        self._teams = [
            _Team(
                part, state_size, shape, critic_sees, reward != "team", seed, device, options
            )
            for part in together
        ]  # fmt: skip

    def actors(self) -> Mapping[str, Actor]:
        return self._actors(greedy=False)

    def greedy(self) -> Mapping[str, Actor]:
        return self._actors(greedy=True)

    def _actors(self, greedy: bool) -> dict[str, Actor]:
        actors: dict[str, Actor] = {}
        for team in self._teams:
            whole = NetworkActor(team.policy, team.decisions, team.draws, team.norm, greedy)
            actors |= part_actors(whole, team.sides)
        return actors

    def update(self, records: Mapping[str, Record]) -> dict[str, float]:
        """Raises: DivergenceError if a group's figures are no numbers any more."""
        o = self.options
        rate = o.learning_rate
        if o.anneal_frames:
            rate = schedules.linear(rate, 0.0, o.anneal_frames, self.frames)
        figures: dict[str, float] = {}
        for team in self._teams:
            set_learning_rate(team.optimiser, rate)
            found = self._learn(team, team_record(records, team.sides))
            figures |= {f"{team.name}/{name}": value for name, value in found.items()}
        self.frames += max(records[side.group].frames for side in self.sides)
        return figures | {f"{team.name}/learning_rate": rate for team in self._teams}

    def _learn(self, team: _Team, record: Record) -> dict[str, float]:
        o = self.options
        check_finite(team.name, {"observation": record.seen, "reward": record.reward})
        is_new = not float(team.norm.count)
        if is_new:
            self._take_in(team, record)
        ends = record.terminated | record.truncated
        is_own = self._reward == "own"
        discount = returns.discounts(
            o.gamma, record.duration, record.terminated, record.next_alive if is_own else None
        )
        critic_input, value, next_value = self._values(team, record, ends)
        reward = mixed_reward(record, self._reward)
        log_prob = record.log_prob
        if o.v_trace:
            log_prob = self._log_prob(team, record)
            ratio = torch.where(record.alive, log_prob - record.log_prob, 0.0)
            ends = ends[..., None] | _lost(record)
            target, advantage = returns.v_trace(
                ratio, reward, discount, ends, value, next_value, o.lambda_
            )
        else:
            advantage = returns.gae(reward, discount, ends, value, next_value, o.lambda_)
            target = advantage + value
        counts = record.alive if is_own else torch.ones_like(target, dtype=torch.bool)
        if o.normalise_values:
            team.value_norm.update(target, counts)
        if o.normalise_advantages:
            advantage = torch.cat(
                [
                    normalise_advantages(advantage[..., s], record.alive[..., s])
                    for s in spans(team.sides)
                ],
                dim=-1,
            )
        data = {
            "seen": team.norm.normalise(record.seen),
            "critic_input": critic_input,
            "decision": record.decision,
            "log_prob": log_prob,
            "alive": record.alive.float(),
            "advantage": advantage,
            "target": team.value_norm.normalise(target),
            "counts": counts.float(),
            "is_first": record.is_first,
        }
        mask = team.decisions.mask(record.seen)
        if mask is not None:
            data["mask"] = mask
        figures = self._improve(team, *self._sequences(team, record, data))
        figures["explained_variance"] = _explained(value, target, counts)
        check_finite(team.name, figures)
        check_finite(team.name, {"a parameter": all_parameters((team.policy, team.critic))})
        if not is_new:  # only now: the update judges the policy that acted
            self._take_in(team, record)
        return figures

    def _critic_input(self, team: _Team, seen: Tensor, alive: Tensor, state: Tensor) -> Tensor:
        """Shapes: -> [T, B, n, F], or [T, B, 1, ...] of a critic that sees more."""
        shown = team.norm.normalise(seen) * alive[..., None]
        return team.critic.inputs(shown, alive, team.state_norm.normalise(state))

    @torch.no_grad()
    def _values(self, team: _Team, record: Record, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The critic's input, and values before and after each decision, in units of reward."""
        now = self._critic_input(team, record.seen, record.alive, record.state)
        later = self._critic_input(team, record.next_seen, record.next_alive, record.next_state)
        memory = self._critic_memory(team, now)
        outs = with_next(team.critic, now, later, memory, record.is_first, ends)
        value, next_value = (team.value_norm.denormalise(out) for out in outs[:2])
        return now, value, next_value

    @torch.no_grad()
    def _log_prob(self, team: _Team, record: Record) -> Tensor:
        """Of what was decided, by the policy as it is now. Shapes: [T, B, n]."""
        seen = team.norm.normalise(record.seen)
        out, _ = team.policy.unroll(seen, record.memory, record.is_first)
        return team.decisions.log_prob(out, record.decision, team.decisions.mask(record.seen))

    def values(self, records: Mapping[str, Record]) -> dict[str, Tensor]:
        """What the critics expect from each decision on, in units of reward. Shapes: [T, B, n], by
        the names of the groups that share a network, as "battery" or "battery+pv".
        """
        found = {}
        for team in self._teams:
            record = team_record(records, team.sides)
            found[team.name] = self._values(team, record, record.terminated | record.truncated)[1]
        return found

    def _critic_memory(self, team: _Team, seen: Tensor) -> Tensor:
        """The critic's, before the record. Shapes: [B, m, H]."""
        memory, empty = team.critic_memory, team.critic.memory(seen.shape[1])
        return empty if memory is None or memory.shape != empty.shape else memory

    @torch.no_grad()
    def _sequences(
        self, team: _Team, record: Record, data: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The record as many short sequences [L, T B / L, ...], and memories at their beginnings.

        L is 1 for networks that remember nothing. The memories are those of the networks as they
        are before this update (stored state, Kapturowski et al. 2019).
        """
        steps, copies = record.team.shape
        remember = team.policy.memory_size > 0
        length = max(d for d in range(1, self.options.sequence + 1) if steps % d == 0)
        length = length if remember else 1
        chunks = steps // length
        cut = {
            name: x.reshape(chunks, length, *x.shape[1:]).transpose(0, 1).flatten(1, 2)
            for name, x in data.items()
        }
        memory, critic_memory = record.memory, self._critic_memory(team, data["critic_input"])
        memories: dict[str, list[Tensor]] = {"policy": [], "critic": []}
        for k in range(chunks if remember else 0):
            memories["policy"].append(memory)
            memories["critic"].append(critic_memory)
            at = slice(k * length, (k + 1) * length)
            first = data["is_first"][at]
            _, memory = team.policy.unroll(data["seen"][at], memory, first)
            _, critic_memory = team.critic.unroll(data["critic_input"][at], critic_memory, first)
        if remember:
            team.critic_memory = critic_memory
            return cut, {name: torch.cat(found) for name, found in memories.items()}
        nothing = data["seen"].new_zeros
        return cut, {
            "policy": nothing(steps * copies, data["seen"].shape[2], 0),
            "critic": nothing(steps * copies, data["critic_input"].shape[2], 0),
        }

    def _improve(
        self, team: _Team, data: dict[str, Tensor], memories: dict[str, Tensor]
    ) -> dict[str, float]:
        """The epochs. Returns the figures of the last one."""
        o, device = self.options, data["seen"].device
        rows = data["seen"].shape[1]
        names = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction",
                 "policy_gradient", "critic_gradient")  # fmt: skip
        epochs, found = 0, torch.zeros(len(names), device=device)
        for _ in range(o.epochs):
            order = torch.empty(rows, device=device).uniform_(generator=team.shuffles).argsort()
            parts = order.chunk(o.minibatches)
            found = torch.zeros(len(names), device=device)
            for part in parts:
                batch = {name: x.index_select(1, part) for name, x in data.items()}
                remembered = {name: m.index_select(0, part) for name, m in memories.items()}
                loss, figures = self._loss(team, batch, remembered)
                team.optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                norms = [
                    nn.utils.clip_grad_norm_(network.parameters(), o.gradient_max)
                    for network in (team.policy, team.critic)
                ]
                team.optimiser.step()
                found += torch.stack([*figures, *norms]).detach() / len(parts)
            epochs += 1
            if o.target_kl and float(found[3]) > o.target_kl:
                break
        return dict(zip(names, found.tolist(), strict=True)) | {"epochs": float(epochs)}

    def _loss(
        self, team: _Team, batch: dict[str, Tensor], memories: dict[str, Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        o, alive = self.options, batch["alive"]
        living = alive.sum().clamp(min=1.0)
        first, mask = batch["is_first"], batch.get("mask")
        out, _ = team.policy.unroll(batch["seen"], memories["policy"], first)
        log_prob, entropy = team.decisions.judge(out, batch["decision"], mask)
        log_ratio = log_prob - batch["log_prob"]
        # what the dead "decided" has no probability that means anything
        log_ratio = torch.where(alive > 0, log_ratio, torch.zeros_like(log_ratio))
        ratio = log_ratio.exp()
        objective = clipped_objective(ratio, batch["advantage"], o.clip)
        policy_loss = -(objective * alive).sum() / living
        entropy = (entropy * alive).sum() / living
        value, _ = team.critic.unroll(batch["critic_input"], memories["critic"], first)
        error = (value - batch["target"]).square() * batch["counts"]
        value_loss = 0.5 * error.sum() / batch["counts"].sum().clamp(min=1.0)
        # two networks that share nothing, each with gradients clipped by itself: no weight between
        loss = policy_loss - o.entropy * entropy + value_loss
        with torch.no_grad():  # Schulman 2020, "Approximating KL divergence", the estimator k3
            kl = ((ratio - 1.0 - log_ratio) * alive).sum() / living
            clipped = (((ratio - 1.0).abs() > o.clip) * alive).sum() / living
        return loss, [policy_loss, value_loss, entropy, kl, clipped]

    def _take_in(self, team: _Team, record: Record) -> None:
        if self.options.normalise_observations:
            team.norm.update(record.seen, record.alive)
            if record.state.shape[-1]:
                team.state_norm.update(record.state)

    def policies(self) -> Mapping[str, tuple[dict[str, Any], dict[str, Any]]]:
        return {
            side.group: policy_file(side, team.policy, team.norm)
            for team in self._teams
            for side in team.sides
        }

    def state(self) -> dict[str, Any]:
        return {"frames": self.frames, "teams": {t.name: t.state() for t in self._teams}}

    def load(self, state: Mapping[str, Any]) -> None:
        self.frames = int(state["frames"])
        for team in self._teams:
            team.load(state["teams"][team.name])


def _lost(record: Record) -> Tensor:
    """Where an agent lives on, but what it did next is not known. Shapes: bool [T, B, n]."""
    lost = record.next_alive.clone()
    lost[:-1] &= ~record.alive[1:]
    lost[-1] = False
    return lost


def _explained(value: Tensor, target: Tensor, counts: Tensor) -> float:
    """1 - Var(target - value) / Var(target): 1 is a perfect critic, 0 none."""
    value, target = value[counts], target[counts]
    spread = target.var(correction=0)
    return float(1.0 - (target - value).var(correction=0) / spread) if spread > 0 else 0.0
