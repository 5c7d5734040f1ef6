import numpy as np
import pytest
from spectrum_generator import Beamline, Edge, Foil, grid

from battbeam.errors import ReductionError
from battbeam.reduction.absorbance import (
    Absorbance,
    Photons,
    absorbance_from_fluorescence,
    absorbance_from_transmission,
    find_glitches,
    live_fluorescence,
    photons_from_counts,
)
from battbeam.reduction.spectrum import Spectrum

ENERGY = grid(8333.0)


def spectrum(rng, **changes):
    line = Beamline(Edge(8343.5), Foil(8333.0), **changes)
    return Spectrum(**line.counts(ENERGY, rng)), line


@pytest.mark.parametrize(
    ("gain", "dark", "photons"), [(1, 0, 1e4), (7.5, 300, 1e4), (0.2, 90, 3e3)]
)
def test_errors_of_absorbance_are_those_of_the_scatter(gain, dark, photons):
    rng = np.random.default_rng(4)
    pulls = []
    for _ in range(200):
        counted, line = spectrum(rng, gain=gain, dark=dark, photons=photons, below=0.2, step=0.6)
        found = absorbance_from_transmission(
            photons_from_counts(counted, "i0"), photons_from_counts(counted, "transmitted")
        )
        pulls.append((found.values - line.absorbance(ENERGY)) / found.errors)
    pulls = np.array(pulls)
    # The logarithm of few photons is a little too low: by 1 / (2 n), n = 1000 and more here.
    assert abs(pulls.mean()) < 0.04
    assert pulls.std() == pytest.approx(1, abs=0.02)


def test_an_unknown_dark_rate_counts_in_the_errors():
    counted, _ = spectrum(np.random.default_rng(0), photons=1e3)
    plain = photons_from_counts(counted, "transmitted")
    doubtful = photons_from_counts(
        Spectrum(
            ENERGY,
            counted.exposure,
            counted.i0,
            counted.transmitted,
            dark_rate_error={"transmitted": 20.0},
        ),
        "transmitted",
    )
    extra = doubtful.relative_variance - plain.relative_variance
    assert extra == pytest.approx((20.0 / plain.number) ** 2)


def test_efficiencies_of_the_detectors_make_absorbance_absolute():
    counts = np.full(3, 1000.0)
    counted = Spectrum(
        np.arange(3.0), np.ones(3), counts, counts, efficiency={"i0": 0.1, "transmitted": 0.5}
    )
    found = absorbance_from_transmission(
        photons_from_counts(counted, "i0"), photons_from_counts(counted, "transmitted")
    )
    assert found.values == pytest.approx(np.full(3, np.log(5.0)))
    # Noise is that of the photons that were counted.
    assert found.errors == pytest.approx(np.full(3, np.sqrt(2e-3)))
    assert photons_from_counts(counted, "i0").detected == pytest.approx(counts)


def test_counts_below_the_dark_are_no_photons():
    counted = Spectrum(
        np.arange(2.0), np.ones(2), np.ones(2), np.array([5.0, 50.0]), dark_rate={"transmitted": 9}
    )
    number = photons_from_counts(counted, "transmitted").number
    assert np.isnan(number[0])
    assert number[1] == 41


def test_channels_of_another_length_or_name_are_refused():
    with pytest.raises(
        ReductionError, match=r"transmitted has shape \(2,\), the energies have \(3,"
    ):
        Spectrum(np.arange(3.0), np.ones(3), np.ones(3), np.ones(2))
    with pytest.raises(ReductionError, match="unknown channel it; known: i0, transmitted"):
        Spectrum(*np.ones((4, 3)), dark_rate={"it": 1.0})


def fluorescence(rng, true_rate, *, dead_time, fast=True):
    """Counts of a detector that is blind for a while after each count, photon by photon."""
    output = np.empty(len(true_rate))
    for i, rate in enumerate(true_rate):
        arrivals = np.cumsum(rng.exponential(1 / rate, int(rate + 6 * np.sqrt(rate))))
        arrivals, counted, free = arrivals[arrivals < 1], 0, -1.0
        for each in arrivals:
            if each >= free:
                counted, free = counted + 1, each + dead_time
        output[i] = counted
    ones = np.ones(len(true_rate))
    return Spectrum(
        np.arange(len(true_rate), dtype=float),
        ones,
        1e6 * ones,
        1e6 * ones,
        fluorescence=output,
        fluorescence_input=rng.poisson(true_rate).astype(float) if fast else None,
    )


@pytest.mark.parametrize("way", ["known dead time", "fast channel"])
def test_dead_time_is_put_right(way):
    rate = np.linspace(2e3, 2e4, 40)
    known = way == "known dead time"
    counted = fluorescence(np.random.default_rng(8), rate, dead_time=1e-5, fast=not known)
    assert (counted.fluorescence / rate).min() < 0.86
    found, doubtful = live_fluorescence(counted, dead_time=1e-5 if known else None)
    # Counts behind a dead time scatter a little less than Poisson's.
    pulls = (found.number / rate - 1) / np.sqrt(found.relative_variance)
    assert abs(pulls.mean()) < 4 / np.sqrt(40)
    assert 0.5 < pulls.std() < 1.4
    assert not doubtful.any()


def test_a_large_dead_time_correction_is_doubted():
    counted = fluorescence(np.random.default_rng(8), np.array([1e3, 3e4]), dead_time=2e-5)
    for dead_time in (None, 2e-5):
        assert live_fluorescence(counted, dead_time=dead_time)[1].tolist() == [False, True]


