"""Heating with diffraction, and the lag of a mass spectrometer, on instruments that obey at once."""

import json
import math

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky.preprocessors import plan_mutator
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal

from battbeam.devices.fake_spectroscopy import with_spectroscopy
from battbeam.errors import DeviceError, PreflightError
from battbeam.plans.heating_xrd import heated_reduction, heating_xrd
from battbeam.plans.measure_lag import CAPILLARY, capillary_in, capillary_metadata, measure_lag

GRID = (100.0, 105.0, 110.0)


@pytest.fixture
def held(fakes):
    """A furnace that is on its way: 2 K nearer each time that one looks at it."""
    made = with_spectroscopy(fakes)
    furnace, told = made.furnace, []
    furnace.readback.sim_put(95.0)

    def go(value, **_):
        told.append(float(value))
        Signal.put(furnace.setpoint, value, force=True)

    furnace.setpoint.sim_set_putter(go)
    real = furnace.readback.value_now

    def nearer():
        here, goal = float(real()), float(furnace.setpoint.get())
        if told and here < goal:
            for signal in (furnace.readback, furnace.programme):
                Signal.put(signal, min(here + 2.0, goal), force=True)
        return float(real())

    furnace.readback.value_now = nearer
    furnace.told = told
    return made


def heating(held, **options):
    return heating_xrd(
        [held.detector],
        held.furnace,
        **{
            "temperatures": GRID,
            "ramp": 5.0,
            "beam": held.beam,
            "exposure": 1.0,
            "channels": [held.mass_spectrometer.channel],
            **options,
        },
    )


def test_a_pattern_is_taken_each_time_that_a_temperature_is_passed(held, engine, documents):
    engine(heating(held))
    events = documents.events()
    assert [event["point"] for event in events] == [0, 1, 2]
    for event, temperature in zip(events, GRID, strict=True):
        assert event["furnace"] >= temperature - held.furnace.tolerance
    assert held.furnace.told == [110.0, 25.0]
    assert held.furnace.ramp.get() == 5.0
    (start,) = documents.of("start")
    assert start["temperatures"] == list(GRID)
    assert start["channels"] == ["furnace", "mass_spectrometer"]
    streams = {each["name"] for each in documents.of("descriptor")}
    assert streams == {"primary", "furnace_monitor", "mass_spectrometer_monitor"}


def test_a_pause_stops_the_ramp_and_it_goes_on_with_the_plan(held, engine, documents):
    paused = []

    def mutate(message):
        if message.command == "sleep" and not paused and len(documents.events()) == 1:
            paused.append(1)

            def both():
                yield from bps.pause()
                return (yield message)

            return both(), None
        return None, None

    with pytest.raises(RunEngineInterrupted):
        engine(plan_mutator(heating(held, temperatures=(100.0, 160.0)), mutate))
    # It was stopped where it was, on its way.
    assert 100.0 <= held.furnace.told[-1] < 160.0
    engine.resume()
    assert [event["point"] for event in documents.events()] == [0, 1]
    assert held.furnace.told[-2:] == [160.0, 25.0]


def test_however_it_ends_the_furnace_goes_cold_and_the_shutter_is_closed(held, engine):
    def breaks(**_):
        raise RuntimeError("the detector is on fire")

    held.detector.trigger = breaks
    with pytest.raises(RuntimeError, match="on fire"):
        engine(heating(held, after=30.0))
    assert held.furnace.told[-1] == 30.0
    assert held.beam.shutter.position == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperatures": ()}, "temperatures must hold one or more"),
        (
            {"temperatures": (100.0, 110.0, 110.0)},
            r"must ascend: 110 degC is followed by 110 degC \(index 2\)",
        ),
        ({"temperatures": (100.0, 900.0)}, "900 degC is outside its limits, 0 to 800 degC"),
        ({"after": -50.0}, "-50 degC is outside"),
        ({"ramp": 0.0}, r"ramp must be greater than 0 K/min, got 0"),
        (
            {"temperatures": (50.0, 110.0)},
            r"furnace is at 95\.0 degC, above the first temperature, 50 degC",
        ),
    ],
)
def test_what_cannot_be_heated_so_is_refused_before_anything_moves(held, options, words):
    with pytest.raises(PreflightError, match=words):
        next(heating(held, **options))
    assert held.furnace.told == []


