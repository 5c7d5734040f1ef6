import numpy as np
import pytest
from spectrum_generator import Edge, Foil, grid

from battbeam.errors import ReductionError
from battbeam.materials import mass_attenuation
from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.normalization import NormalizationOperator
from battbeam.reduction.self_absorption import SelfAbsorption, formula_masses
from battbeam.reduction.spectrum import Spectrum
from battbeam.reduction.xanes import Standard, XanesOptions, XanesReducer
from battbeam.sim.absorption import SampleAbsorption, SampleState
from battbeam.sim.scenario import Cell, Scenario, spectroscopy_stack

ENERGY, E0 = grid(8333.0), 8333.0


@pytest.mark.parametrize("depth", [0.3, 2.0, np.inf])
def test_self_absorption_is_undone(depth):
    true = Edge(8343.5)(ENERGY)
    sample = SelfAbsorption(other=1.7, depth=depth)
    damped = sample.damped(true)
    assert damped.max() < true.max() - 0.02
    assert sample.corrected(damped) == pytest.approx(true, abs=1e-9)


def test_a_thin_sample_is_not_damped():
    true = Edge(8343.5)(ENERGY)
    assert SelfAbsorption(other=1.7, depth=1e-6).damped(true) == pytest.approx(true, abs=1e-5)


def test_damping_is_that_of_slices_added_up():
    masses = formula_masses({"Li": 1, "Ni": 1, "O": 2}, 1e-4)
    sample = SelfAbsorption.of("Ni", masses, edge_energy=8333.0, line_energy=7480.0)
    depth = np.linspace(0, 1, 4001)
    middle, share = (depth[1:] + depth[:-1]) / 2, 1 / 4000
    root = np.sqrt(2)
    total = {e: sum(m * mass_attenuation(n, e) for n, m in masses.items()) for e in (8318, 7480)}
    jump = masses["Ni"] * (mass_attenuation("Ni", 8348.0) - mass_attenuation("Ni", 8318.0))

    def emitted(normalized):
        way_in = (total[8318] + jump * normalized) * root
        return np.sum(jump * normalized * np.exp(-(way_in + total[7480] * root) * middle) * share)

    wanted = [emitted(each) / emitted(1.0) for each in (0.3, 1.4)]
    assert sample.damped(np.array([0.3, 1.4])) == pytest.approx(wanted, rel=1e-6)


def test_errors_grow_where_the_curve_is_flattened():
    sample = SelfAbsorption(other=0.8, depth=3.0)
    true, noise = Edge(8343.5)(ENERGY), 1e-4
    measured = sample.damped(true)
    found = sample.undone(Absorbance(measured, np.full(len(true), noise)))
    assert found.values == pytest.approx(true, abs=1e-9)
    # By how much a small error of the measured curve moves the corrected one.
    above, below = (sample.corrected(measured + step) for step in (1e-6, -1e-6))
    expected = noise * (above - below) / 2e-6
    assert found.errors[true > 1e-3] == pytest.approx(expected[true > 1e-3], rel=1e-4)
    assert found.errors[np.argmax(true)] > 2 * noise


# A thick electrode in fluorescence.


def thick_cell(content):
    return Scenario(
        name="thick",
        cells=(
            Cell(
                chemistry="nmc811",
                active_loading=40.0,
                initial_lithium_content=content,
                inactive_fraction=0.0,
                gradient_x=0.0,
                gradient_depth=0.0,
                dead_spot=None,
            ),
        ),
        stack=spectroscopy_stack(),
    )


def electrode(content):
    """g/cm2 of its elements: 40 mg/cm2 of LixNi0.8Mn0.1Co0.1O2, weighed full."""
    full = {"Li": 1.0, "Ni": 0.8, "Mn": 0.1, "Co": 0.1, "O": 2.0}
    amount = 0.04 / (6.941 + 0.8 * 58.693 + 0.1 * 54.938 + 0.1 * 58.933 + 2 * 15.999)
    return formula_masses({**full, "Li": content}, amount)


def state_of(sample, content):
    whole, contents = np.ones(1), np.array([content])
    states = {
        name: table.state(contents, whole, valence_change=0.0, disorder=0.0)
        for name, table in sample.tables.items()
    }
    return SampleState(1.0, content, states)


#: Of a photon, into the detector, and with the line in it.
SCATTER = 2e-3
#: A line far behind the edge: a parabola from 25 eV on follows the EXAFS.
FAR = {"post_range": (100.0, 250.0), "post_degree": 1}


