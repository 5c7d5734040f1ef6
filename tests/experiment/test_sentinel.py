import math

import numpy as np
import pytest

from battbeam.experiment.sentinel import damage_alarm
from battbeam.experiment.spot_comparison import SpotRow

#: Fluence of one exposure, photons/mm2; two cycles have some 240 of them.
EACH = 1e10
#: A tenth of the material within a hundred exposures is worth an alarm.
OF_INTEREST = 0.1 / (100 * EACH)


class Grains:
    """A spot as twenty thousand grains that stop for good, each at a fluence of its own.

    Written apart from the sentinel: grains are drawn and counted, nothing is integrated.
    """

    def __init__(self, rng, *, rate, n=20_000):
        self.ends = np.sort(rng.exponential(1 / rate, n)) if rate else np.full(n, np.inf)
        # How this spot of a fresh cell differs from the mean: contact, inactive share, gradient.
        self.shift, self.inactive, self.bow = rng.normal(0, 0.007, 3)

    def states(self, state, light):
        """Mean over the grains after each exposure, to ``light`` at a ``state`` of the cell."""
        n_stopped = np.searchsorted(self.ends, np.cumsum(light))
        kept = np.cumsum(np.diff(n_stopped, prepend=0) * state)
        mean = (kept + (len(self.ends) - n_stopped) * state) / len(self.ends)
        return mean * (1 + self.inactive) + self.shift + self.bow * 4 * state * (1 - state)


def course(time):
    """State of charge of two cycles at C/5."""
    return np.clip(1 - np.abs(time / 18000 % 2 - 1), 0, 1)


def series(seed, rate, *, quoted=0.01, control_every=12):
    """Two cycles at C/5, an exposure each 5 minutes, the control each hour."""
    rng = np.random.default_rng(seed)
    # Errors are quoted wrong by some 15 %, and one in twenty is three times as large.
    true = quoted * rng.lognormal(0, 0.15)
    rows = []
    for is_control, every in ((False, 1), (True, control_every)):
        time = 300.0 * np.arange(0, 241, every) + 60.0 * is_control
        state, light = course(time), np.full(len(time), EACH)
        noise = true * rng.normal(size=len(time)) * np.where(rng.random(len(time)) < 0.05, 3, 1)
        value = Grains(rng, rate=rate).states(state, light) + noise
        # The state of charge of the cell is known to a thousandth.
        known = state + rng.normal(0, 0.001, len(time))
        columns = (each.tolist() for each in (time, known, value, np.cumsum(light)))
        rows += [
            SpotRow(is_control, moment, soc, found, quoted, fluence)
            for moment, soc, found, fluence in zip(*columns, strict=True)
        ]
    return sorted(rows, key=lambda row: row.time)


def test_a_retarded_spot_is_found_in_most_of_two_hundred_cases():
    rates = np.exp(np.random.default_rng(7).uniform(np.log(0.6), np.log(3.0), 200)) * OF_INTEREST
    found = [
        damage_alarm(series(seed, rate), rate_of_interest=OF_INTEREST).is_found
        for seed, rate in enumerate(rates)
    ]
    assert np.mean(found) >= 0.95


def test_an_undamaged_cell_raises_no_alarm_in_most_of_two_hundred_cases():
    verdicts = [
        damage_alarm(series(1000 + seed, 0.0), rate_of_interest=OF_INTEREST) for seed in range(200)
    ]
    assert np.mean([each.is_found for each in verdicts]) <= 0.05
    pulls = np.array([each.rate / each.rate_error for each in verdicts])
    assert np.mean(np.abs(pulls) < 2) >= 0.93
    assert abs(np.median(pulls)) < 0.3


def test_the_damage_rate_is_that_of_the_truth():
    rate = 2 * OF_INTEREST
    verdicts = [
        damage_alarm(series(2000 + seed, rate), rate_of_interest=OF_INTEREST) for seed in range(200)
    ]
    rates, errors = (np.array([getattr(v, n) for v in verdicts]) for n in ("rate", "rate_error"))
    assert np.median(rates) == pytest.approx(rate, rel=0.05)
    assert np.mean(np.abs(rates / rate - 1) < 0.15) >= 0.8
    # The quoted error is that which is found.
    assert 0.7 < np.std(rates) / np.median(errors) < 1.5


def test_the_alarm_says_when_it_was_raised_and_stays():
    rows = series(3, 3 * OF_INTEREST)
    late = damage_alarm(rows, rate_of_interest=OF_INTEREST)
    until = [row for row in rows if row.time <= late.time + 600]
    early = damage_alarm(until, rate_of_interest=OF_INTEREST)
    assert early.is_found
    assert early.time == late.time < rows[-1].time
    assert late.reason.startswith("the exposed spot lags behind the control: evidence ")


def test_a_value_that_drifts_with_the_light_is_found_in_either_direction():
    rng = np.random.default_rng(5)
    for sign in (-1, 1):
        rows = [
            SpotRow(
                bool(number % 2),
                60.0 * number,
                0.5,
                (0 if number % 2 else sign * 1e-3 * number) + rng.normal(0, 0.01),
                0.01,
                0.0 if number % 2 else 1e9 * number,
            )
            for number in range(120)
        ]
        found = damage_alarm(rows, rate_of_interest=1e-12, effect="drift")
        assert found.is_found
        assert found.rate == pytest.approx(sign * 1e-12, rel=0.15)


def test_two_comparisons_decide_nothing():
    verdict = damage_alarm(series(1, 0.0)[:20], rate_of_interest=OF_INTEREST)
    assert not verdict.is_found
    assert math.isnan(verdict.rate)
    assert verdict.reason == "2 comparison(s) with the control, 3 are needed"


def test_parameters_that_make_no_sense_are_refused_together():
    with pytest.raises(ValueError, match=r"rate_of_interest must be greater than 0, got 0; false"):
        damage_alarm([], rate_of_interest=0, false_alarms=2)
