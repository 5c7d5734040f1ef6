import numpy as np
import pytest

from battbeam.sim.monochromator import D_SPACING, Monochromator, angle_at, energy_at
from battbeam.sim.scenario import Beam, Scenario, Spectroscopy
from battbeam.units import HC

STILL = {"energy_drift": 0.0, "energy_repeatability": 0.0}


def monochromator(*, offset=0.0, **settings):
    scenario = Scenario(beam=Beam(energy_offset=offset), spectroscopy=Spectroscopy(**settings))
    return Monochromator(scenario)


def test_angle_and_energy_belong_together():
    # Half the wavelength is the spacing at normal incidence; at 30 degree it is the spacing.
    assert energy_at(30.0) == pytest.approx(HC / D_SPACING)
    for energy in (2500.0, 8333.0, 22163.0):
        assert energy_at(angle_at(energy)) == pytest.approx(energy, rel=1e-12)


def test_an_energy_that_no_angle_reflects_is_refused():
    with pytest.raises(ValueError, match=r"1000 eV is reflected at no angle, the least is 1977\.0"):
        angle_at(1000.0)


def test_an_error_of_the_angle_is_worth_the_energy_that_braggs_law_says():
    crystal = monochromator(bragg_offset=1e-3, **STILL)
    angle = angle_at(8333.0)
    # dE = -E cot(theta) dtheta
    expected = -8333.0 / np.tan(np.radians(angle)) * np.radians(1e-3)
    assert crystal.energy(angle) - 8333.0 == pytest.approx(expected, rel=1e-3)


def test_an_error_of_the_energy_is_the_same_everywhere():
    crystal = monochromator(offset=0.8, **STILL)
    for energy in (7112.0, 22163.0):
        assert crystal.energy(angle_at(energy)) == pytest.approx(energy + 0.8)


def test_a_spectrum_sees_the_drift_and_frames_do_not():
    crystal = monochromator(energy_drift=0.3, energy_repeatability=0.0)
    angle, start = angle_at(8333.0), crystal.scenario.start
    times = start + np.array([0.0, 3600.0, 7200.0])
    shifts = crystal.energy_in_scan(angle, time=times, n_turns=0) - 8333.0
    np.testing.assert_allclose(shifts, [0.0, 0.3, 0.6], atol=1e-9)
    assert crystal.energy(angle) == pytest.approx(8333.0)


def test_what_stays_until_the_axis_turns_round_scatters_as_the_scenario_says():
    crystal = monochromator(energy_drift=0.0, energy_repeatability=0.05)
    angle = angle_at(8333.0)

    def shift(n_turns):
        time = crystal.scenario.start
        return float(crystal.energy_in_scan(angle, time=time, n_turns=n_turns)) - 8333.0

    assert shift(3) == shift(3)
    shifts = [shift(n_turns) for n_turns in range(800)]
    # 800 draws: the deviation is known to 2.5 %, the mean to 0.0018 eV; four of each.
    assert np.std(shifts) == pytest.approx(0.05, rel=0.1)
    assert abs(np.mean(shifts)) < 0.0071
