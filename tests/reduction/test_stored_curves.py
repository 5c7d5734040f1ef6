"""Curves that all spectra are compared with: made of several scans, kept in files."""

import json

import numpy as np
import pytest
from spectrum_generator import Beamline, Edge, Foil, grid

from battbeam.errors import ReductionError
from battbeam.reduction.stored_curves import (
    StoredCurves,
    bins_about,
    compound_curve,
    foil_curve,
    read_curve,
)
from battbeam.reduction.xanes import Spectrum, Standard, XanesOptions, XanesReducer

NICKEL, FIRST = 8333.0, 8343.5
ENERGY = grid(NICKEL)
#: 2e6 photons before the sample, and a monochromator that is 0.4 eV off.
LINE = Beamline(Edge(FIRST), Foil(NICKEL), photons=2e6, offset=0.4)


def scans(n, seed=0, **changes):
    rng = np.random.default_rng(seed)
    line = LINE.but(**changes)
    return [Spectrum(**line.counts(ENERGY, rng)) for _ in range(n)]


def reducer(**options):
    return XanesReducer(XanesOptions(**options), "Ni", "K")


def test_the_bins_of_a_grid_hold_one_of_its_energies_each():
    bins = bins_about(ENERGY[::-1])
    assert np.histogram(ENERGY, bins)[0].tolist() == [1] * len(ENERGY)


def test_a_foil_alone_is_a_curve_on_its_tabulated_edge():
    # No sample in the beam, so there is no edge to be found.
    found = foil_curve(scans(4, step=0.0), bins_about(ENERGY), reducer())
    assert found.edge_position == NICKEL
    # Steepest point, at steps of 0.5 eV: what is promised of a first foil.
    true = Foil(NICKEL)(found.energy)
    slope = np.gradient(true, found.energy)
    near = np.abs(found.energy - NICKEL) < 20
    scale, _, minus_shift = np.linalg.lstsq(
        np.column_stack([true, np.ones(len(true)), slope])[near],
        found.absorbance[near],
        rcond=None,
    )[0]
    assert minus_shift / scale == pytest.approx(0.0, abs=0.05)
    assert scale == pytest.approx(LINE.foil_step, rel=0.02)


def test_scans_are_added_up_and_their_noise_goes_down_with_their_root():
    one = foil_curve(scans(1), bins_about(ENERGY), reducer())
    nine = foil_curve(scans(9), bins_about(ENERGY), reducer())
    ratio = np.median(one.absorbance_error) / np.median(nine.absorbance_error)
    assert ratio == pytest.approx(3.0, rel=0.02)


def test_runs_that_share_curves_agree_and_know_the_valence():
    foil = foil_curve(scans(4, step=0.0), bins_about(ENERGY), reducer())
    states = {"two": 2.0, "four": 4.0}
    standards = tuple(
        compound_curve(
            scans(4, seed=int(state), sample=Edge(FIRST + 1.8 * (state - 2))),
            bins_about(ENERGY),
            reducer(foil=foil),
            name=name,
            oxidation_state=state,
        )
        for name, state in states.items()
    )
    found = []
    for seed in range(20):
        # Each a run of its own, with the monochromator elsewhere.
        drawn = np.random.default_rng(seed)
        state, offset = drawn.uniform(2, 4), drawn.uniform(-1, 1)
        (scan,) = scans(1, 100 + seed, sample=Edge(FIRST + 1.8 * (state - 2)), offset=offset)
        result = reducer(foil=foil, standards=standards).reduce(scan)
        assert result.valid, result.reason
        found.append((result.oxidation_state - state) / result.oxidation_state_error)
    # The line's own error is common to all of them.
    assert np.abs(found).max() < 4
    assert np.std(found) < 1.5


def test_a_curve_comes_back_from_its_file(tmp_path):
    stored = StoredCurves(tmp_path / "calibration")
    curve = Standard("NiO", np.arange(5.0), np.arange(5.0) / 4, oxidation_state=2.0)
    path = stored.write(stored.compound("NiO", "Ni K"), curve)
    assert path.name == "standard_NiO_Ni_K.json"
    assert read_curve(path).document() == curve.document()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_compounds_are_found_by_their_edge(tmp_path):
    stored = StoredCurves(tmp_path)
    curve = Standard("x", np.arange(5.0), np.arange(5.0))
    for name, edge in (("b", "Ni K"), ("a", "Ni K"), ("c", "Co K")):
        stored.write(stored.compound(name, edge), curve)
    stored.write(stored.foil("Ni K"), curve)
    names = [path.name for path in stored.compounds("Ni K")]
    assert names == ["standard_a_Ni_K.json", "standard_b_Ni_K.json"]


def test_what_is_no_curve_says_which_file(tmp_path):
    path = tmp_path / "foil.json"
    with pytest.raises(ReductionError, match=r"standard .*foil.json: .*No such file"):
        read_curve(path)
    path.write_text(json.dumps({"name": "foil"}))
    with pytest.raises(ReductionError, match="a standard is incomplete"):
        read_curve(path)


def test_without_a_foil_there_is_no_curve_of_it():
    with pytest.raises(ReductionError, match=r"Ni K: no foil \(its edge step is"):
        foil_curve(scans(2, foil_step=0.0), bins_about(ENERGY), reducer())


def test_a_compound_without_the_element_is_refused_by_its_name():
    with pytest.raises(ReductionError, match="NiO: no edge"):
        compound_curve(scans(2, step=0.0), bins_about(ENERGY), reducer(), name="NiO")
