"""Light through the wire: what the ledger says is what fell."""

import json

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest

from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.plans.preprocessors import run
from battbeam.plans.stubs import Exposure, expose_point, prepared
from battbeam.session import Session
from battbeam.storage.tail import documents

pytestmark = pytest.mark.ioc

SIZE = (0.3, 0.3)


def lit_and_dark(beamline, spot, n):
    """``n`` exposures, a frame without beam behind each: the truth beside it says what fell so far."""
    stage, detector, notes = beamline.sample_stage, beamline.detector, PointNotes()
    train = FrameTrain(10.0)
    lit = Exposure((detector,), beamline.beam, train)
    dark = Exposure((detector,), beamline.beam, train, with_beam=False)

    def body(_):
        yield from bps.mv(stage.x, spot[0], stage.y, spot[1])
        yield from prepared([detector], train)
        for point in range(n):
            yield from expose_point(lit, notes, 2 * point)
            yield from expose_point(dark, notes, 2 * point + 1)
        yield from bps.mv(stage.x, 0.0, stage.y, 0.0)

    return bpp.stage_wrapper(run(body, {}), [detector])


def test_every_events_fluence_is_that_of_the_truth_within_one_percent(connection):
    spot = (3.3, -2.1)
    with Session(connection) as session:
        (uid,) = session.run(lit_and_dark(session.beamline, spot, n=3))
        ledger = session.beamline.dose_meter.ledger
        sample = session.beamline.dose_meter.sample.get()
        assert ledger.unsettled() == ()
        counted = ledger.fluence(sample, *spot, SIZE)
    lines = documents(connection.spool / f"{uid}.jsonl")
    events = [line.doc["data"] for line in lines if line.name == "event"]
    path = connection.directory / "sim" / "truth.jsonl"
    truth = [json.loads(line) for line in path.read_text().splitlines()[-6:]]
    assert [line["beam"] for line in truth] == [True, False] * 3
    fell = [line["fluence"] for line in truth[1::2]]
    assert [event["fluence"] for event in events[::2]] == pytest.approx(fell, rel=0.01)
    assert [event["fluence"] for event in events[1::2]] == pytest.approx(fell, rel=0.01)
    assert {(event["spot_x"], event["spot_y"]) for event in events} == {spot}
    assert counted == pytest.approx(fell[-1], rel=0.01)
