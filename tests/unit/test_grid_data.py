"""The record of a grid: what it holds, how it is stored, and what it refuses."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from sim.errors import InstallationError, ScenarioError, UnknownKeyError
from sim.worlds.grid_data import (
    INT16_MAX,
    load_bundled,
    load_grid,
    quantise,
    role_of,
    save_grid,
)


@pytest.fixture(scope="module")
def grid():
    return load_bundled()


def test_the_bundled_feeder(grid):
    assert (len(grid.bus_names), len(grid.branches)) == (129, 128)
    assert (len(grid.loads), len(grid.sgens), len(grid.storages)) == (153, 27, 16)
    assert grid.sgens.p_kw.sum() == pytest.approx(252.3)
    assert grid.loads.p_kw.sum() == pytest.approx(552.8)
    assert grid.storages.energy_kwh.sum() == pytest.approx(185.6, abs=0.5)
    assert set(grid.storages.efficiency) == {0.95}
    assert "ODbL" in grid.source
    transformer = grid.branches.kinds.index("trafo")
    assert grid.branches.ratio[transformer] == pytest.approx(0.975)
    assert sorted(set(grid.loads.roles)) == [
        "commerce", "ev home", "ev work", "heat pump", "household",
    ]  # fmt: skip
    assert len(grid.loads.of_role("household")) == 113
    assert set(grid.sgens.roles) == {"pv"}


def test_a_year_of_profiles(grid):
    assert grid.times == 366 * 96
    days = grid.days()
    assert (days[0], days[59], days[-1], len(days)) == (
        "2016-01-01",
        "2016-02-29",
        "2016-12-31",
        366,
    )
    assert grid.day("2016-01-02") == slice(96, 192)
    sun = grid.profile("PV3").reshape(366, 96)
    assert sun.max() <= 1
    assert sun[:, :8].max() == 0, "the sun shone between midnight and two"
    assert 44 <= sun.mean(0).argmax() <= 54, "noon is near noon"
    assert sun[150:210].mean() > 3 * sun[[*range(30), *range(340, 366)]].mean()
    wind = grid.profile("WP4")
    assert 0.1 < wind.mean() < 0.5
    for name in ("G0-A_pload", "G3-H_pload", "BL-H_qload", "WP7"):
        assert np.abs(grid.profile(name)).max() <= 1.01
    with pytest.raises(UnknownKeyError, match="PV3"):
        grid.profile("PV33")
    with pytest.raises(ScenarioError, match="2016-01-01 to 2016-12-31"):
        grid.day("2017-01-01")


def test_powers_follow_the_profiles(grid):
    index = grid.day("2016-06-21")
    p, q = grid.power(grid.loads, index)
    assert p.shape == q.shape == (96, 153)
    expected = grid.profile(f"{grid.loads.profiles[7]}_pload", index) * grid.loads.p_kw[7]
    np.testing.assert_array_equal(p[:, 7], expected)
    fed = grid.power(grid.sgens, index)[0]
    net_p, net_q = grid.injections(index, load_scale=2.0, pv_scale=3.0)
    assert net_p.shape == (96, 129)
    np.testing.assert_allclose(net_p.sum(1), 3 * fed.sum(1) - 2 * p.sum(1))
    np.testing.assert_allclose(net_q.sum(1), -2 * q.sum(1))
    bus = grid.loads.bus[7]
    here = np.flatnonzero(grid.loads.bus == bus)
    np.testing.assert_allclose(grid.at_buses(grid.loads, p)[:, bus], p[:, here].sum(1))
    np.testing.assert_array_equal(grid.power(grid.loads, [index.start + 5])[0][0], p[5])


def test_quantised_profiles_are_near_the_given_ones():
    values = np.random.default_rng(1).normal(size=(500, 4)) * [1, 1e-3, 50, 0]
    stored, scale = quantise(values)
    worst = np.abs(values).max(0)
    assert stored.dtype == np.int16
    assert (np.abs(stored * scale - values) <= 0.5001 * worst / INT16_MAX).all()


def test_a_record_survives_its_file(grid, tmp_path):
    path = save_grid(grid, tmp_path / "grid.npz")
    again = load_grid(path)
    for field in dataclasses.fields(grid):
        first, second = getattr(grid, field.name), getattr(again, field.name)
        if dataclasses.is_dataclass(first):
            assert first.names == second.names
            for inner in dataclasses.fields(first):
                np.testing.assert_array_equal(
                    getattr(first, inner.name), getattr(second, inner.name)
                )
        else:
            np.testing.assert_array_equal(first, second)


def _damaged(grid, tmp_path, change):
    path = tmp_path / "grid.npz"
    save_grid(grid, path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("vn_kv"), "vn_kv"),
        (lambda a: a.update(card=np.frombuffer(b'{"format": 99}', np.uint8)), "format 1"),
        (lambda a: a.update(card=np.frombuffer(b"\xff{", np.uint8)), "not a grid record"),
        (lambda a: a["branches.to_bus"].__setitem__(3, 129), "bus that does not exist"),
        (lambda a: a["loads.profile_p"].__setitem__(0, 56), "profile that does not exist"),
        (lambda a: a.update({"loads.p_kw": a["loads.p_kw"][:-1]}), "p_kw has 152 entries"),
        (lambda a: a.update(vn_kv=np.array([{}], dtype=object)), "allow_pickle=False"),
    ],
)
def test_damaged_files_are_refused(grid, tmp_path, change, message):
    path = _damaged(grid, tmp_path, change)
    with pytest.raises(ScenarioError, match=r"grid\.npz: not a grid record") as caught:
        load_grid(path)
    assert message in str(caught.value)


def test_files_that_are_no_record_are_refused(tmp_path):
    text = tmp_path / "text.npz"
    text.write_text("hello")
    for path in (tmp_path / "missing.npz", text):
        with pytest.raises(ScenarioError, match="sim import grid"):
            load_grid(path)


def test_roles():
    assert [role_of(name) for name in ("H0-A", "HLS_A_3.7", "HS3", "G3-H", "G3-A", "?")] == [
        "household", "ev home", "ev fast", "industry", "commerce", "other",
    ]  # fmt: skip


def test_the_record_needs_no_torch():
    code = (
        "import sys, sim.worlds.grid_data as g; g.load_bundled(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_without_the_extra_says_what_to_install(tmp_path, monkeypatch):
    from sim.worlds.grid_import import import_grid

    monkeypatch.setitem(sys.modules, "simbench", None)
    monkeypatch.setitem(sys.modules, "pandapower", None)
    with pytest.raises(InstallationError, match=r"pip install 'sim-agents\[grid\]'"):
        import_grid("1-LV-rural3--2-no_sw", tmp_path / "grid.npz")


@pytest.fixture
def one_thread():
    """Small products in several threads wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.torch
def test_stressful_days(grid, one_thread):
    # The first eight weeks only, to be quick.
    from sim.worlds.grid_study import day_stress, most_stressful

    weeks = dataclasses.replace(grid, profile_values=grid.profile_values[: 56 * 96])
    days = day_stress(weeks, band=(1.02, 1.05))
    assert [days[0].date, days[-1].date] == ["2016-01-01", "2016-02-25"]
    assert all(day.unsolved == 0 for day in days)
    assert all(day.v_min <= 1.025 <= day.v_max for day in days)
    best = most_stressful(days, count=1)
    assert best["undervoltage"][0].date == "2016-02-17"
    assert best["undervoltage"][0].v_min == pytest.approx(1.0129, abs=1e-4)
    assert best["undervoltage"][0].undervoltage_bus_minutes > 0
    assert best["import"][0].import_kw == max(day.import_kw for day in days)
    doubled = day_stress(weeks, load_scale=2.0)
    assert all(a.import_kw > b.import_kw for a, b in zip(doubled, days, strict=True))
