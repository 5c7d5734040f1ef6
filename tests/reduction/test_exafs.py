"""EXAFS against closed forms, against xraylarch, and against shells that were put in."""

import numpy as np
import pytest

from battbeam.errors import ReductionError
from battbeam.reduction.exafs import (
    WAVENUMBER_SQUARED,
    Chi,
    ExafsOptions,
    chi_of_k,
    chi_of_r,
    peaks_of_r,
    r_step,
    wavenumber,
    window,
)
from battbeam.reduction.exafs_fit import Shell, fit_shells, shell_chi
from battbeam.scattering_paths import scattering_path

E0, STEP = 8333.0, 1.0
NI_O, NI_NI = scattering_path("Ni", "O"), scattering_path("Ni", "Ni")


def equation(k, path, number, distance, sigma_squared, amplitude=0.85):
    """The EXAFS equation once more, in complex numbers."""
    f = np.interp(k, path.k, path.amplitude) * np.exp(1j * np.interp(k, path.k, path.phase))
    free = np.interp(k, path.k, path.mean_free_path)
    wave = f * np.exp(2j * k * distance) * np.exp(-2 * (k**2) * sigma_squared - 2 * distance / free)
    return number * amplitude / (k * distance**2) * wave.imag


def grid(k_max=14.0, step=0.04):
    near = np.concatenate([np.arange(-150, -20, 5.0), np.arange(-20, 20, 0.5)])
    k = np.arange(2.3, k_max, step)
    return E0 + np.unique(np.concatenate([near, k**2 / WAVENUMBER_SQUARED]))


def absorbance(energy, shells):
    """Arctangent, white line, sloping background, and the wiggles of shells."""
    above = energy - E0
    smooth = 0.5 * (energy / E0) ** -3
    edge = (0.5 + np.arctan((above - 2) / 1.2) / np.pi) * (
        1 + 0.6 * np.exp(-(((above - 6) / 4) ** 2))
    )
    k = np.maximum(wavenumber(energy, E0), 0.01)
    chi = sum(equation(k, *shell) for shell in shells) / (1 + np.exp(-(k - 2.5) * 6))
    return smooth + STEP * (energy / E0) ** -2.8 * edge + np.where(above > 0, STEP * chi, 0)


SHELLS = ((NI_O, 6, 1.95, 0.006), (NI_NI, 6, 2.87, 0.005))


def begin():
    return [Shell(NI_O, 5, 1.99, 0.008), Shell(NI_NI, 7, 2.83, 0.008, name="metal")]


def test_the_wavenumber_follows_from_the_electrons_energy():
    # hbar^2 k^2 / 2 m = 3.80998 eV at 1 / angstrom
    assert wavenumber(np.array([E0 + 3.80998]), E0)[0] == pytest.approx(1.0, abs=1e-5)
    assert wavenumber(np.array([E0 - 5.0]), E0)[0] == 0.0


def test_a_single_wave_is_a_peak_at_its_distance():
    k = np.arange(0, 14, 0.05)
    nothing = np.full(len(k), np.nan)
    chi = Chi(k, np.sin(2 * k * 2.5) / np.maximum(k, 1) ** 2, nothing, nothing, nothing)
    r, transformed = chi_of_r(chi)
    ((where, _),) = peaks_of_r(r, transformed, limits=(1.5, 3.5), least=0.5)
    assert where == pytest.approx(2.5, abs=0.005)


def test_the_transform_keeps_the_energy_of_the_wiggles():
    # Parseval for f(k) and its transform in 2 R: half of it lies at positive R
    k = np.arange(0, 14, 0.05)
    chi = np.exp(-(((k - 7) / 1.5) ** 2)) * np.sin(2 * k * 3.0)
    options = ExafsOptions(k_range=(1.0, 13.0), k_weight=0.0)
    nothing = np.full(len(k), np.nan)
    _, transformed = chi_of_r(Chi(k, chi, nothing, nothing, nothing), options, r_max=31.4)
    assert np.sum(np.abs(transformed) ** 2) * r_step() == pytest.approx(
        np.sum(chi**2) * 0.05 / 2, rel=1e-3
    )


