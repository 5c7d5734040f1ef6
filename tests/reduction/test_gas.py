"""A capillary made of many small volumes in a row and one large one, integrated step by step."""

import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.gas import Capillary, capillary, corrected, peak_temperature

LAG, MIXING, PERIOD = 12.0, 4.0, 2.0
RATE = 5 / 60  # K/s
KNOWN = Capillary(LAG, 0.0, MIXING, 0.0, LAG + MIXING, 0.0)


def seen(source, time, *, step=0.02, lag=LAG, mixing=MIXING):
    """What the spectrometer shows of a source(t), by the differential equation."""
    fine = np.arange(time[0] - 20 * mixing, time[-1] + step, step)
    entering = source(fine - lag)
    decay = np.exp(-step / mixing)
    found, level = np.empty(len(fine)), entering[0]
    for index, value in enumerate(entering):
        level = value + (level - value) * decay
        found[index] = level
    return np.interp(time, fine, found)


def pulse(rng, *, noise, offset=0.0, duration=60.0, height=5.0):
    time = np.arange(-40.0, 180.0, PERIOD) + offset
    clean = seen(lambda t: 1.0 + height * ((t >= 0) & (t < duration)), time)
    return time + 1000.0, clean + noise * rng.normal(size=len(time))


def test_lag_and_mixing_of_a_pulse_come_back_within_honest_errors():
    pulls, lags = {"lag": [], "mixing": [], "delay": []}, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        time, signal = pulse(rng, noise=0.1, offset=rng.uniform(0, PERIOD))
        found = capillary(time, signal, pulse_time=1000.0, duration=60.0, error=0.1)
        lags.append(found.lag)
        for name, truth in (("lag", LAG), ("mixing", MIXING), ("delay", LAG + MIXING)):
            error = getattr(found, f"{name}_error")
            pulls[name].append((getattr(found, name) - truth) / error)
        assert 0.4 < found.residual < 1.8
    for each in pulls.values():
        assert_honest(each)
    # At a signal of 50 times the noise, samples of 2 s tell the lag to a part of a second.
    assert np.std(lags) < 0.3


def test_noise_that_is_not_known_is_taken_from_what_is_left():
    pulls = []
    for seed in range(60):
        time, signal = pulse(np.random.default_rng(seed), noise=0.05)
        found = capillary(time, signal, pulse_time=1000.0, duration=60.0)
        pulls.append((found.delay - LAG - MIXING) / found.delay_error)
        assert np.isnan(found.residual)
    assert_honest(pulls)


def test_the_errors_of_the_delay_are_smaller_than_those_of_its_parts():
    time, signal = pulse(np.random.default_rng(1), noise=0.1)
    found = capillary(time, signal, pulse_time=1000.0, duration=60.0, error=0.1)
    assert found.delay_error < min(found.lag_error, found.mixing_error)


def test_a_pulse_that_is_not_there_is_refused():
    rng = np.random.default_rng(2)
    with pytest.raises(ReductionError, match="no pulse is seen after 1000"):
        capillary(*pulse(rng, noise=0.1, height=0.1), pulse_time=1000.0, duration=60.0, error=0.1)
    with pytest.raises(ValueError, match="duration of the pulse must be greater than 0 s, got 0"):
        capillary(*pulse(rng, noise=0.1), pulse_time=1000.0, duration=0.0)


def released(middle, width):
    """Oxygen of a logistic transition with temperature, as a rate in time."""
    return lambda t: 1 / np.cosh((25 + RATE * t - middle) / (2 * width)) ** 2 / 4


def test_a_corrected_signal_is_that_of_the_source_within_honest_errors():
    source = released(120.0, 10.0)
    time = np.arange(0.0, 2000.0, PERIOD)
    clean = seen(source, time)
    pulls, naive = [], []
    for seed in range(60):
        signal = clean + 0.003 * np.random.default_rng(seed).normal(size=len(time))
        found = corrected(time, signal, np.full(len(time), 0.003), capillary=KNOWN, width=8.0)
        at = 655  # half way down
        pulls.append((found.signal[at] - source(found.time[at])) / found.error[at])
        naive.append((signal[at] - source(time[at])) / 0.003)
        assert found.time[at] == time[at] - LAG
    assert_honest(pulls)
    assert abs(np.mean(naive)) > 2


