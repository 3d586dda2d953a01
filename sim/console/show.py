"""What a scenario means once it is resolved, and what there is to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.doctor import Check
from sim.prepare import Prepared
from sim.scenario.commands import COMMANDS
from sim.scenario.faults import idle_faults
from sim.scenario.learning import Ranges
from sim.scenario.link import LinkRule, LinkSpec
from sim.scenario.roster import AgentPlan
from sim.scenario.schema import Fault
from sim.scenario.sentences import link_text
from sim.scenario.topology import LinkTable, replace_link
from sim.units import NEVER, clock_text, duration_text
from sim.worlds import catalogue

_FAULTS_MAX: Final = 30
_DIAMETER_NODES_MAX: Final = 4_000
_LINKS_MAX: Final = 20
_ZEROS: Final = {"loss": "loss_probability", "duplicate": "duplicate", "corrupt": "corrupt"}
"""Link keys of which a fault may say that they are none."""
_STATES: Final = {"ok": ("✓", "green"), "note": ("-", "yellow"), "fault": ("✗", "bold red")}


def print_scenario(console: Console, prepared: Prepared) -> None:
    """Agents, links, lookahead, rounds, faults, world parameters, metrics."""
    scenario = prepared.scenario
    head = Text(scenario.name, style="bold")
    head.append(f"  {duration_text(scenario.duration_ns)} of virtual time", style="none")
    episodes = f"  {scenario.episodes} episodes" if scenario.episodes > 1 else ""
    head.append(f"{episodes}  seed {scenario.seed}  {scenario.source}", style="dim")
    console.print(head)
    if scenario.description:
        console.print(scenario.description, style="italic", highlight=False)
    _print_world(console, prepared)
    _print_agents(console, prepared)
    _print_rounds(console, prepared)
    _print_links(console, prepared)
    _print_faults(console, prepared.faults)
    _print_learn(console, prepared)
    for text in warnings(prepared):
        console.print(Text(f"! {text}", style="yellow"))
    words = f"sim run {_argument(prepared)}"
    console.print(Text.assemble("\nnext  ", (words, "bold cyan")))
    if scenario.learn is not None:
        words = f"sim train {_argument(prepared)}"
        console.print(Text.assemble("      ", (words, "bold cyan")))


def warnings(prepared: Prepared) -> list[str]:
    """What is allowed, but probably not wanted."""
    found = [*prepared.table.warnings(), *idle_faults(prepared.scenario)]
    if not any(plan.behaviour != "none" for plan in prepared.plans):
        found.append("nobody is played: every slot is `none`")
    return found


def _argument(prepared: Prepared) -> str:
    source = prepared.scenario.source
    is_bundled = Path(source).parent.name in ("scenarios", "bundled")
    return Path(source).stem if is_bundled else source


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


def _grid() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")


def _print_learn(console: Console, prepared: Prepared) -> None:
    """What `sim train` would do."""
    learn = prepared.scenario.learn
    if learn is None:
        return
    _title(console, f"learning, {learn.frames:,} frames")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    who = ", ".join(f"{group} by {name}" for group, name in learn.groups.items())
    grid.add_row("  groups", who or "every group that has a role")
    reward = learn.reward
    mixed = f"{reward:g} of the team's, the rest own" if isinstance(reward, float) else reward
    grid.add_row("  reward", mixed)
    grid.add_row("  links", _ranges(learn.links))
    for name, days in (("trains on", learn.train_days), ("held out", learn.held_out)):
        if days is not None:
            grid.add_row(f"  {name}", " to ".join(days))
    console.print(grid)


def _ranges(links: str | Ranges) -> str:
    """Links in training, for people."""
    if isinstance(links, str):
        return {"scenario": "as in the scenario", "ideal": "nothing is lost or late"}[links]
    found = []
    if links.loss is not None:
        found.append(f"loss {links.loss[0]:.0%} to {links.loss[1]:.0%}")
    if links.latency_ns is not None:
        found.append(f"latency {' to '.join(map(duration_text, links.latency_ns))}")
    return f"{', '.join(found)}, drawn for every episode"


# --- world --------------------------------------------------------------------------------------


def _print_world(console: Console, prepared: Prepared) -> None:
    world, spec = prepared.world, prepared.scenario.world
    _title(console, f"world {spec.kind}, a step every {duration_text(world.dt_ns)}")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in spec.params.items():
        grid.add_row(f"  {name}", _plain(value))
    defaults = _defaults(spec.kind, spec.params)
    if defaults:
        grid.add_row("  by default", Text(", ".join(defaults), style="dim"))
    console.print(grid)
    metrics = world.metrics()
    if metrics:
        table = _grid()
        for heading in ("  metric", "unit", "better", "what it is"):
            table.add_column(heading, overflow="fold")
        for name, metric in metrics.items():
            objective = " (objective)" if metric.objective else ""
            table.add_row(f"  {name}{objective}", metric.unit, metric.better, metric.help)
        console.print(table)


def _defaults(kind: str, given: Mapping[str, Any]) -> list[str]:
    """The world's other parameters, as `name=value`, if it keeps them in a record `Params`."""
    record = getattr(catalogue.world_module(kind), "Params", None)
    if record is None:
        return []
    fields = [field for field in msgspec.structs.fields(record) if field.name not in given]
    return [f"{f.name}={_plain(f.default)}" for f in fields if not f.required]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    if value == "":
        return "''"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return str(value)