def light(energy, rng, *, photons=1e6, glitches=(), depth=0.25):
    """Photons/s before the sample: less of them in the glitches of a monochromator, eV."""
    share = np.ones(len(energy))
    for glitch in glitches:
        share -= depth * np.exp(-(((energy - glitch) / 0.6) ** 2) / 2)
    counted = rng.poisson(photons * share * (energy / 8333.0) ** -3).astype(float)
    return Photons(counted, 1 / counted, counted)


@pytest.mark.parametrize("fine", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_glitch_of_the_light_is_found_and_its_neighbours_are_kept(fine, width):
    energy = grid(8333.0, fine=fine)
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = 0.5 + Edge(8343.5)(energy) + 1e-3 * rng.normal(size=len(energy))
        at = int(rng.choice(np.flatnonzero((energy > 8352) & (energy < 8358))))
        glitch = np.zeros(len(energy), dtype=bool)
        glitch[at : at + width] = True
        values[glitch] += 0.1
        incident = light(energy, rng)
        incident.number[glitch] *= 0.9
        curve = Absorbance(values, np.full(len(energy), 1e-3))
        found.append(np.array_equal(find_glitches(energy, curve, incident), glitch))
    assert np.mean(found) >= 0.95


def test_a_single_count_gone_wrong_is_found_where_no_feature_is_as_narrow():
    energy, found = grid(8333.0, fine=0.5), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = 0.5 + Edge(8343.5)(energy) + 1e-3 * rng.normal(size=len(energy))
        at = int(rng.choice(np.flatnonzero((energy > 8352) & (energy < 8360))))
        values[at] += 0.05
        curve = Absorbance(values, np.full(len(energy), 1e-3))
        glitches = find_glitches(energy, curve, light(energy, rng))
        found.append(np.array_equal(np.flatnonzero(glitches), [at]))
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("fine", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("area", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("kind", ["transmission", "fluorescence"])
def test_a_peak_before_the_edge_is_no_glitch_and_glitches_are(fine, area, kind):
    energy, n, kept = grid(6539.0, fine=fine), 0, []
    shape = Edge(6551.0, pre_edge=area, pre_edge_energy=6540.5, white_line=0.9)
    glitch = energy[np.searchsorted(energy, 6539 + 24)]
    # On the white line's far side, no smooth place.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        incident = light(energy, rng, photons=1e8, glitches=[glitch])
        dip = 0.1 * np.exp(-(((energy - glitch) / 0.6) ** 2) / 2)
        if kind == "transmission":
            share = np.exp(-0.5 - shape(energy)) * (1 - dip)
            behind = rng.poisson(incident.number * share).astype(float)
            curve = absorbance_from_transmission(incident, Photons(behind, 1 / behind, behind))
        else:
            share = 0.01 * (0.02 + shape(energy)) * (1 - dip)
            emitted = rng.poisson(incident.number * share).astype(float)
            curve = absorbance_from_fluorescence(incident, Photons(emitted, 1 / emitted, emitted))
        found = find_glitches(energy, curve, incident)
        n += found[np.argmin(np.abs(energy - glitch))]
        kept.append(not found[np.abs(energy - glitch) > 2.5].any())
    assert all(kept)
    assert n == 10


@pytest.mark.parametrize("refill", [0.0, 0.02])
@pytest.mark.parametrize("scatter", [0.0, 0.01, 0.05])
def test_light_that_flickers_or_comes_back_makes_no_glitches_of_a_peak(scatter, refill):
    energy, n = grid(6539.0, fine=1.0), 0
    shape = Edge(6551.0, pre_edge=0.3, pre_edge_energy=6540.5, white_line=0.9)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        incident = light(energy, rng, photons=1e8)
        incident.number[:] *= 1 + scatter * rng.normal(size=len(energy))
        # The ring decays and is filled again, somewhere on the peak or the edge.
        incident.number[energy > rng.uniform(6537, 6555)] *= 1 + refill
        values = 0.5 + shape(energy) + 1e-3 * rng.normal(size=len(energy))
        n += find_glitches(energy, Absorbance(values, np.full(len(energy), 1e-3)), incident).sum()
    assert n == 0


@pytest.mark.parametrize("fine", [0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("noise", [1e-4, 1e-3, 1e-2])
def test_neither_noise_nor_jitter_nor_edges_are_glitches(fine, noise):
    energy, n = grid(8333.0, fine=fine), 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        true = energy + 0.02 * rng.normal(size=len(energy))
        for shape in (Edge(8343.5, white_line=0.9, width=1.8), Foil(8333.0)):
            values = shape(true) + noise * rng.normal(size=len(energy))
            curve = Absorbance(values, np.full(len(energy), noise))
            n += find_glitches(energy, curve, light(energy, rng)).sum()
    assert n == 0


def test_fluorescence_over_i0_has_the_errors_of_its_scatter():
    rng = np.random.default_rng(2)
    i0, emitted = rng.poisson(1e5, 4000).astype(float), rng.poisson(2e3, 4000).astype(float)
    counted = Spectrum(np.arange(4000.0), np.ones(4000), i0, i0, fluorescence=emitted)
    found = absorbance_from_fluorescence(
        photons_from_counts(counted, "i0"), photons_from_counts(counted, "fluorescence")
    )
    assert ((found.values - 0.02) / found.errors).std() == pytest.approx(1, abs=0.04)
