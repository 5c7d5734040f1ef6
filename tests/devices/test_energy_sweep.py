import numpy as np
import pytest

from battbeam.devices.energy_sweep import EnergySweep, Sweep
from battbeam.devices.fake_spectroscopy import FAKE_RATES, ready_sweep
from battbeam.devices.fakes import ManualClock, fake
from battbeam.errors import DeviceError

UP = Sweep(8200.0, 8600.0, 2.0, 400)


@pytest.fixture
def sweep():
    return ready_sweep(fake(EnergySweep, name="energy_sweep"), ManualClock(time=1000.0))


def swept(sweep, how=UP):
    sweep.prepare(how).wait(timeout=1)
    sweep.trigger().wait(timeout=1)
    return {key: reading["value"] for key, reading in sweep.read().items()}


def test_a_reading_has_the_words_of_the_documents_and_arrays_of_one_length(sweep):
    read, arrays = swept(sweep), ["time", "bragg", "i0", "it", "ir", "if", "if_input"]
    assert set(read) == {
        f"sweep_{word}" for word in (*arrays, "direction", "stamp_start", "stamp_end")
    }
    described = sweep.describe()
    for word in arrays:
        assert len(read[f"sweep_{word}"]) == 400
        assert described[f"sweep_{word}"]["shape"] == [400]
        assert described[f"sweep_{word}"]["dtype"] == "array"


def test_what_the_record_has_room_for_beyond_the_sweep_is_left_out(sweep):
    swept(sweep)
    sweep.i0.sim_put(np.arange(4000.0))
    assert sweep.read()["sweep_i0"]["value"] == list(range(400))


def test_a_sweep_down_is_told_from_one_up(sweep):
    assert swept(sweep)["sweep_direction"] == 1
    down = swept(sweep, UP.reversed)
    assert down["sweep_direction"] == -1
    assert down["sweep_bragg"][0] == 8600.0
    assert UP.reversed.reversed == UP


def test_counts_are_those_of_each_sample(sweep):
    read = swept(sweep)
    assert read["sweep_i0"][0] == pytest.approx(FAKE_RATES["i0"] * 2.0 / 400)
    assert read["sweep_stamp_end"] - read["sweep_stamp_start"] == pytest.approx(2.0)
    assert read["sweep_time"][-1] == read["sweep_stamp_end"]


def test_energies_that_are_close_are_not_taken_for_the_same(sweep):
    swept(sweep)
    sweep.prepare(Sweep(8200.1, 8600.0, 2.0, 400))
    assert sweep.start.get() == 8200.1


def test_everything_that_is_wrong_is_told_at_once(sweep):
    faults = Sweep(3000.0, 3000.0, 0.0, 5000).faults((4000.0, 40_000.0))
    assert faults == [
        "sweep: duration must be greater than 0 s, got 0 s",
        "sweep: n_samples must be 2 to 4000, got 5000",
        "sweep: it goes nowhere: start and stop are 3000 eV",
        *["sweep: 3000 eV is outside the monochromator's limits, 4000 to 40000 eV"] * 2,
    ]
    with pytest.raises(ValueError, match="n_samples must be 2 to 4000, got 1"):
        sweep.prepare(Sweep(1.0, 2.0, 1.0, 1))


def test_a_fault_of_the_controller_and_a_sweep_cut_short_are_told(sweep):
    swept(sweep)
    assert sweep.fault_now(2.0) == ""
    sweep.stamp_end.sim_put(1001.0)
    assert sweep.fault_now(2.0) == "swept 1 s of 2 s"
    sweep.fault.sim_put("overload It")
    assert sweep.fault_now(2.0) == "overload It"


def test_a_pause_breaks_a_sweep_off(sweep):
    puts = []
    sweep.go.begin = lambda ended: None
    sweep.go.sim_set_putter(lambda value, **_: puts.append(value))
    sweep.prepare(UP)
    status = sweep.trigger()
    sweep.stop()
    status.wait(timeout=1)
    assert puts == [0]


def test_a_sweep_that_never_ends_says_so(sweep, monkeypatch):
    monkeypatch.setattr("battbeam.devices.energy_sweep.SWEEP_MARGIN", 0.1)
    sweep.go.begin = lambda ended: None
    sweep.prepare(Sweep(1.0, 2.0, 0.01, 2))
    with pytest.raises(DeviceError, match=r"energy_sweep: not swept within 0.11 s"):
        sweep.trigger().wait(timeout=2)
