"""Scenario files: what they mean, and what each mistake is told."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from sim.errors import BoundError, ScenarioError, TopologyError, UnknownKeyError
from sim.scenario import load
from sim.scenario.faults import idle_faults, resolve_faults, setting_of
from sim.scenario.jitters import Jitter
from sim.scenario.keys import keys_of
from sim.scenario.load import at_world, bundled, dump, find_scenario, load_scenario, parse_scenario
from sim.scenario.roster import resolve_roster
from sim.scenario.schema import (
    RECORDS,
    Fault,
    Scenario,
    json_schema,
)
from sim.units import SECOND

BASE = """\
duration: 1h
world: {kind: rendezvous}
network:
  default: {latency: 20ms}
"""


@dataclass(frozen=True)
class Group:
    name: str
    agents: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class World:
    groups: tuple[Group, ...] = (
        Group("battery", ("battery-1", "battery-2")),
        Group("market", ("market",)),
    )
    events: tuple[Event, ...] = (Event("line-trip", ("line-1", "line-12")), Event("storm", ()))


NAMES = ("battery-1", "battery-2", "market")


def scenario(text: str = "", *overrides: str) -> Scenario:
    return parse_scenario(BASE + textwrap.dedent(text), "grid.yaml", overrides=overrides)


def faults(text: str, seed: int = 0, names: tuple[str, ...] = NAMES) -> tuple[Fault, ...]:
    made = scenario(text)
    return resolve_faults(made, setting_of(made.network, names, World().events), seed)


# --- meaning ---------------------------------------------------------------------------------


def test_defaults() -> None:
    plain = scenario()
    assert (plain.name, plain.seed, plain.episodes) == ("scenario", 0, 1)
    assert plain.duration_ns == 3600 * SECOND
    assert plain.world.params == {}
    assert plain.network.topology == "complete"
    assert plain.supervision.on_failure == "stop"
    assert plain.console.speed == math.inf


def test_every_key() -> None:
    full = scenario(
        """\
          topology: star
          hub: market
          links:
            - {from: "battery-*", to: market, both: true, loss: 30%, rate: 250kbit/s, queue: 64KiB}
            - {from: [battery-1, battery-2], to: market, jitter: {lognormal: [5ms, 0.5]}}
          topics: {price: {noise: 2%, noise_absolute: 0.5}}
        supervision: {on_failure: restart, restarts: 5, within: 10min, backoff: 2s}
        limits: {handler_cpu: 1s, inbox_messages: 7}
        console: {speed: 900x}
        """
    )
    first, second = full.network.links
    assert (first.source, first.target, first.both) == (("battery-*",), ("market",), True)
    assert (first.loss_probability, first.rate_bytes_per_s, first.queue_bytes) == (
        0.3,
        31_250,
        65_536,
    )
    assert first.latency_ns is None
    assert second.jitter == Jitter("lognormal", 5_000_000, 0.5)
    assert (full.network.topics[0].topic, full.network.topics[0].noise) == ("price", 0.02)
    assert full.supervision.within_ns == 600 * SECOND
    assert full.limits.inbox_messages_max == 7
    assert full.console.speed == 900


@pytest.mark.parametrize(
    ("text", "jitter"),
    [
        ("{constant: 1ms}", Jitter("constant", 1_000_000)),
        ("{uniform: 1ms}", Jitter("uniform", 1_000_000)),
        ("{normal: [5ms, 2ms]}", Jitter("normal", 5_000_000, 2e6)),
        ("{exponential: 5ms}", Jitter("exponential", 5_000_000)),
        ("none", Jitter()),
    ],
)
def test_jitter(text: str, jitter: Jitter) -> None:
    assert scenario("", f"network.default.jitter={text}").network.default.jitter == jitter


@pytest.mark.parametrize(
    ("text", "enter", "leave"),
    [
        ("{loss: 10%, length: 5}", 1 / 45, 1 / 5),
        ("10%:5", 1 / 45, 1 / 5),
        ("{loss: 50%, length: 2.0}", 0.5, 0.5),
        ("{enter: 0.01, leave: 20%}", 0.01, 0.2),
        ("{loss: 10%, length: 4, good: 5%, bad: 55%}", 1 / 36, 1 / 4),
    ],
)
def test_bursts_in_messages(text: str, enter: float, leave: float) -> None:
    burst = scenario("", f"network.default.burst={text}").network.default.burst
    assert burst is not None
    assert (burst.enter, burst.leave) == pytest.approx((enter, leave))
    assert burst.slot_ns == burst.length_ns == 0


@pytest.mark.parametrize("text", ["{loss: 20%, length: 200ms}", "20%:200ms", "20%:0.2s"])
def test_bursts_in_time(text: str) -> None:
    burst = scenario("", f"network.default.burst={text}").network.default.burst
    assert burst is not None
    assert (burst.length_ns, burst.slot_ns) == (200_000_000, 20_000_000)
    assert burst.enter + burst.leave == pytest.approx(1 - math.exp(-0.1 / 0.8))
    assert (burst.share, burst.loss, burst.good, burst.bad) == pytest.approx((0.2, 0.2, 0, 1))


@pytest.mark.parametrize("text", ["none", "0", "null", "0%:7"])
def test_no_bursts(text: str) -> None:
    burst = scenario("", f"network.default.burst={text}").network.default.burst
    assert burst is not None
    assert burst.loss == 0


def test_scalars_are_yaml_1_2() -> None:
    params = scenario(
        "", "world.day=2016-06-08", "world.time=12:30", "world.switch=on", "world.small=1e-3"
    ).world.params
    assert params == {"day": "2016-06-08", "time": "12:30", "switch": "on", "small": 0.001}


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        scenario().seed = 3  # type: ignore[misc]


def test_every_key_is_explained_and_in_the_json_schema() -> None:
    schema = json_schema()
    assert schema["properties"]["duration"]["examples"]
    for name, record in RECORDS.items():
        where = schema if record is Scenario else schema["$defs"][name]
        for key, (_, mark) in keys_of(record).items():
            assert mark.help.endswith(".")
            if mark.form != "rest":
                assert where["properties"][key]["description"] == mark.help
    assert schema["$defs"]["Supervision"]["properties"]["within"]["default"] == "1h"
    assert schema["$defs"]["LinkRule"]["required"] == ["from", "to"]
    assert msgspec.json.decode(msgspec.json.encode(schema)) == schema


def test_every_key_is_documented() -> None:
    page = Path(load.__file__).parents[2] / "docs" / "scenarios.md"
    text = page.read_text()
    missing = [
        f"{name}.{key}"
        for name, record in RECORDS.items()
        for key, (_, mark) in keys_of(record).items()
        if mark.form != "rest" and f"`{key}`" not in text
    ]
    assert missing == []


def test_bundled_scenarios_load_and_explain_themselves() -> None:
    assert "quickstart" in bundled()
    for name in bundled():
        assert load_scenario(name).description
    assert load_scenario("quickstart").name == "quickstart"


# --- files -----------------------------------------------------------------------------------


def test_extends_merges_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        BASE + "name: base\nseed: 4\nfaults:\n  - {at: 1s, kill: a}\n  - {at: 2s, kill: a}\n"
    )
    (tmp_path / "child.yaml").write_text(
        "extends: base.yaml\nnetwork: {default: {loss: 0.5}}\nfaults: [{at: 3s, kill: b}]\n"
    )
    child = load_scenario(tmp_path / "child.yaml")
    assert (child.name, child.seed) == ("child", 4)
    assert child.network.default.latency_ns == 20_000_000
    assert child.network.default.loss_probability == 0.5
    assert [fault.kill for fault in child.faults] == [("b",)]
    assert "child.yaml:3: faults[0]" in child.faults[0].where


def test_extends_a_bundled_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: quickstart\nduration: 10s\n")
    mine = load_scenario(tmp_path / "mine.yaml")
    assert (mine.name, mine.world.kind, mine.duration_ns) == ("mine", "rendezvous", 10 * SECOND)


def test_extends_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ScenarioError, match=r"b.yaml: extends: a circle: .*a.yaml -> .*b.yaml"):
        load_scenario(tmp_path / "a.yaml")


def test_extends_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1\nextends: quickstrat\n")
    with pytest.raises(UnknownKeyError, match=r"a.yaml:2: extends: .*did you mean 'quickstart'"):
        load_scenario(tmp_path / "a.yaml")


def test_missing_files(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(BASE)
    with pytest.raises(UnknownKeyError, match=r"did you mean .*grid.yaml'"):
        load_scenario(tmp_path / "gird.yaml")
    with pytest.raises(UnknownKeyError, match="no bundled scenario 'quikstart'; did you mean"):
        load_scenario("quikstart")
    (tmp_path / "pond.yaml").write_text(BASE)
    with pytest.raises(UnknownKeyError, match=r"did you mean the file .*pond.yaml'"):
        find_scenario("pond", str(tmp_path))


def test_oversized_and_binary_files(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("# x\n" * 100_000)
    with pytest.raises(BoundError, match=r"big.yaml: expected a scenario of at most \d+ bytes"):
        load_scenario(tmp_path / "big.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"seed: 1\nname: \xff\xfe\n")
    with pytest.raises(ScenarioError, match=r"binary.yaml:2: expected UTF-8"):
        load_scenario(tmp_path / "binary.yaml")


def test_dump_loads_to_the_same(tmp_path: Path) -> None:
    (tmp_path / "agents.py").write_text("class Saver: ...\n")
    (tmp_path / "base.yaml").write_text(
        "# About it.\n" + BASE + 'agents: {"*": {behaviour: "agents.py:Saver", count: 1}}\n'
    )
    (tmp_path / "child.yaml").write_text('extends: base.yaml\nname: "e1"\nas: {"b-*": rule}\n')
    first = load_scenario(
        tmp_path / "child.yaml",
        ["world.text='1e3'", "world.day=2016-06-08", "faults=[{at: 6h10min, kill: x}]"],
        ["b-1=none"],
    )
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "scenario.yaml"
    copy.write_text(dump(first))
    second = load_scenario(copy)
    assert second.agents[0].behaviour == f"{tmp_path}/agents.py:Saver"
    assert second.document == first.document
    assert second.world.params == {"text": "1e3", "day": "2016-06-08"}
    assert [(each.pattern, each.behaviour) for each in second.assignments] == [
        ("b-*", "rule"),
        ("b-1", "none"),
    ]
    assert dump(second) == dump(first)
    assert second.description == "About it."


# --- mistakes --------------------------------------------------------------------------------

MISTAKES = {
    "unknown key": (
        "supervison: {on_failure: stop}\n",
        r"^grid.yaml:5: unknown key 'supervison'; did you mean 'supervision'\?$",
    ),
    "unknown key inside": (
        "agents:\n  b-*:\n    behavior: rule\n",
        r"^grid.yaml:7: agents.b-\*: unknown key 'behavior'; did you mean 'behaviour'\?$",
    ),
    "unknown choice": (
        "supervision: {on_failure: restrat}\n",
        r"^grid.yaml:5: supervision.on_failure: expected one of stop, fallback, restart, "
        r"found 'restrat'; did you mean 'restart'\?$",
    ),
    "a choice like no other": (
        "supervision: {on_failure: x}\n",
        r"^grid.yaml:5: supervision.on_failure: expected one of stop, fallback, restart, "
        r"found 'x'$",
    ),
    "unit": (
        "faults:\n  - {at: 3 hours, kill: a}\n",
        r"^grid.yaml:6: faults\[0\].at: expected a duration \(a number and one of ns, .*\), "
        r"found '3 hours'$",
    ),
    "loss above one": (
        "  links:\n    - from: a\n      to: b\n      loss: 30\n",
        r"^grid.yaml:8: network.links\[0\].loss: expected a value from 0 to 1, found 30$",
    ),
    "behaviour": (
        "agents: {a: {behaviour: rul}}\n",
        r"^grid.yaml:5: agents.a.behaviour: expected rule, none, .*, found 'rul'; did you mean "
        r"'rule'\?$",
    ),
    "assignment": ("as: {a: x.py}\n", r"^grid.yaml:5: as.a: expected rule, none, .* found 'x.py'$"),
    "jitter": (
        "  links: [{from: a, to: b, jitter: {exponental: 5ms}}]\n",
        r"^grid.yaml:5: network.links\[0\].jitter: unknown key 'exponental'; did you mean "
        r"'exponential'\?$",
    ),
    "two jitters": (
        "  links: [{from: a, to: b, jitter: {constant: 5ms, uniform: 1ms}}]\n",
        r"jitter: expected none, or a mapping of one of .*, found constant, uniform$",
    ),
    "burst": (
        "  links:\n    - from: a\n      to: b\n      burst: {los: 10%, length: 5}\n",
        r"^grid.yaml:8: network.links\[0\].burst: unknown key 'los'; did you mean 'loss'\?$",
    ),
    "half a burst": (
        "  links: [{from: a, to: b, burst: {loss: 10%}}]\n",
        r"burst: expected none, LOSS:LENGTH such as 10%:5 .*, found loss$",
    ),
    "two kinds of bursts": (
        "  links: [{from: a, to: b, burst: {loss: 10%, leave: 0.1}}]\n",
        r"burst: expected none, .*, found loss, leave$",
    ),
    "burst as a number": (
        "  links: [{from: a, to: b, burst: 5%}]\n",
        r"^grid.yaml:5: network.links\[0\].burst: expected none, LOSS:LENGTH .* found '5%'$",
    ),
    "bursts too short": (
        "  links: [{from: a, to: b, burst: '50%:1.5'}]\n",
        r"burst: a length in messages is from 2 \(.*\) to 2000 here, found 1.5; ",
    ),
    "bursts too long": (
        "  links: [{from: a, to: b, burst: {loss: 50%, length: 1e5}}]\n",
        r"burst: a length in messages is from 2 .* found 100000; a longer one is written in time",
    ),
    "burst of no time": (
        "  links: [{from: a, to: b, burst: {loss: 50%, length: 0s}}]\n",
        r"^grid.yaml:5: network.links\[0\].burst: a length is above 0$",
    ),
    "length without a unit that is known": (
        "  links: [{from: a, to: b, burst: {loss: 50%, length: 3 weeks}}]\n",
        r"^grid.yaml:5: network.links\[0\].burst.length: expected a duration .* '3 weeks'$",
    ),
    "too much loss in bursts": (
        "  links: [{from: a, to: b, burst: {loss: 60%, length: 9, bad: 50%}}]\n",
        r"burst: the loss is from 0 \(good\) to below 0.5 \(bad\) here, found 0.6$",
    ),
    "bursts that are better": (
        "  links: [{from: a, to: b, burst: {loss: 6%, length: 9, bad: 1%, good: 2%}}]\n",
        r"burst: bad is above good, found bad 0.01 and good 0.02$",
    ),
    "bursts that change too often": (
        "  links: [{from: a, to: b, burst: {enter: 0.5, leave: 0.6}}]\n",
        r"burst: enter \+ leave are at most 1, found 1.1: bursts would be shorter than",
    ),
    "bursts that hardly change": (
        "  links: [{from: a, to: b, burst: {enter: 1e-5, leave: 1e-5}}]\n",
        r"burst: enter \+ leave are at least 0.001, found 2e-05; longer bursts are written in time",
    ),
    "burst without end": (
        "  links: [{from: a, to: b, burst: {enter: 1%, leave: 0}}]\n",
        r"burst: leave is above 0: a bad time ends$",
    ),
    "share in a burst": (
        "  links: [{from: a, to: b, burst: {enter: 7, leave: 0.1}}]\n",
        r"^grid.yaml:5: network.links\[0\].burst.enter: expected a value from 0 to 1, found 7$",
    ),
    "not a mapping": ("limits: 3\n", r"^grid.yaml:5: limits: expected a mapping, found 3$"),
    "not a list": ("faults: {}\n", r"^grid.yaml:5: faults: expected a list, found a mapping$"),
    "empty value": ("seed:\n", r"^grid.yaml:5: seed: expected a whole number, found nothing$"),
    "fraction of a seed": ("seed: 1.5\n", r"^grid.yaml:5: seed: expected a whole number, found"),
    "flag for a number": ("seed: true\n", r"seed: expected a whole number, found True$"),
    "episodes": ("episodes: 0\n", r"^grid.yaml:5: episodes: expected a value from 1 to 1e\+06"),
    "rule without values": (
        "  links:\n    - {from: a, to: b}\n",
        r"^grid.yaml:6: network.links\[0\]: expected at least one of latency, jitter, loss",
    ),
    "rule without an end": (
        "  links:\n    - {from: a, loss: 1}\n",
        r"^grid.yaml:6: network.links\[0\].to: a required key is missing$",
    ),
    "star without hub": (
        "  topology: star\n",
        r"^grid.yaml:3: network.hub: required by topology star$",
    ),
    "hub of a ring": (
        "  topology: ring\n  hub: a\n",
        r"^grid.yaml:6: network.hub: belongs to topology star, not ring$",
    ),
    "fault of no kind": (
        "faults: [{at: 1h, kil: a}]\n",
        r"^grid.yaml:5: faults\[0\]: unknown key 'kil'; did you mean 'kill'\?$",
    ),
    "fault of two kinds": (
        "faults: [{at: 1h, kill: a, hang: b}]\n",
        r"faults\[0\]: expected exactly one of kill, restart, .*, found kill, hang$",
    ),
    "fault without time": (
        "faults: [{kill: a}]\n",
        r"faults\[0\]: expected at or every: when it happens$",
    ),
    "key of another fault": (
        "faults: [{at: 1h, kill: a, loss: 1}]\n",
        r"faults\[0\].loss: does not belong to a kill fault; it takes at, every, kill, for, cho",
    ),
    "for beyond every": (
        "faults: [{every: 1h, kill: a, for: 2h}]\n",
        r"faults\[0\].for: expected less than every, found '2h'$",
    ),
    "every nothing": (
        "faults: [{every: 0s, kill: a}]\n",
        r"faults\[0\].every: expected a duration above 0, found '0s'$",
    ),
    "duplicate key": (
        "seed: 1\nseed: 2\n",
        r"^grid.yaml:6: duplicate key 'seed'; it stands at grid.yaml:5$",
    ),
    "alias": (
        "agents: {a: &x {behaviour: rule}, b: *x}\n",
        r"^grid.yaml:5: anchors and aliases .* are not allowed",
    ),
    "bare star": (
        "  links: [{from: *, to: a}]\n",
        r"^grid.yaml:5: .*",
    ),
    "tag": ("name: !!python/name:os.system x\n", r"^grid.yaml:5: tags \(!\) are not allowed"),
    "merge key": ("world2:\n  <<: {a: 1}\n", r"^grid.yaml:5: unknown key 'world2'"),
    "second document": ("---\nseed: 2\n", r"^grid.yaml:5: expected one document, found a second"),
    "not YAML": ("agents: [\n", r"^grid.yaml:\d+: not YAML: "),
    "nesting": ("x: " + "[" * 40 + "]" * 40, r"^grid.yaml:5: expected at most 32 levels"),
    "huge number": ("seed: 99999999999999999999\n", r"^grid.yaml:5: expected a number of at most"),
    "odd name": ("name: my grid\n", r"^grid.yaml:5: name: expected a name: a letter, then"),
    "pair": (
        "faults: [{at: 1h, partition: [a, b, c]}]\n",
        r"partition: expected two sides such as .*, found a list$",
    ),
    "speed": ("console: {speed: fast}\n", r"console.speed: expected max, realtime, or a factor"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name: str) -> None:
    text, message = MISTAKES[name]
    with pytest.raises(ScenarioError, match=message) as caught:
        parse_scenario(BASE + text, "grid.yaml")
    assert caught.value.exit_code == 2


def test_missing_keys() -> None:
    with pytest.raises(ScenarioError, match=r"^x.yaml:1: world: a required key is missing$"):
        parse_scenario("duration: 1h\nnetwork: {default: {latency: 1ms}}\n", "x.yaml")
    with pytest.raises(ScenarioError, match=r"x.yaml:3: network.default.latency: a required key"):
        parse_scenario("duration: 1h\nworld: {kind: a}\nnetwork: {default: {loss: 0}}\n", "x.yaml")
    with pytest.raises(ScenarioError, match=r"^x.yaml: the file: expected a mapping, found noth"):
        parse_scenario("# nothing\n", "x.yaml")


def test_mistakes_of_the_world() -> None:
    text = BASE.replace("{kind: rendezvous}", "\n  kind: rendezvous\n  agnets: 3")
    made = parse_scenario(text, "grid.yaml")
    error = at_world(made, UnknownKeyError("world.agnets: no such parameter"))
    assert str(error) == "grid.yaml:4: world.agnets: no such parameter"
    assert isinstance(error, UnknownKeyError)
    other = at_world(made, ScenarioError("there is no world 'x'"))
    assert str(other) == "grid.yaml:2: world: there is no world 'x'"


# --- options ---------------------------------------------------------------------------------


def test_set() -> None:
    changed = scenario(
        "faults: [{at: 1h, kill: a}]\n",
        "network.default.loss=0.3",
        "faults[0].at=3h",
        'agents."b.c-*".params.reserve=0.2',
        "seed=7",
        "network.default.jitter={normal: [5ms, 1ms]}",
    )
    assert changed.network.default.loss_probability == 0.3
    assert changed.faults[0].at_ns == 3 * 3600 * SECOND
    assert (changed.agents[0].pattern, changed.agents[0].params) == ("b.c-*", {"reserve": 0.2})
    assert changed.seed == 7


def test_set_from_python() -> None:
    changed = parse_scenario(
        BASE, overrides={"network.default.loss": 0.3, "world.list": (1, {"a": None})}
    )
    assert changed.network.default.loss_probability == 0.3
    assert changed.world.params == {"list": [1, {"a": None}]}
    with pytest.raises(ScenarioError, match=r"^override 'world.x': expected text, a number, .*set"):
        parse_scenario(BASE, overrides={"world.x": {1, 2}})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("seed", r"^--set seed: expected path=value$"),
        ("=3", r"^--set =3: expected a path such as network.default.loss"),
        ("a..b=3", r"^--set a..b=3: expected a path such as"),
        ("sed=3", r"^--set sed=3: unknown key 'sed'; did you mean 'seed'\?$"),
        (
            "network.default.los=0.3",
            r"^--set network.default.los=0.3: network.default: unknown key 'los'; did you mean",
        ),
        ("network.default.loss=x", r"^--set .*: network.default.loss: expected a fraction .* 'x'$"),
        ("faults[2].at=3h", r"^--set .*: faults: no item \[2\]; there are 1$"),
        ("faults.at=3h", r"^--set .*: faults: a list has no key 'at'; its items are \[0\]"),
        (
            "network.topology=star",
            r"^grid.yaml:3 \(with --set network.topology=star\): network.hub",
        ),
        ("seed=[1", r"^--set seed=\[1: not YAML: "),
        ("seed=&x 1", r"^--set seed=&x 1: anchors and aliases"),
    ],
)
def test_set_mistakes(option: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario("faults: [{at: 1h, kill: a}]\n", option)


def test_as(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(BASE + 'as: {"battery-*": none}\n')
    made = load_scenario(
        tmp_path / "grid.yaml", (), ["market=a.b:C", "battery-*=rule", "battery-2 = policy:p.x"]
    )
    assert [(each.pattern, each.behaviour) for each in made.assignments] == [
        ("market", "a.b:C"),
        ("battery-*", "rule"),
        ("battery-2", "policy:p.x"),
    ]
    assert made.assignments[0].where == "--as market=a.b:C: as.market"
    again = load_scenario(tmp_path / "grid.yaml", behaviours={"market": "a.b:C"})
    assert again.assignments[-1].behaviour == "a.b:C"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("market", r"^--as market: expected pattern=behaviour, as 'battery-\*=rule'$"),
        ("market=", r"^--as market=: expected pattern=behaviour"),
        ("market=rle", r"^--as market=rle: as.market: expected rule, .*did you mean 'rule'\?$"),
    ],
)
def test_as_mistakes(tmp_path: Path, option: str, message: str) -> None:
    (tmp_path / "grid.yaml").write_text(BASE)
    with pytest.raises(ScenarioError, match=message):
        load_scenario(tmp_path / "grid.yaml", (), [option])


# --- roster ----------------------------------------------------------------------------------


def test_roster() -> None:
    plans = resolve_roster(
        scenario(
            """\
            supervision: {on_failure: fallback}
            agents:
              "battery-*": {behaviour: "a.b:Rule", params: {x: 1, y: 2}, processing: 5ms}
              battery-2: {params: {y: 3}, on_failure: restart}
              "watcher-*": {count: 2, behaviour: "my.agents:Watcher"}
              probe: {count: 1, behaviour: "my.agents:Probe"}
              "*-1": {processing: 7ms}
            as: {battery-1: rule}
            """
        ),
        World(),
    )
    assert [plan.name for plan in plans] == [
        "battery-1", "battery-2", "market", "watcher-1", "watcher-2", "probe",
    ]  # fmt: skip
    assert [plan.index for plan in plans] == list(range(6))
    assert [(plan.group, plan.slot) for plan in plans] == [
        ("battery", 0), ("battery", 1), ("market", 0), (None, None), (None, None), (None, None),
    ]  # fmt: skip
    assert [plan.behaviour for plan in plans[:3]] == ["rule", "a.b:Rule", "rule"]
    assert plans[0].params == {}
    assert plans[1].params == {"x": 1, "y": 3}
    assert [plan.on_failure for plan in plans[:2]] == ["fallback", "restart"]
    assert [plan.processing_ns for plan in plans[:4]] == [7_000_000, 5_000_000, 0, 7_000_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "agents:\n  batery-2: {behaviour: rule}\n",
            r"^grid.yaml:6: agents.batery-2: no agent matches 'batery-2'; did you mean 'battery-2'",
        ),
        ("as: {'bat-*': rule}\n", r"^grid.yaml:5: as.bat-\*: no agent matches 'bat-\*'; "),
        ("agents: {w: {count: 1}}\n", r"^grid.yaml:5: agents.w: agent 'w' has no slot .* needs a"),
        ("agents: {w: {count: 2, behaviour: 'a:B'}}\n", r"agents.w: expected a name with \*"),
        ("agents: {'* w': {count: 1, behaviour: 'a:B'}}\n", r"makes the name '1 w', which is not"),
        (
            "agents: {'battery-*': {count: 1, behaviour: 'a:B'}}\n",
            r"count makes an agent 'battery-1', but there is one already$",
        ),
        (
            "agents: {market: {behaviour: 'no_such.py:Class'}}\n",
            r"^grid.yaml:5: agents.market: behaviour: no file 'no_such.py' in /",
        ),
    ],
)
def test_roster_mistakes(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        resolve_roster(scenario(text), World())


def test_files_of_behaviours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "mine.py").touch()
    (there / "only.py").touch()
    monkeypatch.chdir(here)
    (there / "grid.yaml").write_text(BASE + "agents: {battery-1: {behaviour: 'mine.py:A'}}\n")
    made = load_scenario(there / "grid.yaml", (), ["battery-2=mine.py:A", "market=only.py:A"])
    folders = [plan.folder for plan in resolve_roster(made, World())]
    assert folders == [str(there), str(here), str(there)]


def test_later_entries_win() -> None:
    made = scenario("agents: {market: {behaviour: none}, '*': {behaviour: rule}}\n")
    assert [plan.behaviour for plan in resolve_roster(made, World())] == ["rule"] * 3


# --- faults ----------------------------------------------------------------------------------


def test_faults_come_in_pairs_and_in_order() -> None:
    found = faults(
        """\
        faults:
          - {at: 30min, hang: market, for: 10min}
          - {at: 10min, kill: "battery-*", for: 20min}
          - {at: 50min, partition: [battery-1, "*"], for: 1h}
          - {at: 2h, kill: market}
        """
    )
    assert [(f.time_ns // (60 * SECOND), f.kind, f.targets, f.is_on, f.id) for f in found] == [
        (10, "kill", ("battery-1", "battery-2"), True, 1),
        (30, "hang", ("market",), True, 0),
        (30, "restart", ("battery-1", "battery-2"), True, 1),
        (40, "hang", ("market",), False, 0),
        (50, "partition", ("battery-1",), True, 2),
    ]
    assert found[-1].targets_b == ("battery-2", "market")
    assert found[0].text == "battery-1, battery-2 killed for 20min"


def test_faults_of_links_noise_and_world() -> None:
    link, noise, trip, storm = faults(
        """\
        faults:
          - {at: 1min, link: ["battery-*", market], loss: 30%, latency: 80ms, both: false}
          - {at: 2min, noise: 0.1, topics: [price, "offer-*"]}
          - {at: 3min, world: line-trip, target: line-12}
          - {at: 4min, world: storm}
        """
    )
    assert (link.targets, link.targets_b, link.both) == (
        ("battery-1", "battery-2"), ("market",), False,
    )  # fmt: skip
    assert (link.values.loss_probability, link.values.latency_ns) == (0.3, 80_000_000)
    assert link.values.jitter is None
    assert (noise.number, noise.targets) == (0.1, ("price", "offer-*"))
    assert (trip.event, trip.targets) == ("line-trip", ("line-12",))
    assert (storm.event, storm.targets, storm.text) == ("storm", (), "storm")


def test_every_repeats_to_the_end_and_choice_follows_the_seed() -> None:
    names = tuple(f"ev-{i}" for i in range(20))
    text = "faults: [{every: 10min, kill: 'ev-*', choose: 3}]\n"
    found = faults(text, 0, names)
    assert [f.time_ns // (600 * SECOND) for f in found] == [1, 2, 3, 4, 5]
    assert all(len(f.targets) == 3 for f in found)
    assert len({f.targets for f in found}) > 1
    assert found == faults(text, 0, names)
    assert found != faults(text, 1, names)
    brief = scenario(text, "duration=25min")
    shorter = resolve_faults(brief, setting_of(brief.network, names), 0)
    assert shorter == found[:2]
    first = faults("faults: [{at: 0s, every: 30min, kill: 'ev-*', choose: 99}]\n", 0, names)
    assert [(f.time_ns, len(f.targets)) for f in first] == [(0, 20), (1800 * SECOND, 20)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{at: 1m, kill: a}", r"expected a duration"),
        ("{at: 1s, kill: batery-1}", r"grid.yaml:5: faults\[0\].kill: no agent matches 'batery-1'; "
         r"did you mean 'battery-1'"),
        ("{at: 1s, partition: [battery-1, markt]}", r"faults\[0\].partition\[1\]: no agent or "),
        ("{at: 1s, partition: ['*', market]}", r"nobody is left on the second side"),
        ("{at: 1s, world: line-trp, target: x}", r"faults\[0\].world: the world has no event "
         r"'line-trp'; did you mean 'line-trip'"),
        ("{at: 1s, world: line-trip, target: line-99}", r"faults\[0\].target: no target matches"),
        ("{at: 1s, world: line-trip}", r"faults\[0\]: target: a required key is missing; there is"),
        ("{every: 1us, kill: market}", r"faults\[0\].every: expected at most 100000 faults in all"),
    ],
)  # fmt: skip
def test_fault_mistakes(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        faults(f"faults: [{text}]\n")


def test_kinds_of_errors() -> None:
    with pytest.raises(TopologyError):
        scenario("", "network.topology=star")
    with pytest.raises(BoundError):
        scenario("", "network.default.loss=2")


def test_faults_after_the_end_are_told() -> None:
    text = (
        "duration: 10s\nworld: {kind: blank}\nnetwork: {default: {latency: 1ms}}\n"
        "faults:\n  - {at: 3s, kill: agent-1}\n  - {at: 10s, kill: agent-2}\n"
    )
    (sentence,) = idle_faults(parse_scenario(text))
    assert sentence == "scenario:6: faults[1] is due at or after the end (10s) and will not happen"
