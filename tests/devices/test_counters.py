import math

import pytest

from battbeam.connection import CounterCalibration
from battbeam.devices.counters import Counters
from battbeam.devices.fake_spectroscopy import FAKE_DARK_RATE, FAKE_RATES, ready_counters
from battbeam.devices.fakes import ManualClock, fake
from battbeam.errors import DeviceError


@pytest.fixture
def clock():
    return ManualClock(time=1000.0)


@pytest.fixture
def counters(clock):
    made = fake(
        Counters,
        name="counters",
        amplifiers="X:AMP_",
        calibration=CounterCalibration(
            counts_per_photon={"i0": 2e-4, "if": 1.0}, shares={"i0": 0.1, "it": 0.5}, overload=1e7
        ),
    )
    return ready_counters(made, clock)


def counted(counters, dwell):
    counters.prepare(dwell).wait(timeout=1)
    counters.trigger().wait(timeout=1)
    return {key: reading["value"] for key, reading in counters.read().items()}


def test_a_reading_has_the_words_of_the_documents(counters):
    assert set(counted(counters, 2.0)) == {
        f"counters_{word}"
        for word in (["i0", "it", "ir", "if", "if_input", "bragg", "stamp", "elapsed", "preset"])
    }
    units = {key: described["units"] for key, described in counters.describe().items()}
    assert units["counters_i0"] == "count"
    assert units["counters_bragg"] == "degree"
    assert units["counters_stamp"] == "s"


def test_a_count_lasts_as_long_as_it_was_prepared_for(counters, clock):
    read = counted(counters, 2.0)
    assert read["counters_i0"] == 2 * FAKE_RATES["i0"]
    assert (read["counters_preset"], read["counters_elapsed"]) == (2.0, 2.0)
    assert read["counters_stamp"] == clock.time == 1002.0


def test_gains_stand_in_the_configuration(counters):
    counters.amplifier_it.set(1e9).wait(timeout=1)
    read = counters.read_configuration()
    assert read["counters_gain_it"]["value"] == 1e9
    assert read["counters_gain_i0"]["value"] == 1e8
    assert counters.describe_configuration()["counters_gain_it"]["units"] == "V/A"
    assert counters.gains == {"i0": 1e8, "it": 1e9, "ir": 1e8}


def test_a_gain_that_there_is_not_is_refused(counters):
    with pytest.raises(ValueError, match=r"no gain of 2e\+06 V/A; there are 1e\+06, 1e\+07"):
        counters.amplifier_it.set(2e6)


def test_counts_per_photon_go_with_the_gain_but_not_of_a_detector_that_counts(counters):
    told = counters.counts_per_photon({"i0": 1e9, "it": 1e8, "ir": 1e8})
    assert told["i0"] == pytest.approx(2e-3)
    assert told["if"] == 1.0
    assert math.isnan(told["it"])


def test_shares_are_as_the_staff_know_them(counters):
    told = counters.shares()
    assert (told["i0"], told["it"]) == (0.1, 0.5)
    assert math.isnan(told["ir"])


def test_a_chamber_that_light_will_overload_is_told_with_what_fits(counters):
    gains = {"i0": 1e9, "it": 1e9, "ir": 1e9}
    # 1e11 photons/s, a tenth detected, 2e-3 counts each at ten times the reference gain: 2e7.
    (fault,) = counters.overload_faults(1e11, 1.0, gains)
    assert "2e+07 counts/s expected in i0 at 1e+09 V/A, it overloads at 1e+07" in fault
    assert "a gain of at most 5e+08 V/A, or 0.5 of the light" in fault
    assert counters.overload_faults(4e10, 1.0, gains) == []


def test_what_is_not_calibrated_is_not_foretold(clock):
    made = ready_counters(fake(Counters, name="counters", amplifiers="X:AMP_"), clock)
    assert made.overload_faults(1e20, 1.0, made.gains) == []


@pytest.mark.parametrize("dwell", [0.0, -1.0, math.nan, math.inf])
def test_a_dwell_that_is_none_is_refused(counters, dwell):
    with pytest.raises(ValueError, match="counters: dwell must be greater than 0 s"):
        counters.prepare(dwell)


def test_an_overload_is_told_after_the_count(counters):
    counted(counters, 1.0)
    assert counters.fault_now(1.0) == ""
    counters.fault.sim_put("overload I0")
    assert counters.fault_now(1.0) == "overload I0"


def test_a_count_that_somebody_broke_off_is_told(counters):
    counted(counters, 1.0)
    counters.elapsed.sim_put(0.25)
    assert counters.fault_now(1.0) == "counted 0.25 s of 1 s"


def test_a_pause_breaks_a_count_off_and_nobody_waits_for_it(counters, clock):
    puts = []
    counters.count.begin = lambda ended: puts.append(1)
    counters.count.sim_set_putter(lambda value, **_: puts.append(value))
    counters.prepare(100.0)
    status = counters.trigger()
    assert not status.done
    counters.pause()
    status.wait(timeout=1)
    assert puts == [1, 0]
    counters.pause()
    assert puts == [1, 0]


def test_a_count_that_never_ends_says_so(counters, monkeypatch):
    monkeypatch.setattr("battbeam.devices.counters.COUNT_MARGIN", 0.1)
    counters.count.begin = lambda ended: None
    counters.prepare(0.01)
    with pytest.raises(DeviceError, match=r"counters: not counted within 0.11 s"):
        counters.trigger().wait(timeout=2)


def test_without_light_the_dark_is_counted(clock):
    made = fake(Counters, name="counters", amplifiers="X:AMP_")
    dark = ready_counters(made, clock, lambda: False)
    assert counted(dark, 3.0)["counters_it"] == 3 * FAKE_DARK_RATE
