"""What a scenario says of links beside latency, loss and rate: meaning, words, mistakes, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.errors import ScenarioError
from sim.scenario.jitters import POINTS, Jitter
from sim.scenario.link import LinkSpec, LinkValues
from sim.scenario.link_presets import PRESETS
from sim.scenario.load import dump, load_scenario, parse_scenario
from sim.scenario.outages import Outage
from sim.scenario.read import read_fault
from sim.scenario.sentences import link_text
from sim.scenario.topology import replace_link
from sim.units import NEVER, SECOND

MS = 1_000_000
BASE = "duration: 1h\nworld: {kind: rendezvous}\nnetwork:\n  default: {latency: 20ms, %s}\n"


def default(keys: str, folder: Path | str = "") -> LinkValues:
    return parse_scenario(BASE % keys, "x.yaml", str(folder)).network.default


def spec_of(keys: str) -> LinkSpec:
    return replace_link(LinkSpec(0), default(keys))


def test_every_stage_is_read_and_said() -> None:
    spec = spec_of(
        "jitter: {pareto: [5ms, 1.5]}, order: keep, duplicate: 1%, corrupt: 2%, integrity: off, "
        "expiry: 500ms, outages: [{every: 1h, for: 30s, offset: 5min}, [10s, 1min]]"
    )
    assert spec == LinkSpec(
        20 * MS, "pareto", 5 * MS, 1.5, order="keep", duplicate=0.01, corrupt=0.02,
        integrity="off", expiry_ns=500 * MS,
        outages=(
            Outage(300 * SECOND, 30 * SECOND, 3600 * SECOND), Outage(10 * SECOND, 50 * SECOND)
        ),
    )  # fmt: skip
    assert link_text(spec) == (
        "20ms + pareto 5ms, shape 1.5, in order, duplicates 1 %, corrupts 2 % (delivered), "
        "expires after 500ms, out 30s every 1h from 5min on, out from 10s to 1min"
    )
    radio = spec_of("radio: {frequency: 5.9GHz, exponent: 2, fading: {nakagami: 3}, range: 1km}")
    assert link_text(radio) == "20ms, radio to 509 m (5.9 GHz, exponent 2, Nakagami 3)"
    assert link_text(spec_of("corrupt: 50%")) == "20ms, corrupts 50 % (dropped)"


def test_a_fault_lifts_what_a_link_has() -> None:
    spec = spec_of("expiry: 1s, outages: {every: 1h, for: 1s}, order: keep, duplicate: 1")
    lift = {"expiry": "none", "outages": "none", "order": "overtake", "duplicate": 0}
    fault = read_fault({"link": ["a", "b"], **lift})
    assert replace_link(spec, fault.values) == LinkSpec(20 * MS)
    assert LinkSpec(0).expiry_ns == NEVER


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("jitter: {pareto: 3ms}", r"^x.yaml:4: .*jitter.pareto: expected \[scale, shape\], found"),
        ("jitter: {pareto: [3ms, 0]}", r"pareto\[1\]: expected a value from 0.1 to 1000, found 0$"),
        ("jitter: {empirical: 3}", "empirical: expected a CSV file, or two and more durations"),
        ("jitter: {empirical: [3ms]}", "empirical: expected a CSV file, or two and more durations"),
        ("jitter: {empirical: [3ms, 1ms]}", "two and more durations in ascending order, found a"),
        ("jitter: {empirical: no.csv}", "empirical: no.csv: cannot be read: No such file"),
        ("order: kep", "order: expected overtake or keep, found 'kep'; did you mean 'keep'"),
        ("integrity: false", "integrity: expected on or off, found False$"),
        ("integrity: no", "integrity: expected on or off, found 'no'$"),
        ("duplicate: 2", "duplicate: expected a value from 0 to 1, found 2$"),
        ("corrupt: x", "corrupt: expected a fraction"),
        ("expiry: 0s", "expiry: expected a duration above 0, or none, found '0s'$"),
        ("expiry: [1s]", "expiry: expected a value such as 20ms"),
        ("outages: 5", r"outages: expected none, \{every: 1h, .* found 5$"),
        ("outages: {evry: 1h}", "outages: unknown key 'evry'; did you mean 'every'"),
        ("outages: {every: 1h}", "outages: expected every and for"),
        ("outages: {every: 1s, for: 1s}", "outages.for: expected a duration above 0, less than ev"),
        ("outages: [[2s, 1s]]", r"outages\[0\]: expected an outage that ends after it begins$"),
        ("outages: [[2s]]", r"outages\[0\]: expected a pair such as \[10min, 12min\]"),
        ("outages: [[2s, soon]]", r"outages\[0\]\[1\]: expected a duration .* found 'soon'$"),
        ("radio: 5", "radio: expected none, or a mapping of some of power_dbm, frequency, .* 5$"),
        ("radio: {powr: 5}", "radio: unknown key 'powr'; did you mean 'power_dbm'"),
        ("radio: {power_dbm: 20dBm}", "radio.power_dbm: expected a number, found '20dBm'$"),
        ("radio: {exponent: 0}", "radio.exponent: expected a value from 1 to 10, found 0$"),
        ("radio: {frequency: fast}", "radio.frequency: expected a frequency .* found 'fast'$"),
        ("radio: {range: -1}", "radio.range: expected a value above 0, such as 300m"),
        ("radio: {range: [1]}", "radio.range: expected a value such as 300m"),
        ("radio: {fading: rice}", "radio.fading: expected none, rayleigh or .*, found 'rice'$"),
        ("radio: {fading: {nakagami: 0.1}}", "fading.nakagami: expected a value from 0.5 to 100"),
        ("preset: lorawan", "preset: expected one of ethernet, .*; did you mean 'lora'"),
        ("preset: [lora]", "preset: expected one of ethernet"),
    ],
)
def test_mistakes(keys: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        default(keys)
    assert caught.value.exit_code == 2


# --- measured latencies -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "unit"),
    [
        ("3\n1\n2\n", "t.csv", MS),
        ("delay\n3\n1\n2\n", "t.csv", MS),
        ("rtt_us\n3\n1\n2\n", "t.csv", 1_000),
        ("delay [s]\n3\n\n1\n2\n", "t.csv", SECOND),
        ("n,rtt (ns),x\n1,3,y\n2,1,\n3,2,z\n", "t.csv:rtt (ns)", 1),
        ("\ufeffdelay_ms\n3.0\n1e0\n2\n", "t.csv", MS),
    ],
)
def test_a_file_of_measured_latencies(text: str, name: str, unit: int, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    found = default(f'jitter: {{empirical: "{name}"}}', tmp_path).jitter
    assert found == Jitter("empirical", table=(unit, 2 * unit, 3 * unit))


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "t.csv", r"t.csv: expected 2 to 10,000,000 values, found 0$"),
        ("1\n", "t.csv", r"t.csv: expected 2 to 10,000,000 values, found 1$"),
        ("1\n2\nx\n", "t.csv", r"t.csv:3: expected a latency from 0, found 'x'$"),
        ("d\n1\n-2\n", "t.csv", r"t.csv:3: expected a latency from 0, found '-2'$"),
        ("1\nnan\n", "t.csv", r"t.csv:2: expected a latency from 0, found 'nan'$"),
        ("a,b\n1,2\n3,4\n", "t.csv", r"t.csv: which column\? FILE.csv:COLUMN says .* a, b$"),
        ("rtt,b\n1,2\n3\n", "t.csv:rt", r"t.csv: no column 'rt'; did you mean 'rtt'\?$"),
        ("1,2\n3,4\n", "t.csv:a", r"t.csv: no column 'a'; its columns have no names$"),
        ("rtt,b\n1,2\n3\n", "t.csv:b", r"t.csv:3: expected a latency from 0, found ''$"),
    ],
)
def test_mistakes_in_a_file(text: str, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ScenarioError, match=r"^x.yaml:4: .*empirical: " + message):
        default(f'jitter: {{empirical: "{name}"}}', tmp_path)


def test_the_resolved_scenario_needs_no_file(tmp_path: Path) -> None:
    """Many values become quantiles, and a dump means the same without the file."""
    draw = np.random.default_rng(4).exponential(20.0, 50_000)
    (tmp_path / "trace.csv").write_text("ms\n" + "\n".join(map(str, draw)))
    (tmp_path / "s.yaml").write_text(
        BASE % "jitter: {empirical: trace.csv}"
        + "  links: [{from: agent-1, to: agent-2, jitter: {empirical: trace.csv}}]\n"
        + "faults: [{at: 1s, link: [agent-1, agent-3], jitter: {empirical: trace.csv}}]\n"
    )
    made = load_scenario(tmp_path / "s.yaml")
    jitter = made.network.default.jitter
    assert jitter is not None
    assert len(jitter.table) == POINTS
    assert (jitter.table[0], jitter.table[-1]) == (round(draw.min() * MS), round(draw.max() * MS))
    for q in (0.25, 0.5, 0.9, 0.99):
        ours = np.interp(q, np.linspace(0, 1, POINTS), jitter.table)
        assert ours == pytest.approx(np.quantile(draw, q) * MS, rel=1e-3)
    (tmp_path / "trace.csv").unlink()
    again = parse_scenario(dump(made))
    assert again.network.default.jitter == jitter
    assert again.network.links[0].jitter == again.faults[0].jitter == jitter
    assert "measured (half within" in link_text(replace_link(LinkSpec(0), made.network.default))


# --- presets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_all_of_its_keys(name: str) -> None:
    text = f"duration: 1h\nworld: {{kind: rendezvous}}\nnetwork: {{default: {{preset: {name}}}}}\n"
    values = parse_scenario(text).network.default
    told = ("latency_ns", "jitter", "loss_probability", "burst", "rate_bytes_per_s", "queue_bytes")
    assert all(getattr(values, key) is not None for key in told)
    worse = LinkSpec(9 * SECOND, "uniform", 9, 0.0, 0.9, rate_bytes_per_s=1.0, queue_bytes=1)
    assert replace_link(worse, values) == replace_link(LinkSpec(0), values)
    assert link_text(replace_link(worse, values)).startswith(f"{name}: ")
    said = {source.partition(":")[0] for source in PRESETS[name].sources}
    listed = {key for each in said for key in each.split(", ")}
    trivial = {key for key, value in PRESETS[name].keys.items() if value == "none"}
    assert listed | trivial == set(PRESETS[name].keys)


def test_keys_beside_a_preset_count_before_it() -> None:
    spec = spec_of("jitter: {constant: 1ms}, preset: wifi, loss: 3%")
    assert (spec.floor_ns, spec.loss_probability) == (20 * MS, 0.03)
    assert (spec.jitter, spec.a_ns) == ("constant", MS)
    assert spec.rate_bytes_per_s == 54e6 / 8


def test_a_lora_message_of_20_bytes_is_56_58_ms_in_the_air() -> None:
    """Symbols of 1.024 ms: 12.25 of preamble, 8 and 5 for each 28 bits begun (SX1276, 4.1.1.7)."""
    spec = replace_link(LinkSpec(0), read_fault({"link": ["a", "b"], "preset": "lora"}).values)
    for size, tolerance in ((20, 0.01), (10, 3.0), (51, 3.0), (200, 4.0)):
        symbols = 12.25 + 8 + 5 * -(-(8 * size - 28 + 28 + 16) // 28)
        found = spec.floor_ns / MS + size / spec.rate_bytes_per_s * 1e3
        assert found == pytest.approx(symbols * 1.024, abs=tolerance)
