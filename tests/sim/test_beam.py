import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from battbeam.sim.beam import BeamLog
from battbeam.sim.scenario import Beam

START = 1_750_000_000.0
TOPPED = Beam(lifetime=10_000.0, top_up_interval=60.0, top_up_length=3.0, top_up_dip=0.4)


def open_log(beam):
    log = BeamLog(beam, start=START)
    log.change(START, is_open=True)
    return log


def test_each_injection_fills_the_ring_up():
    log = open_log(TOPPED)
    assert log.ring_current(START + 59.999) == pytest.approx(100 * np.exp(-59.999 / 1e4))
    assert log.ring_current(START + 60.0) == pytest.approx(100.0)
    assert log.ring_current(START + 6030.0) == pytest.approx(100 * np.exp(-30 / 1e4))


def test_part_of_the_photons_is_lost_while_an_injection_lasts():
    log = open_log(TOPPED)
    assert log.flux(START + 61.0) / log.flux(START + 1.0) == pytest.approx(0.6)
    # The simulation starts with a full ring: no injection at its first moment.
    assert log.flux(START + 1.0) == pytest.approx(2e8 * np.exp(-1 / 1e4))


def test_the_photons_of_an_exposure_are_the_integral_of_the_flux():
    lifetime, flux = TOPPED.lifetime, TOPPED.flux

    def photons(first, last):
        """Between two times since the last filling."""
        return flux * lifetime * (np.exp(-first / lifetime) - np.exp(-last / lifetime))

    lost = 0.4 * photons(0.0, 3.0)
    expected = photons(47.0, 60.0) + 2 * (photons(0.0, 60.0) - lost)
    expected += photons(0.0, 21.3) - lost
    log = open_log(TOPPED)
    assert log.instants(START + 47.0, START + 201.3).total == pytest.approx(expected, rel=1e-9)


def test_the_next_top_up_is_counted_down_to_and_zero_while_it_lasts():
    log = open_log(TOPPED)
    assert log.next_top_up(START + 10.0) == pytest.approx(50.0)
    assert log.next_top_up(START + 61.0) == 0.0
    assert log.next_top_up(START + 63.5) == pytest.approx(56.5)
    assert np.isnan(open_log(Beam()).next_top_up(START + 10.0))


def test_an_injection_is_shorter_than_the_time_between_two():
    with pytest.raises(ValidationError, match="top_up_length must be shorter than top_up_interval"):
        Beam(top_up_interval=2.0, top_up_length=2.0)


def test_a_shutter_that_was_closed_all_the_time_let_nothing_through():
    log = BeamLog(Beam(), start=START)
    assert log.was_closed(START)
    log.change(START + 5.0, is_open=True)
    assert not log.was_closed(START)
    log.change(START + 6.0, is_open=False)
    assert not log.was_closed(START + 5.5)
    assert log.was_closed(START + 6.0)


def test_photons_up_to_many_times_are_those_of_the_exposures_between_them():
    beam = Beam(lifetime=50.0, dumps=((20.0, 3.0),), top_up_interval=30.0, top_up_dip=0.5)
    log = BeamLog(beam, start=START)
    log.change(START + 1, is_open=True)
    log.change(START + 41.5, transmission=0.3)
    log.change(START + 47.2, is_open=False)
    times = START + np.sort(np.concatenate([np.linspace(0, 60, 37), [1.0, 20.0, 23.0, 30.0]]))
    cumulative = log.cumulative(times)
    assert cumulative[0] == 0
    between = [log.instants(a, b).total for a, b in itertools.pairwise(times)]
    np.testing.assert_allclose(np.diff(cumulative), between, rtol=1e-9, atol=1e-3)
    assert cumulative[-1] == pytest.approx(log.instants(START, START + 60).total)
