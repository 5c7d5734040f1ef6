"""Light through the wire: what the ledger says is what fell."""

import json

import pytest

from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.plans.preprocessors import run
from battbeam.plans.stubs import Exposure, expose_point, prepared
from battbeam.plans.xrd_series import xrd_series
from battbeam.session import Session

pytestmark = pytest.mark.ioc

SIZE = (0.3, 0.3)


def truth(connection):
    path = connection.directory / "sim" / "truth.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def series(beamline, spot, **options):
    stage = beamline.sample_stage
    return xrd_series(
        [beamline.detector],
        beam=beamline.beam,
        clock=beamline.clock,
        positions=[(stage.x, spot[0]), (stage.y, spot[1])],
        **{"exposure": 10.0, "n_points": 3, **options},
    )


def dark_at(beamline, spot):
    """A frame without beam: the truth beside it says what fell on the spot until then."""
    import bluesky.plan_stubs as bps
    import bluesky.preprocessors as bpp

    stage, detector = beamline.sample_stage, beamline.detector
    how = Exposure((detector,), beamline.beam, FrameTrain(1.0), with_beam=False)

    def body(_):
        yield from bps.mv(stage.x, spot[0], stage.y, spot[1])
        yield from prepared([detector], how.train)
        yield from expose_point(how, PointNotes(), 0)
        yield from bps.mv(stage.x, 0.0, stage.y, 0.0)

    return bpp.stage_wrapper(run(body, {}), [detector])


def fallen(session, spot):
    session.run(dark_at(session.beamline, spot))
    return truth(session.connection)[-1]["fluence"]


def counted(session, spot):
    meter = session.beamline.dose_meter
    (uid,) = {meter.sample.get()}
    return meter.ledger.fluence(uid, *spot, SIZE)


def test_the_light_of_a_series_is_that_of_the_truth_within_one_percent(connection):
    spot = (3.3, -2.1)
    with Session(connection) as session:
        session.run(series(session.beamline, spot))
        assert session.beamline.dose_meter.ledger.unsettled() == ()
        assert counted(session, spot) == pytest.approx(fallen(session, spot), rel=0.01)
