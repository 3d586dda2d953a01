"""Voltages, loadings and losses against pandapower on its own cases and on SimBench grids.

Needs the extra `grid`.
"""

import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("pandapower")
pytest.importorskip("simbench")

from sim.errors import ScenarioError, UnknownKeyError
from sim.worlds import grid_import
from sim.worlds.grid_data import BUNDLED, load_bundled, load_grid
from sim.worlds.powerflow import compile_network, flows, solve

pytestmark = [pytest.mark.grid, pytest.mark.filterwarnings("ignore")]

CASES = [
    "case33bw", "create_cigre_network_lv", "create_cigre_network_mv",
    "create_kerber_dorfnetz", "create_kerber_landnetz_freileitung_1",
    "create_kerber_landnetz_freileitung_2", "create_kerber_landnetz_kabel_1",
    "create_kerber_landnetz_kabel_2", "create_kerber_vorstadtnetz_kabel_1",
    "create_kerber_vorstadtnetz_kabel_2", "four_loads_with_branches_out", "mv_oberrhein",
    "panda_four_load_branch", "simple_four_bus_system", "simple_mv_open_ring_net",
]  # fmt: skip
GRIDS = [
    "1-LV-rural1--0-no_sw", "1-LV-rural2--1-sw", "1-LV-rural3--0-no_sw", "1-LV-rural3--2-no_sw",
    "1-LV-semiurb4--2-sw", "1-LV-urban6--1-no_sw", "1-MV-rural--0-no_sw", "1-MV-semiurb--1-sw",
    "1-MV-comm--2-no_sw",
]  # fmt: skip


def pandapower_net(code):
    import pandapower
    import simbench

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if code.startswith("1-"):
            net = simbench.get_simbench_net(code)
            grid_import._apply_taps(net)
            return net
        return getattr(pandapower.networks, code)()


def run(net):
    import pandapower

    pandapower.runpp(net, calculate_voltage_angles=True, numba=False, tolerance_mva=1e-9)


def compare(net, grid):
    """Solves the record with the powers of the network's own tables, and compares everything."""
    rows = net._pd2ppc_lookups["bus"]
    p, q = np.zeros(len(grid.bus_names)), np.zeros(len(grid.bus_names))
    for table, sign in (("load", -1), ("sgen", 1), ("storage", -1)):
        on = net[table][net[table].in_service.astype(bool)]
        np.add.at(p, rows[on.bus], sign * 1e3 * on.p_mw * on.scaling)
        np.add.at(q, rows[on.bus], sign * 1e3 * on.q_mvar.fillna(0) * on.scaling)
    network = compile_network(grid)
    solution = solve(network, torch.from_numpy(p)[None], torch.from_numpy(q)[None])
    flow = flows(network, solution)
    assert solution.converged.all()
    assert flow.residual_kva.item() < 1e-6 * network.base_kva

    expected = net.res_bus.vm_pu * np.exp(1j * np.deg2rad(net.res_bus.va_degree))
    live = expected.notna().to_numpy()
    found = solution.v[0].numpy()[rows[net.bus.index[live]]]
    np.testing.assert_allclose(found, expected[live], rtol=0, atol=1e-6)

    loading = dict(zip(grid.branches.names, flow.loading_percent[0].tolist(), strict=True))
    for table in ("line", "trafo"):
        distinct = net[table][~net[table].name.duplicated(keep=False) & net[table].name.notna()]
        results = net[f"res_{table}"].loading_percent
        for index, name in distinct.name.items():
            if name in loading and np.isfinite(results[index]):
                assert loading[name] == pytest.approx(results[index], rel=1e-5, abs=1e-3)
    lost = sum(net[f"res_{table}"].pl_mw.sum() for table in ("line", "trafo")) * 1e3
    assert flow.losses_kw.item() == pytest.approx(lost, rel=1e-5, abs=1e-3)
    assert flow.slack_p_kw.item() == pytest.approx(net.res_ext_grid.p_mw.sum() * 1e3, abs=0.01)


@pytest.mark.parametrize("code", CASES)
def test_pandapower_case(code):
    net = pandapower_net(code)  # once: some cases are drawn at random each time
    grid = grid_import.convert(net, code, "pandapower", {})
    run(net)
    compare(net, grid)


@pytest.mark.slow
@pytest.mark.parametrize("code", GRIDS)
def test_simbench_grid_through_its_profiles(code):
    """Three instants of the year, with the powers that SimBench itself computes for them."""
    import simbench

    grid = grid_import.read_grid(code)
    net = pandapower_net(code)
    values = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    for instant in (0, 19_620, 32_205):
        for (table, column), series in values.items():
            if table in ("load", "sgen"):
                net[table][column] = series.loc[instant].to_numpy()
                own = grid.power(grid.loads if table == "load" else grid.sgens, [instant])
                np.testing.assert_allclose(
                    own[column == "q_mvar"][0],
                    1e3 * net[table][column],
                    rtol=0,
                    atol=2e-5 * 1e3 * np.abs(net[table].sn_mva).max(),
                )
        run(net)
        compare(net, grid)


def test_import_writes_a_record(tmp_path):
    path = grid_import.import_grid("case33bw", tmp_path / "case33bw.npz")
    grid = load_grid(path)
    assert (grid.code, len(grid.bus_names), grid.times) == ("case33bw", 33, 0)
    network = compile_network(grid)
    p, q = grid.power(grid.loads, [0])
    solution = solve(
        network,
        -torch.from_numpy(grid.at_buses(grid.loads, p)),
        -torch.from_numpy(grid.at_buses(grid.loads, q)),
    )
    assert flows(network, solution).losses_kw.item() == pytest.approx(202.677, abs=1e-3)


def test_a_pandapower_file(tmp_path):
    import pandapower

    path = tmp_path / "net.json"
    pandapower.to_json(pandapower_net("create_kerber_landnetz_kabel_1"), str(path))
    grid = grid_import.read_grid(str(path))
    assert len(grid.loads) == 8


@pytest.mark.slow
def test_the_bundled_extract_is_what_the_command_makes(tmp_path):
    made = load_grid(grid_import.import_grid(BUNDLED, tmp_path / "again.npz"))
    bundled = load_bundled()
    np.testing.assert_array_equal(made.profile_values, bundled.profile_values)
    np.testing.assert_allclose(made.branches.r, bundled.branches.r, rtol=1e-12)
    assert made.profile_names == bundled.profile_names
    assert made.loads.names == bundled.loads.names


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("case9", ScenarioError, "2 elements of kind 'gen'"),
        ("ieee_european_lv_asymmetric", ScenarioError, "asymmetric_load"),
        ("case33bv", UnknownKeyError, "did you mean 'case33bw'"),
        ("1-LV-rural3--2-nosw", UnknownKeyError, "did you mean '1-LV-rural3--2-no_sw'"),
        ("missing.json", ScenarioError, "no such file"),
        ("os.system", UnknownKeyError, "no SimBench code"),
    ],
)
def test_what_cannot_be_imported_is_refused(code, error, message):
    with pytest.raises(error, match=message):
        grid_import.read_grid(code)