def test_phases_of_a_heated_powder_lie_where_the_powder_is(tmp_path):
    asked = heated_reduction(tmp_path, "NCA", 0.3)
    assert [each["phase"] for each in asked["phases"]] == ["NCA", "spinel", "rock_salt"]
    assert {(each["depth"], each["downstream"]) for each in asked["phases"]} == {(0.0, 0.5)}
    assert asked["options"]["initial_lithium_content"][0] == 0.3


def pulsed(held, *, lag=12.0, mixing=4.0, is_open=True):
    """A fake spectrometer that goes on with the clock, and sees its argon late."""
    clock, spectrometer = held.clock, held.mass_spectrometer
    rng, begun = np.random.default_rng(5), []
    Signal.put(spectrometer.ion_current, np.zeros(5), timestamp=clock.time, force=True)

    def put(duration, **_):
        if is_open:
            begun.append((clock.time, float(duration)))
            spectrometer.pulse_start.sim_put(clock.time)
        else:
            spectrometer.last_error.sim_put("the bottle is empty")
        Signal.put(spectrometer.pulse, duration, force=True)

    spectrometer.pulse.sim_set_putter(put)

    def risen(since):
        return -math.expm1(-since / mixing) if since > 0 else 0.0

    def now():
        clock.time += 0.5
        if clock.time % 2.0 == 0.0:
            argon = sum(
                risen(clock.time - lag - begin) - risen(clock.time - lag - begin - duration)
                for begin, duration in begun
            )
            currents = np.array([0.0, 0.0, 0.0, 6e-10 * argon, 0.0]) + rng.normal(0, 1e-11, 5)
            signal = spectrometer.ion_current
            Signal.put(signal, currents, timestamp=clock.time, force=True)
        return clock.time

    clock.now = now
    return held


def lag_of(held, directory):
    return measure_lag(held.mass_spectrometer, clock=held.clock, calibration=directory)


def test_the_lag_is_measured_and_kept(held, engine, documents, tmp_path, monkeypatch):
    monkeypatch.setattr("battbeam.plans.stubs.SLICE", 0.002)
    engine(lag_of(pulsed(held), tmp_path))
    found = capillary_in(tmp_path)
    # Of 2 s samples at 60 deviations; the row itself allows 2 s.
    assert found.lag == pytest.approx(12.0, abs=4 * found.lag_error + 0.05)
    assert found.mixing == pytest.approx(4.0, abs=4 * found.mixing_error + 0.05)
    assert found.lag_error < 0.5
    (verdict,) = documents.events("verdict")
    told = json.loads(verdict["verdict_document"])
    assert told["lag"] == found.lag
    assert told["pulse_duration"] == 20.0
    assert capillary_metadata(tmp_path)["capillary"]["lag"] == found.lag
    assert json.loads((tmp_path / CAPILLARY).read_text()) == told


def test_a_valve_that_does_not_open_is_said(held, engine, tmp_path, monkeypatch):
    monkeypatch.setattr("battbeam.plans.stubs.SLICE", 0.002)
    with pytest.raises(DeviceError, match="argon did not open: the bottle is empty"):
        engine(lag_of(pulsed(held, is_open=False), tmp_path))
    assert capillary_in(tmp_path) is None
    assert capillary_metadata(tmp_path) == {}


def test_a_pulse_without_length_is_refused(held, tmp_path):
    with pytest.raises(PreflightError, match="duration must be greater than 0 s, got 0"):
        next(
            measure_lag(
                held.mass_spectrometer, clock=held.clock, calibration=tmp_path, duration=0.0
            )
        )