@pytest.mark.parametrize("shape", ["hanning", "kaiser"])
def test_windows_are_one_inside_and_nothing_outside(shape):
    k = np.array([1.0, 7.5, 14.0])
    values = window(k, (3.0, 12.0), sill=3.0, shape=shape)
    np.testing.assert_allclose(values, [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_two_shells_are_recovered_from_a_spectrum_with_noise(seed):
    rng = np.random.default_rng(seed)
    distances = 1.95 + rng.uniform(-0.05, 0.05), 2.87 + rng.uniform(-0.05, 0.05)
    disorders = rng.uniform(0.003, 0.008, 2)
    shells = tuple(
        (path, 6, distance, disorder)
        for path, distance, disorder in zip((NI_O, NI_NI), distances, disorders, strict=True)
    )
    energy = grid()
    # 1e7 counts a point behind and before the sample
    error = np.full(len(energy), np.sqrt(2e-7))
    seen = absorbance(energy, shells) + rng.normal(0, error)
    chi = chi_of_k(energy, seen, edge_energy=E0, edge_step=STEP, error=error)
    found = fit_shells(chi, begin(), r_range=(1.0, 3.1))
    for name, distance, disorder in zip(("O", "metal"), distances, disorders, strict=True):
        # rows B14 and B25; what the background leaves is beyond counting
        assert found.values[name]["distance"] == pytest.approx(distance, abs=0.005)
        assert found.values[name]["sigma_squared"] == pytest.approx(disorder, abs=5e-4)
        assert found.values[name]["number"] == pytest.approx(6.0, abs=0.3)
    assert found.r_factor < 0.01


def test_a_step_that_falls_behind_the_edge_is_no_disorder():
    # All absorption of the K shell falls, the wiggles with it.
    energy = grid()
    whole = absorbance(energy, SHELLS)
    smooth = absorbance(energy, ())
    seen = smooth + (whole - smooth) * (energy / E0) ** (-8 / 3)
    found = {}
    for power in (0.0, 8 / 3):
        options = ExafsOptions(step_decay=power)
        chi = chi_of_k(energy, seen, edge_energy=E0, edge_step=STEP, options=options)
        fit = fit_shells(chi, begin(), r_range=(1.0, 3.1), options=options)
        found[power] = np.array([fit.values[n]["sigma_squared"] for n in ("O", "metal")])
    np.testing.assert_allclose(found[8 / 3], [0.006, 0.005], atol=2e-4)
    # exp(-2 k^2 s) is (E / E0)^(-8/3) to first order, with s = 4/3 / (E0 2 m / hbar^2).
    excess = 4 / 3 / (E0 * WAVENUMBER_SQUARED)
    np.testing.assert_allclose(found[0.0] - found[8 / 3], excess, rtol=0.2)


def test_errors_are_those_of_counting_where_the_model_holds():
    # chi itself with noise: no background, so that only counting is left
    k = np.arange(0.05, 14, 0.05)
    true = [Shell(NI_O, 6, 1.95, 0.006), Shell(NI_NI, 6, 2.87, 0.005, name="metal")]
    clean = shell_chi(k, true, amplitude=0.85)
    pulls = []
    for seed in range(60):
        error = np.full(len(k), 2e-3)
        noisy = clean + np.random.default_rng(seed).normal(0, error)
        found = fit_shells(Chi(k, noisy, error, k, k), begin(), r_range=(1.0, 3.1))
        for name, shell in zip(("O", "metal"), true, strict=True):
            pulls.append(
                [
                    (found.values[name][each] - getattr(shell, each)) / found.errors[name][each]
                    for each in ("number", "distance", "sigma_squared")
                ]
            )
    spread = np.std(pulls, axis=0)
    # The points that a transform leaves independent are a rule of thumb: errors within 40 %.
    assert np.all((spread > 0.6) & (spread < 1.4)), spread
    # 120 pulls, a mean beyond 4 standard errors in one of 1e4
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 4 / np.sqrt(120) * spread.max())


def test_a_pair_without_a_change_shows_none():
    energy, found = grid(), []
    error = np.full(len(energy), np.sqrt(2e-7))
    for seed in (11, 12):
        seen = absorbance(energy, SHELLS) + np.random.default_rng(seed).normal(0, error)
        chi = chi_of_k(energy, seen, edge_energy=E0, edge_step=STEP, error=error)
        found.append(fit_shells(chi, begin(), r_range=(1.0, 3.1)).values["O"]["distance"])
    assert abs(found[1] - found[0]) < 0.003


def test_the_model_of_a_fit_is_the_transform_of_its_shells():
    k = np.arange(0.0, 14, 0.05)
    shells = [Shell(NI_O, 6, 1.95, 0.006), Shell(NI_NI, 6, 2.87, 0.005, name="metal")]
    values = shell_chi(np.maximum(k, 1e-3), shells, amplitude=0.85)
    chi = Chi(k, values, np.full(len(k), 1e-3), k, k)
    found = fit_shells(chi, begin(), r_range=(1.0, 3.1))
    r, transformed = chi_of_r(chi)
    inside = (r >= found.r[0] - 1e-9) & (r <= found.r[-1] + 1e-9)
    np.testing.assert_allclose(found.r, r[inside], atol=1e-9)
    largest = np.abs(transformed).max()
    np.testing.assert_allclose(found.model, transformed[inside], atol=1e-3 * largest)


def test_a_wrong_path_is_seen_in_the_misfit():
    energy = grid()
    seen = absorbance(energy, SHELLS)
    chi = chi_of_k(energy, seen, edge_energy=E0, edge_step=STEP)
    wrong = [Shell(NI_NI, 5, 1.99, 0.008), Shell(NI_O, 7, 2.83, 0.008)]
    assert fit_shells(chi, wrong, r_range=(1.0, 3.1)).r_factor > 0.05
    assert fit_shells(chi, begin(), r_range=(1.0, 3.1)).r_factor < 0.01


def test_what_is_fixed_stays_and_has_no_error():
    energy = grid()
    chi = chi_of_k(energy, absorbance(energy, SHELLS), edge_energy=E0, edge_step=STEP)
    shells = [Shell(NI_O, 6, 1.99, fixed=("number",)), Shell(NI_NI, 6, 2.83, name="metal")]
    found = fit_shells(chi, shells, r_range=(1.0, 3.1))
    assert found.values["O"]["number"] == 6
    assert np.isnan(found.errors["O"]["number"])


def test_a_spectrum_that_ends_too_early_is_refused():
    energy = grid(k_max=9.0)
    with pytest.raises(ReductionError, match=r"ends at k = 8.\d\d 1/angstrom .* wants 12"):
        chi_of_k(energy, absorbance(energy, SHELLS), edge_energy=E0, edge_step=STEP)


def test_more_unknowns_than_independent_points_are_refused():
    energy = grid()
    chi = chi_of_k(energy, absorbance(energy, SHELLS), edge_energy=E0, edge_step=STEP)
    with pytest.raises(ReductionError, match=r"7 values are to be fitted.*independent points"):
        fit_shells(chi, begin(), r_range=(1.6, 2.2))


def test_bad_options_are_refused():
    with pytest.raises(ReductionError, match="k_range must ascend"):
        ExafsOptions(k_range=(12.0, 3.0))
    with pytest.raises(ReductionError, match="clamp not negative"):
        ExafsOptions(clamp=-1.0)
    with pytest.raises(ReductionError, match="has no energy to fix"):
        Shell(NI_O, 6, 1.9, fixed=("energy",))
    with pytest.raises(ReductionError, match="number and a distance above 0"):
        Shell(NI_O, 0, 1.9)


@pytest.mark.acceptance
@pytest.mark.parametrize("noise", [0.0, 5e-4])
def test_chi_agrees_with_xraylarch(noise):
    xafs = pytest.importorskip("larch.xafs", reason="extra larch")
    group = pytest.importorskip("larch").Group
    energy = grid()
    seen = absorbance(energy, SHELLS) + np.random.default_rng(3).normal(0, noise, len(energy))
    theirs = group(energy=energy, mu=seen)
    xafs.autobk(theirs, rbkg=1.0, kweight=1, e0=E0, edge_step=STEP)
    xafs.xftf(theirs, kmin=3, kmax=12, dk=1, window="hanning", kweight=2)
    options = ExafsOptions(background_weight=1.0)
    ours = chi_of_k(energy, seen, edge_energy=E0, edge_step=STEP, options=options)
    inside = (ours.k >= 3) & (ours.k <= 12)
    other = np.interp(ours.k, theirs.k, theirs.chi)
    # 1 % of the largest wiggle
    assert np.abs(ours.chi - other)[inside].max() < 0.01 * np.abs(other[inside]).max()
    r, transformed = chi_of_r(ours, options)
    n = min(len(r), len(theirs.r))
    np.testing.assert_allclose(r[:n], theirs.r[:n], atol=1e-9)
    assert np.abs(transformed[:n] - theirs.chir[:n]).max() < 0.01 * theirs.chir_mag.max()
