import numpy as np
import pytest

from battbeam.sim.scenario import Cell
from battbeam.sim.scenario import Thermostat as Settings
from battbeam.sim.thermostat import Thermostat

SETTINGS = Settings(ramp=2.0, time_constant=20.0, cell_time_constant=60.0, thermal_resistance=20.0)
CELL = Cell(thermostat=SETTINGS)


def test_a_thermostat_that_is_left_alone_stays():
    thermostat = Thermostat(CELL)
    thermostat.step(3600.0)
    assert (thermostat.temperature, thermostat.cell_temperature) == (25.0, 25.0)


def test_the_holder_ramps_and_then_approaches():
    thermostat = Thermostat(CELL)
    thermostat.set(45.0)
    thermostat.step(300.0)
    assert thermostat.temperature == pytest.approx(35.0)
    thermostat.step(600.0 - 300.0 - 20.0)
    assert thermostat.temperature == pytest.approx(45.0 - 2.0 / 60 * 20.0)
    thermostat.step(20.0)
    assert thermostat.temperature == pytest.approx(45.0 - 2.0 / 60 * 20.0 / np.e)
    thermostat.step(3600.0)
    assert thermostat.temperature == 45.0
    assert thermostat.cell_temperature == pytest.approx(45.0, abs=0.01)


def test_the_holder_never_moves_faster_than_its_ramp():
    thermostat = Thermostat(CELL)
    thermostat.set(-10.0)
    temperatures = [thermostat.temperature]
    for _ in range(3000):
        thermostat.step(1.0)
        temperatures.append(thermostat.temperature)
    assert np.abs(np.diff(temperatures)).max() <= 2.0 / 60 + 1e-9
    assert temperatures[-1] == -10.0


def test_the_cell_lags_by_the_ramp_times_its_time_constant():
    thermostat = Thermostat(CELL)
    thermostat.set(60.0)
    thermostat.step(600.0)
    lag = thermostat.temperature - thermostat.cell_temperature
    assert lag == pytest.approx(2.0 / 60 * 60.0, rel=0.01)


@pytest.mark.parametrize("step", [1.0, 7.5, 300.0])
def test_the_way_does_not_depend_on_the_step(step):
    thermostat = Thermostat(CELL)
    thermostat.set(35.0)
    for _ in range(round(300.0 / step)):
        thermostat.step(step, heat=0.01)
    fine = Thermostat(CELL)
    fine.set(35.0)
    for _ in range(3000):
        fine.step(0.1, heat=0.01)
    assert thermostat.cell_temperature == pytest.approx(fine.cell_temperature, abs=2e-3)


def test_a_cell_that_gives_off_heat_is_warmer_than_its_holder():
    thermostat = Thermostat(CELL)
    thermostat.step(3600.0, heat=0.05)
    assert thermostat.temperature == 25.0
    assert thermostat.cell_temperature == pytest.approx(26.0, abs=1e-3)


def test_what_no_holder_reaches_is_refused():
    with pytest.raises(ValueError, match=r"must lie in -40.0 to 100.0 degC, got 150"):
        Thermostat(CELL).set(150.0)
    with pytest.raises(ValueError, match="duration must not be negative, got -1"):
        Thermostat(CELL).step(-1.0)