# --- agents -------------------------------------------------------------------------------------


def _print_agents(console: Console, prepared: Prepared) -> None:
    plans = prepared.plans
    played = sum(plan.behaviour != "none" for plan in plans)
    _title(console, f"agents: {len(plans)}, of which {played} are played by a process")
    every = {group.name: group.every_ns for group in prepared.world.groups}
    rules = catalogue.rules(prepared.scenario.world.kind)
    table = _grid()
    table.add_column("  role")
    table.add_column("n", justify="right")
    table.add_column("decides")
    table.add_column("names", overflow="fold")
    table.add_column("behaviour", overflow="fold")
    has_budgets = any(plan.budget for plan in plans)
    if has_budgets:
        table.add_column("budget", overflow="fold")

    def kind(plan: AgentPlan) -> tuple[str, str, str]:
        return plan.group or "", plan.behaviour, plan.budget.text if plan.budget else ""

    order = {plan.group or "": plan.index for plan in reversed(plans)}
    for (group, behaviour, budget), members in groupby(
        sorted(plans, key=lambda p: (order[p.group or ""], *kind(p)[1:], p.index)), key=kind
    ):
        names = [plan.name for plan in members]
        is_rule = rules.get(group) == behaviour
        who = f"rule ({behaviour.rpartition(':')[2]})" if is_rule else behaviour
        cells = [budget or "none"] if has_budgets else []
        decides = f"every {duration_text(every[group])}" if group in every else ""
        table.add_row(f"  {group or 'further'}", str(len(names)), decides, span(names), who, *cells)
    console.print(table)


def span(names: Sequence[str]) -> str:
    """Names in few words: `ev-1 ... ev-9`."""
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]} ... {names[-1]}"


def _print_rounds(console: Console, prepared: Prepared) -> None:
    rounds = prepared.world.rounds
    if not rounds:
        return
    _title(console, "message rounds")
    table = _grid()
    for heading in ("  topic", "from", "to", "every", "deadline", "answer"):
        table.add_column(heading, overflow="fold")
    for each in rounds:
        table.add_row(
            f"  {each.topic}", span(each.senders), each.receiver, duration_text(each.every_ns),
            duration_text(each.deadline_ns), each.reply or "-",
        )  # fmt: skip
    console.print(table)


# --- links --------------------------------------------------------------------------------------


