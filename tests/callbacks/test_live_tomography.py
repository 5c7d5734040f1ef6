"""Projections become volumes, live as afterwards; what is missing is told, never made up."""

import h5py
import numpy as np
import pytest

from battbeam.callbacks.frames import ATTRIBUTES, EPICS_EPOCH
from battbeam.callbacks.live_run import reduced
from battbeam.callbacks.live_tomography import LiveTomography
from battbeam.callbacks.methods import reduced_again

N_ROWS, N_COLUMNS, N, PIXEL = 4, 64, 90, 0.01
#: A disc of radius 12 pixels, 5 pixels from the axis, of 2 / mm; the axis at 33.3.
RADIUS, AWAY, MU, AXIS = 12.0, 5.0, 2.0, 33.3
START = 1000.0


def chord(omega):
    """Pixels of the disc's path at each column, averaged over nine places in a column."""
    middle = AXIS + AWAY * np.cos(np.radians(omega))
    fine = (np.arange(N_COLUMNS * 9) + 0.5) / 9 - 0.5
    path = 2 * np.sqrt(np.clip(RADIUS**2 - (fine - middle) ** 2, 0, None))
    return path.reshape(N_COLUMNS, 9).mean(axis=1)


def write(path, frames, omegas, *, first_time, i0=1000.0, lost=()):
    with h5py.File(path, "w") as file:
        file["/entry/data/data"] = np.asarray(frames, dtype=np.uint32)
        n = len(frames)
        values = {
            "NDArrayTimeStamp": first_time + np.arange(n) + 0.5 - EPICS_EPOCH,
            "Omega": np.asarray(omegas, dtype=float),
            "I0": np.where(np.isin(np.arange(n), lost), 0.0, i0),
            "RingCurrent": np.full(n, 100.0),
            "Shutter": np.ones(n),
        }
        for name, value in values.items():
            file[f"{ATTRIBUTES}/{name}"] = value


class Recorded:
    """Documents of a fly tomogram, whose frames lie in files."""

    def __init__(self, directory, *, seed=1, flats=True, lost=(), n=N):
        rng = np.random.default_rng(seed)
        flat = 5000 * (1 + 0.1 * rng.random((N_ROWS, N_COLUMNS)))
        dark = 20.0
        omegas = np.arange(n) * 180 / N
        seen = [rng.poisson(flat * np.exp(-MU * PIXEL * chord(omega)) + dark) for omega in omegas]
        for k in lost:
            seen[k] = rng.poisson(np.full_like(flat, dark))
        files = {
            "dark": (rng.poisson(dark, (10, N_ROWS, N_COLUMNS)), np.full(10, np.nan), START - 40),
            "flat": (
                rng.poisson(flat + dark, (10, N_ROWS, N_COLUMNS)),
                np.full(10, np.nan),
                START - 20,
            ),
            "primary": (np.array(seen), omegas, START),
        }
        if not flats:
            del files["flat"]
        self.documents = [("start", self.start())]
        for name, (frames, angles, time) in files.items():
            path = directory / f"{name}.h5"
            write(path, frames, angles, first_time=time, lost=lost if name == "primary" else ())
            self._stream(name, path, len(frames))
        self.documents.append(("stop", {"time": 2000.0, "exit_status": "success", "reason": ""}))

    def start(self):
        return {
            "uid": "raw",
            "time": 900.0,
            "exposure": 1.0,
            "tomography": {"pixel_size": PIXEL, "energy": 20000.0, "n_projections": N},
            "fields": {"dark": {"at": ["start"]}, "flat": {"at": ["start"]}},
            "reduction": {"method": "tomography", "ring_width": 0},
        }

    def _stream(self, name, path, n):
        image = {"external": "STREAM:", "shape": [N_ROWS, N_COLUMNS]}
        descriptor = {
            "uid": name,
            "name": name,
            "data_keys": {"camera_image": image},
            "configuration": {},
        }
        resource = {
            "uid": f"file of {name}",
            "data_key": "camera_image",
            "mimetype": "application/x-hdf5",
            "uri": f"file://localhost{path}",
            "parameters": {"dataset": "/entry/data/data"},
        }
        self.documents += [("descriptor", descriptor), ("stream_resource", resource)]
        for first in range(0, n, 10):
            stop = min(first + 10, n)
            datum = {
                "descriptor": name,
                "stream_resource": f"file of {name}",
                "indices": {"start": first, "stop": stop},
                "seq_nums": {"start": first + 1, "stop": stop + 1},
            }
            self.documents.append(("stream_datum", datum))


