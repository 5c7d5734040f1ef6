import asyncio

import numpy as np
import pytest
from caproto import SkipWrite
from scipy.integrate import solve_ivp

from battbeam.sim.furnace import FurnaceModel
from battbeam.sim.heated_phases import Gas
from battbeam.sim.mass_spectrometer import (
    ARGON,
    CARBON_DIOXIDE,
    OXYGEN,
    MassSpectrometerModel,
    freed_by,
    station_of,
)
from battbeam.sim.records import as_text
from battbeam.sim.scenario import Cell, Furnace, MassSpectrometer, Scenario

START = 1_750_000_000.0


def nothing(_time):
    return Gas(0.0, 0.0)


def model(freed=nothing, **settings):
    return MassSpectrometerModel(MassSpectrometer(**settings), freed=freed, seed=1, start=START)


def test_gas_that_comes_evenly_is_seen_as_it_comes_once_it_was_there_long_enough():
    even = model(lambda t: Gas(2e-8 * max(t - START, 0.0), 0.0))
    assert even.flows(START + 11.9)[OXYGEN] == 0.0
    # Of a step the first-order response is known.
    for after in (2.0, 4.0, 12.0):
        expected = 2e-8 * (1 - np.exp(-after / 4.0))
        assert even.flows(START + 12.0 + after)[OXYGEN] == pytest.approx(expected, rel=2e-2)
    assert even.flows(START + 200)[OXYGEN] == pytest.approx(2e-8, rel=1e-4)


def test_gas_of_a_heated_cathode_is_that_of_a_volume_behind_a_capillary():
    scenario = Scenario(cells=(Cell(chemistry="nca", initial_lithium_content=0.33),))
    furnace = FurnaceModel(Furnace(ramp=20.0), start=START)
    furnace.set(START, setpoint=400.0)
    freed = freed_by(scenario, furnace.highest_until)
    seen = model(freed)

    def rate(time):
        return (freed(time + 0.05).oxygen - freed(time - 0.05).oxygen) / 0.1

    def mixing(since, seen):
        return (rate(START + since - 12.0) - seen) / 4.0

    times = np.arange(400.0, 1000.0, 25.0)
    exact = solve_ivp(mixing, (0.0, 1000.0), [0.0], t_eval=times, max_step=2.0, rtol=1e-6).y[0]
    found = np.array([seen.flows(START + t)[OXYGEN] for t in times])
    np.testing.assert_allclose(found, exact, atol=2e-3 * exact.max())
    assert seen.flows(START + 600)[CARBON_DIOXIDE] == pytest.approx(
        0.3 * seen.flows(START + 600)[OXYGEN]
    )


def test_a_pulse_of_argon_is_seen_late_with_all_that_came():
    one = model(noise=0.0)
    one.pulse(START + 10.0, 20.0)
    times = START + np.arange(0, 200, 0.25)
    argon = np.array([one.flows(t)[ARGON] for t in times])
    assert argon[times < START + 22.0].max() == 0.0
    assert argon.sum() * 0.25 == pytest.approx(3e-8 * 20.0, rel=1e-3)
    middle = float(times @ argon / argon.sum())
    # Middle of the pulse, the capillary, the mean time in the volume.
    assert middle - START == pytest.approx(20.0 + 12.0 + 4.0, abs=0.05)
    with pytest.raises(ValueError, match=r"the valve is open for another 15\.0 s"):
        one.pulse(START + 15.0, 5.0)
    with pytest.raises(ValueError, match=r"a pulse must last 0.1 to 600 s, got 0"):
        one.pulse(START + 50.0, 0.0)


def test_every_cycle_comes_once_at_its_own_time_however_late_one_looks():
    one = model()
    early = list(one.due(START + 5.0))
    one.set_period(3.0)
    late = list(one.due(START + 12.0))
    assert [time - START for time, _ in early + late] == [0.0, 2.0, 4.0, 6.0, 9.0, 12.0]
    with pytest.raises(ValueError, match=r"period must lie in 0.5 to 600 s, got 0.1"):
        one.set_period(0.1)


def test_noise_is_white_about_the_background_and_the_same_again():
    one, other = model(), model()
    currents = np.array([one.currents(START, k) for k in range(400)])
    np.testing.assert_array_equal(currents[7], other.currents(START, 7))
    background = np.array(MassSpectrometer().background)
    # 400 samples: means within 4 of their errors, deviations within 15 %.
    assert np.abs(currents.mean(axis=0) - background).max() < 4 * 1e-11 / 20
    np.testing.assert_allclose(currents.std(axis=0), 1e-11, rtol=0.15)


def test_each_mass_has_a_background():
    with pytest.raises(
        ValueError, match="background must have a value for each of 2 masses, got 5"
    ):
        MassSpectrometer(masses=(28, 32))


class Standing:
    rate, time = 1.0, START

    def now(self):
        return self.time


def test_records_show_every_cycle_and_what_was_refused():
    async def use():
        clock = Standing()
        scenario = Scenario(mass_spectrometer=MassSpectrometer())
        group = station_of(scenario, "X:", clock=clock, heated_to=lambda time: 25.0)
        await group.prepare()
        clock.time = START + 7.0
        await group.show()
        assert group.Cycle.timestamp == START + 6.0
        assert list(group.Masses.value) == [2, 28, 32, 36, 44]
        assert group.Number.value == len(group.Cycle.value) == 5
        assert await group.pulse(20.0) == 20.0
        assert group.PulseStart.value == START + 7.0
        with pytest.raises(SkipWrite):
            await group.pulse(5.0)
        assert "mass spectrometer: the valve is open" in as_text(group.LastError.value)
        assert await group.set_period(4.0) == 4.0
        assert as_text(group.LastError.value) == ""

    asyncio.run(use())


def test_a_scenario_without_one_has_none():
    assert station_of(Scenario(), "X:", clock=Standing(), heated_to=lambda time: 25.0) is None
