import pytest

from battbeam.devices.fake_spectroscopy import ready_furnace
from battbeam.devices.fakes import fake
from battbeam.devices.furnace import Furnace
from battbeam.errors import DeviceError


@pytest.fixture
def furnace():
    return ready_furnace(fake(Furnace, name="furnace"))


@pytest.fixture
def slow(furnace):
    """One that is told where to go and does not get there."""
    furnace.setpoint.sim_set_putter(lambda value, **_: told.append(value))
    told = furnace.told = []
    return furnace


def test_it_arrives_where_it_was_sent(furnace):
    furnace.set(250.0).wait(timeout=1)
    assert furnace.position == 250.0
    assert furnace.read()["furnace"]["value"] == 250.0
    assert furnace.describe()["furnace"]["units"] == "degC"


def test_it_has_arrived_within_its_tolerance(slow):
    status = slow.set(250.0)
    slow.readback.sim_put(248.9)
    assert not status.done
    slow.readback.sim_put(249.1)
    status.wait(timeout=1)


def test_a_temperature_outside_the_limits_is_refused(furnace):
    with pytest.raises(ValueError, match="900 degC is outside its limits, 0 to 800 degC"):
        furnace.set(900.0)
    with pytest.raises(ValueError, match="nan degC is outside"):
        furnace.set(float("nan"))


def test_a_stop_on_the_way_holds_the_programme_where_it_is(slow):
    status = slow.set(250.0)
    slow.readback.sim_put(100.0)
    slow.programme.sim_put(101.5)
    slow.stop()
    assert slow.told == [250.0, 101.5]
    with pytest.raises(DeviceError, match=r"stopped at 101\.5 on its way to 250 degC"):
        status.wait(timeout=1)


def test_a_stop_after_it_has_arrived_changes_nothing(furnace):
    furnace.set(250.0).wait(timeout=1)
    furnace.stop()
    assert furnace.setpoint.get() is not None
    assert furnace.position == 250.0


def test_a_ramp_that_takes_too_long_says_from_where(slow):
    with pytest.raises(
        DeviceError, match=r"not at 250 degC within 0 s, it started from 25 degC at 5 K/min"
    ):
        slow.set(250.0, timeout=0.1).wait(timeout=1)


def test_the_time_allowed_goes_with_the_ramp(slow):
    # 225 K at 5 K/min are 2700 s.
    assert slow.set(250.0).timeout == pytest.approx(120 + 1.5 * 2700)
