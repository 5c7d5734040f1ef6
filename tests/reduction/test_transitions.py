import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.transitions import collapse, transition

AT = np.arange(25.0, 455.0, 5.0)


def logistic(half, width):
    return 1 / (1 + np.exp(-(AT - half) / width))


@pytest.mark.parametrize("levels", [None, (0.0, 1.0)])
@pytest.mark.parametrize(("half", "width"), [(230.0, 10.0), (305.0, 15.0)])
def test_half_width_and_onset_come_back_within_honest_errors(levels, half, width):
    pulls = {"half": [], "width": [], "onset": []}
    truth = {"half": half, "width": width, "onset": half - width * np.log(19)}
    for seed in range(80):
        rng = np.random.default_rng(seed)
        sigma = 0.005 + 0.01 * rng.random(len(AT))
        found = transition(
            AT, logistic(half, width) + sigma * rng.normal(size=len(AT)), sigma, levels=levels
        )
        for name, each in pulls.items():
            each.append((getattr(found, name) - truth[name]) / getattr(found, f"{name}_error"))
        assert 0.4 < found.residual < 1.8
    for each in pulls.values():
        assert_honest(each)


def test_the_error_is_that_of_the_fraction_over_the_slope():
    # Of frames every 5 K, 2 * 10 / 5 see most of the slope 1 / (4 * 10 K).
    found = transition(AT, logistic(230, 10), np.full(len(AT), 0.01), levels=(0.0, 1.0))
    assert found.half_error == pytest.approx(0.01 * 40 / np.sqrt(5), rel=0.4)


def test_a_phase_that_vanishes_has_a_transition_like_one_that_appears():
    sigma = np.full(len(AT), 0.01)
    found = transition(AT, 0.9 - 0.8 * logistic(190, 8), sigma)
    assert (found.half, found.width) == (pytest.approx(190), pytest.approx(8))
    assert found.levels == (pytest.approx(0.9), pytest.approx(0.1))


def test_a_later_phase_that_takes_the_earlier_ones_place_is_a_transition_of_its_own():
    """Spinel appears and goes: layered and rock salt say where, spinel alone does not."""
    first, second = logistic(230, 10), logistic(305, 10)
    sigma = np.full(len(AT), 0.01)
    assert transition(AT, 1 - first, sigma).half == pytest.approx(230, abs=0.1)
    assert transition(AT, first * second, sigma).half == pytest.approx(305, abs=0.1)
    with pytest.raises(ReductionError, match="no transition between 25 and 450 degC"):
        transition(AT, first * (1 - second), sigma)


def test_rows_that_are_not_known_are_left_out():
    fraction = logistic(230, 10)
    fraction[::7] = np.nan
    assert transition(AT, fraction, np.full(len(AT), 0.01)).half == pytest.approx(230)


def test_a_ramp_that_ends_before_the_middle_has_no_transition():
    sigma = np.full(len(AT), 0.01)
    with pytest.raises(ReductionError, match="half of the transition was not reached"):
        transition(AT, logistic(480, 10), sigma, levels=(0.0, 1.0))
    with pytest.raises(ReductionError, match="3 rows cannot say where a transition is"):
        transition(AT[:3], logistic(230, 10)[:3], sigma[:3])


def voltage_of(n=60):
    """Of a charge whose rows are denser above 4.1 V."""
    return np.concatenate([np.linspace(3.6, 4.1, n // 3, endpoint=False), np.linspace(4.1, 4.3, n)])


def lattice(voltage, depth):
    """c rises to 14.48 at 4.05 V and falls smoothly by ``depth`` (angstrom) up to 4.3 V."""
    rise = 14.48 - 0.4 * (voltage - 4.05) ** 2
    after = np.clip(voltage - 4.05, 0, None) / 0.25
    return np.where(voltage < 4.05, rise, 14.48 - depth * after**2)


@pytest.mark.parametrize("depth", [0.43, 0.1])
def test_voltage_and_depth_of_a_collapse_come_back_within_honest_errors(depth):
    voltage, sigma = voltage_of(), 5e-4
    pulls = {"voltage": [], "depth": []}
    # Half of a fall that goes with the square.
    truth = {"voltage": 4.05 + 0.25 * np.sqrt(0.5), "depth": depth}
    for seed in range(80):
        noise = sigma * np.random.default_rng(seed).normal(size=len(voltage))
        found = collapse(voltage, lattice(voltage, depth) + noise, np.full(len(voltage), sigma))
        for name, each in pulls.items():
            each.append((getattr(found, name) - truth[name]) / getattr(found, f"{name}_error"))
    # At its top this c has a kink in its curvature, which is no parabola: 4e-4 angstrom, 0.1 mV.
    assert_honest(pulls["voltage"], bias=0.8)
    assert_honest(pulls["depth"], bias=0.9)
    assert found.voltage_error < 0.003
    assert found.highest_voltage == pytest.approx(4.05, abs=0.03)
    assert found.highest == pytest.approx(14.48, abs=0.001)


def test_a_depth_is_compared_at_one_voltage():
    voltage = voltage_of()
    sigma = np.full(len(voltage), 5e-4)
    found = collapse(voltage, lattice(voltage, 0.43), sigma, upper_voltage=4.2)
    assert found.depth == pytest.approx(0.43 * (0.15 / 0.25) ** 2, abs=0.002)
    assert found.upper_voltage == 4.2
    with pytest.raises(ReductionError, match=r"the rows end at 4\.300 V, before 4\.400 V"):
        collapse(voltage, lattice(voltage, 0.43), sigma, upper_voltage=4.4)


def test_a_lattice_that_does_not_fall_has_depth_zero_and_no_voltage():
    voltage = voltage_of()
    rng = np.random.default_rng(1)
    c = 14.2 + 0.3 * (voltage - 3.6) + 5e-4 * rng.normal(size=len(voltage))
    found = collapse(voltage, c, np.full(len(voltage), 5e-4))
    assert found.depth == pytest.approx(0.0, abs=4e-3)
    assert np.isnan(found.voltage)


def test_a_flat_lattice_has_a_depth_of_its_noise():
    voltage = voltage_of()
    depths = []
    for seed in range(30):
        noise = 5e-4 * np.random.default_rng(seed).normal(size=len(voltage))
        depths.append(collapse(voltage, 14.48 + noise, np.full(len(voltage), 5e-4)).depth)
    assert np.max(np.abs(depths)) < 0.002


def test_a_charge_of_few_rows_is_refused():
    with pytest.raises(ReductionError, match="5 rows of a charge, 8 needed"):
        collapse(np.linspace(4, 4.3, 5), np.full(5, 14.4), np.full(5, 1e-3))
