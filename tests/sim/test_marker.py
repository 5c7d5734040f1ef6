import math

import pytest

from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.marker import HIGH, LOW, Markers, MarkerWriter, Pulse, marker_path

START = 1_750_000_000.0


def test_the_line_is_high_from_the_rising_to_the_falling_edge(tmp_path):
    path = marker_path(tmp_path)
    markers = Markers(path)
    assert markers.level(START) == LOW
    assert markers.next_edge(START) == math.inf
    writer = MarkerWriter(path)
    writer.add(Pulse(START + 10.0, START + 40.0))
    assert [markers.level(START + t) for t in (9.9, 10.0, 39.9, 40.0)] == [LOW, HIGH, HIGH, LOW]
    assert markers.next_edge(START) == START + 10.0
    assert markers.next_edge(START + 10.0) == START + 40.0
    writer.add(Pulse(START + 60.0, START + 90.0))
    assert markers.level(START + 60.0) == HIGH
    assert markers.level(START + 20.0) == HIGH
    assert [pulse.rise - START for pulse in markers.pulses] == [10.0, 60.0]


def test_a_device_sees_the_edges_by_its_own_clock(tmp_path):
    path = marker_path(tmp_path)
    MarkerWriter(path).add(Pulse(START + 100.0, START + 130.0))
    ((rise, fall),) = Markers(path).pulses_on(DeviceClock(START, offset=120.0, drift=0.01))
    assert (rise - START, fall - START) == pytest.approx((221.0, 251.3))


def test_half_an_announcement_is_left_until_it_is_whole(tmp_path):
    path = marker_path(tmp_path)
    MarkerWriter(path).add(Pulse(START, START + 1.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    markers = Markers(path)
    assert markers.level(START) == LOW
    path.write_bytes(whole)
    assert markers.level(START) == HIGH


def test_a_pulse_ends_after_it_begins(tmp_path):
    with pytest.raises(ValueError, match="does not end after it begins"):
        MarkerWriter(marker_path(tmp_path)).add(Pulse(START, START))