def again(recorded, volumes):
    return reduced(lambda publish: LiveTomography(publish, volumes=volumes), recorded.documents)


def rows(documents, stream="primary"):
    of = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    return [
        doc["data"]
        for name, doc in documents
        if name == "event" and of[doc["descriptor"]] == stream
    ]


def volume(documents):
    uri = next(
        doc["uri"]
        for name, doc in documents
        if name == "stream_resource" and doc["data_key"] == "volume" and "/volume_" in doc["uri"]
    )
    with h5py.File(uri.removeprefix("file://localhost")) as file:
        return file["volume"][0]


def test_a_flown_tomogram_becomes_a_volume_of_the_disc(tmp_path):
    documents = again(Recorded(tmp_path), tmp_path / "volumes")
    (row,) = rows(documents)
    assert row["valid"] == 1, row["invalid_reason"]
    assert row["axis"] == pytest.approx(AXIS, abs=0.25)
    assert row["n_projections"] == N
    assert (row["time_start"], row["time_end"]) == (START - 0.5, START + N - 0.5)
    found = volume(documents)
    assert found.shape == (N_ROWS, N_COLUMNS, N_COLUMNS)
    inside = found[:, 30:34, 34:40]
    # 24 pixels of path at 5000 counts: noise of some 5 % a voxel, 96 voxels
    assert inside.mean() == pytest.approx(MU, rel=0.03)


def test_previews_come_before_the_volume_and_are_the_same_afterwards(tmp_path):
    recorded = Recorded(tmp_path)
    found = []
    live = LiveTomography(lambda *each: found.append(each), volumes=tmp_path / "volumes")
    for name, doc in recorded.documents:
        live(name, doc, wall=0.0)
        live.poll(wall=0.0)
    previews = rows(found, "preview")
    assert [row["n_projections"] for row in previews] == [22, 45, 67]
    assert [n for n, _ in found] == [n for n, _ in again(recorded, tmp_path / "volumes")]
    assert rows(found) == rows(again(recorded, tmp_path / "volumes"))


def test_every_projection_says_when_it_was_taken_and_at_which_angle(tmp_path):
    found = rows(again(Recorded(tmp_path), tmp_path / "volumes"), "projection")
    assert len(found) == N
    assert found[10]["omega"] == pytest.approx(20.0)
    assert found[10]["time_start"] == START + 9.5


def test_a_loss_of_beam_in_the_middle_gives_a_flagged_partial_volume(tmp_path):
    recorded = Recorded(tmp_path, lost=tuple(range(40, 60)))
    documents = again(recorded, tmp_path / "volumes")
    (row,) = rows(documents)
    assert row["valid"] == 0
    assert row["partial"] == 1
    assert row["n_left_out"] == 20
    assert "of 180 degree have no projection" in row["invalid_reason"]
    assert np.isfinite(volume(documents)).all()
    lost = rows(documents, "projection")[45]
    assert "no beam: I0" in lost["invalid_reason"]


def test_a_tomogram_without_flats_is_refused_and_nothing_is_made_up(tmp_path):
    documents = again(Recorded(tmp_path, flats=False), tmp_path / "volumes")
    (row,) = rows(documents)
    assert row["valid"] == 0
    assert "no flats" in row["invalid_reason"]
    assert np.isnan(volume(documents)).all()


def test_a_rotation_that_broke_off_is_partial(tmp_path):
    (row,) = rows(again(Recorded(tmp_path, n=50), tmp_path / "volumes"))
    assert (row["valid"], row["partial"]) == (0, 1)
    assert "50 of 90 projections came" in row["invalid_reason"]


# Scans without end.


