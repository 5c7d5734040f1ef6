import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battbeam.experiment.energy_grid import EnergyGrid, Region, edge_step

FOUR = (
    Region(-150, -20, 10, 1.0),
    Region(-20, 20, 0.25, 2.0),
    Region(20, 60, 1.0, 1.5),
    Region(4.0, 12.0, 0.05, 1.0, "k", 1.0),
)
#: eV angstrom^2, CODATA: hbar^2 / 2 m_e.
K_SQUARED = 3.80998212


def test_the_grid_is_the_table_of_its_regions():
    grid = EnergyGrid.of("Ni K", FOUR)
    k = np.round(np.arange(4.0, 12.001, 0.05), 10)
    expected = np.concatenate(
        [
            8333.0 + np.arange(-150, -20, 10),
            8333.0 + np.arange(-20, 20, 0.25),
            8333.0 + np.arange(20, 60.5, 1.0),
            8333.0 + K_SQUARED * k**2,
        ]
    )
    assert len(grid) == len(expected)
    assert np.allclose(grid.energies, expected, atol=1e-6)


def test_the_dwell_grows_with_k_from_where_its_region_begins():
    grid = EnergyGrid.of("Ni K", FOUR)
    assert grid.dwells[-161:] == pytest.approx(np.linspace(4, 12, 161) / 4.0)
    assert grid.dwells[-1] == pytest.approx(3.0)


def test_an_energy_that_two_regions_share_is_measured_once_for_the_longer_dwell():
    grid = EnergyGrid.of(1000.0, [Region(-1, 0, 1, 1.0), Region(0, 1, 1, 5.0), Region(1, 2, 1, 2)])
    assert grid.energies.tolist() == [999.0, 1000.0, 1001.0, 1002.0]
    assert grid.dwells.tolist() == [1.0, 5.0, 5.0, 2.0]


regions = st.builds(
    lambda start, width, step, dwell: Region(start, start + width, step, dwell),
    st.floats(-200, 200),
    st.floats(0.1, 300),
    st.floats(0.05, 50),
    st.floats(0.01, 10),
)


@given(regions)
def test_both_ends_are_measured_in_equal_steps_no_larger_than_asked(region):
    places = region.places
    assert (places[0], places[-1]) == (region.start, region.stop)
    steps = np.diff(places)
    assert np.allclose(steps, steps[0], rtol=1e-6)
    assert steps[0] <= region.step * (1 + 1e-5)
    # One step fewer would be too large.
    assert len(steps) == 1 or (region.stop - region.start) / (len(steps) - 1) > region.step * 0.999


@given(st.lists(regions, min_size=1, max_size=4))
def test_a_grid_without_faults_ascends_and_lasts_as_long_as_its_dwells(several):
    grid = EnergyGrid.of(8333.0, several)
    if grid.faults():
        with pytest.raises(ValueError, match="energies must ascend"):
            _ = grid.energies
        return
    assert np.all(np.diff(grid.energies) > 0)
    assert grid.duration == pytest.approx(sum(grid.dwells))
    assert grid.dwells.shape == grid.energies.shape


def test_every_fault_is_told_at_once():
    broken = (Region(10, 5, 0, -1), Region(0, 3, 0.1, float("nan")), Region(0, 9, 1, 1, "k", 2.0))
    faults = EnergyGrid.of("Ni K", broken).faults()
    said = "\n".join(faults)
    for why in (
        "region 1: energies must ascend: stop 5 eV is not above start 10 eV",
        "region 1: step must be greater than 0 eV, got 0 eV",
        "region 1: dwell must be greater than 0 s, got -1 s",
        "region 2: every number must be finite",
        "region 3: a k-weighted dwell needs a start above 0 1/angstrom",
    ):
        assert why in said
    assert len(faults) == 5


def test_regions_that_overlap_do_not_ascend():
    grid = EnergyGrid.of("Ni K", [Region(-20, 30, 1, 1), Region(20, 40, 1, 1)])
    assert grid.faults() == [
        "grid at Ni K: energies must ascend: region 1 ends at 30 eV, region 2 begins at 20 eV "
        "from the edge"
    ]


def test_a_region_in_k_meets_one_in_energy_where_the_photoelectron_has_that_energy():
    inside, outside = (Region(k, 8, 0.1, 1, "k") for k in (2.7, 2.9))
    before = Region(-10, 30, 1, 1)
    # 30 eV are 2.806 1/angstrom.
    assert "region 1 ends at 30 eV" in EnergyGrid.of("Ni K", [before, inside]).faults()[0]
    assert not EnergyGrid.of("Ni K", [before, outside]).faults()


def test_other_ways_to_be_wrong_are_told():
    assert EnergyGrid.of("Ni K", []).faults() == ["grid at Ni K: no region"]
    assert (
        "k_weight is for a region in k"
        in EnergyGrid.of("Ni K", [Region(0, 1, 1, 1, "energy", 2.0)]).faults()[0]
    )
    assert "k must not be negative" in EnergyGrid.of("Ni K", [Region(-1, 1, 1, 1, "k")]).faults()[0]
    assert (
        "k_weight must not be negative"
        in EnergyGrid.of("Ni K", [Region(1, 2, 1, 1, "k", -1.0)]).faults()[0]
    )
    assert (
        "axis must be energy or k" in EnergyGrid.of("Ni K", [Region(1, 2, 1, 1, "q")]).faults()[0]
    )
    with pytest.raises(ValueError, match="preset 'exafs' is none of xanes, xas"):
        EnergyGrid.of("Ni K", "exafs")


def test_an_edge_outside_the_monochromator_is_told_at_both_ends():
    faults = EnergyGrid.of("Mo K").faults((4000.0, 19_900.0))
    assert faults == [
        "grid at Mo K: 20250 eV is outside the monochromator's limits, 4000 to 19900 eV"
    ]
    assert len(EnergyGrid.of("Mo K").faults((4000.0, 9000.0))) == 2


def test_a_preset_steps_at_most_half_a_core_hole_across_the_edge():
    for label, width in (("Mn K", 1.16), ("Ni K", 1.44), ("Mo K", 4.5)):
        grid = EnergyGrid.of(label)
        near = np.abs(grid.energies - grid.edge.energy) < 9
        assert np.diff(grid.energies[near]).max() <= width / 2
    assert edge_step(0.05) == 0.1


def test_a_preset_in_k_reaches_its_end_in_steps_of_k():
    grid = EnergyGrid.of("Ni K", "xas", k_max=14.0)
    assert grid.energies[-1] - 8333.0 == pytest.approx(K_SQUARED * 14.0**2, abs=1e-4)
    assert len(grid.regions) == 4


@pytest.mark.parametrize("preset", ["xanes", "xas"])
@pytest.mark.parametrize("edge", ["Ni K", 8340.0])
def test_a_grid_survives_its_document(preset, edge):
    grid = EnergyGrid.of(edge, preset, dwell=0.5)
    back = EnergyGrid.read(json.loads(json.dumps(grid.document())))
    assert np.array_equal(back.energies, grid.energies)
    assert np.array_equal(back.dwells, grid.dwells)
