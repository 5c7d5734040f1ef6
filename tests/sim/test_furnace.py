import asyncio
import math

import numpy as np
import pytest
from caproto import SkipWrite

from battbeam.sim.furnace import FurnaceGroup, FurnaceModel
from battbeam.sim.records import as_text
from battbeam.sim.scenario_spectroscopy import Furnace

START = 1_750_000_000.0


def furnace(**settings):
    return FurnaceModel(Furnace(**settings), start=START)


def integrated(model, times):
    """The sample's temperature by small steps behind a programme that is stepped too."""
    (first, *_) = model._segments
    programme = temperature = first.temperature
    found, dt = [], times[1] - times[0]
    changes = {round(each.begin - START, 6): each for each in model._segments}
    goal, ramp = first.setpoint, first.ramp
    for time in times:
        for begin in [begin for begin in changes if begin <= time - START + 1e-9]:
            goal, ramp = changes[begin].setpoint, changes.pop(begin).ramp
        found.append(temperature)
        temperature += dt / model.settings.time_constant * (programme - temperature)
        programme += float(np.clip(goal - programme, -ramp * dt, ramp * dt))
    return np.array(found)


def test_the_sample_follows_ramps_and_turns_as_a_stepwise_integration_does():
    model = furnace(time_constant=20.0, ramp=60.0)
    model.set(START + 10, setpoint=200.0)
    model.set(START + 60, setpoint=30.0, ramp=120.0)
    model.set(START + 100, setpoint=100.0)
    times = START + np.arange(0, 300, 0.01)
    exact = np.array([model.temperature_at(time) for time in times])
    np.testing.assert_allclose(exact, integrated(model, times), atol=0.05)


def test_the_highest_temperature_is_that_of_all_times_before():
    model = furnace(time_constant=20.0, ramp=60.0)
    model.set(START, setpoint=200.0)
    model.set(START + 60, setpoint=30.0)
    times = START + np.linspace(0, 400, 4001)
    temperatures = [model.temperature_at(time) for time in times]
    highest = [model.highest_until(time) for time in times]
    np.testing.assert_allclose(highest, np.maximum.accumulate(temperatures), atol=1e-2)
    assert highest[-1] > model.temperature_at(START + 60) + 1.0


def test_a_programme_that_is_held_heats_the_sample_no_further_than_it_stays():
    model = furnace(time_constant=10.0, ramp=5.0)
    model.set(START, setpoint=310.0)
    pause = START + 600.0
    behind = model.programme_at(pause) - model.temperature_at(pause)
    # 5 K/min for 10 s.
    assert behind == pytest.approx(5 / 6)
    model.set(pause, setpoint=model.programme_at(pause))
    for since in (0.0, 1.0, 10.0, 100.0):
        held = model.temperature_at(pause + since)
        assert held == pytest.approx(model.programme_at(pause) - behind * math.exp(-since / 10))
        assert model.highest_until(pause + since) == pytest.approx(held, abs=1e-9)


def test_a_programme_that_is_sent_back_to_the_sample_heats_it_further_first():
    model = furnace(time_constant=10.0, ramp=5.0)
    model.set(START, setpoint=310.0)
    pause = START + 600.0
    here = model.temperature_at(pause)
    model.set(pause, setpoint=here)
    assert model.temperature_at(pause + 100.0) == pytest.approx(here, abs=1e-3)
    # It turns where it meets the programme: ramp x lag x (1 - ln 2).
    beyond = 5 / 6 * (1 - math.log(2))
    assert model.highest_until(pause + 100.0) == pytest.approx(here + beyond, abs=1e-6)


def test_the_lag_behind_a_long_ramp_is_its_rate_times_the_time_constant():
    model = furnace(time_constant=30.0, ramp=6.0)
    model.set(START, setpoint=500.0)
    # 0.1 K/s after many time constants.
    assert model.temperature_at(START + 600) == pytest.approx(25 + 60 - 3, abs=1e-6)
    assert model.temperature_at(START + 6000) == pytest.approx(500.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"setpoint": 700.0}, "set-point must lie in 20 to 600 degC, got 700"),
        ({"setpoint": float("nan")}, "got nan"),
        ({"ramp": 0.0}, "ramp must lie in 0.1 to 600 K/min, got 0"),
    ],
)
def test_what_the_furnace_cannot_do_is_refused_and_changes_nothing(settings, words):
    model = furnace()
    with pytest.raises(ValueError, match=words):
        model.set(START, **settings)
    assert (model.setpoint, model.ramp) == (25.0, 5.0)


class Standing:
    rate, time = 1.0, START

    def now(self):
        return self.time


def test_the_record_shows_the_temperature_and_keeps_a_refusal():
    clock = Standing()
    group = FurnaceGroup("FURNACE:", model=furnace(ramp=600.0, time_constant=0.1), clock=clock)
    programmes = []

    async def steps():
        await group.prepare()
        await group.set(setpoint=125.0)
        clock.time += 5
        await group.show_programme()
        programmes.append(group.Programme.value)
        clock.time += 25
        await group.show()
        with pytest.raises(SkipWrite):
            await group.set(setpoint=1e4)

    asyncio.run(steps())
    assert group.Temperature.value == pytest.approx(125.0)
    # 10 K/s for 5 s.
    assert programmes == [pytest.approx(75.0)]
    assert "got 10000" in as_text(group.LastError.value)
    assert group.model.setpoint == 125.0
