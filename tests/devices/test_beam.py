import math

import pytest

from battbeam.devices.beam import Beam
from battbeam.devices.fakes import fake, ready_beam
from battbeam.errors import DeviceError


@pytest.fixture
def beam():
    return ready_beam(fake(Beam, name="beam"))


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        (100.0, ""),
        (math.nan, "ring current not known"),
        (1.0, "ring current 1 mA, below 5 mA"),
    ],
)
def test_not_a_number_and_too_little_current_are_no_beam(beam, current, reason):
    beam.ring_current.sim_put(current)
    assert beam.why_down() == reason


def test_a_short_loss_is_counted(beam):
    beam.ring_current.sim_put(0.0)
    beam.ring_current.sim_put(100.0)
    assert beam.n_losses == 1
    assert beam.why_down() == ""


def test_the_shutter_opens_and_a_stop_closes_it(beam):
    beam.shutter.set(1).wait(timeout=1)
    assert beam.shutter.position == 1
    beam.shutter.stop(success=True)
    assert beam.shutter.position == 0


def test_a_pause_closes_the_shutter(beam):
    beam.shutter.set(1).wait(timeout=1)
    beam.shutter.pause()
    assert beam.shutter.position == 0


def test_a_shutter_knows_whether_somebody_else_has_closed_it(beam):
    shutter = beam.shutter
    shutter.set(1).wait(timeout=1)
    shutter.close()
    shutter.set(1).wait(timeout=1)
    shutter.set(0).wait(timeout=1)
    assert not shutter.was_closed
    shutter.set(1).wait(timeout=1)
    shutter.status.sim_put(0)
    assert shutter.was_closed
    shutter.status.sim_put(1)
    shutter.close()
    # It stays so until it is opened for something else.
    assert shutter.was_closed
    shutter.set(1).wait(timeout=1)
    assert not shutter.was_closed


def test_a_shutter_that_does_not_open_says_so(beam):
    beam.shutter.command.sim_set_putter(lambda _wanted, **_: None)
    with pytest.raises(DeviceError, match=r"beam_shutter: not open within 0.1 s"):
        beam.shutter.set(1, timeout=0.1).wait(timeout=1)


def test_a_shutter_is_open_or_closed_and_nothing_else(beam):
    with pytest.raises(ValueError, match=r"2 is neither 1 \(open\) nor 0 \(closed\)"):
        beam.shutter.set(2)


def test_a_transmission_lies_above_zero_and_at_most_one(beam):
    with pytest.raises(ValueError, match=r"transmission must be above 0 and at most 1, got 1.5"):
        beam.attenuator.set(1.5)


def test_the_attenuator_is_done_when_it_lets_through_what_was_asked(beam):
    status = beam.attenuator.set(0.1)
    assert not status.done
    beam.attenuator.transmission.sim_put(0.1005)
    status.wait(timeout=1)


def test_an_attenuator_without_the_foil_says_so(beam):
    with pytest.raises(DeviceError, match=r"transmission not 0.5 within 0.1 s"):
        beam.attenuator.set(0.5, timeout=0.1).wait(timeout=1)


def test_events_speak_the_words_of_a_method_section(beam):
    assert {"ring_current", "i0", "transmission_counts"} <= set(beam.read())