def _print_links(console: Console, prepared: Prepared) -> None:
    network, table = prepared.scenario.network, prepared.table
    _title(console, f"links: {table.link_count:,} directed, topology {network.topology}")
    console.print(f"  {_extent(table, len(prepared.plans))}", highlight=False)
    shown = _grid()
    shown.add_column("  links", overflow="fold")
    shown.add_column("", overflow="fold")
    default = replace_link(LinkSpec(floor_ns=0), network.default)
    shown.add_row("  all", link_text(default))
    for rule in network.links[:_LINKS_MAX]:
        shown.add_row(f"  {_ends(rule)}", link_text(replace_link(default, rule)))
    if len(network.links) > _LINKS_MAX:
        shown.add_row("", f"and {len(network.links) - _LINKS_MAX} more exceptions")
    if network.medium is not None:
        share = f"{len(network.medium.members)} senders share slots of"
        slot = duration_text(network.medium.slot_ns)
        shown.add_row("  medium", f"{share} {slot}: who meets in one is lost")
    for topic in network.topics:
        absolute = f" + {topic.noise_absolute:g}" if topic.noise_absolute else ""
        shown.add_row(f"  topic {topic.topic}", f"noise {topic.noise:g} relative{absolute}")
    console.print(shown)
    floor, bound = table.lookahead()
    ahead = "no bound: there are no links" if floor >= NEVER else duration_text(floor)
    by = f", bounded by {bound}" if floor < NEVER else ""
    console.print(Text.assemble("  lookahead ", (ahead, "bold"), by))


def _extent(table: LinkTable, agents: int) -> str:
    """How far it is from one end to the other."""
    nodes = len(table.names)
    found = f"{nodes:,} nodes"
    if nodes > agents:
        found += f" ({agents:,} agents, {nodes - agents:,} that only pass on)"
    if nodes > _DIAMETER_NODES_MAX and not table.is_complete:
        return found
    hops = table.diameter()
    if hops < 0:
        return f"{found}; not everybody has a way to everybody"
    return f"{found}, diameter {hops} hop{'s' if hops != 1 else ''}"


def _ends(rule: LinkRule) -> str:
    arrow = "<->" if rule.both else "->"
    return f"{', '.join(rule.source)} {arrow} {', '.join(rule.target)}"


# --- faults -------------------------------------------------------------------------------------


def _print_faults(console: Console, faults: Sequence[Fault]) -> None:
    if not faults:
        return
    _title(console, "faults")
    for fault in faults[:_FAULTS_MAX]:
        console.print(
            f"  {clock_text(fault.time_ns)}  {fault.text}{_values(fault)}", highlight=False
        )
    if len(faults) > _FAULTS_MAX:
        console.print(f"  and {len(faults) - _FAULTS_MAX} more")


def _values(fault: Fault) -> str:
    """What a link fault makes of links, as ` (latency 200ms, loss 50 %)`."""
    if fault.kind != "link" or not fault.is_on:
        return ""
    values = fault.values
    text = link_text(replace_link(LinkSpec(floor_ns=0), values))
    if values.latency_ns is not None:
        text = f"latency {text}"
    elif not values.preset:
        has_jitter = values.jitter is not None and values.jitter.kind != "none"
        text = text.removeprefix("0s").removeprefix(", ").replace(" + ", "jitter ", has_jitter)
    zeros = [f"{name} 0" for name in _ZEROS if getattr(values, _ZEROS[name]) == 0]
    return f" ({', '.join(filter(None, [text, *zeros]))})"


# --- what there is ------------------------------------------------------------------------------


def print_list(console: Console, entries: Iterable[tuple[str, str]]) -> None:
    """Bundled scenarios, each with the first sentence of its comment."""
    table = _grid()
    table.add_column("scenario", style="bold", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name, text in entries:
        table.add_row(name, first_sentence(text))
    console.print(table)


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    head, stop, _ = text.partition(". ")
    return head + "." if stop else text


def print_check(console: Console, check: Check) -> None:
    """A line of `sim doctor`."""
    sign, style = _STATES[check.state]
    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=13, style="bold")
    line.add_column(overflow="fold")
    text = Text(check.text)
    if check.remedy:
        text.append(f"\n{check.remedy}", style="bold cyan")
    line.add_row(Text(sign, style=style), check.name, text)
    console.print(line)


def print_commands(console: Console) -> None:
    """What `sim inject` can do: every command with its options and an example."""
    console.print("sim inject COMMAND, on a run that goes on. Agents are names or patterns.\n")
    for command in COMMANDS.values():
        console.print(Text(command.usage, style="bold"))
        console.print(Text(f"  {command.help}"))
        for option in command.options:
            form = f"--{option.name} {option.metavar}".rstrip()
            console.print(Text.assemble(f"  {form:20} ", (option.help, "dim")))
        console.print(Text(f"  sim inject {command.example}\n", style="cyan"), soft_wrap=True)