def emitted(content, rng, *, photons=1e10):
    """Counts over the edge of a thick cell in fluorescence, a foil beside it, and its absorbance,
    normalized likewise.
    """
    sample = SampleAbsorption.of(thick_cell(content))
    state = state_of(sample, content)
    lines = sample.fluorescence(ENERGY, state, element="Ni").line
    i0, behind = np.full(len(ENERGY), 1e-2 * photons), np.full(len(ENERGY), 1e-3 * photons)
    counts = {
        "i0": i0,
        "transmitted": behind,
        "reference": behind * np.exp(-Foil(E0)(ENERGY)),
        "fluorescence": 1e-2 * photons * (lines + SCATTER),
    }
    counts = {name: rng.poisson(number).astype(float) for name, number in counts.items()}
    spectrum = Spectrum(ENERGY, np.ones(len(ENERGY)), **counts)
    ranges = {"pre": None, "post": FAR["post_range"], "degree": FAR["post_degree"]}
    operator = NormalizationOperator(ENERGY, edge_energy=E0, **ranges)
    return spectrum, operator.normalized(sample.absorbance(ENERGY, state))


def reducer(asked, **options):
    foil = Standard("foil", ENERGY, Foil(E0)(ENERGY), edge_position=E0)
    options = XanesOptions(
        signal="fluorescence", self_absorption=asked, energy_jitter=0.0, foil=foil, **FAR, **options
    )
    return XanesReducer(options, "Ni", "K")


def asked(content):
    """The beam meets the electrode upright, the detector is 45 degree off."""
    return {"areal_mass": electrode(content), "angle_in": 90, "angle_out": 45}


@pytest.mark.parametrize("content", [0.95, 0.5])
def test_the_fluorescence_of_a_thick_electrode_shows_what_its_nickel_absorbs(content):
    spectrum, true = emitted(content, np.random.default_rng(3))
    flat, found = (reducer(each).reduce(spectrum) for each in (None, asked(content)))
    assert (flat.valid, found.valid) == (True, True)
    line = np.argmax(true)
    # A white line loses half of what it stands above the step.
    assert flat.normalized_absorbance[line] - 1 < 0.6 * (true[line] - 1)
    # What is not nickel's is taken for the same at all energies: 0.5 % of a step is left of 15 %.
    about = np.abs(ENERGY - E0) < 60
    off, error = found.normalized_absorbance - true, found.normalized_absorbance_error
    assert np.all(np.abs(off[about]) < 0.006 + 4 * error[about])
    assert np.abs(flat.normalized_absorbance - true)[about].max() > 0.13


def test_the_edge_of_a_thick_electrode_is_where_a_thin_ones_is():
    """Flattened, a curve rises earlier; undone, it is compared as it would be."""
    away, flattened = [], []
    for seed in range(12):
        spectrum, true = emitted(0.5, np.random.default_rng(seed))
        known = (Standard("thin", ENERGY, true, edge_position=8345.0),)
        for each, kept in ((None, flattened), (asked(0.5), away)):
            result = reducer(each, standards=known).reduce(spectrum)
            kept.append((result.edge_position - 8345.0, result.edge_position_error))
    (off, errors), (bare, _) = np.array(away).T, np.array(flattened).T
    print(off, errors, bare)
    assert np.abs(off).max() < 4 * errors.max()
    assert np.std(off) < 0.1 * np.std(bare)


@pytest.mark.parametrize(
    ("document", "edge", "why"),
    [
        ({}, "K", "needs areal_mass .* got nothing"),
        ({"areal_mass": {"Ni": 1e-3}, "angle": 45}, "K", "got areal_mass, angle"),
        ({"areal_mass": {"O": 1e-3}}, "K", "the sample has no Ni"),
        ({"areal_mass": {"Ni": 1e-3, "Xx": 1e-3}}, "K", "no element 'Xx'"),
        ({"areal_mass": {"Ni": 1e-3}, "angle_in": 0}, "K", "got 0 and 45"),
        ({"areal_mass": {"Ni": 1e-3}}, "M3", "no line is known of the edge M3"),
    ],
)
def test_what_a_sample_cannot_be_is_refused(document, edge, why):
    with pytest.raises(ReductionError, match=why):
        SelfAbsorption.read(document, element="Ni", edge=edge, edge_energy=E0)


def test_self_absorption_is_fluorescences_alone():
    options = XanesOptions(self_absorption=asked(0.5))
    with pytest.raises(ReductionError, match="undone in fluorescence"):
        XanesReducer(options, "Ni", "K")


def test_it_is_asked_for_in_a_start_document():
    options = XanesOptions.read({"signal": "fluorescence", "self_absorption": asked(0.5)})
    assert XanesOptions.read(options.document()).self_absorption == asked(0.5)
