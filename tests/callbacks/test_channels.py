"""Channels of their own rates beside frames, and the temperature of a frame by time."""

import math

import pytest

from battbeam.callbacks.channels import Channels, channel_of
from battbeam.callbacks.live_xrd import LiveXrd, reduce_run
from tests.callbacks.test_live_xrd import START, Beamline, SumReducer, rows


@pytest.fixture
def beamline(tmp_path):
    made = Beamline(tmp_path)
    made.write_log(4000.0)
    key = {"source": "PV", "dtype": "number", "shape": [], "units": "degC"}
    stream = made.bundle.compose_descriptor(name="furnace_monitor", data_keys={"furnace": key})
    made._say("descriptor", stream.descriptor_doc)

    def heated(*samples):
        for time, temperature in samples:
            event = stream.compose_event({"furnace": temperature}, {"furnace": START + time})
            made._say("event", event)

    made.heated = heated
    return made


def frame(beamline, stamp):
    beamline.write_frame(stamp=stamp)
    beamline.event(stamp)


def reduced(beamline):
    beamline.stop()
    return rows(reduce_run(beamline.documents, make_reducer=lambda *_: SumReducer()))


def test_a_frame_has_the_temperature_of_the_middle_of_its_exposure(beamline):
    # 1/12 K a s; a frame of 10 s whose stamp comes half a second after it: its middle was 5.5 s ago.
    beamline.heated((0.0, 100.0), (30.0, 102.5))
    frame(beamline, 25.0)
    beamline.heated((60.0, 105.0))
    first, *_ = reduced(beamline)
    assert first["temperature"] == pytest.approx(100.0 + 19.5 / 12, abs=1e-9)


def test_a_frame_in_a_gap_or_after_the_last_sample_has_none(beamline):
    beamline.heated((0.0, 100.0), (500.0, 140.0))
    frame(beamline, 250.0)
    frame(beamline, 700.0)
    assert [math.isnan(row["temperature"]) for row in reduced(beamline)] == [True, True]


def test_what_is_said_after_a_frames_event_changes_nothing_so_live_is_as_replayed(beamline):
    beamline.heated((0.0, 100.0), (30.0, 102.5))
    frame(beamline, 25.0)
    beamline.heated((19.0, 150.0))
    beamline.stop()
    found = []
    live = LiveXrd(lambda *each: found.append(each), make_reducer=lambda *_: SumReducer())
    for name, doc in beamline.documents:
        live(name, doc)
        live.poll()
    live.finish()
    (row,) = rows(found)
    (again,) = rows(reduce_run(beamline.documents, make_reducer=lambda *_: SumReducer()))
    assert row["temperature"] == again["temperature"] == pytest.approx(100.0 + 19.5 / 12)


def test_a_channel_is_in_the_order_of_time_with_its_unit_and_gaps(beamline):
    beamline.heated((4.0, 3.0), (0.0, 1.0), (2.0, 2.0), (40.0, 9.0))
    found = channel_of(beamline.documents, "furnace")
    assert (found.time - START).tolist() == [0.0, 2.0, 4.0, 40.0]
    assert found.values.tolist() == [1.0, 2.0, 3.0, 9.0]
    assert found.unit == "degC"
    assert found.gaps(2.0) == [(START + 4.0, START + 40.0)]
    assert not len(channel_of(beamline.documents, "pressure").time)
    assert math.isnan(Channels("pressure").at("pressure", START, period=1.0))
