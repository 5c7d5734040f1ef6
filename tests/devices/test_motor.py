from types import SimpleNamespace

import pytest
from bluesky.magics import BlueskyMagics
from ophyd.utils import ReadOnlyError

from battbeam.devices.fakes import fake, ready_motor
from battbeam.devices.motor import Motor
from battbeam.errors import DeviceError


@pytest.fixture
def motor():
    return ready_motor(fake(Motor, name="x", units="mm"))


def test_a_move_ends_where_it_was_sent(motor):
    motor.set(3.5).wait(timeout=1)
    assert motor.position == 3.5


def test_a_position_outside_the_limits_is_refused_in_units(motor):
    with pytest.raises(ValueError, match=r"x: 25 mm is outside its limits, -20 to 20 mm"):
        motor.set(25)


def test_not_a_number_is_refused(motor):
    with pytest.raises(ValueError, match="nan mm is outside"):
        motor.set(float("nan"))


def test_a_record_that_reports_done_at_zero_after_a_restart_has_failed(motor):
    motor.setpoint.sim_set_putter(lambda _position, **_: motor.is_done.sim_put(0))
    status = motor.set(3.5)
    motor.is_done.sim_put(1)
    with pytest.raises(DeviceError, match=r"came to rest at 0 mm, was sent to 3.5 mm"):
        status.wait(timeout=1)


def test_a_move_that_takes_too_long_says_where_it_was_sent(motor):
    motor.setpoint.sim_set_putter(lambda _position, **_: motor.is_done.sim_put(0))
    with pytest.raises(DeviceError, match=r"x: not at 3.5 mm within 0.1 s"):
        motor.set(3.5, timeout=0.1).wait(timeout=1)


def test_a_stop_halts_the_record_and_fails_the_move(motor):
    motor.setpoint.sim_set_putter(lambda _position, **_: motor.is_done.sim_put(0))
    status = motor.set(3.5)
    motor.stop()
    assert motor.halt.get() == 1
    with pytest.raises(DeviceError, match=r"stopped on its way to 3.5 mm"):
        status.wait(timeout=1)


def test_a_motor_at_rest_is_not_halted(motor):
    motor.halt.sim_put(0)
    motor.stop()
    assert motor.halt.get() == 0


def test_units_and_types_stand_in_the_descriptor(motor):
    assert motor.describe()["x"] | {"units": "mm", "dtype": "number"} == motor.describe()["x"]
    motor.readback.sim_put(3)
    assert isinstance(motor.read()["x"]["value"], float)


def test_where_all_prints_a_motor_with_its_offset(capsys):
    motor = ready_motor(fake(Motor, name="x", units="mm", labels={"motors"}))
    motor.set(3.5).wait(timeout=1)
    motor.user_offset.sim_put(0.25)
    magics = BlueskyMagics()
    magics.shell = SimpleNamespace(user_ns={"x": motor})
    magics.wa("motors")
    assert "x 3.5 -20.0 20.0 0.25" in " ".join(capsys.readouterr().out.split())


def test_the_offset_is_read_only_and_in_no_event(motor):
    with pytest.raises(ReadOnlyError, match="x_user_offset"):
        motor.user_offset.put(1.0)
    assert "x_user_offset" not in {**motor.read(), **motor.read_configuration()}