def endless(directory, *, n_arcs=4):
    """Documents of a run that did not know how many arcs it would have; each comes 1/4 step later."""
    recorded = Recorded(directory)
    n_per_arc = N // n_arcs
    (start,) = (doc for name, doc in recorded.documents if name == "start")
    start["tomography"] |= {"n_projections": None, "n_arcs": None, "n_per_arc": n_per_arc}
    arc = np.arange(n_per_arc) * 180 / n_per_arc
    omegas = np.concatenate([arc + k * 180 / n_per_arc / n_arcs for k in range(n_arcs)])
    path = directory / "primary.h5"
    flat, rng = 5000.0, np.random.default_rng(3)
    shape = (N_ROWS, N_COLUMNS)
    seen = [
        rng.poisson(np.broadcast_to(flat * np.exp(-MU * PIXEL * chord(omega)) + 20, shape))
        for omega in omegas
    ]
    write(path, seen, omegas, first_time=START)
    flats = directory / "flat.h5"
    write(flats, rng.poisson(flat + 20, (10, *shape)), np.full(10, np.nan), first_time=START - 20)
    recorded.documents = recorded.documents[:-1]
    kept = [each for each in recorded.documents if not is_projection(each)]
    kept.append(("descriptor", {"uid": "trains", "name": "trains", "data_keys": {}}))
    for number in range(n_arcs):
        first = number * n_per_arc
        kept.append(("stream_datum", datum(first, first + n_per_arc)))
        train = {"role": "projection", "file": str(path), "first": first, "n_frames": n_per_arc}
        train["train"] = number
        fault = "2 pulses missed" if number == 0 else ""
        kept.append(("event", {"descriptor": "trains", "data": {**train, "fault": fault}}))
    kept.append(("stop", {"time": 2000.0, "exit_status": "success", "reason": ""}))
    return kept


def is_projection(document):
    name, doc = document
    return name == "stream_datum" and doc["descriptor"] == "primary"


def datum(first, stop):
    return {
        "descriptor": "primary",
        "stream_resource": "file of primary",
        "indices": {"start": first, "stop": stop},
        "seq_nums": {"start": first + 1, "stop": stop + 1},
    }


def test_a_scan_without_end_is_a_volume_of_all_that_came(tmp_path):
    found = reduced_again(endless(tmp_path), tmp_path / "volumes")
    (row,) = rows(found)
    assert row["n_projections"] == 88
    assert row["invalid_reason"] == "2 pulses missed"
    assert rows(found, "preview") == []


def test_any_window_of_a_scan_is_put_together_afterwards(tmp_path):
    documents = endless(tmp_path)
    options = {"projections": [30, 74]}
    found = reduced_again(documents, tmp_path / "volumes", options=options)
    (row,) = rows(found)
    assert (row["valid"], row["n_projections"]) == (1, 44), row["invalid_reason"]
    assert (row["time_start"], row["time_end"]) == (START + 29.5, START + 73.5)
    assert len(rows(found, "projection")) == 44
    assert volume(found)[:, 30:34, 34:40].mean() == pytest.approx(MU, rel=0.05)
    # What the run says of itself is left as it was.
    assert "projections" not in documents[0][1]["reduction"]


def test_a_window_says_what_was_wrong_with_its_arcs_and_what_it_lacks(tmp_path):
    documents = endless(tmp_path)
    for window, reason in (
        ((0, 44), "2 pulses missed"),
        ((60, 110), "28 of 50 projections came"),
        ((100, 110), "0 of 10 projections came"),
    ):
        options = {"projections": window}
        (row,) = rows(reduced_again(documents, tmp_path / "volumes", options=options))
        assert row["valid"] == 0
        assert reason in row["invalid_reason"]


@pytest.mark.parametrize("window", [(3, 3), (-1, 4), (1.0, 4.0), 7])
def test_a_window_that_is_none_is_refused(tmp_path, window):
    options = {"projections": window}
    found = reduced_again(endless(tmp_path), tmp_path / "volumes", options=options)
    stop = found[-1][1]
    assert "projections must be (first, stop)" in stop["reason"]
    assert rows(found) == []


def test_angles_that_are_measured_again_belong_to_the_rotation_before(tmp_path):
    recorded = Recorded(tmp_path, n=N + 4)
    start = recorded.documents[0][1]
    start["tomography"] |= {"n_per_arc": N, "repeats": [180.0, 182.0, 184.0, 186.0]}
    trains = [{"arc": 0, "first": 0, "n_frames": N}, {"arc": -1, "first": N, "n_frames": 4}]
    file = str(tmp_path / "primary.h5")
    known = {"role": "projection", "file": file}
    events = [
        ("event", {"descriptor": "trains", "data": {"train": number, **known, **train}})
        for number, train in enumerate(trains)
    ]
    told = ("descriptor", {"uid": "trains", "name": "trains", "data_keys": {}, "configuration": {}})
    recorded.documents[-1:-1] = [told, *events]
    (row,) = rows(again(recorded, tmp_path / "volumes"))
    assert (row["n_projections"], row["valid"]) == (N + 4, 1), row["invalid_reason"]
    del recorded.documents[-2]
    (row,) = rows(again(recorded, tmp_path / "again"))
    assert "90 of 94 projections came" in row["invalid_reason"]
