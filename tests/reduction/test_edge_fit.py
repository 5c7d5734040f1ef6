import numpy as np
import pytest
from spectrum_generator import Edge, grid

from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.edge_fit import KnownCurve, fit_shift
from battbeam.reduction.xanes_result import Standard

FINE = np.arange(8270.0, 8430.0, 0.1)
KNOWN = KnownCurve(Standard("oxide", FINE, Edge(8343.5)(FINE), edge_position=8343.5))
WINDOW = (8331.5, 8355.5)


def curve(energy, position, rng=None, *, noise=2e-3, jitter=0.0, scale=0.8):
    """A shifted standard on another scale and slope, with noise."""
    rng = rng or np.random.default_rng(0)
    true = energy + jitter * rng.normal(size=len(energy))
    values = 0.3 - 1e-3 * (true - 8343) + scale * Edge(position)(true)
    values = values + noise * rng.normal(size=len(energy))
    return Absorbance(values, np.full(len(energy), max(noise, 1e-9)))


@pytest.mark.parametrize("shift", [-3.3, -0.37, 0.0, 0.06, 1.0, 4.9])
@pytest.mark.parametrize("fine", [0.3, 0.5, 1.0])
def test_a_shift_is_found_whatever_the_scale_and_the_slope(shift, fine):
    energy = grid(8333.0, fine=fine)
    fit = fit_shift(energy, curve(energy, 8343.5 + shift, noise=0.0), KNOWN, window=WINDOW)
    assert fit.shift == pytest.approx(shift, abs=2e-4)
    assert fit.scale == pytest.approx(0.8, rel=1e-3)


@pytest.mark.parametrize("slope", [-0.1, 0.1])
def test_a_slope_many_times_the_edge_does_not_lead_the_search_astray(slope):
    energy = grid(8333.0)
    edge = curve(energy, 8347.6, noise=0.0)
    steep = Absorbance(edge.values + 20 + slope * (energy - 8343), edge.errors)
    fit = fit_shift(energy, steep, KNOWN, window=WINDOW)
    assert fit.shift == pytest.approx(4.1, abs=2e-4)


def pulls(n, **how):
    found = []
    energy = how.pop("energy", grid(8333.0))
    told = how.pop("told", how.get("jitter", 0.0))
    known = how.pop("known", lambda rng: KNOWN)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        shift = rng.uniform(-1, 1)
        fit = fit_shift(
            energy,
            curve(energy, 8343.5 + shift, rng, **how),
            known(rng),
            window=WINDOW,
            jitter=told,
        )
        found.append(((fit.shift - shift) / fit.error, fit.residual))
    return np.array(found).T


@pytest.mark.parametrize("noise", [1e-3, 1e-2])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
@pytest.mark.parametrize("fine", [0.4, 1.0])
def test_errors_are_those_of_the_scatter(noise, jitter, fine):
    found, residual = pulls(200, energy=grid(8333.0, fine=fine), noise=noise, jitter=jitter)
    assert abs(found.mean()) < 4 / np.sqrt(200)
    # 0.05 is the standard deviation of a width from 200 samples.
    assert found.std() == pytest.approx(1, abs=0.18)
    assert residual.mean() == pytest.approx(1, abs=0.1)


def test_jitter_that_nobody_told_of_is_seen_in_the_scatter():
    found, residual = pulls(200, noise=3e-4, jitter=0.03, told=0.0)
    assert residual.min() > 3
    assert found.std() == pytest.approx(1, abs=0.25)


def test_noise_of_the_known_curve_counts_in_the_errors():
    energy = grid(8333.0)

    def noisy(rng):
        values = Edge(8343.5)(energy) + 2e-3 * rng.normal(size=len(energy))
        return KnownCurve(Standard("first", energy, values, np.full(len(energy), 2e-3)))

    found, _ = pulls(200, noise=1e-3, known=noisy)
    assert abs(found.mean()) < 4 / np.sqrt(200)
    assert found.std() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_a_shift_follows_the_edge_better_than_half_height_does(spacing):
    """Half height by a straight line between points is off by hundredths of an eV at 1 eV."""
    energy, position = np.arange(8330.0, 8360.0, spacing), 8343.5 + np.linspace(0, 1, 21)
    halves, shifts = [], []
    for each in position:
        values = Edge(each, white_line=0.8, width=2.0)(energy)
        known = Edge(8343.5, white_line=0.8, width=2.0)(FINE)
        exact = Absorbance(values, np.full(len(energy), 1e-4))
        fit = fit_shift(
            energy, exact, KnownCurve(Standard("same", FINE, known)), window=(8335, 8352)
        )
        shifts.append(8343.5 + fit.shift - each)
        halves.append(
            np.interp(0.5, values[: np.argmax(values)], energy[: np.argmax(values)]) - each
        )
    assert np.abs(shifts).max() < 1e-3
    assert np.ptp(halves) > 0.005 * spacing


def test_points_left_out_move_nothing():
    energy = grid(8333.0)
    whole = curve(energy, 8344.1, noise=0.0)
    holes = np.where(np.arange(len(energy)) % 7 == 0, np.nan, whole.values)
    fit = fit_shift(energy, Absorbance(holes, whole.errors), KNOWN, window=WINDOW)
    assert fit.shift == pytest.approx(0.6, abs=2e-4)


def test_no_edge_and_no_points_have_a_reason():
    energy = grid(8333.0)
    flat = Absorbance(np.full(len(energy), 0.4), np.full(len(energy), 1e-3))
    falling = Absorbance(-Edge(8343.5)(energy), np.full(len(energy), 1e-3))
    for each in (falling, flat):
        fit = fit_shift(energy, each, KNOWN, window=WINDOW)
        assert np.isnan(fit.shift)
        assert "no edge" in fit.reason
    few = fit_shift(
        energy[::30], Absorbance(flat.values[::30], flat.errors[::30]), KNOWN, window=WINDOW
    )
    assert np.isnan(few.shift)
    assert "points on the edge, 7 are needed" in few.reason
