"""Action values of groups whose decision is one choice: IQL, VDN and QMIX, by the mixer.

Every agent has a value for each of its choices. Without a mixer each learns from its own target
(IQL); with one, the values of what all agents chose are mixed into one value of the whole, which
alone is trained (VDN: their sum; QMIX: any function that is monotone in each). Targets are those of
double Q-learning from a slowly following copy, over n steps, masked by who lives and what is
allowed. Recurrent networks learn from windows of decisions, from an empty memory at the beginning
of a window (no burn-in).

Sources: Mnih et al. 2015, van Hasselt et al. 2016 (equation 4), Tan 1993 (IQL), Sunehag et al. 2018
(VDN), Rashid et al. 2018 (QMIX), Hausknecht and Stone 2015 (windows, section "random updates"),
Matignon et al. 2007 (hysteretic), Panait et al. 2006 and Wei and Luke 2016 (lenient).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sim.learn import returns, schedules, targets
from sim.learn.acting import EpsilonActor, NetworkActor, policy_file
from sim.learn.distributions import Decisions
from sim.learn.inputs import input_norm
from sim.learn.mixers import QMIX, VDN
from sim.learn.networks import Network, Shape
from sim.learn.record import Actor, Record, Side
from sim.learn.replay import Replay
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
from sim.learn.teams import mixed_reward, part_actors, team_record
from sim.learn.unrolling import with_next

Tensor = torch.Tensor


@dataclass(frozen=True)
class Q:
    """Hyperparameters, with where each default is from."""

    decisions: int = 8
    """Decisions of each copy per record."""
    updates: int = 8
    """Gradient steps per so many decisions; more or less when a record is longer or shorter."""
    gamma: float = 0.99
    """Discount of one decision period. Rashid et al. 2018, appendix."""
    n_step: int = 1
    """Rewards in a target before it looks at values, uncorrected for the behaviour policy. Rainbow
    (Hessel et al. 2018) uses 3; 1 is right whatever was played."""
    batch: int = 256
    """Windows per gradient step. Of ours: large for the many copies of a batch."""
    sequence: int = 16
    """Decisions per window of a recurrent network; 1 (or n_step) without recurrence."""
    capacity: int = 100_000
    """Decisions of copies kept, in all."""
    warmup: int = 2_000
    """Decisions of copies before the first gradient step."""
    learning_rate: float = 5e-4
    """Adam's. Rashid et al. 2018 and Papoudakis et al. 2021 use 5e-4."""
    anneal_frames: int = 0
    """Frames over which the learning rate falls to 0; 0 keeps it."""
    gradient_max: float = 10.0
    """Largest norm of the gradient. Rashid et al. 2018, appendix; Papoudakis et al. 2021."""
    target_tau: float = 0.01
    """How far the target moves at each of its updates; 1 copies. Papoudakis et al. 2021."""
    target_every: int = 1
    """Gradient steps between two updates of the target."""
    epsilon_start: float = 1.0
    """Probability of a random choice, at first. Mnih et al. 2015; Rashid et al. 2018."""
    epsilon_end: float = 0.05
    """And after `epsilon_frames`. Rashid et al. 2018."""
    epsilon_frames: int = 50_000
    """Rashid et al. 2018."""
    embed: int = 32
    """Units of QMIX's mixing layer. Rashid et al. 2018."""
    normalise_observations: bool = True
    """As in `sim.learn.ppo`."""
    hysteresis: float = 1.0
    """Weight of errors below zero in independent learning: what others' exploring cost is no news.
    1 is plain Q-learning; Matignon et al. 2007 use about 0.1 of the learning rate upwards."""
    leniency: float = 0.0
    """Of independent learning: errors below zero count with probability exp(-leniency T), T being a
    temperature of all states together (Panait et al. 2006; Wei and Luke 2016 keep one per state and
    action). 0 is plain Q-learning; Wei and Luke use 1 to 2 at temperatures up to 50."""
    temperature: float = 1.0
    """T at first; it halves every `temperature_half_life` frames."""
    temperature_half_life: int = 50_000
    """Of ours: as long as exploration."""


