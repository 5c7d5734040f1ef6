"""A shutter that somebody else closes in the middle of an exposure: what it spoiled is taken again."""

import json
import threading

import pytest

from battbeam.channel_access import Context
from battbeam.plans.xrd_fly_map import xrd_fly_map
from battbeam.plans.xrd_map import xrd_map
from battbeam.processes import wait_for
from battbeam.session import Session
from tests.rows.wire import events

pytestmark = pytest.mark.ioc

#: Where no other test looks, mm, and points of a row that is flown.
Y, ENDS, N = 4.4, (-0.5, 0.5), 5
#: s of the session's clock: a wall second of a frame, and of the way from one to the next.
EXPOSURE, PERIOD = 60.0, 61.0


class Closing(threading.Thread):
    """Closes the shutter once, in the middle of an exposure, as another program would."""

    def __init__(self, beamline, is_time):
        super().__init__(daemon=True)
        (self.command,) = Context(timeout=5).get_pvs(beamline.beam.shutter.command.pvname)
        self.command.wait_for_connection(timeout=10)
        self.is_time = is_time
        self.start()

    def run(self):
        wait_for(self.is_time, timeout=60, what="the middle of it", interval=0.005)
        self.command.write([0], wait=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.join(timeout=60)


def photons(session, n):
    """On the sample in each of the last frames, as they truly were; a whole exposure is 1."""
    path = session.connection.directory / "sim" / "truth.jsonl"
    found = [json.loads(line)["photons"] for line in path.read_text().splitlines()]
    return [each / max(found[-n:]) for each in found[-n:]]


def options(beamline):
    return {"beam": beamline.beam, "clock": beamline.clock, "exposure": EXPOSURE}


def test_a_point_of_a_map_is_taken_again(connection):
    with Session(connection) as session:
        b, stage = session.beamline, session.beamline.sample_stage
        cam, hdf, shutter = b.detector.cam, b.detector.hdf, b.beam.shutter

        def in_second():
            return hdf.captured.get() == 1 and cam.acquire.get() == 1 and shutter.position == 1

        axes = (stage.y, Y, Y, 1, stage.x, *ENDS, 3)
        with Closing(b, in_second):
            (uid,) = session.run(xrd_map([b.detector], *axes, **options(b)))
        points = events(session, uid, "primary")
        light = photons(session, len(points))
    assert [each["point"] for each in points] == [0, 1, 1, 2]
    assert [each["shutter"] for each in points] == [1, 0, 1, 1]
    assert light[1] < 0.9
    assert min(light[0], *light[2:]) > 0.9


@pytest.mark.acceptance
def test_a_row_of_a_map_is_flown_again(connection):
    with Session(connection) as session:
        b, stage = session.beamline, session.beamline.sample_stage
        axes = (stage.y, Y, Y, 1, stage.x, *ENDS, N)
        with Closing(b, lambda: 2 <= b.fly_detector.n_frames < N - 1):
            (uid,) = session.run(xrd_fly_map(b.fly_detector, *axes, period=PERIOD, **options(b)))
        rows = events(session, uid, "trains")
        light = photons(session, len(rows) * N)
    assert [row["row"] for row in rows] == [0, 0]
    assert [row["shutter"] for row in rows] == [0, 1]
    assert [row["n_frames"] for row in rows] == [N, N]
    assert light[N - 1] < 0.1
    assert min(light[N:]) > 0.9