def ramp(middle=230.0, width=10.0, seed=0, *, noise=0.005, more=None):
    rng = np.random.default_rng(seed)
    time = np.arange(0.0, 4200.0, PERIOD) + rng.uniform(0, PERIOD)
    source = released(middle, width)
    clean = seen(lambda t: source(t) + (0 if more is None else more(t)), time, step=0.1)
    furnace = np.arange(-20.0, 4300.0, 5.0)
    return {
        "time": time,
        "signal": clean + noise * rng.normal(size=len(time)),
        "error": np.full(len(time), noise),
        "furnace_time": furnace,
        "temperature": 25 + RATE * furnace,
        "width": 8.0,
    }


@pytest.mark.parametrize("width", [6.0, 10.0])
def test_the_temperature_of_a_peak_is_that_of_the_sample_within_honest_errors(width):
    pulls, off = [], []
    for seed in range(40):
        found = peak_temperature(**ramp(width=width, seed=seed), capillary=KNOWN)
        off.append(found.temperature - 230.0)
        pulls.append(off[-1] / found.temperature_error)
        assert found.temperature_error == pytest.approx(RATE * found.time_error)
    assert_honest(pulls)
    # The rate at which the sample is heated times the delay: what it is off without.
    naive = Capillary(0.0, 0.0, 1e-6, 0.0, 0.0, 0.0)
    wrong = peak_temperature(**ramp(width=width), capillary=naive).temperature - 230.0
    assert wrong == pytest.approx(RATE * (LAG + MIXING), abs=0.5)
    assert wrong > 3 * np.std(off)


def test_the_error_of_the_lag_is_an_error_of_the_temperature():
    lagging = Capillary(LAG, 2.0, MIXING, 0.0, LAG + MIXING, 2.0)
    found = peak_temperature(**ramp(noise=1e-4), capillary=lagging)
    assert found.temperature_error == pytest.approx(2.0 * RATE, rel=0.02)


def test_of_two_peaks_the_one_asked_for_is_found():
    other = released(305.0, 10.0)
    seen_twice = ramp(noise=0.002, more=lambda t: 2 * other(t))
    first = peak_temperature(**seen_twice, capillary=KNOWN, between=(180.0, 270.0))
    second = peak_temperature(**seen_twice, capillary=KNOWN)
    # Tails of the other, 8 exp(-75 / 10) / 10 per K over the curvature, move the tops by 0.1 K.
    assert first.temperature == pytest.approx(230.0, abs=0.15 + 4 * first.temperature_error)
    assert second.temperature == pytest.approx(305.0, abs=0.15 + 4 * second.temperature_error)


def test_a_range_without_a_peak_is_refused():
    given = ramp(noise=0.001)
    with pytest.raises(ReductionError, match="no peak between 180 and 225 degC"):
        peak_temperature(**given, capillary=KNOWN, between=(180.0, 225.0))
    with pytest.raises(ReductionError, match="no sample between 500 and 600 degC"):
        peak_temperature(**given, capillary=KNOWN, between=(500.0, 600.0))
    few = {name: given[name][::80] for name in ("time", "signal", "error")}
    with pytest.raises(ReductionError, match="samples on the top of the peak, 6 needed"):
        peak_temperature(**given | few, capillary=KNOWN)


def test_a_pulse_in_amperes_says_the_same_as_one_in_larger_units():
    time, signal = pulse(np.random.default_rng(8), noise=0.1)
    asked = {"pulse_time": 1000.0, "duration": 60.0}
    large = capillary(time, signal, error=0.1, **asked)
    small = capillary(time, 1e-11 * signal, error=1e-12, **asked)
    for name in ("lag", "lag_error", "mixing", "mixing_error", "delay", "delay_error"):
        assert getattr(small, name) == pytest.approx(getattr(large, name), rel=1e-3), name
