import numpy as np
import pytest

from battbeam.sim.counters import CounterModel, Photons, glitch_shares, live_share
from battbeam.sim.scenario import Glitch, Spectroscopy

N = 20_000
REFERENCE = (2, 2, 2)


def photons(incident=1e6, behind=3e5, foil=1e5, fluorescence=1e4, n=N):
    return Photons(*(np.full(n, float(value)) for value in (incident, behind, foil, fluorescence)))


def counted(of, *, duration=1.0, gains=REFERENCE, seed=3, **settings):
    model = CounterModel(Spectroscopy(**settings))
    return model.count(of, duration=duration, gains=gains, rng=np.random.default_rng(seed))


def assert_mean(values, expected, *, variance):
    """Within four standard errors."""
    assert abs(values.mean() - expected) < 4 * np.sqrt(variance / len(values))


def test_each_chamber_detects_its_share_of_what_comes_to_it():
    shares = {"transmission_efficiency": 0.1, "reference_efficiency": 0.2}
    found = counted(photons(), dark_rates=(0.0, 0.0, 0.0, 0.0), **shares)
    assert_mean(found.i0, 1e6 * 0.02, variance=1e6 * 0.02)
    assert_mean(found.transmitted, 3e5 * 0.1, variance=3e5 * 0.1)
    # The chamber before it took a tenth.
    assert_mean(found.reference, 1e5 * 0.9 * 0.2, variance=1e5 * 0.9 * 0.2)
    assert found.overloaded == ()


def test_the_noise_is_that_of_photons_however_high_the_gain():
    low, high = (
        counted(photons(incident=5e4), gains=(gain, 2, 2), dark_rates=(0.0,) * 4).i0
        for gain in (2, 3)
    )
    assert_mean(high, 10 * 1000, variance=100 * 1000)
    # Relative variance of 20000 samples: sqrt(2 / N) = 1 %; four of them.
    assert np.var(low) == pytest.approx(1000, rel=0.04)
    assert np.var(high) == pytest.approx(100 * 1000, rel=0.04)


def test_a_gain_that_gives_less_than_a_count_a_photon_rounds_without_bias():
    found = counted(photons(incident=5e3), gains=(0, 2, 2), dark_rates=(0.0,) * 4).i0
    # 100 detected photons of a hundredth of a count; a rounding scatters by p (1 - p) at most.
    assert_mean(found, 1.0, variance=0.01 + 0.25)


@pytest.mark.parametrize(("gain", "rate"), [(0, 100.0), (3, 2000.0)])
def test_without_beam_there_are_the_dark_counts_of_the_gain(gain, rate):
    found = counted(photons(0, 0, 0, 0), duration=2.5, gains=(gain,) * 3)
    assert_mean(found.i0, 2.5 * rate, variance=2.5 * rate)
    assert not found.fluorescence.any()


def test_an_overloaded_chamber_is_named_and_counts_no_more_than_it_can():
    found = counted(photons(incident=1e9, n=3), duration=0.5)
    assert found.overloaded == ("I0",)
    np.testing.assert_array_equal(found.i0, 0.5 * 1e7)


def test_dead_time_is_not_extended_by_photons_that_come_meanwhile():
    found = counted(photons(fluorescence=2e5), duration=0.5, dead_time=2e-6, fast_dead_time=1e-7)
    # 4e5/s: n / (1 + n tau).
    assert_mean(found.fluorescence, 0.5 * 4e5 / 1.8, variance=2e5)
    assert_mean(found.fluorescence_input, 0.5 * 4e5 / 1.04, variance=2e5)
    assert live_share(rate=1e12, dead_time=1e-6) * 1e12 == pytest.approx(1e6)


def test_a_glitch_takes_light_from_i0_and_a_little_more_from_behind_the_sample():
    glitch = Glitch(energy=8431.0, width=0.5, depth=0.4, residue=0.1)
    on_i0, behind = glitch_shares(np.array([8431.0, 8431.5, 8440.0]), [glitch])
    dip = 0.4 * np.exp(-0.5)
    np.testing.assert_allclose(on_i0, [0.6, 1 - dip, 1.0])
    np.testing.assert_allclose(behind, [0.96, 1 - 0.1 * dip, 1.0])