class _Team:
    """Sides that share one network (one side, unless `share: all`)."""

    def __init__(self, sides: Sequence[Side], shape: Shape, seed: int, device: str) -> None:
        self.sides = tuple(sides)
        self.name = "+".join(s.group for s in sides)
        side, agents = sides[0], [name for s in sides for name in s.agents]
        self.decisions = Decisions(side.decides, side.role.sees)
        init = make_generator(seed, "cpu", "q", self.name, "weights")
        choices = self.decisions.outputs
        self.network = Network(side.layout, choices, agents, shape, init, last_gain=0.1).to(device)
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.norm = input_norm(side.layout, shape, device)
        self.draws = make_generator(seed, device, "q", self.name, "draws")

    def state(self) -> dict[str, Any]:
        return {
            "network": module_state(self.network),
            "target": module_state(self.target),
            "norm": self.norm.state(),
            "draws": generator_state(self.draws),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        load_module(self.network, state["network"])
        load_module(self.target, state["target"])
        self.norm.load(state["norm"])
        load_generator(self.draws, state["draws"])


class _Block:
    """Teams that learn from one target: all of them with a mixer, each by itself without."""

    def __init__(
        self, teams: Sequence[_Team], mixer: nn.Module | None, options: Q, seed: int, device: str
    ) -> None:
        self.teams, self.mixer = tuple(teams), mixer
        self.name = "+".join(team.name for team in teams)
        self.target_mixer = copy.deepcopy(mixer)
        self.replay: Replay | None = None
        self.steps = 0
        modules = [team.network for team in teams] + ([mixer] if mixer is not None else [])
        self.modules: list[nn.Module] = list(modules)
        self.parameters = [p for module in modules for p in module.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, options.learning_rate, fused=True)
        self.samples = make_generator(seed, device, "q", self.name, "samples")

    def follow(self, tau: float) -> None:
        pairs = [(team.target, team.network) for team in self.teams]
        for target, source in pairs:
            targets.soft(target, source, tau)
        if self.mixer is not None and self.target_mixer is not None:
            targets.soft(self.target_mixer, self.mixer, tau)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "steps": self.steps,
            "optimiser": optimiser_state(self.optimiser),
            "samples": generator_state(self.samples),
            "teams": {team.name: team.state() for team in self.teams},
        }
        if self.replay is not None:
            found["replay"] = self.replay.state()
        if self.mixer is not None and self.target_mixer is not None:
            found["mixer"] = module_state(self.mixer)
            found["target_mixer"] = module_state(self.target_mixer)
        return found

    def load(self, state: Mapping[str, Any], make_replay: Callable[[int], Replay]) -> None:
        self.steps = int(state["steps"])
        load_optimiser(self.optimiser, state["optimiser"])
        load_generator(self.samples, state["samples"])
        for team in self.teams:
            team.load(state["teams"][team.name])
        self.replay = None
        if "replay" in state:
            self.replay = make_replay(int(state["replay"]["fields"]["duration"].shape[1]))
            self.replay.load(state["replay"])
        if self.mixer is not None and self.target_mixer is not None:
            load_module(self.mixer, state["mixer"])
            load_module(self.target_mixer, state["target_mixer"])


