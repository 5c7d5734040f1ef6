"""Tomograms on the simulated beamline: pulses of the stage, a camera, and the file between them."""

import h5py
import hdf5plugin  # noqa: F401  registers the filters that frames are compressed with
import numpy as np
import pytest

from battbeam.plans.fields import Fields
from battbeam.plans.tomography import tomography
from battbeam.session import Session
from battbeam.storage.tail import documents

pytestmark = pytest.mark.ioc

#: mm to the side, where the field sees no cell.
OUT = 19.0
BESIDE = "/entry/instrument/NDAttributes"


def taken(beamline, **options):
    return tomography(
        beamline.fly_camera,
        beam=beamline.beam,
        clock=beamline.clock,
        stage=beamline.sample_stage,
        energy=beamline.monochromator.position,
        **{"exposure": 0.02, "period": 0.1, "n_projections": 13, "n_repeats": 0, **options},
    )


class Run:
    """What the spool and the files hold of one run."""

    def __init__(self, connection, uid):
        self.lines = list(documents(connection.spool / f"{uid}.jsonl"))
        self.start = self.of("start")[0]
        self.streams = {doc["uid"]: doc["name"] for doc in self.of("descriptor")}

    def of(self, name):
        return [line.doc for line in self.lines if line.name == name]

    @property
    def trains(self):
        return {
            doc["data"]["role"]: doc["data"]
            for doc in self.of("event")
            if self.streams[doc["descriptor"]] == "trains"
        }

    def frames(self, role):
        train = self.trains[role]
        rows = slice(train["first"], train["first"] + train["n_frames"])
        return read(train["file"], rows)


def read(path, rows):
    with h5py.File(path, "r", libver="latest", swmr=True) as file:
        frames = file["/entry/data/data"][rows].astype(float)
        return frames, {name: file[f"{BESIDE}/{name}"][rows] for name in file[BESIDE]}


def light(frames, dark):
    """Counts without dark, as a full ring would have given them: at 60 times it decays quickly."""
    counts, beside = frames
    return (counts - dark) / beside["RingCurrent"][:, np.newaxis, np.newaxis]


def test_a_turn_and_steps_see_the_same_sample_and_everything_is_put_back(connection):
    with Session(connection) as session:
        beamline = session.beamline
        stage, rotation = beamline.sample_stage, beamline.rotation_stage
        found = (rotation.position, float(rotation.velocity.get()), stage.x.position)
        fields = Fields(flat_offset=OUT, n_darks=4, n_flats=4, max_age=1e6)
        (turned,) = session.run(taken(beamline, fields=fields, label="T-{:03d}"))
        (stepped,) = session.run(taken(beamline, fields=fields, mode="step"))
        assert (rotation.position, float(rotation.velocity.get()), stage.x.position) == found
        assert beamline.beam.shutter.position == 0
        assert beamline.camera.cam.trigger_mode.get() == 0
        counts = rotation.table.counts_per_degree

    flown = Run(connection, turned)
    assert flown.start["label"] == "T-000"
    train = flown.trains["projection"]
    assert (train["fault"], train["beam_lost"], train["n_missed"]) == ("", "", 0)
    frames, beside = flown.frames("projection")
    assert len(frames) == 13
    # The middle of an exposure is at its angle, to a count of the encoder.
    np.testing.assert_allclose(beside["Omega"], np.linspace(0, 180, 13), atol=1.01 / counts)
    ids = beside["NDArrayUniqueId"].astype(int)
    assert np.array_equal(np.diff(ids), np.ones(12))
    assert np.all(beside["Shutter"] == 1)

    darks, _ = flown.frames("dark")
    flats, beside_flats = flown.frames("flat")
    assert np.all(np.abs(beside_flats["SampleX"] - OUT) < 0.01)
    assert flats.mean() > 5 * darks.mean()

    steps = Run(connection, stepped)
    assert steps.start["fields"]["flat"]["earlier"]["file"] == flown.trains["flat"]["file"]
    events = [d["data"] for d in steps.of("event") if steps.streams[d["descriptor"]] == "primary"]
    angles = [event["rotation_stage"] for event in events]
    np.testing.assert_allclose(angles, np.linspace(0, 180, 13), atol=2 / counts)
    (resource,) = steps.of("stream_resource")
    still = read(resource["uri"].removeprefix("file://localhost"), slice(13))
    np.testing.assert_allclose(still[1]["Omega"], np.linspace(0, 180, 13), atol=1.01 / counts)
    dark = darks.mean(axis=0)
    flat = light((flats, beside_flats), dark).mean(axis=0)
    one, other = (
        -np.log(light(each, dark) / flat).mean(axis=(1, 2)) for each in ((frames, beside), still)
    )
    # A turn of 3 degree in an exposure blurs the edges of the sample, and the mean of logarithms is
    # the logarithm of the mean nearly: they agree by some percent where the sample takes a tenth.
    np.testing.assert_allclose(one, other, rtol=0.03)


def test_two_angles_are_seen_again_in_the_same_file(connection):
    with Session(connection) as session:
        fields = Fields(flat_offset=OUT, n_darks=4, n_flats=4, max_age=1e6)
        (uid,) = session.run(taken(session.beamline, fields=fields, n_repeats=2))
        counts = session.beamline.rotation_stage.table.counts_per_degree
    run = Run(connection, uid)
    trains = [doc["data"] for doc in run.of("event") if run.streams[doc["descriptor"]] == "trains"]
    trains = [train for train in trains if train["role"] == "projection"]
    assert [train["arc"] for train in trains] == [0, -1, -1]
    assert [train["fault"] for train in trains] == ["", "", ""]
    (path,) = {train["file"] for train in trains}
    frames, beside = read(path, slice(13 + 4))
    np.testing.assert_allclose(beside["Omega"][13:], [90, 90, 0, 0], atol=1.01 / counts)
    seen = frames / beside["RingCurrent"][:, np.newaxis, np.newaxis]
    # Of one angle there is one image, and no other; a turn of 3 degree blurs the first of them.
    apart = [np.abs(seen[15] - seen[k]).mean() for k in (0, 6)]
    assert apart[0] < 0.5 * apart[1]
