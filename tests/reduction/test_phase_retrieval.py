"""Edges that propagation draws, taken back; propagated by an angular spectrum of their own."""

import numpy as np
import pytest
from phantom_generator import PIXEL, Disc, Scan

from battbeam.errors import ReductionError
from battbeam.reduction.phase_retrieval import retrieve_phase
from battbeam.reduction.tomography import TomographyOptions, TomographyReducer

ENERGY, DELTA_OVER_BETA = 20000.0, 500.0
WAVELENGTH = 12398.42 / ENERGY * 1e-7


def propagated(fine, distance):
    """Intensity behind a sample of one material, given four times as finely as pixels, by Fresnel."""
    wave = np.exp(-fine / 2 - 0.5j * DELTA_OVER_BETA * fine)
    ky, kx = (np.fft.fftfreq(n, PIXEL / 4) for n in fine.shape)
    wave = np.fft.ifft2(
        np.fft.fft2(wave) * np.exp(-1j * np.pi * WAVELENGTH * distance * (ky[:, None] ** 2 + kx**2))
    )
    return as_pixels(np.abs(wave) ** 2)


def as_pixels(fine):
    n_rows, n_columns = fine.shape
    return fine.reshape(n_rows // 4, 4, n_columns // 4, 4).mean(axis=(1, 3))


def smooth_sample():
    y, x = (np.mgrid[: 64 * 4, : 96 * 4] + 0.5) / 4
    return sum(
        0.1 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 5.0**2))
        for a, b in ((22, 30), (40, 60), (32, 48))
    )


@pytest.mark.parametrize("distance", [5.0, 15.0])
def test_the_absorbance_of_one_material_comes_back(distance):
    fine = smooth_sample()
    sample, seen = as_pixels(fine), -np.log(propagated(fine, distance))
    back = retrieve_phase(
        seen[None],
        distance=distance,
        energy=ENERGY,
        delta_over_beta=DELTA_OVER_BETA,
        pixel_size=PIXEL,
    )[0]
    before = np.abs(seen - sample).max()
    # Paganin's equation is of first order in the distance.
    assert np.abs(back - sample).max() < 0.1 * before
    np.testing.assert_allclose(back, sample, atol=0.003)


def test_what_is_uniform_stays():
    values = np.full((2, 8, 16), 0.7)
    back = retrieve_phase(
        values, distance=10.0, energy=ENERGY, delta_over_beta=100.0, pixel_size=PIXEL
    )
    np.testing.assert_allclose(back, values, rtol=1e-5)


@pytest.mark.parametrize(
    "changes", [{"energy": np.nan}, {"distance": 0.0}, {"delta_over_beta": -1.0}]
)
def test_phase_is_not_retrieved_without_what_it_needs(changes):
    wanted = {"distance": 10.0, "energy": ENERGY, "delta_over_beta": 100.0, "pixel_size": PIXEL}
    with pytest.raises(ReductionError, match="phase retrieval wants energy, distance and"):
        retrieve_phase(np.ones((1, 4, 4)), **(wanted | changes))


def test_a_reducer_that_is_asked_for_it_retrieves_the_phase():
    scan = Scan((Disc(0, 0, 0.06, 0.5),), np.arange(90) * 2.0, energy=ENERGY, photons=1e4)
    options = {"propagation_distance": 5.0, "delta_over_beta": DELTA_OVER_BETA}
    plain, retrieved = (
        # The axis is given: so faint a sample does not tell it.
        TomographyReducer(TomographyOptions(axis=scan.axis, **each), (8, 128)).reduce(
            scan.projections()
        )
        for each in ({}, options)
    )
    assert retrieved.valid, retrieved.reason
    # It is a low-pass filter: noise falls, what is uniform stays.
    assert retrieved.noise < plain.noise / 3
    middle = retrieved.volume[4, 54:74, 54:74].mean()
    assert middle == pytest.approx(0.5, rel=0.05)
    lost = TomographyReducer(TomographyOptions(**options), (8, 128)).reduce(
        Scan((Disc(0, 0, 0.06, 0.5),), np.arange(90) * 2.0).projections()
    )
    assert "phase retrieval wants energy" in lost.reason
