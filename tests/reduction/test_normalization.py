import numpy as np
import pytest
from spectrum_generator import Edge, Foil, grid

from battbeam.errors import ReductionError
from battbeam.reduction.normalization import (
    NormalizationOperator,
    NormalizationRanges,
    OwnEdgeNormalization,
)


def absorbance(energy, position, *, step=0.8, seed=None, noise=1e-3):
    slow = 0.7 * (energy / position) ** -2.8
    curve = slow + step * Edge(position)(energy) * (energy / position) ** -2.7
    if seed is not None:
        curve = curve + noise * np.random.default_rng(seed).normal(size=len(energy))
    return curve


def test_a_line_a_step_and_a_parabola_are_taken_apart_exactly():
    energy = grid(8333.0, stop=400.0)
    x = energy - 8333.0
    line, curve = 0.4 - 2e-4 * x, 1.3 - 1e-3 * x + 5e-7 * x**2
    # Half of the step at the edge itself; the step is the polynomial there.
    mu = line + np.where(x < 0, 0.0, curve)
    operator = NormalizationOperator(
        energy, edge_energy=8333.0, pre=(-150, -30), post=(30, 400), degree=2
    )
    found = operator.normalize(mu, np.full(len(energy), 1e-3))
    assert found.step == pytest.approx(1.3, abs=1e-9)
    assert found.pre_edge == pytest.approx(line, abs=1e-9)
    assert found.post_edge == pytest.approx(line + curve, abs=1e-9)
    assert found.values == pytest.approx(np.where(x < 0, 0.0, curve / 1.3), abs=1e-9)


@pytest.mark.parametrize(("element", "degree"), [(7112.0, 1), (8333.0, 2)])
def test_errors_are_those_of_the_scatter(element, degree):
    energy = grid(element, stop=350.0)
    clean = absorbance(energy, element + 8)
    errors = np.linspace(5e-4, 3e-3, len(energy))
    operator = NormalizationOperator(energy, edge_energy=element, degree=degree)
    noisy = clean + errors * np.random.default_rng(3).normal(size=(3000, len(energy)))
    told = operator.normalize(clean, errors)
    assert operator.steps(noisy).std() == pytest.approx(told.step_error, rel=0.06)
    # The step's own error is left out of the errors: the scatter is taken at the true step.
    lines = noisy - operator.normalized(noisy) * operator.steps(noisy)[:, None]
    scatter = ((noisy - lines) / told.step).std(axis=0)
    assert scatter == pytest.approx(told.errors, rel=0.08)


def test_many_spectra_are_normalized_as_each_alone():
    energy = grid(8333.0)
    spectra = np.stack([absorbance(energy, 8340 + i / 100, seed=i) for i in range(700)])
    operator = NormalizationOperator(energy, edge_energy=8333.0)
    together = operator.normalized(spectra)
    alone = [operator.normalize(each, np.ones(len(energy))).values for each in spectra]
    assert together == pytest.approx(np.array(alone), abs=1e-12)
    assert operator.normalized(spectra[0]).shape == spectra[0].shape


@pytest.mark.parametrize(
    ("energy", "wanted"),
    [
        (np.arange(8183.0, 8784.0, 1.0), NormalizationRanges((-150, -75), (25, 450), 2)),
        (np.arange(8233.0, 8534.0, 1.0), NormalizationRanges((-100, -50), (25, 200), 1)),
        (np.arange(8323.0, 8364.0, 1.0), NormalizationRanges((-8, -4), (10, 30), 0)),
    ],
)
def test_ranges_that_are_not_given_are_the_customary_ones(energy, wanted):
    assert NormalizationRanges.of(energy, 8333.0) == wanted


def test_a_range_without_points_is_refused():
    energy = grid(8333.0)
    with pytest.raises(ReductionError, match=r"points before the edge, -5 to -4 eV from 8333 eV"):
        NormalizationOperator(energy, edge_energy=8333.0, pre=(-5, -4))
    with pytest.raises(ReductionError, match="points behind the edge"):
        NormalizationOperator(energy, edge_energy=8333.0, post=(240, 250), degree=2)