class QFamily:
    """Trains its sides by Q-learning; see `sim.learn.family.Family`.

    mixer:  "" (independent), "vdn" or "qmix". Sides that are mixed decide at the same instants.
    reward: of independent learners "team", "own", or the team's part of a mixture; their returns
            end at their death. A mixer learns the team's, which goes on while the episode does.
    is_one_network: all sides share one network.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        state_size: int,
        options: Q,
        shape: Shape,
        mixer: str = "",
        reward: str | float = "team",
        is_one_network: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.sides: Sequence[Side] = tuple(sides)
        self.options, self.decisions = options, options.decisions
        self.frames = 0
        self._reward, self._device, self._is_mixed = reward, device, bool(mixer)
        self._remembers = shape.recurrent > 0
        together = [self.sides] if is_one_network else [(side,) for side in self.sides]
        self._teams = [_Team(part, shape, seed, device) for part in together]
        self._explorers = [
            EpsilonActor(t.network, t.decisions, t.draws, self.epsilon, t.norm) for t in self._teams
        ]
        blocks = [self._teams] if mixer else [[team] for team in self._teams]
        self._blocks = []
        for teams in blocks:
            mix: nn.Module | None = VDN() if mixer == "vdn" else None
            if mixer == "qmix":
                agents = sum(len(side.agents) for side in self.sides)
                init = make_generator(seed, "cpu", "q", "mixer", "weights")
                mix = QMIX(agents, state_size, options.embed, init).to(device)
            self._blocks.append(_Block(teams, mix, options, seed, device))

    @property
    def epsilon(self) -> float:
        """The probability of a random choice, now."""
        o = self.options
        return schedules.linear(o.epsilon_start, o.epsilon_end, o.epsilon_frames, self.frames)

    def actors(self) -> Mapping[str, Actor]:
        """These explore with `epsilon` as it is at any time, whenever they were asked for."""
        actors: dict[str, Actor] = {}
        for team, explorer in zip(self._teams, self._explorers, strict=True):
            actors |= part_actors(explorer, team.sides)
        return actors

    def _count(self, frames: int) -> None:
        self.frames = frames
        for explorer in self._explorers:
            explorer.epsilon = self.epsilon

    def greedy(self) -> Mapping[str, Actor]:
        actors: dict[str, Actor] = {}
        for team in self._teams:
            whole = NetworkActor(team.network, team.decisions, team.draws, team.norm, greedy=True)
            actors |= part_actors(whole, team.sides)
        return actors

    def update(self, records: Mapping[str, Record]) -> dict[str, float]:
        """Raises: DivergenceError if a group's figures are no numbers any more."""
        o, figures = self.options, dict[str, float]()
        rate = o.learning_rate
        if o.anneal_frames:
            rate = schedules.linear(rate, 0.0, o.anneal_frames, self.frames)
        for block in self._blocks:
            set_learning_rate(block.optimiser, rate)
            found = self._learn(block, [team_record(records, t.sides) for t in block.teams])
            found |= {"epsilon": self.epsilon, "learning_rate": rate}
            figures |= {f"{block.name}/{name}": value for name, value in found.items()}
        self._count(self.frames + max(records[side.group].frames for side in self.sides))
        return figures

    def _learn(self, block: _Block, records: Sequence[Record]) -> dict[str, float]:
        o = self.options
        for team, record in zip(block.teams, records, strict=True):
            check_finite(team.name, {"observation": record.seen, "reward": record.reward})
            if o.normalise_observations:
                team.norm.update(record.seen, record.alive)
        steps, copies = records[0].team.shape
        if block.replay is None:
            block.replay = self._make_replay(copies)
        block.replay.add(self._stored(records))
        window = self._window
        if block.replay.transitions < o.warmup or block.replay.size < window:
            return {"replay": float(block.replay.transitions)}
        updates = max(1, round(o.updates * steps / o.decisions))
        found = torch.zeros(len(_FIGURES), device=self._device)
        for _ in range(updates):
            sample = block.replay.sample(o.batch, window, block.samples)
            found += self._step(block, sample) / updates
        figures = dict(zip(_FIGURES, found.tolist(), strict=True))
        check_finite(block.name, figures)
        check_finite(block.name, {"a parameter": all_parameters(block.modules)})
        return figures | {"replay": float(block.replay.transitions)}

    @property
    def _window(self) -> int:
        o = self.options
        return max(o.sequence, o.n_step) if self._remembers else o.n_step

    def _make_replay(self, copies: int) -> Replay:
        return Replay(max(self._window, self.options.capacity // copies), self._device)

    def _stored(self, records: Sequence[Record]) -> dict[str, Tensor]:
        """What is kept of the records: each team's own, as "0.seen", and what is the copy's."""
        first = records[0]
        kept = {
            name: getattr(first, name)
            for name in ("duration", "is_first", "terminated", "truncated")
        }
        if self._is_mixed:
            kept |= {"team": first.team, "state": first.state, "next_state": first.next_state}
        for i, record in enumerate(records):
            for name in ("seen", "next_seen", "alive", "next_alive", "decision"):
                kept[f"{i}.{name}"] = getattr(record, name)
            if not self._is_mixed:
                kept[f"{i}.reward"] = mixed_reward(record, self._reward)
        return kept

    def _step(self, block: _Block, batch: Mapping[str, Tensor]) -> Tensor:
        """One gradient step on windows [L, batch, ...]. Returns the figures."""
        o = self.options
        ends = batch["terminated"] | batch["truncated"]
        parts = [self._values(team, i, batch, ends) for i, team in enumerate(block.teams)]
        chosen, best_next = (torch.cat(values, dim=-1) for values in zip(*parts, strict=True))
        alive, next_alive = (
            torch.cat([batch[f"{i}.{name}"] for i in range(len(block.teams))], dim=-1)
            for name in ("alive", "next_alive")
        )
        if block.mixer is not None and block.target_mixer is not None:
            reward = batch["team"]
            discount = returns.discounts(o.gamma, batch["duration"], batch["terminated"])
            chosen = block.mixer(chosen, batch["state"], alive)
            with torch.no_grad():
                best_next = block.target_mixer(best_next, batch["next_state"], next_alive)
            weight = torch.ones_like(reward)
        else:
            reward, terminated = batch["0.reward"], batch["terminated"]
            discount = returns.discounts(o.gamma, batch["duration"], terminated, next_alive)
            weight = alive.float()
        target = returns.n_step(reward, discount, ends, best_next, o.n_step)
        # a feed-forward window is there for its first decision; the others have no n steps left
        used = slice(None) if self._remembers else slice(0, 1)
        error = (target - chosen)[used]
        weight = weight[used] / weight[used].sum().clamp(min=1.0)
        loss = (self._forgiven(block, error.detach()) * weight * error.square()).sum()
        block.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(block.parameters, o.gradient_max)
        block.optimiser.step()
        block.steps += 1
        if block.steps % o.target_every == 0:
            block.follow(o.target_tau)
        return torch.stack((loss, error.abs().mean(), chosen.mean(), target.mean(), norm)).detach()

    @torch.no_grad()
    def values(self, records: Mapping[str, Record]) -> dict[str, Tensor]:
        """What was chosen is worth, in units of reward. Shapes: [T, B, n], or [T, B] mixed, by the
        names of the groups that learn together, as "battery" or "battery+pv".
        """
        found = {}
        for block in self._blocks:
            parts = [team_record(records, team.sides) for team in block.teams]
            batch = self._stored(parts)
            ends = batch["terminated"] | batch["truncated"]
            chosen = torch.cat(
                [self._values(t, i, batch, ends)[0] for i, t in enumerate(block.teams)], dim=-1
            )
            if block.mixer is not None:
                alive = torch.cat([part.alive for part in parts], dim=-1)
                chosen = block.mixer(chosen, batch["state"], alive)
            found[block.name] = chosen
        return found

    def _values(
        self, team: _Team, i: int, batch: Mapping[str, Tensor], ends: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What was chosen is worth, and the target's value of the best next choice by the network
        itself (van Hasselt et al. 2016, equation 4). Shapes: [L, batch, n] each."""
        seen, next_seen = batch[f"{i}.seen"], batch[f"{i}.next_seen"]
        x, next_x = team.norm.normalise(seen), team.norm.normalise(next_seen)
        memory = team.network.memory(seen.shape[1])
        first = batch["is_first"]
        out, next_out, _ = with_next(team.network, x, next_x, memory, first, ends)
        taken = batch[f"{i}.decision"].long()
        chosen = out.gather(-1, taken).squeeze(-1)
        with torch.no_grad():
            _, other, _ = with_next(team.target, x, next_x, memory, first, ends)
            (values,) = team.decisions.values(next_out, team.decisions.mask(next_seen))
            best = values.squeeze(-2).argmax(dim=-1, keepdim=True)
            return chosen, other.gather(-1, best).squeeze(-1)

    def _forgiven(self, block: _Block, error: Tensor) -> Tensor:
        """Weights of errors: those below zero count less for hysteretic and lenient learners."""
        o = self.options
        weight = torch.where(error < 0, o.hysteresis, 1.0)
        if not o.leniency:
            return weight
        heat = schedules.exponential(o.temperature, 0.0, o.temperature_half_life, self.frames)
        kept = math.exp(-o.leniency * heat)
        drawn = torch.empty(error.shape, device=error.device).uniform_(generator=block.samples)
        return torch.where((error < 0) & (drawn >= kept), 0.0, weight)

    def policies(self) -> Mapping[str, tuple[dict[str, Any], dict[str, Any]]]:
        return {
            side.group: policy_file(side, team.network, team.norm)
            for team in self._teams
            for side in team.sides
        }

    def state(self) -> dict[str, Any]:
        return {"frames": self.frames, "blocks": {b.name: b.state() for b in self._blocks}}

    def load(self, state: Mapping[str, Any]) -> None:
        self._count(int(state["frames"]))
        for block in self._blocks:
            block.load(state["blocks"][block.name], self._make_replay)


_FIGURES = ("loss", "error", "value", "target", "gradient")
