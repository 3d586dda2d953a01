"""What a training run trains, settled before it begins: groups, algorithms, days, who is frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sim.errors import ScenarioError, UnknownKeyError
from sim.ids import did_you_mean
from sim.learn.presets import PRESETS
from sim.online import POLICY, default_algorithm, frozen, learnable
from sim.prepare import Prepared, load, make_world, with_plans
from sim.scenario.learning import FROZEN, LearnSpec
from sim.scenario.load import at_world
from sim.scenario.overrides import Overrides
from sim.scenario.roster import resolve_roster
from sim.scenario.schema import Scenario
from sim.worlds import catalogue
from sim.worlds.world import World


@dataclass(frozen=True)
class Plan:
    """A training run that can begin.

    scenario: as it is kept in the run's directory. prepared: the world that training sees.
    groups:   per group that learns, its algorithm.
    """

    scenario: Scenario
    prepared: Prepared
    spec: LearnSpec
    groups: Mapping[str, str]

    @property
    def seed(self) -> int:
        """Of training."""
        return self.scenario.seed if self.spec.seed is None else self.spec.seed


def load_training(
    scenario: str | Path,
    *,
    seed: int | None = None,
    algorithm: str | None = None,
    overrides: Sequence[str] = (),
    behaviours: Overrides = (),
) -> Scenario:
    """The scenario with options applied and a `learn` block that says which groups learn by what.

    algorithm: for every group that learns, in place of what the block says.
    Raises: ScenarioError; UnknownKeyError that names the nearest group or algorithm.
    """
    first = load(scenario, seed=seed, overrides=overrides, behaviours=behaviours)
    groups = players(first, make_world(first), algorithm)
    said = ", ".join(f"{group}: {json.dumps(who)}" for group, who in groups.items())
    learned = [*overrides, f"learn.groups={{{said}}}"]
    options = first.learn.options if first.learn else {}
    if algorithm is not None and options.keys() - {algorithm}:  # of those that train nobody now
        kept = {name: given for name, given in options.items() if name not in PRESETS}
        kept |= {algorithm: options[algorithm]} if algorithm in options else {}
        learned.append(f"learn.options={json.dumps(kept)}")
    return load(scenario, seed=seed, overrides=learned, behaviours=behaviours)


def players(scenario: Scenario, world: World, algorithm: str | None = None) -> dict[str, str]:
    """Per group that `learn.groups` names, or that has a role, who plays it in training.

    Raises: UnknownKeyError for a group or an algorithm that does not exist.
    """
    spec = scenario.learn or LearnSpec()
    known = [group.name for group in world.groups]
    where = f"{spec.where}.groups" if spec.where else "learn.groups"
    found = {}
    for group, who in spec.groups.items():
        if group not in known:
            raise UnknownKeyError(f"{where}: no group {group!r}; {did_you_mean(group, known)}")
        is_frozen = who == FROZEN or who.startswith(POLICY)
        found[group] = who if is_frozen or algorithm is None else algorithm
    if not found:
        names = learnable(world, scenario.world.kind)
        found = dict.fromkeys(names, algorithm or default_algorithm(world, names))
    for group, who in found.items():
        if who != FROZEN and not who.startswith(POLICY) and who not in PRESETS:
            at = "--algorithm" if who == algorithm else f"{where}.{group}"
            raise UnknownKeyError(f"{at}: no algorithm {who!r}; {did_you_mean(who, PRESETS)}")
    if not any(who in PRESETS for who in found.values()):
        raise ScenarioError(f"{where}: nobody learns; name an algorithm, as {{{known[0]}: mappo}}")
    return found


def plan_training(scenario: Scenario) -> Plan:
    """World, roster and groups of a scenario that `load_training` gave.

    Raises: ScenarioError.
    """
    spec = scenario.learn or LearnSpec()
    seen = over_days(scenario, spec.train_days, "train_days")
    world = make_world(seen)
    groups = players(seen, world)
    plans = [frozen(plan, groups, scenario, spec) for plan in resolve_roster(seen, world)]
    learning = {group: who for group, who in groups.items() if who in PRESETS}
    return Plan(scenario, with_plans(seen, world, plans), spec, learning)


def over_days(scenario: Scenario, days: tuple[str, str] | None, key: str) -> Scenario:
    """The scenario with its world's days drawn from `days`, first and last included.

    Raises: ScenarioError for a world that has no days.
    """
    if days is None:
        return scenario
    module = catalogue.world_module(scenario.world.kind)
    change = getattr(module, "over_days", None)
    if change is None:
        where = scenario.learn.where if scenario.learn else "learn"
        raise ScenarioError(f"{where}.{key}: world {scenario.world.kind!r} has no days")
    try:
        params: dict[str, Any] = dict(change(scenario.world.params, *days))
    except ScenarioError as error:
        raise at_world(scenario, error) from None
    changed = msgspec.structs.replace(scenario.world, params=params)
    return msgspec.structs.replace(scenario, world=changed)
