"""Transitions of a heated cathode from its rows, and the gas beside them, against closed forms."""

import numpy as np
import pytest
from scipy.signal import lfilter

from battbeam.reduction.gas import Capillary
from battbeam.reduction.heating import (
    CARBON_DIOXIDE,
    OXYGEN,
    gas_of_heating,
    heated_cathode,
)

START, RAMP = 1_750_000_000.0, 5.0 / 60
SPINEL, ROCK_SALT, WIDTH = 190.0, 275.0, 10.0
LAG, MIXING, PERIOD, NOISE = 12.0, 4.0, 2.0, 1e-11
CAPILLARY = Capillary(LAG, 0.1, MIXING, 0.1, LAG + MIXING, 0.1)


def turned(temperature, half):
    return 1 / (1 + np.exp((half - np.asarray(temperature)) / WIDTH))


def rows(rng, *, error=0.003):
    time = START + np.arange(60.0) * 60.0
    temperature = 120.0 + (time - START) * RAMP
    first, second = turned(temperature, SPINEL), turned(temperature, ROCK_SALT)
    exact = {"layered": 1 - first, "rock_salt": first * second}
    found = {"time": time, "temperature": temperature}
    for name, values in exact.items():
        found[name] = values + rng.normal(0, error, len(time))
        found[f"{name}_error"] = np.full(len(time), error)
    return found


def gas(rng):
    """Ion currents: a rate, late by the lag, behind a volume, stepped much finer than its cycles."""
    fine = np.arange(0.0, 3600.0, 0.05)
    temperature = 120.0 + fine * RAMP
    first, second = turned(temperature, SPINEL), turned(temperature, ROCK_SALT)
    rate = np.gradient(0.113 * first * (1 - second) + 0.222 * first * second, fine)
    late = np.interp(fine - LAG, fine, rate)
    share = 1 - np.exp(-0.05 / MIXING)
    seen = lfilter([share], [1, share - 1], late)
    time = START + np.arange(0.0, 3600.0, PERIOD)
    oxygen = 5e-10 * np.interp(time - START, fine, seen) / rate.max()
    currents = np.column_stack([oxygen, 0.3 * oxygen]) + rng.normal(0, NOISE, (len(time), 2))
    return time, currents


def test_transitions_are_where_they_are_with_honest_errors():
    pulls = []
    for seed in range(30):
        found = heated_cathode(**rows(np.random.default_rng(seed)))
        pulls.append((found.spinel.half - SPINEL) / found.spinel.half_error)
        pulls.append((found.rock_salt.half - ROCK_SALT) / found.rock_salt.half_error)
    # 60 pulls: 4 standard errors of their deviation are 0.36.
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.36)


def test_rows_in_any_order_and_a_sample_that_cools_in_between_are_the_same():
    found = rows(np.random.default_rng(1), error=1e-3)
    # At 180 degC it cools to 100 and comes back: nothing turns meanwhile.
    cold = {"time": START + 3600.0 + np.arange(5.0), "temperature": np.full(5, 100.0)}
    for name in ("layered", "rock_salt"):
        cold[name] = np.full(5, found[name][-1])
        cold[f"{name}_error"] = np.full(5, 1e-3)
    both = {name: np.concatenate([found[name], cold[name]]) for name in found}
    shuffled = np.random.default_rng(2).permutation(len(both["time"]))
    again = heated_cathode(**{name: values[shuffled] for name, values in both.items()})
    assert again.spinel.half == pytest.approx(SPINEL, abs=0.3)
    assert again.onset == pytest.approx(SPINEL - WIDTH * np.log(19), abs=0.6)


def test_gas_leaves_fastest_at_the_middle_of_each_transition():
    rng = np.random.default_rng(3)
    found, (time, currents) = rows(rng), gas(rng)
    furnace = START + np.arange(0.0, 3600.0, 12.0)
    asked = {
        "time": time,
        "currents": currents,
        "masses": np.array([OXYGEN, CARBON_DIOXIDE], dtype=float),
        "furnace_time": furnace,
        "temperature": 120.0 + (furnace - START) * RAMP,
        "cathode": heated_cathode(**found),
    }
    peaks = gas_of_heating(**asked, capillary=CAPILLARY)
    assert peaks.faults == ()
    for mass, wide in ((OXYGEN, 1.0), (CARBON_DIOXIDE, 2.0)):
        for name, half in (("spinel", SPINEL), ("rock_salt", ROCK_SALT)):
            peak = peaks.peaks[mass][name]
            assert peak.temperature == pytest.approx(half, abs=wide)
            # The top is no parabola: 0.1 K of it.
            assert abs(peak.temperature - half) < 4 * np.hypot(peak.temperature_error, 0.1)
    # Without the lag the sample seems hotter, by as much as it was heated meanwhile.
    naive = gas_of_heating(**asked, capillary=Capillary(0.0, 0.0, 1e-6, 0.0, 0.0, 0.0))
    late = naive.peaks[OXYGEN]["spinel"].temperature - peaks.peaks[OXYGEN]["spinel"].temperature
    assert late == pytest.approx((LAG + MIXING) * RAMP, abs=0.05)


def test_what_was_not_recorded_is_said():
    rng = np.random.default_rng(4)
    time, currents = gas(rng)
    told = gas_of_heating(
        time=time,
        currents=currents[:, :1],
        masses=np.array([OXYGEN]),
        furnace_time=time,
        temperature=20.0 + 0 * time,
        cathode=heated_cathode(**rows(rng)),
        capillary=CAPILLARY,
    )
    assert told.faults[-1] == "mass 44 was not recorded"
    assert "mass 32 at spinel: no sample between" in told.faults[0]
    assert told.peaks == {}
