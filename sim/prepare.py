"""From a scenario's name to everything a kernel is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from agents.behaviour import is_policy, is_program, load_behaviour
from agents.params import check_policy, check_program
from broker.kernel import Kernel
from sim.errors import AgentError, InstallationError, ScenarioError
from sim.online import LEARNER_PROGRAM, is_online, with_learner
from sim.scenario.casting import cast
from sim.scenario.faults import Setting, resolve_faults, setting_of
from sim.scenario.layouts import laid_out
from sim.scenario.load import at_world, load_scenario
from sim.scenario.overrides import Overrides
from sim.scenario.roster import AgentPlan, resolve_roster
from sim.scenario.schema import Fault, Scenario
from sim.scenario.topology import LinkTable, find, link_table, uses_radio
from sim.worlds import catalogue
from sim.worlds.world import Group, World, has_positions


@dataclass(frozen=True)
class Prepared:
    """A scenario with everything that follows from it: what a kernel is made of."""

    scenario: Scenario
    world: World
    plans: tuple[AgentPlan, ...]
    table: LinkTable
    faults: tuple[Fault, ...]

    @property
    def setting(self) -> Setting:
        """What faults may strike: for one that comes by command while the run goes on."""
        return fault_setting(self.scenario, self.world, self.plans)

    def kernel(self, agents_per_host: int = 1, is_eager: bool = False, episode: int = 0) -> Kernel:
        """A kernel at virtual time 0. episode: the first that it plays."""
        return Kernel(
            self.scenario,
            self.world,
            self.plans,
            self.table,
            self.faults,
            agents_per_host,
            is_eager,
            episode,
        )


def load(
    scenario: str | Path | Scenario,
    *,
    seed: int | None = None,
    duration: str | float | None = None,
    overrides: Overrides = (),
    behaviours: Sequence[str] | Mapping[str, str] = (),
) -> Scenario:
    """The scenario of a file or a bundled name with options applied; a loaded one takes none.

    Raises: ScenarioError.
    """
    given = {"seed": seed, "duration": duration}
    options = {key: value for key, value in given.items() if value is not None}
    if isinstance(scenario, Scenario):
        if options or overrides or behaviours:
            raise ScenarioError(
                "a scenario that is loaded already takes no options; give its name or file"
            )
        return scenario
    if isinstance(overrides, Mapping):
        overrides = {**overrides, **options}
    else:
        overrides = [*overrides, *(f"{key}={value}" for key, value in options.items())]
    return load_scenario(scenario, overrides, behaviours)


def prepare(scenario: Scenario) -> Prepared:
    """Makes the world and resolves everything that depends on it.

    Raises: ScenarioError.
    """
    world = make_world(scenario)
    plans = resolve_roster(scenario, world)
    if is_online(scenario):
        plans = with_learner(scenario, world, plans)
    return with_plans(scenario, world, plans)


def make_world(scenario: Scenario) -> World:
    """The scenario's world. Raises: ScenarioError with file and line."""
    try:
        return catalogue.make_world(scenario.world.kind, scenario.world.params, scenario.seed)
    except ScenarioError as error:
        raise at_world(scenario, error) from None
    except ImportError as error:
        what = f"world {scenario.world.kind!r} cannot be imported: {error}"
        raise InstallationError(f"{scenario.world.where}: {what}") from None


def with_plans(scenario: Scenario, world: World, plans: Sequence[AgentPlan]) -> Prepared:
    """The same, for a roster of one's own choice.

    Raises: ScenarioError; CheckpointError for a policy file that cannot play its role.
    """
    names = [plan.name for plan in plans]
    kind = scenario.world.kind
    edges = getattr(world, "edges", ())
    network = laid_out(scenario.network, names, scenario.seed, edges)
    scenario = msgspec.structs.replace(scenario, network=network)
    setting = fault_setting(scenario, world, plans)
    faults = resolve_faults(scenario, setting, scenario.seed)
    table = link_table(scenario.network, names, faults)
    if uses_radio(table, faults) and not has_positions(world):
        raise ScenarioError(
            f"{scenario.network.where}: links by radio need a world that says where its agents "
            f"are; {kind!r} does not"
        )
    scenario = _with_members(scenario, table)
    players = cast(plans, catalogue.rules(kind), kind)
    for plan in players:
        if plan.name in getattr(world, "venues", ()) and plan.behaviour != "none":
            raise ScenarioError(
                f"{plan.where}: {plan.name!r} is a venue of world {kind!r}, which nobody plays"
            )
    _check_behaviours(world, players)
    return Prepared(
        scenario, world, players, table, tuple(_every_episode(scenario, faults))
    )  # fmt: skip


def _with_members(scenario: Scenario, table: LinkTable) -> Scenario:
    """The scenario, with the names of those who share its medium. Raises: UnknownKeyError."""
    network = scenario.network
    if network.medium is None:
        return scenario
    where = f"{network.medium.where}.group"
    members = frozenset(find(network.medium.group, table.names, where, "agent or relay"))
    medium = msgspec.structs.replace(network.medium, members=members)
    shared = msgspec.structs.replace(network, medium=medium)
    return msgspec.structs.replace(scenario, network=shared)


def fault_setting(scenario: Scenario, world: World, plans: Sequence[AgentPlan]) -> Setting:
    """What faults may strike in this world, with this roster."""
    names = [plan.name for plan in plans]
    return setting_of(scenario.network, names, world.events, world.groups, world.rounds)


def _check_behaviours(world: World, plans: Sequence[AgentPlan]) -> None:
    """Looks into policy files, at what is to be learned, and at the params of our own policies,
    before any process starts. An author's are made in their processes only.

    Raises: CheckpointError, ScenarioError.
    """
    groups = {group.name: group for group in world.groups}
    checked = set[tuple[str, str | None, str]]()
    for plan in plans:
        if plan.behaviour.startswith("policy:"):
            factory = load_behaviour(plan.behaviour, plan.folder)
            group = groups.get(plan.group or "")
            if group is None:
                raise ScenarioError(f"{plan.where}: {plan.name} has no slot for a policy to play")
            factory(name=plan.name, group=group, params=plan.params)
        elif plan.behaviour == LEARNER_PROGRAM:
            names = tuple(each.name for each in plans)
            load_behaviour(LEARNER_PROGRAM, "").check(plan.params, names)
        elif plan.params and plan.behaviour.startswith("agents."):
            what = plan.behaviour, plan.group, repr(plan.params)
            if what not in checked:
                _check_params(plan, groups.get(plan.group or ""))
            checked.add(what)


def _check_params(plan: AgentPlan, group: Group | None) -> None:
    """Raises: ScenarioError for params that a behaviour of ours does not take."""
    found = load_behaviour(plan.behaviour, plan.folder)
    try:
        if is_program(found):
            check_program(found, plan.params)
        elif is_policy(found) and group is not None:
            check_policy(found, replace(group, agents=(plan.name,)), plan.params)
    except AgentError as error:
        raise ScenarioError(f"{plan.where or plan.name}: params: {error}") from None


def _every_episode(scenario: Scenario, faults: Sequence[Fault]) -> Iterator[Fault]:
    """The schedule of one episode, in each of them."""
    width = max((fault.id for fault in faults), default=0) + 1
    for episode in range(scenario.episodes):
        for fault in faults:
            yield msgspec.structs.replace(
                fault,
                time_ns=fault.time_ns + episode * scenario.duration_ns,
                id=fault.id + episode * width,
            )
