"""Whose seats are taken from outside: which agents, and what each sees and decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agents.behaviour import load_behaviour
from agents.roles import Role, layout_of
from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean, matching
from sim.learn.cast import PLAIN, heard_by
from sim.learn.plan import players
from sim.learn.record import Side
from sim.online import POLICY, frozen, learnable, roles_of
from sim.prepare import Prepared, load, prepare, with_plans
from sim.scenario.learning import FROZEN, LearnSpec
from sim.scenario.overrides import Overrides
from sim.scenario.schema import Scenario
from sim.worlds import catalogue


@dataclass(frozen=True)
class Seating:
    """A scenario with those agents that are played from outside, side by side per group."""

    prepared: Prepared
    sides: tuple[Side, ...]

    @property
    def agents(self) -> list[str]:
        """Their names, in group order."""
        return [agent for side in self.sides for agent in side.agents]

    def of_seed(self, seed: int) -> Prepared:
        """The scenario of another seed, in the same world, which begins anew with each episode."""
        scenario = msgspec.structs.replace(self.prepared.scenario, seed=seed, episodes=1)
        return with_plans(scenario, self.prepared.world, self.prepared.plans)


def seat(
    scenario: str | Path | Scenario,
    agents: str | Sequence[str],
    plain: bool,
    seed: int | None,
    duration: str | float | None,
    overrides: Overrides,
    behaviours: Sequence[str] | Mapping[str, str],
) -> Seating:
    """The seating of a scenario. agents: names or patterns; empty: of the groups that learn.

    Raises: ScenarioError if there is nothing to decide; UnknownKeyError naming the nearest agent.
    """
    loaded = load(
        scenario, seed=seed, duration=duration, overrides=overrides, behaviours=behaviours
    )
    spec = loaded.learn or LearnSpec()
    if spec.online:
        spec = msgspec.structs.replace(spec, online=False)
        loaded = msgspec.structs.replace(loaded, learn=spec)
    prepared = prepare(loaded)
    plans = tuple(frozen(plan, spec.groups, loaded, spec) for plan in prepared.plans)
    if plans != prepared.plans:
        prepared = with_plans(loaded, prepared.world, plans)
    patterns = [agents] if isinstance(agents, str) else list(agents)
    names = _matched(prepared, patterns) if patterns else _learning(prepared)
    sides = []
    for group in prepared.world.groups:
        own = tuple(name for name in group.agents if name in names)
        if own:
            sides.append(_side(prepared, group.name, own, plain, spec))
    return Seating(prepared, tuple(sides))


def _matched(prepared: Prepared, patterns: Sequence[str]) -> list[str]:
    venues = getattr(prepared.world, "venues", ())
    known = [p.name for p in prepared.plans if p.group is not None and p.name not in venues]
    found = []
    for pattern in patterns:
        match = matching(pattern, known)
        if not match:
            close = did_you_mean(pattern, known)
            raise UnknownKeyError(f"no agent of the world matches {pattern!r}; {close}")
        found += match
    return found


def _learning(prepared: Prepared) -> list[str]:
    """The agents of the groups that learn; without those that a program of an author's plays."""
    scenario, world = prepared.scenario, prepared.world
    rules = catalogue.rules(scenario.world.kind)
    said = scenario.learn.groups if scenario.learn else {}
    if not said and not learnable(world, scenario.world.kind):
        raise ScenarioError(
            f"nobody in world {scenario.world.kind!r} has anything to decide by actions alone: "
            "its agents are programs that send messages"
        )
    found = []
    for group, who in players(scenario, world).items():
        if who != FROZEN and not who.startswith(POLICY):
            plans = [plan for plan in prepared.plans if plan.group == group]
            free = [plan for plan in plans if plan.behaviour in (rules.get(group), "none")]
            found += [plan.name for plan in free or plans]
    return found


def _side(
    prepared: Prepared, name: str, agents: tuple[str, ...], plain: bool, spec: LearnSpec
) -> Side:
    """Those agents of a group, in the role that a learner of `sim train` would have."""
    world, names = prepared.world, [plan.name for plan in prepared.plans]
    group = next(group for group in world.groups if group.name == name)
    own = roles_of(prepared.scenario.world.kind).get(name, PLAIN)
    params = spec.roles.get(name, {}) if own == PLAIN or not plain else {}
    role: Role = load_behaviour(PLAIN if plain else own, "")(agents[0], group, dict(params))
    if not role.decides.size:
        raise ScenarioError(f"{agents[0]}: nobody of group {name!r} has anything to decide")
    senders = {topic: len(heard_by(world, names, agents[0], topic)) for topic in role.hears}
    return Side(name, agents, role, layout_of(role, senders), role.every * group.every_ns)