@pytest.mark.parametrize("spacing", [0.5, 1.0, 2.0])
def test_an_edge_energy_is_where_the_curve_is_steepest(spacing):
    energy = np.arange(8250, 8450, spacing)
    true = 8333.0 + np.random.default_rng(1).uniform(-3, 3, 200)
    spectra = np.stack([Edge(each, white_line=0.0, wiggles=0.0)(energy) for each in true])
    found = OwnEdgeNormalization(energy).edge_energies(spectra)
    # A parabola through three points that are 2 eV apart on an edge 2.4 eV wide is good to 0.2 eV.
    assert np.abs(found - true).max() < 0.1 * spacing


def test_each_spectrum_is_normalized_at_its_own_edge():
    energy = np.arange(8250, 8450, 1.0)
    spectra = np.stack([absorbance(energy, 8331 + i / 10, seed=i) for i in range(40)])
    found, edges = OwnEdgeNormalization(energy).normalized(spectra)
    for each, normalized, edge in zip(spectra, found, edges, strict=True):
        operator = NormalizationOperator(energy, edge_energy=float(edge))
        assert normalized == pytest.approx(operator.normalized(each), abs=1e-12)


@pytest.fixture(scope="module")
def xraylarch():
    import warnings

    pytest.importorskip("larch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from larch import Group
        from larch.xafs import pre_edge

    def normalized(energy, mu, **parameters):
        group = Group(energy=energy.copy(), mu=mu.copy())
        pre_edge(group, **parameters)
        return group

    return normalized


CURVES = {
    "oxide": lambda e, seed: absorbance(e, 8343.5, seed=seed),
    "weak": lambda e, seed: absorbance(e, 8345.0, step=0.1, seed=seed, noise=3e-4),
    "foil": lambda e, seed: 0.3 + 1.4 * Foil(8333.0)(e) * (e / 8333.0) ** -2.7,
}


@pytest.mark.acceptance
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("stop", [60.0, 250.0, 500.0])
@pytest.mark.parametrize(
    "given",
    [
        {"e0": 8343.2},
        {"e0": 8341.0, "pre1": -120, "pre2": -30, "norm1": 20, "norm2": 52, "nnorm": 1},
        {"e0": 8338.7, "pre1": -90, "pre2": -25, "nnorm": 1},
    ],
)
def test_the_same_ranges_give_what_xraylarch_gives(xraylarch, curve, stop, given):
    energy = grid(8333.0, stop=stop)
    mu = CURVES[curve](energy, 7)
    theirs = xraylarch(energy, mu, **given)
    operator = NormalizationOperator(
        energy,
        edge_energy=given["e0"],
        pre=(given["pre1"], given["pre2"]) if "pre1" in given else None,
        post=(given["norm1"], given["norm2"]) if "norm1" in given else None,
        degree=given.get("nnorm"),
    )
    # 1e-3 of the step is what is promised; it is the same arithmetic, and rounding is left.
    assert operator.normalized(mu) == pytest.approx(theirs.norm, abs=1e-8)
    assert operator.steps(mu) == pytest.approx(theirs.edge_step, rel=1e-8)


@pytest.mark.acceptance
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("seed", [1, 2])
def test_everything_left_to_choose_agrees_with_xraylarch_to_a_percent(xraylarch, curve, seed):
    energy = grid(8333.0, stop=300.0)
    mu = CURVES[curve](energy, seed)
    theirs = xraylarch(energy, mu)
    edge = float(OwnEdgeNormalization(energy).edge_energies(mu)[0])
    operator = NormalizationOperator(energy, edge_energy=edge)
    assert edge == pytest.approx(theirs.e0, abs=1.5)
    assert operator.normalized(mu) == pytest.approx(theirs.norm, abs=0.01)
    assert operator.steps(mu) == pytest.approx(theirs.edge_step, rel=0.01)
